"""From a study to its trials: expansion into ids, and the proposer that hands them out."""
