"""Output kinds: what a network emits, its target builder and its decoder."""
