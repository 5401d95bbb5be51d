"""What a study names: callables with typed parameters."""
