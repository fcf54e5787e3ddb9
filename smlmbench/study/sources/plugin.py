"""A source whose card says what may be written and what it brings: any file of the room `data` without a class here.

Facts of the card are `truth` (kind of truth that it brings), and where they are stated

- `form` (how it is written), `truth_kind`, `knows`, `fixes` (output settings), `drawn_anew`;
- `takes`: which of pixel_size_nm, psf, camera and structure a study may write in it, each with its default;
- `files`: its settings that name a file, with what that is, and `needs`: those of them that must be given;
- `spectra`: True where its units are spectra and no images;
- `cut`: True where validation and test are cut from what train names, as its `part` says.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from smlmbench.registry import Catalog
from smlmbench.study.digests import file_digest, plain
from smlmbench.study.sources.description import (
    TEST_UNITS,
    Description,
    Form,
    Look,
    Note,
    Role,
    Share,
    described,
    missing,
)
from smlmbench.study.sources.structures import structure_content

FRAMES = "frames"  # setting with the number of units, where a card has it
OWN = {"kind", "settings", "version", "plugin"}


class PluginSource(Description):
    """What a study sets of such a source (`{my_source: {setting: value}}`), and what its card states."""

    settings: dict[str, Any] = {}  # all of them, filled and checked by the card; files by their whole paths
    version: int = 1
    plugin: str | None = None  # sha256 of the file
    facts: dict[str, Any] = {}
    structure: dict[str, Any] | None = None  # with all its settings, where the card takes one
    part: Share | None = None

    @property
    def stated(self) -> Mapping[str, Any]:
        """As the card states."""
        return self.facts

    @property
    def files(self) -> dict[str, Path]:
        """Its files, by the setting that names them."""
        return {key: Path(self.settings[key]) for key in self.facts.get("files", {}) if self.settings.get(key)}

    def content(self) -> dict[str, Any]:
        """Settings, files by their bytes, what the card takes, and the hash of the source's own file."""
        taken = {*self.facts.get("takes", {}), *(("part",) if self.part is not None else ())}
        values = described(self, *(name for name in type(self).model_fields if name not in OWN | taken))
        values["settings"] |= {key: file_digest(path) for key, path in self.files.items()}
        if self.structure is not None:
            values["structure"] = plain(structure_content(self.structure))
        return values

    def identity(self, catalog: Catalog) -> dict[str, Any]:
        """Also the code of its structure."""
        if self.structure is None:
            return super().identity(catalog)
        name = str(self.structure["name"])
        code = {"version": catalog.card("structures", name).version, "plugin": catalog.plugin_hash("structures", name)}
        return super().identity(catalog) | {"structure_code": code}

    def check(self, look: Look) -> list[Note]:
        """Whether its files are there."""
        del look
        found = {key: missing(path, str(self.facts["files"][key])) for key, path in self.files.items()}
        return [((self.kind, key), said) for key, said in found.items() if said is not None]

    @property
    def cut_by(self) -> Share | None:
        """By its part, where the card says that it is cut."""
        return (self.part or Share(role="train")) if self.facts.get("cut") else None

    def sized(self, role: Role) -> Self:
        """With 400 units where the card has a setting for them without a default."""
        del role
        if self.settings.get(FRAMES, TEST_UNITS) is not None:
            return self
        return self.model_copy(update={"settings": {**self.settings, FRAMES: TEST_UNITS}})

    def condition_facts(self) -> dict[str, Any]:
        """Its settings, files by name, and the camera pixel where the card takes one."""
        pixel = {} if self.pixel_size_nm is None else {"pixel_size_nm": self.pixel_size_nm}
        named = {key: path.name for key, path in self.files.items()}
        own = {"kind": self.kind, "truth_kind": self.facts.get("truth_kind", "simulated")}
        return {**self.settings, **named, **pixel, **own}


def plugin_form(name: str, catalog: Catalog) -> Form:
    """How a registered source without a description of its own is written."""
    card = catalog.card("data", name)
    way = str(card.facts.get("form", f"{{{name}: {{...}}}}"))
    fixed = {"version": card.version, "plugin": catalog.plugin_hash("data", name), "facts": card.facts}
    keys, files = (*card.settings, *card.facts.get("takes", {})), card.facts.get("files", {})
    return Form(PluginSource, way, keys, inside=name, own=(FRAMES,), card=card, fixed=fixed, files=files)
