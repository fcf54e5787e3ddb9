"""A CUDA card made of the processor: real numbers, held apart from the processor's, for a torch built without CUDA.

A plug-in of pytest, for a process of its own with LD_PRELOAD of what `build` made (`tests/unit/test_card.py` starts
one), since torch asks only once which devices there are. Tensors of `cuda:0` and `cuda:1` then hold their numbers on
the processor, and what a card refuses is refused: operands on two devices, `.numpy()`, a generator of the processor.
`CARD.waits` lists what would have made the processor wait for the card, with the thread that waited.
"""

import os
import shutil
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

# Autograd and Tensor.to ask the guard of a device kind for streams and events; these do nothing.
SOURCE = """
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
namespace c10::impl {
static thread_local Device here(DeviceType::CUDA, 0);
struct Card final : NoOpDeviceGuardImpl<DeviceType::CUDA> {
  Device exchangeDevice(Device to) const override { Device was = here; here = to; return was; }
  Device getDevice() const override { return here; }
  void setDevice(Device to) const override { here = to; }
  void uncheckedSetDevice(Device to) const noexcept override { here = to; }
  Stream getStream(Device where) const noexcept override { return Stream(Stream::DEFAULT, where); }
  Stream getNewStream(Device where, int) const override { return Stream(Stream::DEFAULT, where); }
  Stream exchangeStream(Stream to) const noexcept override { return to; }
  DeviceIndex deviceCount() const noexcept override { return 2; }
  void record(void**, const Stream&, DeviceIndex, EventFlag) const override {}
  void block(void*, const Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
};
C10_REGISTER_GUARD_IMPL(CUDA, Card)
}
namespace at {
struct CUDAHooks : CUDAHooksInterface {
  explicit CUDAHooks(CUDAHooksArgs) {}
  void init() const override {}
  bool isBuilt() const override { return true; }
  bool hasCUDA() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  DeviceIndex deviceCount() const override { return 2; }
  DeviceIndex getCurrentDevice() const override { return 0; }
};
REGISTER_CUDA_HOOKS(CUDAHooks)
}
"""
HERE = torch.device("cpu")
CROSSING = ("copy_", "_to_copy", "to")
PINNING = ("pin_memory", "_pin_memory", "is_pinned")
INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index")
JOINING = ("cat", "stack")  # take no single numbers of the other device either
WAITING = (
    "_local_scalar_dense",
    "item",
    "nonzero",
    "nonzero_numpy",
    "is_nonzero",
    "masked_select",
    "equal",
    "_unique2",
)


def why_not() -> str:
    """Why there can be none in this environment, or empty."""
    if torch.backends.cuda.is_built():
        return "this torch has CUDA itself"
    return "" if shutil.which("g++") else "needs g++"


def build(folder: Path) -> Path:
    """Compile the guard."""
    home, source, made = Path(torch.__file__).parent, folder / "card.cpp", folder / "card.so"
    source.write_text(SOURCE, encoding="utf-8")
    library = [f"-L{home}/lib", f"-Wl,-rpath,{home}/lib", "-lc10", "-ltorch_cpu"]
    options = ["-std=c++20", "-shared", "-fPIC", f"-I{home}/include", str(source), *library, "-o", str(made)]
    subprocess.run(["g++", *options], check=True, capture_output=True, text=True)
    return made


class OnCard(torch.Tensor):
    """A tensor of the card; `held` are its numbers."""

    held: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: torch.Tensor, device: torch.device) -> "OnCard":
        how = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        with torch.inference_mode(False):  # views of ordinary tensors stay ordinary ones
            return torch.Tensor._make_wrapper_subclass(cls, held.size(), device=device, **how)

    def __init__(self, held: torch.Tensor, device: torch.device) -> None:
        self.held = held

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return CARD.run(func, args, kwargs or {})

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.detach().cpu().__reduce_ex__(protocol)

    def __repr__(self) -> str:
        return f"OnCard({self.held!r}, device={self.device})"


class Card(TorchDispatchMode):
    """Runs what is asked of the card, and what makes tensors there."""

    def __init__(self, waits: list[tuple[str, str]]) -> None:
        super().__init__()
        self.waits = waits

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.run(func, args, kwargs or {})

    def run(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        name = func.overloadpacket.__name__
        if name in PINNING:
            return _pinned(name, args[0])
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        cards = {one.device for one in given if isinstance(one, OnCard)}
        asked = args[0].device if name == "copy_" else kwargs.get("device")
        target = asked if asked is not None else next(iter(cards), HERE)
        self._refuse(name, given, cards, target, kwargs.get("generator"))
        late = bool(args[2:] and args[2]) if name == "copy_" else bool(kwargs.get("non_blocking"))
        if self._waits(name, given, cards, target, late=late):
            self.waits.append((threading.current_thread().name, name))
        back = {id(one.held): one for one in given if isinstance(one, OnCard)}
        plain = {name: {"device": HERE, "pin_memory": False}.get(name, value) for name, value in kwargs.items()}
        made = func(*_held(args), **_held(plain))
        if target.type != "cuda":
            return made
        place = torch.device("cuda", target.index or 0)

        def wrapped(one: Any) -> Any:
            if type(one) is not torch.Tensor:
                return one
            return back[id(one)] if id(one) in back else OnCard(one, place)

        return tree_map(wrapped, made)

    @staticmethod
    def _refuse(
        name: str, given: list[torch.Tensor], cards: set[torch.device], target: torch.device, generator: Any
    ) -> None:
        """What torch refuses: operands on two devices (but single numbers and indices), a generator of the other."""
        if generator is not None and target.type == "cuda":
            raise RuntimeError(f"Expected a 'cuda' device type for generator but found '{generator.device}'")
        strays = [one for one in given if not isinstance(one, OnCard) and (one.ndim > 0 or name in JOINING)]
        if name in INDEXING:
            strays = [one for one in strays if one is given[0]]
        if name not in CROSSING and (len(cards) > 1 or (cards and strays)):
            found = ", ".join(sorted({str(one.device) for one in given}))
            raise RuntimeError(f"Expected all tensors to be on the same device, but found {found} ({name})")

    @staticmethod
    def _waits(
        name: str, given: list[torch.Tensor], cards: set[torch.device], target: torch.device, *, late: bool
    ) -> bool:
        """Whether the processor would wait: for a number, for how many there are, for a copy that it must see done."""
        if name in CROSSING:
            source = given[-1]
            free = late and (isinstance(source, OnCard) or hasattr(source, "pinned"))
            return source.device.type != target.type and not free
        masked = name in INDEXING and any(one.dtype in (torch.bool, torch.uint8) for one in given[1:])
        return bool(cards) and (name in WAITING or masked)


def _pinned(name: str, tensor: torch.Tensor) -> Any:
    if name == "is_pinned":
        return hasattr(tensor, "pinned")
    made = tensor.clone()
    made.pinned = True
    return made


def _placed(make: Any) -> Any:
    def made(*args: Any, device: Any = None, **kwargs: Any) -> Any:
        return make(*args, **kwargs) if device is None else make(*args, **kwargs).to(device)

    return made


def _held(values: Any) -> Any:
    return tree_map(lambda one: one.held if isinstance(one, OnCard) else one, values)


CARD = Card([])


def install() -> None:
    """Give this process its card."""
    told: dict[str, Any] = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 2,
        "current_device": lambda: 0,
        "is_bf16_supported": lambda *_, **__: True,
        "get_device_name": lambda *_: "emulated card",
        "get_device_properties": lambda *_: SimpleNamespace(name="emulated card", total_memory=8_000_000_000),
        "set_per_process_memory_fraction": lambda *_: None,
        "get_rng_state": lambda *_: torch.zeros(16, dtype=torch.uint8),
        "set_rng_state": lambda *_: None,
        "synchronize": lambda *_: None,
        "empty_cache": lambda: None,
        "reset_peak_memory_stats": lambda *_: None,
        "max_memory_allocated": lambda *_: 12_000_000,
        "_lazy_init": lambda: None,
        "_lazy_call": lambda *_, **__: None,
    }
    for name, answer in told.items():
        setattr(torch.cuda, name, answer)
    torch.tensor, torch.as_tensor = _placed(torch.tensor), _placed(torch.as_tensor)  # no dispatch mode sees these
    torch.cuda.amp.common.amp_definitely_not_available = lambda: False
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # else a moved parameter has no `held`
    CARD.__enter__()
    begun = threading.Thread.run

    def run(thread: threading.Thread) -> None:
        with Card(CARD.waits):
            begun(thread)

    threading.Thread.run = run


if "card.so" in os.environ.get("LD_PRELOAD", ""):
    install()
