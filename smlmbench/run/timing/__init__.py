"""Inference timed on each device and runtime, behind the quality gate."""
