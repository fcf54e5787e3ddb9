"""Checks of a loss."""

from typing import Any, cast

import torch
from torch import Tensor

from smlmbench.conformance import examples
from smlmbench.conformance.checks import Check, NotApplicable, Subject, collect, require
from smlmbench.registry import LossCard


def parts_are_numbers(subject: Subject) -> str:
    """`loss` is a finite scalar with a gradient; the other parts are detached scalars."""
    for kind, loss, targets, perfect in _cases(subject):
        raw = _raw_like(perfect).requires_grad_()
        parts: dict[str, Tensor] = loss(raw, targets)
        require("loss" in parts, f"{kind}: the parts {sorted(parts)} have no 'loss'")
        for name, value in parts.items():
            require(value.ndim == 0 and bool(value.isfinite()), f"{kind}: {name} is not a finite scalar")
            require(name == "loss" or not value.requires_grad, f"{kind}: {name} is not detached")
        (gradient,) = torch.autograd.grad(parts["loss"], raw)
        require(bool(gradient.isfinite().all()), f"{kind}: its gradient is not finite")
        require(bool(gradient.any()), f"{kind}: its gradient is zero everywhere")
    return ", ".join(_accepts(subject))


def nothing_to_find_nothing_is_best(subject: Subject) -> str:
    """With empty targets the all-zero answer has the smallest loss."""
    for kind, loss, targets, perfect in _cases(subject):
        empty = {name: torch.zeros_like(value) for name, value in targets.items()}
        nothing = float(loss(torch.zeros_like(perfect), empty)["loss"])
        for scale in (-1.0, 0.01, 1.0):
            something = float(loss(scale * _raw_like(perfect), empty)["loss"])
            require(nothing <= something, f"{kind}: {nothing:.4g} for nothing, {something:.4g} for noise x {scale:g}")
    return "zero is the minimum"


def the_truth_beats_nothing(subject: Subject) -> str:
    """At the default weight the perfect answer has a smaller loss than the all-zero one."""
    for kind, loss, targets, perfect in _cases(subject):
        right, nothing = (float(loss(raw, targets)["loss"]) for raw in (perfect, torch.zeros_like(perfect)))
        require(
            right < nothing, f"{kind}: {right:.4g} for the truth, {nothing:.4g} for nothing; raise the default weight"
        )
    return "at the default weight"


def order_in_the_batch_does_not_matter(subject: Subject) -> str:
    """The same samples in another order have the same loss."""
    for kind, loss, targets, perfect in _cases(subject):
        raw = _raw_like(perfect)
        straight, turned = (
            float(loss(raw[order], {name: value[order] for name, value in targets.items()})["loss"])
            for order in (torch.arange(len(raw)), torch.arange(len(raw)).flip(0))
        )
        require(abs(straight - turned) <= 1e-5 * abs(straight), f"{kind}: {straight:.8g} and {turned:.8g}")
    return "to 1e-5"


def checks(subject: Subject) -> list[Check]:
    """Checks of one loss."""
    return collect(
        subject,
        [
            parts_are_numbers,
            nothing_to_find_nothing_is_best,
            the_truth_beats_nothing,
            order_in_the_batch_does_not_matter,
        ],
    )


def _accepts(subject: Subject) -> list[str]:
    return cast("LossCard", subject.card).accepts


def _cases(subject: Subject) -> list[tuple[str, Any, dict[str, Tensor], Tensor]]:
    """Per accepted output kind: its name, the built loss, targets, and the raw answer that is perfect."""
    card, catalog = cast("LossCard", subject.card), subject.catalog
    if card.players != 1:
        raise NotApplicable(f"it has {card.players} players; its recipe is where it is tried")
    cases = []
    for kind in card.accepts:
        settings = examples.output_settings(catalog, kind, examples.upsamplings(catalog, kind)[0])
        targets = catalog.module("outputs", kind).targets(examples.batch(), settings)
        perfect = examples.perfect_raw(catalog, kind, targets)
        if perfect is not None:
            loss = subject.module.build(card.fill(subject.name, {}), settings)
            cases.append((kind, loss, targets, perfect))
    if not cases:
        raise NotApplicable("no accepted output kind names its perfect answer (fact perfect_raw)")
    return cases


def _raw_like(perfect: Tensor) -> Tensor:
    return torch.randn(perfect.shape, generator=torch.Generator().manual_seed(1))
