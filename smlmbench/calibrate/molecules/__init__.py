"""What spots say: width, photons, density, times."""
