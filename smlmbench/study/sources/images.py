"""Image pairs: two folders of images, inputs and targets, paired by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from smlmbench.errors import SmlmBenchError
from smlmbench.study.sources.description import (
    Description,
    Form,
    Look,
    Note,
    Place,
    TruthKind,
    described,
    missing,
    unfit_maps,
)
from smlmbench.study.sources.pairs import Page, PairsPart, check_values, measure, pages_of_part, pairs_identity

INSIDE = "images"
FOLDERS = dict.fromkeys(("input", "target"), "folder of images")


class ImagesSource(Description):
    """Images and the images that a network is to make of them (`{images: {input: X/, target: Y/}}`).

    A file of one folder is paired with the file of the same name, without suffix, in the other. Without
    `pixel_size_nm` lengths on pictures and in files are left out.
    """

    STATED: ClassVar[Mapping[str, Any]] = {"truth": "target_images", "knows": ["training pairs"]}

    kind: Literal["images"] = "images"
    input: Path
    target: Path
    crop_px: Annotated[int, Field(ge=8)] = 32  # side of training crops, in pixels of the input
    track: Literal["iid"] | None = None  # every page of a stack shows something new, so that it may be cut by pages
    truth_kind: TruthKind = "unstated"  # what the targets are (PROTOCOL section 2)
    part: PairsPart | None = None
    ratio: Literal[1, 2, 4, 8] | None = None  # side of a target over that of its input; measured, not written

    @classmethod
    def form(cls) -> Form:
        """How it is written."""
        way = "{images: {input: FOLDER, target: FOLDER}}"
        keys = cls.written("part", "ratio", "psf")  # there is no optics to know
        return Form(cls, way, keys, inside="image pairs", own=tuple(FOLDERS), files=FOLDERS)

    @property
    def fixes(self) -> dict[str, Any]:
        """The upsampling, by the size of the targets."""
        return {} if self.ratio is None else {"upsampling": self.ratio}

    @property
    def pages(self) -> tuple[Page, ...]:
        """The pairs of its part, in natural order; a UserError where the folders are no pairs, or too few to be cut."""
        return pages_of_part(measure(self.input, self.target).pages, self.part)

    def content(self) -> dict[str, Any]:
        """Its pairs count by names and bytes."""
        return {**described(self, "input", "target"), "pairs_sha256": pairs_identity(measure(self.input, self.target))}

    def check(self, look: Look) -> list[Note]:
        """Whether the two folders are pairs."""
        del look
        lacking = {key: _no_folder(getattr(self, key), what) for key, what in FOLDERS.items()}
        notes: list[Note] = [((INSIDE, key), said) for key, said in lacking.items() if said is not None]
        if notes:
            return notes
        try:
            measured = measure(self.input, self.target)
            check_values(measured)
        except SmlmBenchError as error:
            return [((INSIDE,), str(error))]
        notes = unfit_maps(self.camera, (INSIDE,), {(page.height, page.width) for page in measured.pages})
        smallest = min(min(page.height, page.width) for page in measured.pages)
        if smallest >= self.crop_px:
            return notes
        said = f"inputs have sides down to {smallest} px, crops have {self.crop_px} px"
        return [*notes, ((INSIDE, "crop_px"), f"{said}; give at most {smallest}")]

    def beside(self, others: Mapping[Place, Description], look: Look) -> list[Note]:
        """Whether pairs are used twice, have another ratio, or are too few to be cut."""
        del look
        notes: list[Note] = []
        ours = _ratio_of(self)
        for place, other in others.items():
            if not isinstance(other, ImagesSource):
                continue
            at = (*place, INSIDE)
            if self.input in (other.input, other.target) or self.target in (other.input, other.target):
                said = f"'{other.input.name}' is also trained on, so scores would show memory"
                notes.append((at, f"{said}; leave it out and it is cut from the training pairs"))
            theirs = _ratio_of(other)
            if ours is not None and theirs is not None and ours != theirs:
                said = f"targets are {theirs} times as large as inputs, those of train {ours} times"
                notes.append((at, f"{said}; give pairs of one ratio"))
        given = {place[0] for place in others}
        for one in self.cuts(val="val" in given, test="test" in given).values() if ours is not None else ():
            try:
                _ = one.pages
            except SmlmBenchError as error:
                return [*notes, (("train", INSIDE), str(error))]
        return notes

    @property
    def cut_by(self) -> PairsPart:
        """Parts by file, or by page."""
        return PairsPart(role="train", rule="pages" if self.track == "iid" else "files")

    def measured(self) -> Self:
        """With its ratio."""
        return self.model_copy(update={"ratio": measure(self.input, self.target).ratio})

    def condition_facts(self) -> dict[str, Any]:
        """What its targets are, and their size."""
        known = {} if self.pixel_size_nm is None else {"pixel_size_nm": self.pixel_size_nm}
        return {"kind": self.kind, "truth_kind": self.truth_kind, "upsampling": self.ratio, **known}


def _ratio_of(source: ImagesSource) -> int | None:
    """Its ratio, or None where its folders are no pairs."""
    try:
        return measure(source.input, source.target).ratio
    except SmlmBenchError:
        return None


def _no_folder(path: Path, what: str) -> str | None:
    absent = missing(path, what)
    if absent is None and not path.is_dir():
        return f"'{path}' is a file; give the folder that holds the images"
    return absent
