"""The three paths of the documentation: every command of a page runs in its order, with its files, at tiny settings."""

import shlex
import shutil

import pytest
from documented import ROOT, TINY, blocks, commands, sets, tiny_quickstart
from typer.testing import CliRunner

from smlmbench.cli import app

PAGES = sorted((ROOT / "docs" / "paths").glob("*.md"))
SMALL = ["data.0.train.simulate.field_px=16", "data.0.val={simulate: {frames: 12}}",
         "data.0.test.density-1.simulate.frames=12", "models.1={name: fid_storm, blocks: 1, width: 0.25}",
         "losses=[{name: l1l2, lambda: 200}]", "training.samples=320", "training.lr=3e-3", "training.validations=1",
         "repeats=1", "references=[truth, blank]", "timing.sizes_px=[16]"]  # fmt: skip
# What is added to a command, by its first words; the last that fits counts.
ADDED = {
    "run cells.yaml": sets(TINY),
    "run mine.yaml": sets(SMALL),
    "limit mine.yaml": sets(SMALL),
    "time": ["--set", "fid_storm.blocks=1", "--sizes", "16"],
}
SERVES = "ui"  # until it is stopped: test_ui.py starts it


def prepared(page, folder, empty_store):
    """A folder as the reader has it: a (tiny) quickstart, and the files that the page shows."""
    for kind in ("yaml", "python"):
        for block in blocks(page, kind):
            assert block.title, f"a {kind} block without a file name"
            (folder / block.title).write_text(block.text, encoding="utf-8")
    tiny_quickstart(folder / "experiments" / "quickstart.yaml")
    for store in ("mlruns", "results"):
        shutil.copytree(empty_store, folder / store)


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_each_command_of_a_path_runs(path, tmp_path, empty_store, monkeypatch):
    page = path.read_text(encoding="utf-8")
    prepared(page, tmp_path, empty_store)
    monkeypatch.chdir(tmp_path)
    lines = commands(page, inline=False)
    assert len(lines) >= 7
    for line in lines:
        words = shlex.split(line)[1:]
        if words[0] == SERVES:
            continue
        said = " ".join(words)
        for first, added in ADDED.items():
            words += added if said.startswith(first) else []
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, f"{line}: {result.output}"


def test_the_paths_are_those_of_the_start_page():
    start = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert len(PAGES) == 3
    assert [page.name for page in PAGES if f"(paths/{page.name})" not in start] == []
