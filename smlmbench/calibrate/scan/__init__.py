"""A PSF from a scan of beads."""
