"""What a slider needs: error curves drawn ahead, how a ratio is spread, and the forecast of a recipe."""
