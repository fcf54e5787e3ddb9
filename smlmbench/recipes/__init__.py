"""How one training step is made, one file each."""
