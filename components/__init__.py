"""The page: one small file a panel. A panel shows what the library hands over and never computes a figure itself."""
