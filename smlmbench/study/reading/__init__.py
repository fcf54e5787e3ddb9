"""A study file to checked blocks."""
