"""Every error that smlmbench raises on purpose, and how a near miss is suggested.

A message has three parts in one line: what was given, what is accepted, what to do.
`UserError` ends a command with exit code 2, every other `SmlmBenchError` with 1.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path


class LossWarning(UserWarning):
    """What is read or written is not all that there is, or not as it was; not an error."""


class HalvedWarning(LossWarning):
    """A device had no memory for a batch; the work goes on in halves of it."""


class DoubtWarning(LossWarning):
    """A number was made with something that is not known, or that the data contradict; not an error."""


class UnlikeWarning(DoubtWarning):
    """A movie is unlike what a network was trained on, or the network does not find what is there; not an error."""


class SmlmBenchError(Exception):
    """Base of all errors of this package."""


class UserError(SmlmBenchError):
    """The input is wrong and the user can mend it."""


class ConfigError(UserError):
    """A study file, a card or an option says something that is not accepted."""


class UnansweredError(ConfigError):
    """A reference cannot answer one condition, which says nothing of the others."""


class UnknownNameError(UserError):
    """A name that nothing is registered under."""


class DuplicateNameError(UserError):
    """Two files claim one registered name."""


class PairingError(UserError):
    """Inputs and targets (or movie and table) do not belong together."""


class FormatError(UserError):
    """A file cannot be read as what it claims to be."""


class UnitError(UserError):
    """A quantity has no unit, or one that cannot be converted with what is known."""


class SizeError(UserError):
    """An image or field is too small, too large or of the wrong shape."""


class StoreError(UserError):
    """The store cannot be opened, written or reached."""


class StoreLostError(SmlmBenchError):
    """The store was there and has gone away in the middle of the work."""


class StoreShutError(StoreLostError, StoreError):
    """The store is there and keeps this process out: locked for too long, or the login is refused."""


class EngineError(UserError):
    """Workers, a scheduler or a job queue cannot be reached, started or used."""


class MissingExtraError(UserError):
    """An optional dependency is needed and not installed."""


class TrainingError(SmlmBenchError):
    """A training ended without a usable model."""


class DivergedError(TrainingError):
    """The loss or a gradient is no longer finite."""


class PrunedError(SmlmBenchError):
    """A trial of a search was stopped because its training was not worth going on."""


class NoMemoryError(SmlmBenchError):
    """A device has no memory for what is asked of it, not even in halves."""


class CollapsedError(TrainingError):
    """The network answers (almost) nothing; PROTOCOL section 4, collapse guard."""


def one_line(error: BaseException) -> str:
    """What an error of another package says, in one line of at most 200 characters."""
    return " ".join(str(error).split())[:200]


def unreadable(path: Path, kind: str, error: BaseException, advice: str = "copy or save it again") -> FormatError:
    """Make the error for a file that another package cannot read."""
    return FormatError(f"'{path.name}' is not a readable {kind} ({type(error).__name__}: {one_line(error)}); {advice}")


def unwritable(kind: str, path: Path, error: OSError) -> FormatError:
    """Make the error for a file that cannot be written."""
    said = error.strerror or one_line(error)
    return FormatError(f"{kind} '{path}' cannot be written: {said}; give a path in an existing folder")


def suggest(given: str, accepted: Iterable[str]) -> str:
    """Say which accepted name is nearest, or list them all.

    Returns:
        A clause such as `did you mean 'deep_storm'?` or `accepted: a, b`.
    """
    names = sorted(accepted)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"accepted: {', '.join(names)}" if names else "nothing is accepted here"


def unknown_name(what: str, given: str, accepted: Iterable[str]) -> UnknownNameError:
    """Make the error for an unregistered name, naming the nearest one."""
    names = sorted(accepted)
    near = suggest(given, names)
    tail = "" if near.startswith("accepted") else f" (accepted: {', '.join(names)})"
    return UnknownNameError(f"unknown {what} '{given}': {near}{tail}")


def printable(text: str) -> str:
    """A text for a message, without characters that a terminal would obey: it may quote a file of somebody else."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
