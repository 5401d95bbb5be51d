"""A package that knows nothing of `ablate`, nor `ablate` of it: forecasting the water level at a gauge."""
