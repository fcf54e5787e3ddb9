"""Frames and truth drawn from a physical model."""

from smlmbench.simulate.emitters import Emitters
from smlmbench.simulate.frames import Movie, draw, draw_signal_free

__all__ = ["Emitters", "Movie", "draw", "draw_signal_free"]
