"""What numbers without a truth mean, in words: drift and blinking told apart, shapes, and what nobody can know."""

from smlmbench.tasks.contracts.applied import AppliedRow

APART = 0.05  # share by which two resolutions must differ to be told apart
STRAY, SURE = 0.03, 3.0  # share of odd spots beyond the expected, and in standard errors
SHAPE = 0.05  # expected beyond the 95 % point
FAINT = 0.05
POOR = 0.5

UNKNOWN = (
    "What cannot be known here: how many molecules were missed (recall), how many positions are of nothing (precision,"
    " false positives), and how far positions lie from the molecules (accuracy). That takes a truth, which this movie"
    " does not have; the numbers on simulated conditions stand above, and hold for this movie as far as the simulation"
    " is like it.",
    "What the numbers do not say: rows that agree may share a mistake; Fourier ring correlation rewards a row that"
    " repeats itself, also its own inventions; RSP and RSE are blind to all that is finer than the blur; a shape test"
    " knows nothing of spots that were not found, and a shift that all positions share is seen by none of them.",
)


def resolution(row: AppliedRow, value: float | None) -> str:
    """A resolution in nm; one at the limit of its grid is that or better."""
    if value is None:
        return "n/a"
    return f"{'≤ ' if value <= (row.value('frc_limit_nm') or 0.0) else ''}{value:.3g}"


def moving(row: AppliedRow) -> str:
    """Drift and blinking told apart, from the resolutions of odd and even frames, of blocks and of halves."""
    odd, blocks, halves = (row.value(f"{name}_nm") for name in ("odd_even", "blocks", "halves"))
    if blocks is None:
        reason = row.reason("blocks_nm")
        return f"Fourier ring correlation: n/a ({reason})." if reason else ""
    high, least = row.value("splits_high_nm") or blocks, row.value("splits_least_nm") or blocks
    worse = halves is None or (halves > high and halves > (1 + APART) * blocks)
    better = odd is not None and odd < least and odd < (1 - APART) * blocks
    said = []
    if worse:
        reached = "nothing" if halves is None else f"{halves:.3g} nm"
        drift = row.value("drift_nm")
        measured = "" if drift is None else f" (measured: {drift:.3g} nm)"
        said.append(
            f"the two halves of the movie share {reached}, alternating blocks {blocks:.3g} nm and 95 % of all ways to"
            f" halve it less than {high:.3g} nm: the sample drifts{measured} or changes"
        )
    if better and odd is not None:
        on = row.value("on_frames")
        runs = "" if on is None else f" (detections come in runs of {on:.2g} frames)"
        said.append(
            f"odd and even frames share {odd:.3g} nm, better than any split by blocks (at best {least:.3g} nm):"
            f" molecules stay on over frames{runs} and show themselves in both images; read {blocks:.3g} nm"
        )
    if said:
        return f"Resolution: {'; '.join(said)}."
    numbers = ", ".join(resolution(row, one) for one in (odd, blocks, halves))
    return (
        f"Resolution: odd and even frames, alternating blocks and halves agree ({numbers} nm):"
        " neither drift nor molecules that stay on show in them."
    )


def shaped(row: AppliedRow) -> str:
    """What the shape test says."""
    beyond, tested = row.value("shape_beyond"), row.value("shape_tested")
    if beyond is None or not tested:
        reason = row.reason("shape_beyond")
        return f"Shapes of spots: n/a ({reason})." if reason else ""
    error = (SHAPE * (1 - SHAPE) / tested) ** 0.5
    odd = beyond > SHAPE + max(STRAY, SURE * error)
    text = f"Shapes: {100 * beyond:.1f} % of {tested:.0f} spots that stand alone are beyond what 5 % should pass"
    if not odd:
        text += ", as noise alone makes it"
    else:
        own = row.value("shape_width") or 0.0
        text += f"; {100 * own:.0f} % (of 5) have a width of their own"
        text += ", so light is out of focus or from several" if own - SHAPE > (beyond - SHAPE) / 2 else ""
        text += ": two molecules in one spot, neighbours not found, or a PSF that is no Gaussian"
    faint = row.value("shape_faint") or 0.0
    if faint > FAINT:
        text += f". {100 * faint:.0f} % hold less light than three times its error: those may be nothing"
    return text + "."
