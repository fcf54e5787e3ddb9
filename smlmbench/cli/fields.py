"""Commands with many options: the fields of a dataclass become the options of the command line."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, get_type_hints

Asked = TypeVar("Asked")


def from_fields(kind: type[Asked]) -> Callable[[Callable[[Asked], None]], Callable[..., None]]:
    """Turn `command(asked)` into a function with one keyword per field of `kind`, as typer reads it.

    Args:
        kind: A dataclass whose fields are annotated as typer parameters.
    """
    hints = get_type_hints(kind, include_extras=True)
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields
    ]

    def wrap(command: Callable[[Asked], None]) -> Callable[..., None]:
        def called(**values: Any) -> None:
            command(kind(**values))

        called.__doc__ = command.__doc__
        called.__name__ = command.__name__
        called.__module__ = command.__module__
        called.__annotations__ = {**hints, "return": None}
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return called

    return wrap
