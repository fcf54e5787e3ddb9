"""smlmbench evaluate: any program's table or image against the truth."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from smlmbench.cli.options import COLUMN_HELP, AsJson, Origin, from_fields, named_columns
from smlmbench.cli.output import emit_json, table
from smlmbench.errors import ConfigError

if TYPE_CHECKING:
    from smlmbench.tasks.contracts import Scores


@dataclass(frozen=True, slots=True)
class _Asked:
    found: Annotated[Path, Argument(help="Table (csv, xlsx) or image (mat, tif).")]
    truth: Annotated[Path | None, Argument(help="True table; without one give --widefield.")] = None
    widefield: Annotated[
        Path | None, Option(metavar="IMAGE", help="The same field as a camera sees it, for rsp and rse.")
    ] = None
    page: Annotated[
        list[int] | None, Option(min=0, help="Of an image file with several, from 0; may be given more than once.")
    ] = None
    error_map: Annotated[
        Path | None, Option(metavar="TIFF", help="Write where the image and the widefield differ; of one page.")
    ] = None
    found_format: Annotated[str | None, Option(help="Format of the first file; default: found from it.")] = None
    truth_format: Annotated[str | None, Option(help="Format of the true table; default: found from it.")] = None
    found_first_frame: Annotated[int | None, Option(help="Number of the first frame there; default: the format's.")] = (
        None
    )
    truth_first_frame: Annotated[int | None, Option(help="The same of the true table.")] = None
    found_origin: Annotated[Origin, Option(help="Where (0, 0) is in the first pixel; default: the format's.")] = None
    truth_origin: Annotated[Origin, Option(help="The same of the true table.")] = None
    found_column: Annotated[list[str] | None, Option(metavar="NAME=HEADER", help=COLUMN_HELP)] = None
    truth_column: Annotated[list[str] | None, Option(metavar="NAME=HEADER", help="The same of the true table.")] = None
    field_nm: Annotated[tuple[float, float] | None, Option(help="Width and height of the field.")] = None
    pixel_size_nm: Annotated[
        float | None, Option(min=0.1, help="Camera pixel of tables in pixels; wins over what they state.")
    ] = None
    border_nm: Annotated[float | None, Option(min=0.0, help="Default 450 with a field, 0 without.")] = None
    fine_pixel_nm: Annotated[float, Option(min=0.1, help="Pixel of the image, or of the grid tables are drawn on.")] = (
        12.5
    )
    label_rule: Annotated[Literal["floor", "ds"], Option(help="ds only for Deep-STORM's own files.")] = "floor"
    matcher: Annotated[Literal["greedy", "hungarian"], Option(help="How pairs are formed.")] = "greedy"
    as_json: AsJson = False


@from_fields(_Asked)
def command(asked: _Asked) -> None:
    """Score a localization table, or a reconstructed image, against true positions.

    Example: smlmbench evaluate found.csv truth.csv --field-nm 6400 6400
    """
    from smlmbench.registry import Catalog
    from smlmbench.run.tables.comparing import compare

    pages: list[int | None] = [*asked.page] if asked.page else [None]
    if asked.error_map is not None and len(pages) > 1:
        raise ConfigError(f"--error-map: one file for {len(pages)} pages; give one --page")
    names = (
        "field_nm",
        "widefield",
        "fine_pixel_nm",
        "label_rule",
        "found_format",
        "truth_format",
        "pixel_size_nm",
        "error_map",
    )
    options = {name: getattr(asked, name) for name in names}
    for side in ("found", "truth"):
        stated = {name: getattr(asked, f"{side}_{name}") for name in ("first_frame", "origin")}
        columns = named_columns(getattr(asked, f"{side}_column") or (), f"--{side}-column")
        options[f"{side}_as"] = {**stated, "columns": columns}
    matcher, border_nm = asked.matcher, asked.border_nm
    found = []
    for page in pages:
        told = (asked.found, asked.truth, {**options, "page": page}, Catalog())
        scores, scoring = compare(*told, matcher=matcher, border_nm=border_nm)
        found.append(scores)
    if asked.as_json:
        said = [{"values": one.values, "reasons": one.reasons} for one in found]
        several = {"pages": [{"page": page, **one} for page, one in zip(pages, said, strict=True)]}
        emit_json({"protocol": scoring.protocol, **(several if len(said) > 1 else said[0])})
        return
    every = dict.fromkeys(name for one in found for name in (*one.values, *one.reasons))
    measured = [name for name in every if any(name in one.values for one in found)]
    absent = [name for name in every if name not in measured] if len(found) == 1 else []  # else all of them in --json
    rows = [[name, *(_shown(one, name) for one in found)] for name in (*measured, *absent)]
    headings = ["value"] if len(found) == 1 else [f"page {page}" for page in pages]
    table(f"{scoring.protocol}, {asked.matcher} matcher, border {scoring.border_nm:g} nm", ["metric", *headings], rows)


def _shown(scores: "Scores", name: str) -> str:
    return f"{scores.values[name]:.4g}" if name in scores.values else f"n/a: {scores.reasons.get(name, '')}"
