"""The version of this package, apart so that what states it needs nothing else."""

__version__ = "0.1.0"
