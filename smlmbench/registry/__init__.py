"""Names are file names, facts are read from the source without importing it, code is imported to be used."""

from smlmbench.registry.cards import Card, LossCard, MetricCard, ModelCard, Setting, Variant
from smlmbench.registry.catalog import ROOMS, Catalog, Plugin

__all__ = ["ROOMS", "Card", "Catalog", "LossCard", "MetricCard", "ModelCard", "Plugin", "Setting", "Variant"]
