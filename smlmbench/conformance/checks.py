"""What a check is, and what it may say."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType

from smlmbench.errors import SmlmBenchError
from smlmbench.registry import Card, Catalog


class ContractError(SmlmBenchError):
    """The contract is broken; the message says what was seen and what is expected."""


class NotApplicable(SmlmBenchError):  # noqa: N818
    """The contract does not bind this thing; the message says why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one check: passed (also where it was skipped), and one line about it."""

    name: str
    passed: bool
    detail: str
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """The thing under test; its card and code are read when they are asked for."""

    catalog: Catalog
    room: str
    name: str

    @property
    def card(self) -> Card:
        """The checked card."""
        return self.catalog.card(self.room, self.name)

    @property
    def module(self) -> ModuleType:
        """The imported file."""
        return self.catalog.module(self.room, self.name)


@dataclass(frozen=True, slots=True)
class Check:
    """One contract; `run` returns a line of detail or raises."""

    name: str
    run: Callable[[], str]

    def outcome(self) -> Outcome:
        """Run it; an unexpected exception of the thing under test is a failure like any other."""
        try:
            return Outcome(self.name, True, self.run())
        except NotApplicable as reason:
            return Outcome(self.name, True, f"skipped: {reason}", skipped=True)
        except ContractError as failure:
            return Outcome(self.name, False, str(failure))
        except Exception as error:
            first_line = (str(error).splitlines() or [""])[0]
            return Outcome(self.name, False, f"{type(error).__name__}: {first_line}")


def require(holds: bool, otherwise: str) -> None:
    """Fail the check unless something holds."""
    if not holds:
        raise ContractError(otherwise)


def collect(subject: Subject, functions: Sequence[Callable[[Subject], str]]) -> list[Check]:
    """Checks named after their functions."""
    return [Check(function.__name__, lambda function=function: function(subject)) for function in functions]  # type: ignore[misc]
