"""A study file: its schema, how it is loaded, and the plan made of it."""
