"""How long a whole movie will take, told once, when its first frames are done."""

import time
from collections.abc import Callable

LOOK_S, LEAST_S = 2.0, 30.0  # what is measured before it is told, and what is worth telling


class Pace:
    """Hears how many frames are done; `said` is the one sentence, or empty."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._told = clock, False
        self._first: tuple[int, float] | None = None

    def said(self, done: int, total: int) -> str:
        """Time and frames per second for the whole movie, as soon as two seconds of frames were timed."""
        now = self._clock()
        if self._first is None:  # the first block also prepares the network
            self._first = (done, now)
        frames, seconds = done - self._first[0], now - self._first[1]
        if self._told or seconds < LOOK_S or frames <= 0:
            return ""
        self._told = True
        whole_s = total * seconds / frames
        if whole_s < LEAST_S:
            return ""
        return f"about {_shown(whole_s)} for {total} frames ({frames / seconds:.3g} frames/s)"


def _shown(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
