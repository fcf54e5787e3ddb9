"""Descriptions of data sources, as written in a study: what defines the pixels and the truth; one file per kind."""

from smlmbench.registry import Catalog
from smlmbench.study.sources.description import Description, Form, Look, Note, Place
from smlmbench.study.sources.images import ImagesSource
from smlmbench.study.sources.laws import Column, Depth, Range
from smlmbench.study.sources.movie import MovieSource, Part
from smlmbench.study.sources.pairs import RATIOS, PairsPart
from smlmbench.study.sources.plugin import PluginSource, plugin_form
from smlmbench.study.sources.scenes import Blinking
from smlmbench.study.sources.simulate import SimulateSource

__all__ = [
    "RATIOS",
    "Blinking",
    "Column",
    "Depth",
    "Description",
    "Form",
    "ImagesSource",
    "Look",
    "MovieSource",
    "Note",
    "PairsPart",
    "Part",
    "Place",
]
__all__ += ["PluginSource", "Range", "SimulateSource", "Source", "forms_of"]

Source = SimulateSource | MovieSource | ImagesSource | PluginSource


def forms_of(catalog: Catalog) -> dict[str, Form]:
    """How every registered kind of source is written, by its name; those from outside the package come last."""
    own = {"simulate": SimulateSource.form(), "movie": MovieSource.form(), "images": ImagesSource.form()}
    others = [name for name in catalog.names("data") if name not in own]
    return own | {name: plugin_form(name, catalog) for name in others}
