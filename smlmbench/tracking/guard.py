"""MLflow's client at a store that may be busy or away: its calls wait, and what ends them is one line."""

import functools
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from smlmbench.addresses import Address, hidden
from smlmbench.errors import StoreLostError, StoreShutError
from smlmbench.patience import passed, worth_waiting
from smlmbench.tracking.asking import LOGIN, healthy

PAUSE_S = 1.0
SHOWN_CHARACTERS = 160
ASK_AGAIN_S = 3.0  # MLflow's own retries have passed when this is asked
BUSY = ("TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED")
BUSY_WORDS = re.compile(
    r"too many (?:429|502|503|504) error responses|NewConnectionError|Connection (?:aborted|reset)|timed out"
    r"|database is locked"
)
REFUSED = ("CUSTOMER_UNAUTHORIZED", "UNAUTHENTICATED", "PERMISSION_DENIED")


class Guarded:
    """Passes every call on, and repeats one that failed because the store was busy or away.

    A call that is repeated has stored nothing, or what MLflow stores once: metrics of one time, params, tags.

    Raises:
        StoreLostError: From any call: the server stays away.
        StoreShutError: From any call: the database stays locked, the server busy, or the login is refused.
    """

    def __init__(self, client: Any, uri: Address, *, served: bool) -> None:
        self._client = client
        self._uri = uri
        self._served = served

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        return self._guarded(found) if callable(found) else found

    def _guarded(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def guarded(*values: Any, **named: Any) -> Any:
            while True:
                began = time.monotonic()
                try:
                    found = call(*values, **named)
                except Exception as error:
                    self._look_into(error)
                    self._outlast(error, began)
                else:
                    passed(self._uri)
                    return found

        return guarded

    def _look_into(self, error: Exception) -> None:
        """Raise what is not a matter of waiting."""
        raise_lost(error)
        if self._served and _is_refusal(error):
            raise StoreShutError(
                f"the MLflow server {self._uri} refuses this login ({_said(error)}); {LOGIN}"
            ) from None

    def _outlast(self, error: Exception, began: float) -> None:
        """Come back when another try is worth it, else raise."""
        away = self._served and not answers(self._uri)
        if not away and not _is_busy(error):
            _mask(error)
            raise error
        why = f"the MLflow server {self._uri} does not answer" if away else f"{self._uri} is busy ({_said(error)})"
        while worth_waiting(self._uri, lambda: why, time.monotonic() - began + PAUSE_S):
            time.sleep(PAUSE_S)
            began = time.monotonic()
            if not away or answers(self._uri):
                return
        self._give_up(why, away=away)

    def _give_up(self, why: str, *, away: bool) -> NoReturn:
        if away:
            raise StoreLostError(gone(self._uri)) from None
        raise StoreShutError(f"{why}; give the same command again when it is not: what is finished is safe") from None


def raise_lost(error: BaseException) -> None:
    """Raise the StoreLostError that MLflow has wrapped in an error of its own, where there is one."""
    for each in _chain(error):
        if isinstance(each, StoreLostError):
            raise each from None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _mask(error: BaseException) -> None:
    """Take passwords out of what a library's error says; it quotes the address that it was given."""
    for each in _chain(error):
        each.args = tuple(hidden(part) if isinstance(part, str) else part for part in each.args)
        if hasattr(each, "message"):
            each.message = hidden(str(each.message))


def _is_busy(error: BaseException) -> bool:
    return getattr(error, "error_code", "") in BUSY or bool(BUSY_WORDS.search(str(error))) or _code(error) in (502, 503)


def _is_refusal(error: BaseException) -> bool:
    return getattr(error, "error_code", "") in REFUSED or _code(error) in (401, 403)


def _code(error: BaseException) -> int:
    """Status of the answer that an artifact's request got, or 0."""
    return int(getattr(getattr(error, "response", None), "status_code", 0))


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())
    found = BUSY_WORDS.search(text)
    return hidden(text)[:SHOWN_CHARACTERS] if found is None else found[0]


def answers(uri: Address) -> bool:
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
