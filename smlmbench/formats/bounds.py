"""How much a file can hold, held against what it states: a broken number must not ask for all memory."""

from smlmbench.errors import FormatError

MOST_PACKED = 1100  # bytes that one byte of a compressed file may become
ALWAYS = 1 << 28  # bytes that may be asked for in any case


def check_room(name: str, what: str, stated: int, size: int) -> None:
    """Refuse `stated` bytes in a file of `size` bytes that cannot hold them (FormatError)."""
    if stated > max(ALWAYS, MOST_PACKED * size):
        raise FormatError(f"'{name}' states {stated:,} bytes of {what} and has {size:,}; copy or save it again")
