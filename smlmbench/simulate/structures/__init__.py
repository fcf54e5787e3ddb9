"""Structures on which emitters sit, one file each: a `CARD`, and `place` as `smlmbench.simulate.places` asks for it."""
