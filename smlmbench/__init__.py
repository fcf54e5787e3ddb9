"""smlmbench: a benchmark harness for deep learning in single-molecule localization microscopy."""

__version__ = "0.1.0"
