"""Normalised maps are made again when the gradient asks for them, instead of being kept from the forward pass.

A block keeps what its convolution answered, for the gradient of its normalisation. What normalisation and activation
make of that would be kept as well, for the next convolution; it follows from the first in one pass over the map.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn
from torch.nn import functional

from smlmbench.models.folding import is_own


@contextmanager
def recalled(network: nn.Module) -> Iterator[None]:
    """Within it, answers of a network in training on a processor keep about half; gradients are equal to rounding.

    Networks from outside this package keep all of their maps: what they do to them cannot be seen.
    """
    maps, answering = _Maps(), ExitStack()

    def begin(*_: Any) -> None:
        answering.enter_context(torch.autograd.graph.saved_tensors_hooks(maps.pack, _unpack))

    def end(*_: Any) -> None:
        answering.close()

    handles = [norm.register_forward_hook(partial(maps.note, active)) for norm, active in _norms(network)]
    if handles:
        handles += [network.register_forward_pre_hook(begin), network.register_forward_hook(end, always_call=True)]
    try:
        yield
    finally:
        answering.close()
        for handle in handles:
            handle.remove()


def _norms(network: nn.Module) -> Iterator[tuple[nn.BatchNorm2d, nn.Module | None]]:
    """All batch normalisations, each with the activation that changes its answer in place."""
    if not is_own(network) or next(network.parameters()).device.type != "cpu":
        return
    for part in network.modules():
        for norm, after in pairwise((*part, None)) if isinstance(part, nn.Sequential) else ():
            if isinstance(norm, nn.BatchNorm2d):
                yield norm, after if isinstance(after, nn.ReLU | nn.LeakyReLU) and after.inplace else None


class _Maps:
    """The normalised maps of one answer that are still used, and how each is made."""

    def __init__(self) -> None:
        self._makers: dict[int, tuple[Callable[[], Tensor | None], _Maker]] = {}

    def note(self, active: nn.Module | None, norm: nn.Module, given: tuple[Tensor], made: Tensor) -> None:
        """Remember what made a map."""
        node: Any = made.grad_fn
        if norm.training and hasattr(node, "_saved_result2"):
            self._makers[made.data_ptr()] = ref(made), _Maker(given[0].detach(), norm, active, node)

    def pack(self, tensor: Tensor) -> Callable[[], Tensor]:
        """What is kept instead of a tensor."""
        made, maker = self._makers.get(tensor.data_ptr(), (None, None))
        alive = None if made is None else made()  # else the memory is another map's by now
        if maker is not None and alive is not None and alive.stride() == tensor.stride():
            maker.users += 1
            return maker
        if tensor.dtype == torch.int64 and tensor.ndim == 4:  # of a pooling: places within one map
            return tensor.int().long
        return partial(_unchanged, tensor.detach(), tensor._version)


class _Maker:
    """Makes a map from the convolution's answer, once for all its users."""

    def __init__(self, maps: Tensor, norm: Any, active: nn.Module | None, node: Any) -> None:
        self._maps, self._active = maps, active
        # The second is 1 / sqrt(variance + eps).
        self._constants = node._saved_result1, node._saved_result2.pow(-2), norm.weight.detach(), norm.bias.detach()
        self._made: Tensor | None = None
        self.users = 0

    def __call__(self) -> Tensor:
        made = self._made
        if made is None:
            with torch.no_grad():
                made = functional.batch_norm(self._maps, *self._constants, training=False, eps=0.0)
                made = made if self._active is None else self._active(made)
        self.users -= 1
        self._made = made if self.users > 0 else None
        return made


def _unchanged(tensor: Tensor, version: int) -> Tensor:
    if tensor._version != version:
        raise RuntimeError("a map that the gradient needs was changed in place")
    return tensor


def _unpack(kept: Callable[[], Tensor]) -> Tensor:
    return kept()
