"""The published systems, equation after equation."""
