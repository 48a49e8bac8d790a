"""The version, for those who need it and nothing else."""

__version__ = "0.1.0"
