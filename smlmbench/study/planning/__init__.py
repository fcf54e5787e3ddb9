"""A checked study to every row of its plan."""
