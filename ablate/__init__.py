"""ablate: distributed ablation and hyperparameter studies, from one YAML file to the paper's table."""

__version__ = "0.1.0"
