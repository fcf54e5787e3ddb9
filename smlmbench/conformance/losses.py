"""Checks of a loss."""

import copy
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from smlmbench.conformance import examples
from smlmbench.conformance.checks import NotApplicable, Subject, a_card, require
from smlmbench.registry import LossCard

LITTLE = 0.005  # of the mass of an emitter


def parts_are_numbers(subject: Subject) -> str:
    """`loss` is a finite scalar with a gradient; the other parts are detached scalars."""
    for kind, loss, targets, perfect, _ in _cases(subject):
        raw = _raw_like(perfect).requires_grad_()
        parts: dict[str, Tensor] = loss(raw, targets)
        require("loss" in parts, f"{kind}: the parts {sorted(parts)} have no 'loss'")
        for name, value in parts.items():
            require(value.ndim == 0 and value.isfinite(), f"{kind}: {name} is not a finite scalar")
            require(name == "loss" or not value.requires_grad, f"{kind}: {name} is not detached")
        (gradient,) = torch.autograd.grad(parts["loss"], raw)
        require(gradient.isfinite().all(), f"{kind}: its gradient is not finite")
        require(gradient.any(), f"{kind}: its gradient is zero everywhere")
    return ", ".join(cast("LossCard", subject.card).accepts)


def nothing_to_find_nothing_is_best(subject: Subject) -> str:
    """With empty targets the answer of nothing has the smallest loss."""
    for kind, loss, targets, perfect, silent in _cases(subject):
        empty = {name: torch.zeros_like(value) for name, value in targets.items()}
        nothing = float(loss(silent, empty)["loss"])
        for scale in (-1.0, 0.01, 1.0):
            something = float(loss(scale * _raw_like(perfect), empty)["loss"])
            require(nothing <= something, f"{kind}: {nothing:.4g} for nothing, {something:.4g} for noise x {scale:g}")
    return "zero is the minimum"


def the_truth_beats_nothing(subject: Subject) -> str:
    """At the default weight the perfect answer has a smaller loss than that of nothing, unless the card says why not.

    The reason stands as the fact `truth_is_not_best`; it must be true.
    """
    excuse = subject.card.facts.get("truth_is_not_best")
    for kind, loss, targets, perfect, silent in _cases(subject):
        right, nothing = (float(loss(raw, targets)["loss"]) for raw in (perfect, silent))
        seen = f"{kind}: {right:.4g} for the truth, {nothing:.4g} for nothing"
        require(right < nothing or excuse, f"{seen}; raise the default weight")
        require(not (right < nothing and excuse), f"{seen}; take out the fact truth_is_not_best")
    return excuse or "at the default weight"


def collapse_threshold_is_true(subject: Subject) -> str:
    """Isolated emitters are worth a little of their mass just above the stated lambda, and nothing just below.

    The fact `collapse_lambda`, on the finest grid of the output kind, where emitters are farthest apart.
    """
    threshold = subject.card.facts.get("collapse_lambda")
    if threshold is None:
        raise NotApplicable("the card states no threshold (fact collapse_lambda)")
    for side, worth in ((0.95, False), (1.05, True)):
        for kind, loss, targets, perfect, _ in _cases(subject, {"weight": side * threshold}, finest=True):
            little, nothing = (float(loss(part * perfect, targets)["loss"]) for part in (LITTLE, 0.0))
            where = f"{kind}: at lambda {side * threshold:.4g} a trace of the truth scores {little:.6g}"
            require((little < nothing) == worth, f"{where}, nothing {nothing:.6g}; correct the fact collapse_lambda")
    return f"{threshold:g}"


def order_in_the_batch_does_not_matter(subject: Subject) -> str:
    """The same samples in another order have the same loss."""
    for kind, loss, targets, perfect, _ in _cases(subject):
        raw = _raw_like(perfect)
        straight, turned = (
            float(loss(raw[order], {name: value[order] for name, value in targets.items()})["loss"])
            for order in (torch.arange(len(raw)), torch.arange(len(raw)).flip(0))
        )
        require(abs(straight - turned) <= 1e-5 * abs(straight), f"{kind}: {straight:.8g} and {turned:.8g}")
    return "to 1e-5"


def same_on_a_card(subject: Subject) -> str:
    """A card gives the loss and its gradient of the processor."""
    card = a_card()
    for kind, loss, targets, perfect, _ in _cases(subject):
        found = []
        for device in (torch.device("cpu"), card):
            one = copy.deepcopy(loss).to(device) if isinstance(loss, nn.Module) else loss
            raw = _raw_like(perfect).to(device).requires_grad_()
            value = one(raw, {name: target.to(device) for name, target in targets.items()})["loss"]
            (gradient,) = torch.autograd.grad(value, raw)
            found.append((float(value.detach()), gradient.cpu()))
        (here, slope), (there, other) = found
        require(abs(here - there) <= 1e-4 * abs(here), f"{kind}: {here:.8g} on the processor, {there:.8g} on the card")
        worst = float((slope - other).abs().max() / slope.abs().max())
        require(worst <= 1e-3, f"{kind}: gradients differ by {worst:.2g} of the largest")
    return "to 1e-4"


def _cases(
    subject: Subject, chosen: Mapping[str, Any] | None = None, *, finest: bool = False
) -> list[tuple[str, Any, dict[str, Tensor], Tensor, Tensor]]:
    """Per accepted output kind: its name, the built loss, targets, the perfect raw answer and that of nothing."""
    card, catalog = cast("LossCard", subject.card), subject.catalog
    if card.players != 1:
        raise NotApplicable(f"it has {card.players} players; its recipe is where it is tried")
    cases = []
    for kind in card.accepts:
        upsamplings = examples.upsamplings(catalog, kind)
        settings = examples.output_settings(catalog, kind, upsamplings[-1 if finest else 0])
        batch = examples.batch()
        targets = catalog.module("outputs", kind).targets(batch, settings)
        perfect = examples.perfect_raw(catalog, kind, targets, settings, batch)
        if perfect is not None:
            loss = subject.module.build(subject.settings(chosen or {}), settings)
            cases.append((kind, loss, targets, perfect, examples.silent_raw(catalog, kind, perfect, settings)))
    if not cases:
        raise NotApplicable("no accepted output kind names its perfect answer (fact perfect_raw)")
    return cases


def _raw_like(perfect: Tensor) -> Tensor:
    return torch.randn(perfect.shape, generator=torch.Generator().manual_seed(1))
