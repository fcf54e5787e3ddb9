"""Measure the budgets: no file over 400 lines, no function over 60, no more than 8 parameters. No exceptions."""

import ast
import sys
from pathlib import Path

MAX_FILE, MAX_FUNCTION, MAX_PARAMETERS = 400, 60, 8
BAD_NAMES = {"utils", "helpers", "common", "manager", "misc"}
ROOT = Path(__file__).parents[1]


def problems(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    place = path.relative_to(ROOT)
    found = []
    lines = text.count("\n")
    if lines > MAX_FILE:
        found.append(f"{place}: {lines} lines, at most {MAX_FILE}")
    if path.stem in BAD_NAMES:
        found.append(f"{place}: a name that says nothing")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            arguments = node.args
            count = len(arguments.args) + len(arguments.kwonlyargs) + len(arguments.posonlyargs)
            count -= bool(arguments.args) and arguments.args[0].arg in ("self", "cls")
            if length > MAX_FUNCTION:
                found.append(f"{place}:{node.lineno} {node.name}: {length} lines, at most {MAX_FUNCTION}")
            if count > MAX_PARAMETERS:
                found.append(f"{place}:{node.lineno} {node.name}: {count} parameters, at most {MAX_PARAMETERS}")
    return found


def main() -> int:
    folders = [ROOT / name for name in ("smlmbench", "tests", "benchmarks", "experiments")]
    found = [line for folder in folders for path in sorted(folder.rglob("*.py")) for line in problems(path)]
    print("\n".join(found) or "every file and function is within the budgets")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
