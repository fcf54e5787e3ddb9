"""From what was measured to a study for it."""
