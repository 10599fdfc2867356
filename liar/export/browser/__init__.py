"""Two models side by side on a static page, run by the visitor's own browser."""
