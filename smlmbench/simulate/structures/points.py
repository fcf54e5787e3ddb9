"""Points of a user's table, each as likely as any other and as often as it comes: emitters sit exactly on them.

The table may be of any format, and of a movie: its frames, photons and all but the positions do not count. Positions
are nm from the outer corner of the first pixel, as everywhere; nothing is moved or turned, and there is none outside
the field. Every sample of every set has the same points. Depths are those of the table, in a flat region they do not
count.
"""

from collections.abc import Mapping
from typing import Any

import torch

from smlmbench.simulate.chance import Chance
from smlmbench.simulate.places import Placed, Region, per_sample
from smlmbench.study.sources.structures import points

CARD = {
    "version": 1,
    "summary": "Positions of a table of yours, drawn with repeats",
    "settings": {
        "path": {"default": "", "help": "The table, relative to the data root; it counts by its content"},
        "format": {"default": "", "help": "Registered format; by default found from the file"},
        "columns": {
            "default": [],
            "help": "Own names, such as ['x_nm=pos x', 'y_nm=pos y']; formats that take columns",
        },
        "origin": {
            "default": "format",
            "choices": ["format", "corner", "centre"],
            "help": "Of the first pixel, where the table's (0, 0) is; another one needs pixel_size_nm",
        },
        "pixel_size_nm": {"default": None, "min": 0.1, "max": 10000.0, "help": "Of a table in px"},
    },
    "facts": {"points": True, "files": {"path": "table"}},
}


def place(
    settings: Mapping[str, Any], region: Region, expected: torch.Tensor, chance: Chance, structure_chance: Chance | None
) -> Placed:
    """Poisson numbers of points of the table.

    Raises:
        ConfigError, FormatError: No table, none that can be read, no points, or some outside the field or its depths.
    """
    del structure_chance
    at = torch.from_numpy(points(settings, region.field_nm, region.depth_nm))
    sample = per_sample(expected, chance)
    x_nm, y_nm, z_nm = at[:, (chance.uniform(len(sample)) * at.shape[1]).long()]
    return Placed(sample, x_nm, y_nm, z_nm if region.deep else None)
