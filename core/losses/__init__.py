"""Loss functions, under the papers' equation numbers."""
