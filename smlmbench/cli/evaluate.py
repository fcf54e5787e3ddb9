"""smlmbench evaluate: any program's table or image against the truth."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from smlmbench.cli.options import COLUMN_HELP, AsJson, Origin, from_fields, named_columns
from smlmbench.cli.output import emit_json, table


@dataclass(frozen=True, slots=True)
class _Asked:
    found: Annotated[Path, Argument(help="Table (csv, xlsx) or image (mat, tif).")]
    truth: Annotated[Path | None, Argument(help="True table; without one give --widefield.")] = None
    widefield: Annotated[
        Path | None, Option(metavar="IMAGE", help="The same field as a camera sees it, for rsp and rse.")
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

    names = ("field_nm", "widefield", "fine_pixel_nm", "label_rule", "found_format", "truth_format", "pixel_size_nm")
    options = {name: getattr(asked, name) for name in names}
    for side in ("found", "truth"):
        stated = {name: getattr(asked, f"{side}_{name}") for name in ("first_frame", "origin")}
        columns = named_columns(getattr(asked, f"{side}_column") or (), f"--{side}-column")
        options[f"{side}_as"] = {**stated, "columns": columns}
    matcher, border_nm = asked.matcher, asked.border_nm
    scores, scoring = compare(asked.found, asked.truth, options, Catalog(), matcher=matcher, border_nm=border_nm)
    if asked.as_json:
        emit_json({"protocol": scoring.protocol, "values": scores.values, "reasons": scores.reasons})
        return
    rows = [[name, f"{value:.4g}"] for name, value in scores.values.items()]
    rows += [[name, f"n/a: {reason}"] for name, reason in scores.reasons.items()]
    table(f"{scoring.protocol}, {asked.matcher} matcher, border {scoring.border_nm:g} nm", ["metric", "value"], rows)
