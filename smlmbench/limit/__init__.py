"""What no unbiased estimate undercuts: the Cramér-Rao bound of every emitter beside all others of its frame."""
