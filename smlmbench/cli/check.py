"""smlmbench check: does a registered thing, or a file of yours, keep its contracts?"""

from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option

from smlmbench.cli.options import AsJson
from smlmbench.cli.output import emit_json, note, table


def command(
    thing: Annotated[str, Argument(metavar="NAME|FILE.py", help="Registered name or file.")],
    room: Annotated[str | None, Option(help="models, losses, ...; needed where a name is in two.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the conformance suite on one thing: shapes, gradients, determinism, export, card against code.

    Example: smlmbench check my_net.py
    """
    from smlmbench.errors import ConfigError, unknown_name
    from smlmbench.registry import ROOMS, Catalog

    path = Path(thing)
    catalog = Catalog([path] if path.suffix == ".py" else [])
    name = path.stem if path.suffix == ".py" else thing
    if room is not None and room not in ROOMS:
        raise unknown_name("room", room, ROOMS)
    places = [catalog.plugins[0].room] if catalog.plugins else [r for r in ROOMS if name in catalog.names(r)]
    if room is not None:
        places = [room]
    if not places:
        raise unknown_name("thing", name, {n for r in ROOMS for n in catalog.names(r)})
    if len(places) > 1:
        raise ConfigError(f"'{name}' is in {' and '.join(places)}; add --room")
    from smlmbench.conformance import run_checks

    catalog.card(places[0], name)
    outcomes = run_checks(catalog, places[0], name)
    failed = sum(not outcome.passed for outcome in outcomes)
    if as_json:
        emit_json([{"check": o.name, "passed": o.passed, "skipped": o.skipped, "detail": o.detail} for o in outcomes])
    else:
        words = {True: "passed", False: "FAILED"}
        rows = [[o.name, "skipped" if o.skipped else words[o.passed], o.detail] for o in outcomes]
        table(f"{places[0]}: {name}", ["check", "result", "detail"], rows)
        note(f"{len(outcomes) - failed} of {len(outcomes)} checks passed")
    if failed:
        raise Exit(1)
