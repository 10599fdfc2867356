"""The tab of the layers: heatmap, one site, and edits by hand."""
