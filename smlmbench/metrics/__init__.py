"""Scores: pure functions of a prediction and the truth, one file per metric."""
