"""How a page's reader gets at what is behind it: the store in words of a command line, addresses of MLflow's pages."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from smlmbench.addresses import command
from smlmbench.tracking.location import DEFAULT_FOLDER
from smlmbench.tracking.store import Store

# Where `smlmbench ui` answers unless told otherwise; only links lead there, nothing is loaded from it.
UI_URL = "http://127.0.0.1:5000"


@dataclass(frozen=True, slots=True)
class Access:
    """Where a page's runs are.

    Attributes:
        store: Words of a command line that name the store; none for ./mlruns, which commands take by themselves.
        server: Address of its MLflow server, without any login; empty where the store is a folder, whose runs are shown
            while `smlmbench ui` runs.
    """

    store: tuple[str, ...] = ()
    server: str = ""

    @classmethod
    def of(cls, store: Store) -> Self:
        """A store as it is seen from the working folder: a folder within it by its path from there."""
        if store.served:
            return cls(("--store", store.uri.bare), store.uri.bare)
        here = Path.cwd()
        if store.place != str(store.home):  # a database of another name
            return cls(("--store", store.place))
        if store.home == here / DEFAULT_FOLDER:
            return cls()
        within = store.home.is_relative_to(here) and store.home != here
        return cls(("--store", str(store.home.relative_to(here) if within else store.home)))

    @property
    def url(self) -> str:
        """Address of MLflow's pages, which answers in a browser at once (server) or while `ui` runs."""
        return self.server or UI_URL

    @property
    def ui(self) -> str:
        """The command that shows the runs of a folder."""
        return command("smlmbench", "ui", *self.store)

    def charts(self, experiment_id: str, *, viewed: bool) -> str:
        """Address of a study's charts, of our view where it has one (`viewed`); empty without a server."""
        if not self.server:
            return ""
        from smlmbench.tracking.server import chart_link

        return chart_link(self.server, experiment_id, viewed=viewed)
