"""The documentation as a site: it builds without a warning, shows what is registered, and asks nothing outside."""

import importlib.util
import os
import re
import subprocess
import sys

import pytest
from documented import ROOT, blocks, commands
from typer.testing import CliRunner

import smlmbench
from smlmbench.cli import app
from smlmbench.cli.group import commands as all_commands
from smlmbench.registry import ROOMS, Catalog

NEEDS = ("mkdocs", "material", "mkdocstrings")
LOADED = re.compile(
    r"<(?:script|link|img|iframe|source|video)\b[^>]*(?:src|href)=[\"']?(?:https?:)?//|url\([\"']?(?:https?:)?//|@import"
)
ADDING = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Folder of the site, built with warnings as errors."""
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed; pip install 'smlmbench[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.mark.slow
def test_every_registered_thing_has_its_section(site):
    catalog = Catalog()
    for room in ROOMS:
        page = (site / "reference" / f"{room}.html").read_text(encoding="utf-8")
        assert [name for name in catalog.names(room) if f'<h2 id="{name}">' not in page] == [], room
    page = (site / "reference" / "models.html").read_text(encoding="utf-8")
    for name in catalog.names("models"):
        doi = catalog.card("models", name).doi
        assert doi is None or f"https://doi.org/{doi}" in page, name


@pytest.mark.slow
def test_every_command_and_function_has_its_section(site):
    page = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    assert [name for name in all_commands() if f'<h2 id="{name}">' not in page] == []
    page = (site / "reference" / "python.html").read_text(encoding="utf-8")
    names = [name for name in smlmbench.__all__ if not name.startswith("_")]
    assert [name for name in names if f'id="smlmbench.api.{name}"' not in page] == []


@pytest.mark.slow
def test_every_picture_of_the_gallery_was_drawn_at_the_build(site):
    shown = re.findall(r"]\((gallery/[^)]+)\)", (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8"))
    page = (site / "gallery.html").read_text(encoding="utf-8")
    assert len(shown) == 7
    for name in shown:
        assert f'src="{name}"' in page
        assert (site / name).read_bytes().startswith((b"\x89PNG", b"<?xml"))
        assert not (ROOT / "docs" / name).exists()


@pytest.mark.slow
def test_no_page_loads_anything_from_outside(site):
    pages = [path for path in site.rglob("*") if path.suffix in (".html", ".css")]
    assert len(pages) > 20
    loading = {path.name: LOADED.search(path.read_text(encoding="utf-8")) for path in pages}
    assert {name: found[0] for name, found in loading.items() if found} == {}


@pytest.mark.parametrize("line", commands(ADDING, inline=False))
def test_each_example_of_adding_passes_its_checks(line, tmp_path, monkeypatch):
    for block in blocks(ADDING, "python"):
        (tmp_path / block.title).write_text(block.text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, line.split()[1:])
    assert result.exit_code == 0, result.output
    assert "FAILED" not in result.stdout


def test_every_example_of_adding_is_checked():
    assert {block.title for block in blocks(ADDING, "python")} == {
        line.split()[2] for line in commands(ADDING, inline=False)
    }


def test_the_version_is_the_same_everywhere():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", citation, re.MULTILINE)[1] == smlmbench.__version__
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## (.+)$", changes, re.MULTILINE)[1].split()[0] == smlmbench.__version__
