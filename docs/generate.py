"""A hook of MkDocs: pages made of the code and of the texts beside `docs/`, and pictures, at every build anew."""

import contextlib
import re
import shlex
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from typer.testing import CliRunner

import smlmbench
from smlmbench.cli import app
from smlmbench.cli.group import Commands, commands
from smlmbench.registry import ROOMS, Card, Catalog, MetricCard, ModelCard
from smlmbench.registry.listing import model_rows, review_rows

ROOT = Path(__file__).parents[1]
TEXTS = {
    "guide.md": "README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
}
PLURALS = {"data": "Data sources", "psf": "PSFs", "losses": "Losses", "exports": "Export formats"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add a reference page for every room to the navigation."""
    (reference,) = [part["Reference"] for part in config.nav or [] if "Reference" in part]
    reference += [{heading(room): f"reference/{room}.md"} for room in ROOMS]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for name, text in pages():
        files.append(File.generated(config, name, content=text))
    for name, image in gallery((ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")):
        files.append(File.generated(config, name, content=image))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to the texts beside `docs/` lead to the pages made of them."""
    for page, text in TEXTS.items():
        markdown = re.sub(rf"\]\((?:\.\./)+{re.escape(text)}", f"]({page}", markdown)
    return markdown


def pages() -> Iterator[tuple[str, str]]:
    """Name and Markdown of every generated page."""
    for page, text in TEXTS.items():
        yield page, (ROOT / text).read_text(encoding="utf-8").replace("](docs/", "](")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    yield "citation.md", f"# Citing\n\n`CITATION.cff`, which reference managers read:\n\n```yaml\n{citation}```\n"
    yield "reference/commands.md", command_page()
    yield "reference/python.md", python_page()
    catalog = Catalog()
    for room in ROOMS:
        yield f"reference/{room}.md", room_page(catalog, room)


@cache
def gallery(page: str) -> list[tuple[str, bytes]]:
    """Name and bytes of every picture that a page shows, drawn by the commands of the page from its own files."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, contextlib.chdir(folder):
        for title, text in re.findall(r'^```yaml title="([^"]+)"\n(.*?)^```', page, re.MULTILINE | re.DOTALL):
            Path(title).write_text(text, encoding="utf-8")
        for line in re.findall(r"^smlmbench (.+)$", page, re.MULTILINE):
            done = CliRunner().invoke(app, shlex.split(line))
            if done.exit_code:
                raise PluginError(f"the gallery's command failed: smlmbench {line}\n{done.output}{done.exception}")
        return [
            (name, Path(name.removeprefix("gallery/")).read_bytes())
            for name in re.findall(r"\]\((gallery/[^)]+)\)", page)
        ]


def command_page() -> str:
    """`--help` of every command."""
    root = Commands(name="smlmbench")
    parts = ["# Commands", "What `smlmbench COMMAND --help` prints.", ""]
    for name in commands():
        command = root.get_command(None, name)
        context = click.Context(command, info_name=f"smlmbench {name}", max_content_width=100, terminal_width=100)
        parts += [f"## {name}", fenced(command.get_help(context)), ""]
    return "\n\n".join(parts)


def python_page() -> str:
    """Docstrings of the Python interface."""
    names = [name for name in smlmbench.__all__ if not name.startswith("_")]
    shown = [f"::: smlmbench.api.{name}\n    options: {{heading: smlmbench.{name}}}" for name in names]
    return "\n\n".join(["# Python", "`import smlmbench` offers these.", *shown])


def heading(room: str) -> str:
    """Plural of a room's things."""
    said = ROOMS[room]
    return PLURALS.get(room, f"{said[0].upper()}{said[1:]}s")


def room_page(catalog: Catalog, room: str) -> str:
    """Everything registered in a room, from the cards."""
    names = catalog.names(room)
    parts = [f"# {heading(room)}", f"From the cards; `smlmbench list {room}` prints the short form."]
    if room == "models":
        parts += [model_table(catalog), review_table(catalog)]
    if room == "formats":
        parts.append(format_table(catalog))
    for name in names:
        parts += [f"## {name}", *card_parts(catalog.card(room, name))]
    return "\n\n".join(part for part in parts if part)


def model_table(catalog: Catalog) -> str:
    """The networks with tasks, output, fidelity and parameters."""
    columns = {"tasks": "Tasks", "output": "Output", "fidelity": "Fidelity", "parameters": "Parameters"}
    rows = [
        [f"[{row['name']}](#{row['name']})", *(cell(row[key]) for key in columns), cell(row["parameters_at"])]
        for row in model_rows(catalog)
    ]
    return table(["Model", *columns.values(), "at"], rows)


def format_table(catalog: Catalog) -> str:
    """What every format holds, from which number frames count, and where (0, 0) lies in the first pixel."""
    columns = {"holds": "Holds", "suffixes": "Suffixes", "writes": "Written", "first_frame": "First frame"}
    rows = []
    for name in catalog.names("formats"):
        facts = catalog.card("formats", name).facts
        said = {**facts, "suffixes": " ".join(facts["suffixes"]), "writes": "yes" if facts["writes"] else "no"}
        rows.append([f"[{name}](#{name})", *(cell(said[key]) for key in columns), cell(facts["origin"])])
    return table(["Format", *columns.values(), "(0, 0) at the pixel's"], rows)


def review_table(catalog: Catalog) -> str:
    """The systems of the review's Table 1 as their sources have them."""
    columns = {"input": "Input", "output": "Output", "training_data": "Training data", "architecture": "Architecture"}
    rows = []
    for row in review_rows(catalog):
        other = "; ".join(f"{cell(key)}: {cell(value)}" for key, value in row["review_says"].items())
        rows.append([f"[{row['name']}](#{row['name']})", *(cell(row[key]) for key in columns), other])
    said = "Systems of Table 1 of Hyun and Kim 2022 (doi 10.3390/ijms23136896), as their own sources have them."
    return "\n\n".join([said, table(["Model", *columns.values(), "The review says"], rows)])


def card_parts(card: Card) -> Iterator[str]:
    """What one card says."""
    yield cell(card.summary)
    if card.paper or card.doi:
        link = f" [doi {card.doi}](https://doi.org/{card.doi})" if card.doi else ""
        yield f"Source: {cell(card.paper or '')}{link}"
    if card.fidelity:
        yield f"Fidelity: **{card.fidelity}**"
    if card.deviations:
        yield "Known differences from the source:\n\n" + "\n".join(f"- {cell(text)}" for text in card.deviations)
    if isinstance(card, ModelCard):
        yield model_facts(card)
    if isinstance(card, MetricCard):
        rows = [
            [f"`{name}`", cell(fact.unit), fact.direction, cell(fact.help)] for name, fact in sorted(card.gives.items())
        ]
        yield table(["Number", "Unit", "Better", "What"], rows)
    if card.settings:
        rows = [
            [f"`{name}`", f"`{setting.default}`", cell(accepted(setting)), cell(setting.help)]
            for name, setting in card.settings.items()
        ]
        yield table(["Setting", "Default", "Accepted", "What"], rows)
    for key, variant in card.variants.items():
        said = [f"`{key}`", *([f"fidelity {variant.fidelity}"] if variant.fidelity else [])]
        yield f"Variant {', '.join(said)}" + "".join(f"\n\n- {cell(text)}" for text in variant.deviations or [])


def model_facts(card: ModelCard) -> str:
    """Parameters, receptive field, training defaults."""
    rows = [[f"`{key or 'defaults'}`", f"{count:,}"] for key, count in card.parameters.items()]
    training = ", ".join(f"{key} {value}" for key, value in card.training.items())
    lines = [
        f"Answers as [{card.output}](outputs.md#{card.output}); upsamples: {card.upsamples}; "
        f"receptive field {card.receptive_field_px:g} camera pixels at upsampling 8.",
        f"Training defaults: {cell(training)}." if training else "",
        *(f"Refuses {cell(key)}: {cell(why)}." for key, why in card.refuses.items()),
        table(["Trainable parameters at", "Number"], rows),
    ]
    return "\n\n".join(line for line in lines if line)


def accepted(setting: Any) -> str:
    """Choices or range of a setting."""
    if setting.choices is not None:
        said = ", ".join(str(choice) for choice in setting.choices)
    elif setting.min is not None or setting.max is not None:
        low = "" if setting.min is None else f"{setting.min:g}"
        said = f"{low} to {setting.max:g}" if setting.max is not None else f"from {low}"
    else:
        said = type(setting.default).__name__ if setting.default is not None else ""
    more = [word for word, chosen in (("a range", setting.ranged), ("auto", setting.measured)) if chosen]
    return ", ".join([*([said] if said else []), *more])


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; nothing where there is no row."""
    if not rows:
        return ""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(value: Any) -> str:
    """A text of a card as it stands, no Markdown in it."""
    said = "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
    said = re.sub(r"([\\`*_{}\[\]|#])", r"\\\1", " ".join(said.split()))
    return said.replace("&", "&amp;").replace("<", "&lt;")


def fenced(text: str) -> str:
    """A block of plain text."""
    return f"```text\n{text}\n```"
