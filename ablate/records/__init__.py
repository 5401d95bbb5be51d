"""Mirrors of what happens: whoever listens to a run gets starts, reports and outcomes."""
