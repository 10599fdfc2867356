"""The page: one small file a panel. A panel shows what the library returns and never computes a figure itself."""
