"""The notebooks of the documentation run as they stand, and what they hold was made by a run."""

import nbformat
import notebooks
import pytest

QUICKSTART = notebooks.FOLDER / "quickstart.ipynb"
LAST = """
row = board[(board.label == "fid_storm") & (board.metric == "efficiency") & (board.condition == "")]
print(len(row), row.value.item() > 0, len(found), (smlmbench.runs(study, "store").status == "done").all())
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Jupyter's packages; those of the cells are in the kernel
def test_the_quickstart_runs_and_finds_localizations(tmp_path):
    book = nbformat.read(QUICKSTART, as_version=4)
    book.cells.append(nbformat.v4.new_code_cell(LAST))
    nbformat.write(book, tmp_path / "longer.ipynb")
    made = notebooks.executed(tmp_path / "longer.ipynb", tmp_path)
    rows, better, found, done = made.cells[-1].outputs[0].text.split()
    assert (rows, better, done) == ("1", "True", "True")
    assert int(found) > 50
    kinds = [kind for cell in made.cells for output in cell.get("outputs", []) for kind in output.get("data", {})]
    assert "image/png" in kinds
    assert kinds.count("text/html") >= 4
    assert not [output for cell in made.cells for output in cell.get("outputs", []) if output.get("name") == "stderr"]


@pytest.mark.parametrize("path", sorted(notebooks.FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_committed_notebook_holds_a_whole_run_and_no_machine(path):
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert notebooks.MACHINE.findall(notebooks.text_of(book)) == []
    assert all("execution" not in cell.metadata for cell in cells)
    assert path.stat().st_size < 200_000
