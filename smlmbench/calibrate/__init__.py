"""What a movie, its dark frames or a scan of beads say of camera, optics and scene, each number with its interval."""
