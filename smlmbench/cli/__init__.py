"""The commands, one thin file each; a file is imported only when its command is used.

Nothing else may stand here: importing `smlmbench.cli.list` puts that file over the built-in name in this namespace.
"""

from smlmbench.cli.group import app

__all__ = ["app", "main"]


def main() -> None:
    """Entry point of the `smlmbench` script."""
    app()
