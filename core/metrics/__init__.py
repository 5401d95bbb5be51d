"""Errors a paper reports, one value per sample."""
