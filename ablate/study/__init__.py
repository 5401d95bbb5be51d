"""Study files: read, checked with file and line, and composed with the Hydra configuration."""
