"""A simulated court: motion, cameras, pictures and the truth about them."""
