"""The group of all commands: found by their files, imported on use; and how errors are told.

`smlmbench/cli/<name>.py` with a function `command` is the command `<name>`; the line shown by `smlmbench --help` is
read from its source.
"""

import ast
import sys
import traceback
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from smlmbench.addresses import hidden
from smlmbench.cli.output import losses_as_notes
from smlmbench.errors import SmlmBenchError, UserError, printable, unknown_name
from smlmbench.version import __version__

FOLDER = Path(__file__).parent


@lru_cache(maxsize=1)
def commands() -> dict[str, str]:
    """One line of help by command, read from the sources without importing them."""
    found: dict[str, str] = {}
    for path in sorted(FOLDER.glob("[a-z]*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name == "command":
                found[path.stem.replace("_", "-")] = (ast.get_docstring(node) or "").partition("\n")[0]
    return found


class Commands(TyperGroup):
    """The group of all commands: lists them from their sources, imports one on use, turns errors into lines."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 (the signature is typer's)
        """Names of all commands, sorted."""
        return list(commands())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 (the signature is typer's)
        """Import the file of one command; an error about an unknown one names the nearest."""
        if cmd_name not in commands():
            raise unknown_name("command", cmd_name, commands())
        module = import_module(f"smlmbench.cli.{cmd_name.replace('-', '_')}")
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(name=cmd_name)(module.command)
        return typer.main.get_command(single)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 (the signature is typer's)
        """Write the list of commands of `--help`."""
        if commands():
            with formatter.section("Commands"):
                formatter.write_dl(list(commands().items()))

    def main(self, args: Sequence[str] | None = None, **extra: Any) -> Any:  # type: ignore[override]
        """Run one command line and exit: 0 done, 2 a mistake of the user, 1 a failure, 130 interrupted.

        It has one name, also in tests and under python -m; errors are explained here, never by typer.
        """
        extra |= {"prog_name": "smlmbench", "standalone_mode": False}
        words = list(sys.argv[1:] if args is None else args)
        debug = "--debug" in words
        try:
            with losses_as_notes():
                code = super().main(args=[w for w in words if w != "--debug"], **extra)
        except (Exception, KeyboardInterrupt) as error:
            if debug:
                typer.echo(hidden(traceback.format_exc().rstrip()), err=True)
            code = _explain(error)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an interrupt is named here, before typer turns it into a bare exit code."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("smlmbench: interrupted; the same command continues what it had begun", err=True)
            raise typer.Exit(130) from None


def _explain(error: BaseException) -> int:
    """Say on stderr what went wrong, one line per problem, and return the exit code."""
    if isinstance(error, SmlmBenchError):
        for line in str(error).splitlines():
            typer.echo(f"smlmbench: {printable(hidden(line))}", err=True)
        return 2 if isinstance(error, UserError) else 1
    usage = getattr(error, "format_message", None)
    if usage is not None:  # typer's own, such as a missing argument; its class differs between versions of typer
        typer.echo(hidden(_usage_line(error, usage())), err=True)
        return int(getattr(error, "exit_code", 2))
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        typer.echo("smlmbench: interrupted", err=True)
        return 130
    said = " ".join(str(error).split()) or "no message"
    typer.echo(
        f"smlmbench: unexpected {type(error).__name__}: {printable(hidden(said))} (--debug shows where)", err=True
    )
    return 1


def _usage_line(error: BaseException, message: str) -> str:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return str(context.get_help()) if context is not None else message
    where = getattr(context, "command_path", "smlmbench")
    return f"smlmbench: {' '.join(message.split())} (see {where} --help)"


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"smlmbench {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (may also follow the command).")
    ] = False,
) -> None:
    """Benchmark deep learning for single-molecule localization microscopy.

    `smlmbench COMMAND --help` explains a command with an example.
    """
