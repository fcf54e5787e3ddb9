"""What pixels say: camera and background."""
