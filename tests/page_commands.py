"""The command that a page gives for a user's own data, run as it is pasted."""

import html
import re
import shlex
from pathlib import Path

from typer.testing import CliRunner

from smlmbench.cli import app


def asked(page: Path) -> str:
    """The one command of `smlmbench predict` on a page."""
    (line,) = re.findall(r"<code>(smlmbench predict [^<]+)</code>", page.read_text(encoding="utf-8"))
    return html.unescape(line)


def run_asked(page: Path) -> str:
    """What it prints, run in the working folder."""
    program, *words = shlex.split(asked(page))
    assert program == "smlmbench"
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return done.output
