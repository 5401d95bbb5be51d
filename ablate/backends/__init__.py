"""Ways to run trials: Ray Tune on one machine or many, or this very process for a debugger."""
