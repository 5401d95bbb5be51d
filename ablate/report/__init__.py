"""The end of a study: its table, figures and page."""
