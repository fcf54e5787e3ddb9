"""Frames and truth drawn from a physical model."""

from smlmbench.simulate.frames import Emitters, draw, draw_signal_free

__all__ = ["Emitters", "draw", "draw_signal_free"]
