"""Where trials come from: the proposer interface, and (later) Optuna behind it."""
