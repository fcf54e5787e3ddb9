"""Checks of a network, on tiny settings unless its card speaks of the full size."""

import copy
import io
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, cast

import torch
from torch import Tensor, nn

from smlmbench.conformance import examples
from smlmbench.conformance.checks import NotApplicable, Subject, a_card, require
from smlmbench.data.contracts import Given, Statistics
from smlmbench.errors import suggest
from smlmbench.inference.allocator import place
from smlmbench.inference.engine import frame_multiple, padded
from smlmbench.registry import ModelCard, Setting

SEED = 20
LARGEST_FIELD_PX = 96
FULL_UPSAMPLING = 8
SMALLEST_GRADIENT = 1e-12  # of the largest one
OVERFIT_STEPS = 100
OVERFIT_PART = 0.67
OVERFIT_LR = 1e-2
CARD_ANSWERS, CARD_GRADIENTS = 1e-3, 1e-2  # differences of fp32 that another order of adding up may make


def parameters_match_the_card(subject: Subject) -> str:
    """Trainable parameters of each stated setting, counted on the meta device."""
    least = ",".join(part for part in (f"upsampling={FULL_UPSAMPLING}", subject.variant) if part)
    stated_ones = {text: number for text, number in _card(subject).parameters.items() if _is_of(subject, text)}
    require(stated_ones, f"parameters: state at least the number at {least}")
    for stated, number in stated_ones.items():
        settings, output = _parsed(subject, stated)
        upsampling = int(output.get("upsampling", FULL_UPSAMPLING))
        with torch.device("meta"):
            channels = _card(subject).frames_at_once(settings)
            model = subject.module.build(settings, examples.given(upsampling, channels=channels, output=output))
        built = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
        require(built == number, f"parameters.{stated}: the card says {number}, built are {built}")
    return f"{next(iter(stated_ones.values()))} at {next(iter(stated_ones))}"


def shapes_follow_the_frames(subject: Subject) -> str:
    """Raw maps are U times as large as the frames, also with odd and unequal sides, padded as the engine does."""
    card = _card(subject)
    for upsampling in _upsamplings(subject):
        model = _tiny(subject, upsampling)
        multiple = frame_multiple(card.facts, upsampling)
        for height, width in ((16, 16), (13, 18), (9, 11), (1, 9), (9, 1), (2, 3), (1, 1)):
            raw = _answer(padded(model, multiple, upsampling), _noise(subject, 2, height, width))
            require(len(raw) == 2, f"a batch of 2 gives {len(raw)} raw maps at upsampling {upsampling}")
            if card.upsamples != "none":
                wanted, seen = (upsampling * height, upsampling * width), tuple(raw.shape[-2:])
                where = f"{height} x {width} px at upsampling {upsampling}"
                require(seen == wanted, f"{where} gives {seen}, expected {wanted}")
    return "upsampling " + ", ".join(str(upsampling) for upsampling in _upsamplings(subject))


def answers_are_finite(subject: Subject) -> str:
    """Empty, constant and saturated frames give finite numbers, with every normalisation."""
    setting = subject.card.settings.get("normalisation")
    for kind in (setting and setting.choices) or [None]:
        model = _tiny(subject, _upsamplings(subject)[0], {} if kind is None else {"normalisation": kind})
        for photons in (0.0, 7.0, 65535.0):
            raw = _answer(model, torch.full((1, _channels(subject), 16, 16), photons))
            finite = raw.isfinite().all()
            require(finite, f"{photons:g} photons everywhere give numbers that are not finite ({kind})")
    return "0, 7 and 65535 photons everywhere"


def every_parameter_learns(subject: Subject) -> str:
    """After one step (layers that start at zero block the first) each parameter has a gradient.

    In double precision, where rounding cannot pass for one. Parameters that cannot have any, such as biases before
    batch normalisation, are named on the card (fact `idle`, patterns), and must indeed have none.
    """
    model, optimiser, loss, frames, targets = _training(subject)
    model, frames = model.double(), frames.double()
    for _ in range(2):
        optimiser.step()
        optimiser.zero_grad()
        loss(model(frames), targets)["loss"].backward()
    for name, weight in model.named_parameters():
        require(weight.grad is not None, f"{name}: is not part of the answer; remove it")
    sizes = {name: float(cast("Tensor", weight.grad).abs().max()) for name, weight in model.named_parameters()}
    largest = max(sizes.values())
    patterns = subject.card.facts.get("idle", [])
    idle = {name for name in sizes if any(fnmatchcase(name, pattern) for pattern in patterns)}
    for name, size in sizes.items():
        require(math.isfinite(size), f"{name}: its gradient is not finite")
        learns = size > SMALLEST_GRADIENT * largest
        require(learns or name in idle, f"{name}: its gradient is zero; the layer cannot learn")
        require(not (learns and name in idle), f"{name}: it does learn; take it out of the fact idle")
    return f"{len(sizes) - len(idle)} tensors" + (f", {len(idle)} idle as the card says" if idle else "")


def same_seed_same_network(subject: Subject) -> str:
    """Building and answering depend on nothing but the seed and the input."""
    upsampling = _upsamplings(subject)[0]
    frames = _noise(subject, 2, 16, 16)
    one, two = (_answer(_tiny(subject, upsampling, awake=False), frames) for _ in range(2))
    require(torch.equal(one, two), "two networks built after the same seed answer differently")
    first, second = (_tiny(subject, upsampling, awake=False).state_dict() for _ in range(2))
    require(all(torch.equal(first[key], second[key]) for key in first), "two networks built after the same seed differ")
    return "bit for bit"


def batch_companions_do_not_matter(subject: Subject) -> str:
    """In eval mode a frame has the same answer alone and among others."""
    model = _tiny(subject, _upsamplings(subject)[0])
    frames = _noise(subject, 3, 16, 16) * torch.tensor([1.0, 20.0, 0.1]).view(3, 1, 1, 1)
    together, alone = _answer(model, frames)[:1], _answer(model, frames[:1])
    return _same(together, alone, "a frame answered alone and in a batch of three")


def state_travels(subject: Subject) -> str:
    """The state dict, normalisation included, loads with weights_only into a network built with other statistics."""
    upsampling = _upsamplings(subject)[0]
    model, frames = _tiny(subject, upsampling), _noise(subject, 2, 16, 16)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    unlike = Statistics(mean=1.0, std=2.0, low=0.0, high=5.0)
    strange = replace(_given(subject, upsampling), statistics=unlike)
    other: nn.Module = subject.module.build(_settings(subject), strange).eval()
    other.load_state_dict(torch.load(file, weights_only=True))
    return _same(_answer(model, frames), _answer(other, frames), "the saved and the loaded network")


def translation_moves_the_answer(subject: Subject) -> str:
    """A frame moved by whole pixels gives the moved answer away from the edges (fact `translation`)."""
    facts = subject.card.facts
    if not facts.get("translation"):
        raise NotApplicable("the card does not claim it (fact translation)")
    upsampling, shift = _upsamplings(subject)[-1], int(facts.get("shift_px", 1))
    margin = math.ceil(_receptive_field(subject, upsampling) / 2) + shift
    side = _field(2 * margin + 4)
    model, frames = _tiny(subject, upsampling), _noise(subject, 1, side, side)
    inner = slice(margin * upsampling, (side - margin) * upsampling)
    here = _answer(model, frames)
    moved = _answer(model, frames.roll((shift, shift), dims=(-2, -1))).roll((-shift * upsampling,) * 2, dims=(-2, -1))
    return _same(here[..., inner, inner], moved[..., inner, inner], f"answers to a frame and to it moved by {shift} px")


def receptive_field_is_true(subject: Subject) -> str:
    """Nothing outside the stated field changes the answer inside one camera pixel, so frames may be cut into tiles."""
    card = _card(subject)
    stated = getattr(subject.module, "receptive_field_px", None)
    if stated is not None:
        on_card, full = card.receptive_field_px, stated(subject.settings({}), 8)
        require(full == on_card, f"receptive_field_px: the card says {on_card:g}, the function {full:g}")
    if card.upsamples == "none":
        raise NotApplicable("the answer is not a map on the fine grid")
    reached: list[int] = []
    for upsampling in reversed(_upsamplings(subject)) if stated is not None else [8]:
        half = math.ceil((_receptive_field(subject, upsampling) - 1) / 2)
        if reached and 2 * half + 9 > LARGEST_FIELD_PX:
            break
        reached.append(upsampling)
        side = _field(2 * half + 9)
        model, frames = _tiny(subject, upsampling), _noise(subject, 1, side, side)
        before = _answer(model, frames)
        for centre in range(half + 2, half + 6):
            after = _answer(model, _shuffled_outside(frames, centre, half))
            block = slice(centre * upsampling, (centre + 1) * upsampling)
            what = f"at upsampling {upsampling} the answers to two frames that are alike within {half} px"
            _same(before[..., block, block], after[..., block, block], what)
    return f"{card.receptive_field_px:g} px; tried at upsampling " + ", ".join(map(str, reached))


def two_frames_are_learnt(subject: Subject) -> str:
    """A hundred steps on two simulated frames lower the loss by a third at least, unless the card says why not.

    The reason stands as the fact `cannot_overfit`; it must be true.
    """
    model, optimiser, loss, frames, targets = _training(subject)
    values = []
    for _ in range(OVERFIT_STEPS):
        optimiser.zero_grad()
        value = loss(model(frames), targets)["loss"]
        value.backward()
        optimiser.step()
        values.append(value.item())
    course = f"loss {values[0]:.3g} to {values[-1]:.3g} in {OVERFIT_STEPS} steps"
    learnt, excuse = values[-1] < OVERFIT_PART * values[0], subject.card.facts.get("cannot_overfit")
    require(learnt or excuse, course)
    require(not (learnt and excuse), f"{course}: it can; take out the fact cannot_overfit")
    return f"{course}: {excuse}" if excuse else course


def hint_layers_are_there(subject: Subject) -> str:
    """Every layer that the card offers to teachers and students (fact `hint_layers`) is a part of the network."""
    offered = subject.card.facts.get("hint_layers")
    if not offered:
        raise NotApplicable("the card offers no layer for hints (fact hint_layers)")
    names = [one["layer"] if isinstance(one, Mapping) else one for one in offered]
    known = dict(_tiny(subject, _upsamplings(subject)[-1]).named_modules())
    for name in names:
        require(name in known, f"hint_layers: '{name}' is no part of the network, {suggest(name, list(known))}")
    return ", ".join(names)


def exported_with_free_sizes(subject: Subject) -> str:
    """`torch.export` with dynamic batch, height and width answers as the network does, at two sizes."""
    model = _tiny(subject, _upsamplings(subject)[-1])
    dims = dict.fromkeys((0, 2, 3), torch.export.Dim.AUTO)
    program = torch.export.export(model, (_noise(subject, 2, 16, 24),), dynamic_shapes=(dims,)).module()
    for frames in (_noise(subject, 3, 20, 15), _noise(subject, 1, 9, 32)):
        _same(_answer(model, frames), _answer(program, frames), "the exported and the eager network")
    return "batch, height and width"


def same_on_a_card(subject: Subject) -> str:
    """A card gives the answers and gradients of the processor in fp32, and finite gradients in bf16."""
    model, frames, card = _tiny(subject, _upsamplings(subject)[-1]), _noise(subject, 2, 16, 16), a_card()
    here, there = _answer(model, frames), _answer(place(copy.deepcopy(model), card), frames.to(card)).cpu()
    said = _same(here, there, "the answers of processor and card", CARD_ANSWERS)
    model, _, loss, frames, targets = _training(subject)
    gradients = []
    for device, number_format in (torch.device("cpu"), torch.float32), (card, torch.float32), (card, torch.bfloat16):
        network = place(copy.deepcopy(model), device)
        with torch.autocast(device.type, number_format, enabled=number_format is torch.bfloat16):
            wanted = {name: value.to(device) for name, value in targets.items()}
            judge = copy.deepcopy(loss).to(device) if isinstance(loss, nn.Module) else loss
            judge(network(frames.to(device)), wanted)["loss"].backward()
        gradients.append(torch.cat([cast("Tensor", weight.grad).cpu().flatten() for weight in network.parameters()]))
    require(gradients[2].isfinite().all(), "gradients in bf16 are not finite on the card")
    slopes = _same(gradients[0], gradients[1], "the gradients of processor and card", CARD_GRADIENTS)
    return f"answers: {said}; gradients: {slopes}"


def _card(subject: Subject) -> ModelCard:
    return cast("ModelCard", subject.card)


def _upsamplings(subject: Subject) -> list[int]:
    """Those of its output kind that it does not refuse, smallest first."""
    card = _card(subject)
    known = sorted(examples.upsamplings(subject.catalog, card.output))
    return [upsampling for upsampling in known if card.refusal({"upsampling": upsampling}) is None]


def _settings(subject: Subject, chosen: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return subject.settings({**subject.card.tiny, **(chosen or {})})


def _tiny(subject: Subject, upsampling: int, chosen: dict[str, Any] | None = None, *, awake: bool = True) -> nn.Module:
    """The tiny network in eval mode; awake: layers that start at zero are given numbers, so that answers differ."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        given = _given(subject, upsampling)
        model: nn.Module = subject.module.build(_settings(subject, chosen), given)
        if awake:
            for weight in model.parameters():
                if not weight.any():
                    nn.init.normal_(weight, std=0.1)
    return model.eval()


@torch.no_grad()
def _answer(model: Callable[[Tensor], Tensor], frames: Tensor) -> Tensor:
    return model(frames)


def _noise(subject: Subject, count: int, height: int, width: int) -> Tensor:
    return torch.rand((count, _channels(subject), height, width), generator=torch.Generator().manual_seed(SEED)) * 100


def _training(subject: Subject) -> tuple[nn.Module, torch.optim.Optimizer, Any, Tensor, dict[str, Tensor]]:
    card, catalog = _card(subject), subject.catalog
    upsampling = _upsamplings(subject)[0]
    settings = examples.output_settings(catalog, card.output, upsampling)
    loss = examples.loss_for(catalog, card.output, card.losses, settings)
    if loss is None:
        raise NotApplicable(f"no loss with one player accepts '{card.output}'")
    batch = examples.batch(channels=_channels(subject))
    targets = catalog.module("outputs", card.output).targets(batch, settings)
    model = _tiny(subject, upsampling, awake=False).train()
    return model, torch.optim.Adam(model.parameters(), lr=OVERFIT_LR), loss, batch.inputs, targets


def _given(subject: Subject, upsampling: int) -> Given:
    output = examples.output_settings(subject.catalog, _card(subject).output, upsampling)
    return examples.given(upsampling, channels=_channels(subject), output=output)


def _channels(subject: Subject) -> int:
    return _card(subject).frames_at_once(_settings(subject))


def _receptive_field(subject: Subject, upsampling: int) -> float:
    stated = getattr(subject.module, "receptive_field_px", None)
    return float(stated(_settings(subject), upsampling) if stated is not None else _card(subject).receptive_field_px)


def _field(side_px: int) -> int:
    """The side rounded up to a multiple that no pooling cuts."""
    side_px = -(-side_px // 8) * 8
    if side_px > LARGEST_FIELD_PX:
        raise NotApplicable(f"the receptive field needs a field of {side_px} px, more than {LARGEST_FIELD_PX}")
    return side_px


def _shuffled_outside(frames: Tensor, centre: int, half: int) -> Tensor:
    """Exchange all pixels farther than `half` from (centre, centre) among each other; extremes and mean stay."""
    far = (torch.arange(frames.shape[-1]) - centre).abs() > half
    outside = (far[:, None] | far[None, :]).expand_as(frames)
    changed = frames.clone()
    changed[outside] = frames[outside].flip(0)
    return changed


def _same(one: Tensor, other: Tensor, what: str, most: float = 1e-4) -> str:
    scale = max(1e-6, float(one.abs().max()))
    worst = float((one - other).abs().max()) / scale
    require(worst < most, f"{what} differ by {worst:.2g} of the largest value")
    return f"largest difference {worst:.1g} of the largest value"


def _parsed(subject: Subject, stated: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a canonical settings string such as `blocks=5,upsampling=8` into those of the model and of its output."""
    kind = subject.catalog.card("outputs", _card(subject).output)
    pairs = dict(pair.split("=", 1) for pair in stated.split(","))
    ours, theirs = (
        {name: _typed(text, card.settings.get(name)) for name, text in pairs.items() if (name in kind.settings) is told}
        for card, told in ((subject.card, False), (kind, True))
    )
    where = f"{subject.name}.parameters"
    return subject.card.fill(where, ours), {**kind.fill(where, theirs), **examples.TAUGHT}


def _typed(text: str, setting: Setting | None) -> Any:
    kind = str if setting is None else type(setting.default)
    return text == "true" if kind is bool else kind(text) if kind in (int, float) else text


def _is_of(subject: Subject, stated: str) -> bool:
    """Whether a settings string belongs to the variant, or to none where there is none."""
    pairs = stated.split(",")
    return subject.variant in pairs if subject.variant else not set(pairs) & set(subject.card.variants)
