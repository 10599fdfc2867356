"""Plotly figures of results and forecasts, for the page and for reports. Pure: no file is written here."""
