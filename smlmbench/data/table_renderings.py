"""A localization table of the user, split in time: few of its frames against nearly all of them.

Crops of the field are rendered from a run of frames within the first half, and from the first `dense_share` of all
frames. Frozen sets are crops side by side from the table's first frames; where validation and test are cut from the
field too, they are strips of it, apart from each other. Where the structure truly is, is not known.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from smlmbench.data.contracts import Asked, Condition, Identity, Scope
from smlmbench.data.crops import SYMMETRIES, turn_crop
from smlmbench.data.numbered import no_neighbours, seeds_of
from smlmbench.data.parts import block_of
from smlmbench.data.rendered import Image, Rendered, Stream, drawn, frozen, render, shown, sparse_facts
from smlmbench.data.targets import digest_of
from smlmbench.errors import ConfigError, FormatError
from smlmbench.formats import TableOptions, read_image, read_table
from smlmbench.registry import Catalog
from smlmbench.render import fine_shape
from smlmbench.seeds import derive_seed
from smlmbench.simulate.chance import Fast
from smlmbench.study.sources import Part, PluginSource

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "A localization table rendered from few and from nearly all of its frames, with or without a widefield",
    "settings": {
        "table": {"default": "", "help": "the table, relative to the data root"},
        "widefield": {"default": "", "help": "an image of the table's field in camera pixels; none: a blank channel"},
        "frames": {"default": 24, "min": 1, "max": 100000, "help": "crops in a frozen set, at most"},
        "field_px": {"default": 128, "min": 16, "max": 4096, "help": "side of a crop, render pixels"},
        "render_pixel_nm": {"default": 20.0, "min": 1.0, "max": 200.0, "help": "of the sparse and the dense image"},
        "render_sigma_nm": {"default": 0.0, "min": 0.0, "max": 200.0, "help": "0: counts; else Gaussians so wide"},
        "sparse_frames": {
            "default": 300.0, "min": 1.0, "max": 1e6, "ranged": True, "help": "frames in the sparse image",
        },
        "dense_share": {"default": 0.95, "min": 0.01, "max": 1.0, "help": "of all frames, in the dense image"},
        "widefield_pixel_nm": {
            "default": None, "min": 1.0, "max": 1000.0, "help": "of the widefield; none: pixel_size_nm",
        },
        "blank_share": {
            "default": 0.0, "min": 0.0, "max": 1.0, "help": "of the training samples whose widefield is left out",
        },
        "control": {"default": 0.0, "min": -1.0, "max": 100.0, "help": "code of the structure, last channel"},
    },
    "facts": {
        "truth": "dense_structure", "truth_kind": "pseudo", "knows": ["table"], "cut": True,
        "takes": {"pixel_size_nm": None}, "files": {"table": "table", "widefield": "image"}, "needs": ["table"],
    },
}  # fmt: skip

GUARD_NM = 400.0  # between strips: what a widefield's PSF spreads
LEAST_COVERED = 0.8  # of a widefield's sides, by a table whose own field is only known from its rows
ROUNDING = 1e-6


class Acquisition:
    """A table on the render grid, and its widefield; strips are columns `left` .. `right` - 1.

    Raises:
        ConfigError: Settings that contradict the files; FormatError: a file cannot be read.
    """

    def __init__(self, description: PluginSource, catalog: Catalog) -> None:
        self.settings = settings = description.settings
        self.side_px, self.pixel_nm = int(settings["field_px"]), float(settings["render_pixel_nm"])
        options = TableOptions(pixel_size_nm=description.pixel_size_nm)
        path = Path(settings["table"])
        table = read_table(path, catalog=catalog, options=options)
        known = np.isfinite(table.x_nm) & np.isfinite(table.y_nm)
        table = table.select(known & (table.x_nm >= 0) & (table.y_nm >= 0))
        if not len(table):
            raise FormatError(f"'{path.name}' holds no localizations; give a table with some")
        table = table.select(np.argsort(table.frame, kind="stable"))
        self.frame, self.n_frames = table.frame, max(table.n_frames, int(table.frame[-1]) + 1)
        self.at = np.stack((table.x_nm, table.y_nm), axis=1)
        self.height, self.width = fine_shape(table.field_nm, self.pixel_nm)
        self.widefield, self.times = _widefield(description, catalog, table.field_nm)
        if self.widefield is not None:
            self.height, self.width = (side * self.times for side in self.widefield.shape)
        dense = self.frame < max(1, round(settings["dense_share"] * self.n_frames))
        self.dense = render(self.at[dense], (self.height, self.width), self.pixel_nm, settings["render_sigma_nm"])
        self.left, self.right = self._strip(description, path)

    def _strip(self, description: PluginSource, path: Path) -> tuple[int, int]:
        """The columns of the part; a ConfigError where no crop fits into them."""
        share, guard = description.part, round(GUARD_NM / self.pixel_nm)
        part = None
        if share is not None and share.val + share.test > 0:
            part = Part(role=share.role, val=share.val, test=share.test, rule="columns", guard_px=guard)
        left, right = block_of(part, self.n_frames, self.width).columns
        left = -(-left // self.times) * self.times
        if min(right - left, self.height) < self.side_px:
            what = f"the {share.role} part of '{path.name}'" if share is not None else f"the field of '{path.name}'"
            said = f"{what} is {right - left} x {self.height} render pixels, a crop has {self.side_px}"
            raise ConfigError(f"table_renderings: {said}; give a smaller field_px, or val and test of their own")
        return left, right

    def __call__(self, corner: tuple[int, int], first: int, count: int, *, blank: bool = False) -> Rendered:
        """The crop of an upper left pixel (row, column), its sparse image of frames first .. first + count - 1."""
        row, column = corner
        side, times, pixel_nm = self.side_px, self.times, self.pixel_nm
        start, stop = np.searchsorted(self.frame, (first, first + count))
        at = self.at[start:stop] - np.array([column, row]) * pixel_nm
        sparse = render(at, (side, side), pixel_nm, self.settings["render_sigma_nm"])
        light: Image | None = None
        if self.widefield is not None:
            wide = side // times
            light = self.widefield[row // times :, column // times :][:wide, :wide]
        given = shown([sparse], None if blank else light, times, self.settings["control"])
        return Rendered(given, self.dense[None, row : row + side, column : column + side].copy(), (), light)

    def few(self, count: float) -> int:
        """A number of frames, at most half of those that there are.

        Raises:
            ConfigError: The first half has fewer.
        """
        if count > self.n_frames / 2:
            said = f"sparse_frames {count:g} are more than the first half of {self.n_frames} frames"
            raise ConfigError(f"table_renderings: {said}; give fewer")
        return max(1, round(count))


def _widefield(description: PluginSource, catalog: Catalog, field_nm: tuple[float, float]) -> tuple[Image | None, int]:
    """The image and how many render pixels its pixels have; a ConfigError where it is not of the table's field."""
    settings = description.settings
    if not settings["widefield"]:
        return None, 1
    path, pixel_nm = Path(settings["widefield"]), settings["widefield_pixel_nm"] or description.pixel_size_nm
    if pixel_nm is None:
        raise ConfigError("table_renderings: the widefield's pixel is not known; give widefield_pixel_nm")
    times = pixel_nm / settings["render_pixel_nm"]
    if abs(times - round(times)) > ROUNDING or settings["field_px"] % round(times):
        said = f"a widefield pixel of {pixel_nm:g} nm is {times:g} render pixels and field_px {settings['field_px']}"
        raise ConfigError(f"table_renderings: {said}; both must be whole multiples, change render_pixel_nm or field_px")
    image = read_image(path, catalog=catalog)
    seen = image.shape[1] * pixel_nm, image.shape[0] * pixel_nm
    if any(not LEAST_COVERED * wide <= own <= wide + pixel_nm for own, wide in zip(field_nm, seen, strict=True)):
        sides = (f"{x_nm:,.0f} x {y_nm:,.0f} nm" for x_nm, y_nm in (seen, field_nm))
        said = f"'{path.name}' shows {next(sides)}, the table {next(sides)}"
        raise ConfigError(f"table_renderings: {said}; give the widefield of this field, or its widefield_pixel_nm")
    return image, round(times)


def training_set(description: PluginSource, identity: Identity, scope: Scope, catalog: Catalog) -> Stream:
    """Crops anywhere in the part, of any run of frames in the first half, turned and mirrored where that is wanted."""
    no_neighbours(scope, "renderings")
    made, seed_of = Acquisition(description, catalog), seeds_of(scope, identity)
    few, blank_share, times = description.settings["sparse_frames"], description.settings["blank_share"], made.times
    made.few(few["max"] if isinstance(few, Mapping) else few)

    def sample(number: int) -> Rendered:
        chance = Fast.of(seed_of(number))
        count = made.few(drawn(few, chance))
        down, across, begin, turn, blank = chance.uniform(5).tolist()
        rows, columns = (
            room // times + 1 for room in (made.height - made.side_px, made.right - made.left - made.side_px)
        )
        corner = int(down * rows) * times, made.left + int(across * columns) * times
        one = made(corner, int(begin * (made.n_frames // 2 - count + 1)), count, blank=blank < blank_share)
        return _turned(one, int(turn * SYMMETRIES)) if scope.augment else one

    return Stream(sample, (1, made.side_px, made.side_px), made.pixel_nm, description.settings)


def _turned(one: Rendered, symmetry: int) -> Rendered:
    given, dense = (
        np.stack([turn_crop(channel, symmetry) for channel in channels]) for channels in (one.given, one.dense)
    )
    return Rendered(given, dense)


def condition(name: str, description: PluginSource, identity: Identity, asked: Asked, catalog: Catalog) -> Condition:
    """Crops side by side over the part, sparse from the first frames."""
    made, digest = Acquisition(description, catalog), digest_of(identity, asked.role)
    few, side = description.settings["sparse_frames"], made.side_px
    rows = range(0, made.height - side + 1, side)
    corners = [(row, column) for row in rows for column in range(made.left, made.right - side + 1, side)]
    crops = []
    for number, corner in enumerate(corners[: int(description.settings["frames"])]):
        chance = Fast.of(derive_seed(asked.root_seed, asked.role, digest, str(number)))
        crops.append(made(corner, 0, made.few(drawn(few, chance))))
    return frozen(name, crops, made.pixel_nm, digest=digest, facts=sparse_facts(few), truth_kind="pseudo")
