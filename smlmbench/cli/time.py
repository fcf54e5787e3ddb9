"""smlmbench time: how long a network takes for one frame."""

from typing import Annotated

import typer

from smlmbench.cli.options import AsJson, Plugins, Sets
from smlmbench.cli.output import emit_json, note, table


def command(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Registered models.", show_default=False)],
    sizes: Annotated[str, typer.Option("--sizes", help="Camera frame sides in px, comma separated.")] = "64",
    upsampling: Annotated[int, typer.Option("--upsampling", help="2, 4 or 8.")] = 8,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda or mps.")] = "cpu",
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Default: torch's own.")] = None,
    sets: Sets = None,
    plugins: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Time untrained networks, batch 1, warm, interleaved: median, quartiles, CPU time, first call.

    Example: smlmbench time fid_storm deep_storm --sizes 64,128 --upsampling 4 --set fid_storm.blocks=5
    """
    from smlmbench.registry import Catalog
    from smlmbench.run.untrained import time_untrained
    from smlmbench.timing import BUSY

    catalog = Catalog(plugins or ())
    rows = time_untrained(models, sizes, upsampling, (device, threads), sets or [], catalog)
    if as_json:
        emit_json(rows)
        return
    columns = ["model", "size_px", "median_ms", "q1_ms", "q3_ms", "p90_ms", "cpu_ms", "first_ms", "rounds", "threads"]
    shown = [[f"{row[key]:.2f}" if key.endswith("_ms") else str(row[key]) for key in columns] for row in rows]
    table(f"batch 1, upsampling {upsampling}, {rows[0]['host']}", columns, shown)
    if rows[0]["others"] > BUSY:
        used = f"{100 * rows[0]['others']:.0f} %"
        note(f"other programs used {used} of the processor: compare ratios, not milliseconds")
