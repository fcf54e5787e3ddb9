"""Execute the notebooks of docs/notebooks in a kernel of their own; as a program, write their outputs back.

.venv/bin/python tests/notebooks.py
"""

import os
import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
LIMIT_S = 600
# What tells the machine: addresses of objects, and folders beyond those that a notebook names itself.
MACHINE = re.compile(r"(?<![\w.:/])/(?:[\w.+-]+/)+[\w.+-]+|0x[0-9a-f]{6,}")


def executed(path: Path, folder: Path) -> NotebookNode:
    """A notebook with the outputs of a fresh kernel that works in a folder, without times.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell fails.
    """
    book = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(folder)}}
    client = NotebookClient(book, timeout=LIMIT_S, kernel_name="python3", resources=where, record_timing=False)
    # A backend that the caller's environment asks for (MPLBACKEND=Agg) would leave the notebook without pictures.
    client.execute(env={**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline"})
    del book.metadata["language_info"]
    return book


def text_of(book: NotebookNode) -> str:
    """Everything that its cells printed or show as text."""
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    shown = [output.get("text") or "" for output in outputs]
    shown += [text for output in outputs for kind, text in output.get("data", {}).items() if kind.startswith("text/")]
    return "\n".join(shown)


def main() -> None:
    """Write the outputs of every notebook back into its file."""
    import tempfile

    for path in sorted(FOLDER.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            book = executed(path, Path(folder))
        print(path.name, *MACHINE.findall(text_of(book)))
        nbformat.write(book, path)


if __name__ == "__main__":
    main()
