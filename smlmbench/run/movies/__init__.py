"""What a movie says of itself, and a study for it."""
