"""smlmbench ui: MLflow's pages on a store, opened on the charts."""

import signal
from typing import Annotated

import typer

from smlmbench.addresses import Address
from smlmbench.cli.options import Store
from smlmbench.cli.output import emit, note


def command(
    store: Store = None, port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this computer.")] = 5000
) -> None:
    """Show a store in the browser: MLflow's pages, opened on the charts of each study.

    The server listens on this computer alone, until Ctrl-C. A store that is a server already is only linked to.

    Example: smlmbench ui --store mlruns --port 5001
    """
    from smlmbench.tracking.server import serve
    from smlmbench.tracking.store import open_store

    opened = open_store(store, create=False)
    note(opened.describe())
    if opened.served:
        _show_links(opened.uri)
        return
    for stop in (signal.SIGINT, signal.SIGTERM):  # a shell that starts it in the background ignores SIGINT for it
        signal.signal(stop, signal.default_int_handler)
    try:
        note("starting the MLflow server (5 to 60 s) ...")
        with serve(opened, port) as server:
            _show_links(server.url)
            note("Ctrl-C stops it")
            server.wait()
    except KeyboardInterrupt:
        note("stopped")


def _show_links(url: Address) -> None:
    from smlmbench.tracking.server import chart_links

    links = chart_links(url)
    for study, link in links.items():
        emit(f"{study}: {link}")
    if not links:
        emit(f"{url} (no study in this store yet)")
