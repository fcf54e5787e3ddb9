"""Whole studies: plan, rows, picks, report."""
