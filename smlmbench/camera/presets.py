"""Cameras by name: what a source states of each, and what differs from one camera to the next and must be given.

Quantum efficiencies depend on the wavelength and are stated by simulators only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from smlmbench.errors import suggest


@dataclass(frozen=True, slots=True)
class Preset:
    """What is known of a camera, where from, and the keys that are not known."""

    facts: Mapping[str, Any]
    source: str
    unknown: Mapping[str, str] = field(default_factory=dict)  # key, and where its number is found


CHALLENGE = {
    "kind": "emccd", "baseline_adu": 100, "e_per_adu": 45, "em_gain": 300, "read_noise_e": 74.4, "spurious_e": 0.002,
    "rounding": "floor",
}  # fmt: skip
SHEET = "on the performance sheet of your camera"
PRESETS = {
    "challenge-2016-emccd": Preset(
        {**CHALLENGE, "quantum_efficiency": 0.9},
        "simulator of the 2016 challenge (SMLM-Challenge/Challenge2016; Sage et al. 2019, "
        "doi:10.1038/s41592-019-0364-4)",
    ),
    "decode-example": Preset(
        CHALLENGE,
        "param_friendly.yaml of DECODE (Speiser et al. 2021, doi:10.1038/s41592-021-01236-x), in detected photons",
    ),
    "zerocost-deepstorm": Preset(
        {"kind": "scmos", "baseline_adu": 50, "e_per_adu": 1, "read_noise_e": 4.5},
        "simulator of the Deep-STORM notebook in ZeroCostDL4Mic (von Chamier et al. 2021, "
        "doi:10.1038/s41467-021-22518-0), its documented defaults",
    ),
    "hamamatsu-orca-flash4-v3": Preset(
        {"kind": "scmos", "baseline_adu": 100, "e_per_adu": 0.46, "read_noise_e": 1.6},
        "data sheet of the ORCA-Flash4.0 V3 (C13440-20CU), typical values, standard scan, root mean square",
    ),
    "hamamatsu-orca-flash4-v2": Preset(
        {"kind": "scmos", "baseline_adu": 100, "e_per_adu": 0.46},
        "data sheet of the ORCA-Flash4.0 V2 (C11440-22CU), typical values; editions differ in the read noise",
        {"read_noise_e": SHEET},
    ),
    "andor-ixon-897": Preset(
        {"kind": "emccd"},
        "an EMCCD; its numbers follow from readout rate, preamplifier and gain, so none is general",
        {
            "baseline_adu": "in the movie's file, or a dark frame",
            "e_per_adu": f"{SHEET} (sensitivity)",
            "em_gain": "in the movie's file",
            "read_noise_e": f"{SHEET} (single pixel noise)",
        },
    ),
    "photometrics-prime-95b": Preset(
        {"kind": "scmos"},
        "an sCMOS; its numbers follow from the gain mode",
        {"baseline_adu": "in a dark frame", "e_per_adu": SHEET, "read_noise_e": SHEET},
    ),
}
MAPPED = {"baseline_adu": "offset_adu", "e_per_adu": "gain_adu_per_e", "read_noise_e": "variance_adu2"}


def filled(given: Any) -> Any:
    """A camera's facts where `given` is a preset's name or holds one under `preset`; else as it is.

    What stands beside the name counts more than the preset, and a map more than the number of all pixels.

    Raises:
        ValueError: No such preset, or a number is missing that no source states.
    """
    if isinstance(given, str):
        given = {"preset": given}
    if not isinstance(given, Mapping) or "preset" not in given:
        return given
    name, own = given["preset"], {key: value for key, value in given.items() if key != "preset"}
    if not isinstance(name, str) or name not in PRESETS:
        raise ValueError(
            f"no camera is called '{name}': {suggest(str(name), PRESETS)}; or give its facts {{kind: ...}}"
        )
    preset, maps = PRESETS[name], own.get("maps")
    mapped = {key for key, file in MAPPED.items() if isinstance(maps, Mapping) and file in maps}
    if lacking := [key for key in preset.unknown if own.get(key) is None and key not in mapped]:
        needed = ", ".join(f"{key} ({preset.unknown[key]})" for key in lacking)
        example = ", ".join(f"{key}: ..." for key in lacking)
        raise ValueError(f"camera {name} does not state {needed}; write {{preset: {name}, {example}}}")
    kept = {key: value for key, value in preset.facts.items() if key not in mapped}
    return {**kept, **own}
