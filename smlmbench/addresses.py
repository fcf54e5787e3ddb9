"""Addresses of servers and databases, and command lines for messages: ready for a shell, never with a password."""

import re
import shlex
from typing import Self

MASK = "***"

# What stands before the @ of an address: a name with its password, or a token that is long enough to be one.
LOGIN = re.compile(r"(?<=://)(?:(?P<name>[^\s/@:]*):\S*|[^\s/@:]{20,})@")
SETTING = re.compile(
    r"(?<=[?&;])(?P<key>[\w-]*(?:password|passwd|pwd|token|secret|api_?key))=[^\s&;'\"]+", re.IGNORECASE
)


def hidden(text: str) -> str:
    """The text with every password in an address masked.

    A user's name stays, what looks like a token does not; also in a query such as `?password=`. Whatever looks like a
    login is masked, so an unusual address may lose more than its password.

    Example:
        >>> hidden("no server at http://ann:secret@host:5000 (refused)")
        'no server at http://ann:***@host:5000 (refused)'
    """

    def masked(found: re.Match[str]) -> str:
        return f"{MASK}@" if found["name"] is None else f"{found['name']}:{MASK}@"

    return SETTING.sub(rf"\g<key>={MASK}", LOGIN.sub(masked, text)) if "://" in text or "=" in text else text


class Address(str):
    """An address that shows no password: as text it is masked, so nothing that prints or stores it gives it away."""

    whole: str  # with the login, for whom it connects

    def __new__(cls, text: str) -> Self:
        """Mask a text, and keep it."""
        made = super().__new__(cls, hidden(text))
        made.whole = text
        return made

    @property
    def bare(self) -> str:
        """Without any login, for a link."""
        scheme, separator, rest = self.whole.partition("://")
        host, slash, path = rest.partition("/")
        return scheme + separator + host.rpartition("@")[2] + slash + path


def command(*words: object) -> str:
    """A command line for a message: it can be pasted into a shell as it stands, whatever its paths hold.

    Example:
        >>> command("smlmbench", "ui", "--store", "my store")
        "smlmbench ui --store 'my store'"
    """
    return shlex.join(hidden(str(word)) for word in words)
