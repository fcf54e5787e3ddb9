"""Hidden layers of two networks side by side: which ones, how they are read, and what maps one to the other."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from smlmbench.errors import ConfigError, SizeError, suggest

Layers = Sequence[Mapping[str, Any]]


class _Reached(Exception):  # noqa: N818 (not an error: the rest of a network is not needed)
    """The layer that was asked for has answered."""


def default_pair(teacher: Layers, student: Layers, upsampling: int) -> tuple[str, str] | None:
    """Names of a teacher's and a student's layer whose maps have the same size, from the cards of both models.

    The student's layers are tried in the order of its card. Where no sizes agree, its first layer is paired with the
    teacher's nearest in size. None where a card names no layer.
    """
    theirs, ours = _sizes(teacher, upsampling), _sizes(student, upsampling)
    if not theirs or not ours:
        return None
    for name, fine_px in ours.items():
        for other, their_px in theirs.items():
            if their_px == fine_px:
                return other, name
    first, wanted = next(iter(ours.items()))
    return min(theirs, key=lambda name: max(theirs[name] / wanted, wanted / theirs[name])), first


def chosen_pair(settings: Mapping[str, Any], layers: tuple[Layers, Layers], upsampling: int) -> tuple[str, str]:
    """The teacher's and the student's layer that settings name, or the default pair (of `hint_layers` of both cards).

    A ConfigError where neither settings nor cards name one. Upsampling is in fine pixels per camera pixel.
    """
    found = default_pair(*layers, upsampling) or ("", "")
    teacher, student = str(settings["teacher_layer"]) or found[0], str(settings["student_layer"]) or found[1]
    if not teacher or not student:
        raise ConfigError("a card names no hint_layers; give both teacher_layer and student_layer")
    return teacher, student


def _sizes(layers: Layers, upsampling: int) -> dict[str, float]:
    """Fine pixels across one pixel of each layer's map; of stages of upsampling only those before the last."""
    sizes = {}
    for layer in layers:
        fine_px = float(layer["fine_px"]) if "fine_px" in layer else float(layer["camera_px"]) * upsampling
        if "fine_px" in layer or fine_px > 1 or layer["camera_px"] >= 1:
            sizes[str(layer["layer"])] = fine_px
    return sizes


@contextmanager
def tapped(network: nn.Module, layer: str) -> Iterator[list[Tensor]]:
    """Keep a copy of what a layer answers while the block runs; a ConfigError where there is no such layer."""
    seen: list[Tensor] = []
    handle = _layer(network, layer).register_forward_hook(lambda _, __, out: seen.append(out.clone()))
    try:
        yield seen
    finally:
        handle.remove()


def maps_of(network: nn.Module, layer: str, run: Callable[[], Any]) -> Tensor:
    """What a layer answers while `run` runs the network, which is left as soon as the layer has answered.

    A ConfigError where there is no such layer, or it takes no part.
    """
    seen: list[Tensor] = []

    def keep(_: nn.Module, __: Any, out: Tensor) -> None:
        seen.append(out)
        raise _Reached

    handle = _layer(network, layer).register_forward_hook(keep)
    try:
        run()
    except _Reached:
        return seen[0]
    finally:
        handle.remove()
    raise ConfigError(f"layer '{layer}' of {type(network).__name__} takes no part in its answer; name another")


def _layer(network: nn.Module, layer: str) -> nn.Module:
    known: dict[str, nn.Module] = dict(network.named_modules())
    if layer not in known or not layer:
        raise ConfigError(
            f"'{layer}' is not a layer of {type(network).__name__}; {suggest(layer, [name for name in known if name])}"
        )
    return known[layer]


def adapter(student: torch.Size, teacher: torch.Size, resize: str) -> nn.Module:
    """What maps a student's layer (B, c, h, w) to a teacher's (B, C, H, W): linear, without activation.

    Equal sizes take a 1 x 1 convolution. A student's map that is r times larger takes a strided convolution of side
    2 r - 1, one that is r times smaller (r even) a transposed one of side 2 r; any other ratio is interpolated to the
    teacher's size. `resize` is convolution, interpolation (wherever sizes differ) or none: a SizeError where sizes
    differ, as there is for a map beside numbers. Two layers of numbers (B, c) and (B, C) take a dense one.
    """
    if len(student) == len(teacher) == 2:
        return nn.Linear(student[1], teacher[1])
    if len(student) != 4 or len(teacher) != 4:
        raise SizeError(f"{_shapes(student, teacher)} are not both maps; name layers that answer (C, H, W)")
    inside, outside = student[1], teacher[1]
    if student[2:] == teacher[2:]:
        return nn.Conv2d(inside, outside, 1)
    if resize == "none":
        raise SizeError(f"{_shapes(student, teacher)} differ in size; name other layers, or resize: convolution")
    ratios = {(ours / theirs) for ours, theirs in zip(student[2:], teacher[2:], strict=True)}
    ratio = ratios.pop()
    if resize == "convolution" and not ratios:
        if ratio > 1 and ratio.is_integer():
            factor = int(ratio)
            return nn.Conv2d(inside, outside, 2 * factor - 1, stride=factor, padding=factor - 1)
        if ratio < 1 and (1 / ratio) % 2 == 0:
            factor = int(1 / ratio)
            return nn.ConvTranspose2d(inside, outside, 2 * factor, stride=factor, padding=factor // 2)
    resized = nn.Upsample((teacher[2], teacher[3]), mode="bilinear", align_corners=False)
    return nn.Sequential(OrderedDict(resize=resized, mix=nn.Conv2d(inside, outside, 1)))


def _shapes(student: torch.Size, teacher: torch.Size) -> str:
    ours, theirs = ("x".join(str(side) for side in shape[1:]) for shape in (student, teacher))
    return f"the student's layer ({ours}) and the teacher's ({theirs})"


def part_before(network: nn.Module, maps: Tensor) -> tuple[list[nn.Parameter], list[nn.Module]]:
    """Parameters of a network that maps (with their graph) depend on, and the modules that hold these."""
    parameters = list(network.parameters())
    gradients = torch.autograd.grad(maps.sum(), parameters, allow_unused=True)
    part = [parameter for parameter, gradient in zip(parameters, gradients, strict=True) if gradient is not None]
    held = {id(parameter) for parameter in part}
    owns = (({id(one) for one in module.parameters(recurse=False)}, module) for module in network.modules())
    return part, [module for own, module in owns if own & held]
