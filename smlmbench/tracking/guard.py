"""A client of a server that may go away: its calls then say so in one line, in seconds."""

import functools
from collections.abc import Callable
from typing import Any

from smlmbench.errors import StoreLostError
from smlmbench.tracking.location import healthy

ASK_AGAIN_S = 3.0  # MLflow's own retries have passed when this is asked


class Guarded:
    """Passes every call on; one that fails while the server does not answer raises StoreLostError."""

    def __init__(self, client: Any, uri: str) -> None:
        self._client = client
        self._uri = uri

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        return self._guarded(found) if callable(found) else found

    def _guarded(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def guarded(*values: Any, **named: Any) -> Any:
            try:
                return call(*values, **named)
            except Exception as error:
                if answers(self._uri):
                    raise
                raise StoreLostError(gone(self._uri)) from error

        return guarded


def answers(uri: str) -> bool:
    """Whether a server answers now."""
    try:
        return healthy(uri, ASK_AGAIN_S)
    except OSError:
        return False


def gone(uri: str) -> str:
    """What to say of a server that has gone away."""
    return (
        f"the MLflow server {uri} does not answer any more; what is finished is safe there, what ran has its "
        "checkpoint here: start the server and give the same command again"
    )
