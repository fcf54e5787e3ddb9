"""What a description of a data source says of itself: the contract of this room, asked by everybody else."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from smlmbench.camera import Camera
from smlmbench.errors import SmlmBenchError, suggest
from smlmbench.registry import Card, Catalog
from smlmbench.registry.cards import Strict
from smlmbench.study.digests import file_digest, plain
from smlmbench.truths.misfit import Reading

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Role = Literal["train", "val", "test"]
TruthKind = Literal["simulated", "pseudo", "designed", "unstated"]
Place = tuple[str | int, ...]
Note = tuple[Place, str]  # keys within what was asked, and what is wrong there

ROLES: tuple[Role, ...] = ("train", "val", "test")
FRACTION = 0.15
TEST_UNITS = 400


@dataclass(frozen=True, slots=True)
class Look:
    """A look at files before anything heavy is imported, each file once."""

    catalog: Catalog
    border_nm: float  # left out of scores at the border of a field
    seen: dict[Path, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Form:
    """How a kind of source is written in a study."""

    model: "type[Description]"
    way: str  # an example, for messages
    keys: tuple[str, ...]  # what may be written
    inside: str = ""  # what it is called where its keys stand in a mapping of their own, as in `{simulate: {...}}`
    own: tuple[str, ...] = ()  # keys that val and test never take from train: they are not conditions of the pixels
    files: Mapping[str, str] = field(default_factory=dict)  # keys that name a file or folder, with what it is
    named: Mapping[str, str] = field(default_factory=dict)  # keys that hold a registered name, with their room
    card: Card | None = None  # where the keys are its settings
    fixed: Mapping[str, Any] = field(default_factory=dict)  # fields that are not written


def described(source: "Description", *apart: str) -> dict[str, Any]:
    """Plain JSON values of a source but for some fields; a camera's maps count by their bytes."""
    values: dict[str, Any] = plain(source.model_dump(mode="json", exclude=set(apart)))
    for key in ("camera", "read_as"):
        camera = getattr(source, key, None)
        if isinstance(camera, Camera) and camera.maps is not None:
            values[key]["maps"] |= {name: file_digest(path) for name, path in camera.maps.files.items()}
    return values


def psf_identity(psf: Mapping[str, Any], catalog: Catalog) -> dict[str, Any]:
    """A PSF with digests of the files that it is made of instead of their paths, and the version of its code."""
    name = str(psf["name"])
    card = catalog.card("psf", name)
    files = {key: file_digest(Path(psf[key])) for key in card.facts.get("files", ()) if psf[key]}
    code = {"version": card.version, "plugin": catalog.plugin_hash("psf", name)}
    return {"psf": {**plain(psf), **files}, "psf_code": code}


def unfit_maps(camera: Camera | str, place: Place, shapes: Iterable[tuple[int, int]]) -> list[Note]:
    """What is wrong with a camera's maps for frames (height, width)."""
    if isinstance(camera, str):
        return []
    try:
        for shape in shapes:
            camera.check(shape)
    except SmlmBenchError as error:
        return [((*place, "camera"), str(error))]
    return []


class Share(Strict):
    """A part cut from files; `val` and `test` are the fractions cut for them, 0 where these come from elsewhere."""

    role: Role
    val: Annotated[float, Field(ge=0, lt=0.5)] = FRACTION
    test: Annotated[float, Field(ge=0, lt=0.5)] = FRACTION


class Description(Strict):
    """What defines the pixels and the truth of a data source.

    `STATED` are facts of the kind: `truth` (kind of truth that it brings), `knows`, `fixes`, `drawn_anew`.
    """

    STATED: ClassVar[Mapping[str, Any]] = {}

    kind: str  # name of the file in the room `data` that opens it
    pixel_size_nm: Positive | None = None  # camera pixel of the inputs, where it is known
    camera: Camera | Literal["uncalibrated"] = "uncalibrated"  # of which the network sees counts
    psf: dict[str, Any] | None = None  # with all its settings, where it is known

    @classmethod
    def written(cls, *internal: str) -> tuple[str, ...]:
        """Fields that a study may write: all but the internal ones."""
        return tuple(key for key in cls.model_fields if key not in ("kind", *internal))

    @property
    def stated(self) -> Mapping[str, Any]:
        """Facts of its kind."""
        return self.STATED

    @property
    def brings(self) -> str:
        """Kind of truth that it brings: `emitters`, `target_images`, ..."""
        return str(self.stated["truth"])

    @property
    def knows(self) -> list[str]:
        """What a network that was trained on it is told, for the column `knows`."""
        return list(self.stated.get("knows", []))

    @property
    def drawn_anew(self) -> bool:
        """Whether a third frozen set (holdout) can be drawn."""
        return bool(self.stated.get("drawn_anew"))

    @property
    def fixes(self) -> dict[str, Any]:
        """Output settings that the data fix, such as {"upsampling": 4}; of a `measured` description."""
        return dict(self.stated.get("fixes", {}))

    def content(self) -> dict[str, Any]:
        """Its description as plain JSON values, for files their digests instead of paths."""
        return described(self)

    def identity(self, catalog: Catalog) -> dict[str, Any]:
        """Its content, the version of the PSF's code, and digests of the files that the PSF is made of."""
        content = self.content()
        return content if self.psf is None else content | psf_identity(self.psf, catalog)

    def trained_as(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """What else tells trainings on it apart, given the settings of a model; joins `cell_id`."""
        del model
        return {}

    def check(self, look: Look) -> list[Note]:
        """What is wrong with its files."""
        del look
        return []

    def beside(self, others: Mapping[Place, "Description"], look: Look) -> list[Note]:
        """What is wrong with it as the training source of a data entry; the others given stand by their place there."""
        del others, look
        return []

    @property
    def cut_by(self) -> Share | None:
        """How parts are cut from it, shown by that of training; None for what is drawn anew."""
        return None

    def cuts(self, *, val: bool, test: bool) -> dict[Role, Self]:
        """Itself as the parts that are cut from it where validation or test are not given; empty where none is cut."""
        if self.cut_by is None or (val and test):
            return {}
        whole = self.cut_by.model_copy(update={"val": 0.0 if val else FRACTION, "test": 0.0 if test else FRACTION})
        roles = [role for role in ROLES if getattr(whole, role, 1.0) > 0]
        return {role: self.model_copy(update={"part": whole.model_copy(update={"role": role})}) for role in roles}

    def measured(self) -> Self:
        """With what only its files say."""
        return self

    def sized(self, role: Role) -> Self:
        """With a number of units for a frozen set, where it needs one and has none."""
        del role
        return self

    def condition_facts(self) -> dict[str, Any]:
        """What `plan.json` says of it as a test condition."""
        return {"kind": self.kind}

    def seen_in(self, train: "Description") -> dict[str, Any]:
        """Facts of it as a test condition that depend on what was trained on, such as `shared_structure`."""
        del train
        return {}

    @property
    def truth_file(self) -> Path | None:
        """The table that is its truth, to be held against its frames; None where the truth is no table."""
        return None

    @property
    def stops(self) -> bool:
        """Whether a study stops where that table does not fit."""
        return True

    def mended(self, reading: Reading, catalog: Catalog) -> str:
        """What to write so that the table is read in another way."""
        del reading, catalog
        return "see whether they belong together"

    def leak(self, receptive_field_px: float, model: str) -> str | None:
        """Why a network sees from the training part into another one, or None."""
        del receptive_field_px, model
        return None


def missing(path: Path, what: str) -> str | None:
    """What is wrong where nothing is there (a movie, a table, ...), or None."""
    if not path.exists():
        near = suggest(path.name, [file.name for file in path.parent.iterdir()]) if path.parent.is_dir() else ""
        hint = near if near.startswith("did") else f"give the path of a {what}, relative to the data root"
        return f"'{path}' does not exist; {hint}"
    if path.is_dir() and not any(path.iterdir()):
        return f"folder '{path}' is empty; give a {what}"
    if path.is_file() and path.stat().st_size == 0:
        return f"'{path}' is an empty file; give a {what}"
    return None


def unreadable(path: Path, error: SmlmBenchError | OSError) -> str:
    """Why a file cannot be read: it is not what it should be, or the system does not give it."""
    if isinstance(error, SmlmBenchError):
        return str(error)
    return f"'{path}' cannot be read: {error.strerror or error}; check the file and its rights"
