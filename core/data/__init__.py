"""Readers of real data sets, each converting to the library's units and axes."""
