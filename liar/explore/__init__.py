"""Everything that a ratio slider needs, without torch: atlas, allocation and forecast."""
