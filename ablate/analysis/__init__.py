"""Statistics over finished records: intervals per arm and paired contrasts."""
