"""Running a plan: the loop, its signals, and what a person sees meanwhile."""
