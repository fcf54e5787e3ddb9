"""A source from a file of the room `data` outside the package: its card says what may be written and what it brings."""

from collections.abc import Mapping
from typing import Any, Self

from smlmbench.registry import Catalog
from smlmbench.study.digests import plain
from smlmbench.study.sources.description import TEST_UNITS, Description, Form, Role

FRAMES = "frames"  # setting with the number of units, where a card has it


class PluginSource(Description):
    """What a study sets of a plug-in source (`{my_source: {setting: value}}`), and what its card states.

    Facts of the card are `truth` (kind of truth that it brings), and where they are stated `form` (how it is written),
    `truth_kind`, `knows`, `fixes` (output settings) and `drawn_anew`.
    """

    settings: dict[str, Any] = {}  # all of them, filled and checked by the card
    version: int = 1
    plugin: str | None = None  # sha256 of the file
    facts: dict[str, Any] = {}

    @property
    def stated(self) -> Mapping[str, Any]:
        """As the card states."""
        return self.facts

    def content(self) -> dict[str, Any]:
        """Settings, and the file's hash."""
        described: dict[str, Any] = plain(self.model_dump(include={"kind", "settings", "version", "plugin"}))
        return described

    def sized(self, role: Role) -> Self:
        """With 400 units where the card has a setting for them without a default."""
        del role
        if self.settings.get(FRAMES, TEST_UNITS) is not None:
            return self
        return self.model_copy(update={"settings": {**self.settings, FRAMES: TEST_UNITS}})

    def condition_facts(self) -> dict[str, Any]:
        """Its settings."""
        return {**self.settings, "kind": self.kind, "truth_kind": self.facts.get("truth_kind", "simulated")}


def plugin_form(name: str, catalog: Catalog) -> Form:
    """How a registered source without a description of its own is written."""
    card = catalog.card("data", name)
    way = str(card.facts.get("form", f"{{{name}: {{...}}}}"))
    fixed = {"version": card.version, "plugin": catalog.plugin_hash("data", name), "facts": card.facts}
    return Form(PluginSource, way, tuple(card.settings), inside=name, own=(FRAMES,), card=card, fixed=fixed)
