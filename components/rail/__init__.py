"""The rail on the left: the choices of a recipe."""
