"""Numbers in the names of files that belong together: their order, and what looks like the rest of one movie."""

import re
from collections.abc import Sequence
from itertools import pairwise, zip_longest
from pathlib import Path

from smlmbench.errors import FormatError

# The end of a part's name: NAME_2, NAME-2, NAME (2), NAME_X2 (Andor), NAME_part2; more digits are dates and times.
PART = re.compile(r"(.+?)([_\-. ]+(?:x|t|part|file|stack|split|seg|segment)?[_\-. ]?\(?)(\d{1,4})\)?", re.IGNORECASE)
# What Micro-Manager calls the further files of a stack.
LATER = re.compile(r"(.*(?:_MMStack|NDTiffStack).*?)_[1-9]\d{0,2}((?:\.ome)?\.tiff?)", re.IGNORECASE)
ENDS = re.compile(r"(\.ome)?\.\w+$", re.IGNORECASE)
# Words before a number that tell movies of one experiment apart, not the parts of one movie.
OTHERS = re.compile(
    r"c|ch|chan|channel|w|wave|wavelength|z|p|pos|position|s|site|stage|scene|series|xy|fov|field|roi|well|cell"
    r"|sample|rep|repeat|replicate|run|day|exp|experiment|dish|slide|plate",
    re.IGNORECASE,
)


def ordered(path: Path, files: Sequence[Path]) -> list[Path]:
    """Files of a folder by the one number in which their names differ.

    Raises:
        FormatError: Names that differ in more, or a number that does not grow in equal steps.
    """
    parts = {file: re.split(r"(\d+)", file.name) for file in files}
    names = sorted(parts.values())
    pairs = (pair for other in names for pair in enumerate(zip_longest(names[0], other)))
    differing = {place for place, (first, other) in pairs if first != other}
    if any(place % 2 == 0 for place in differing) or len(differing) > 1:
        raise FormatError(
            f"folder '{path}': the order of '{''.join(names[0])}' and '{''.join(names[-1])}' is in doubt; names may"
            " differ in one number only, move or rename the others"
        )
    if not differing:
        return list(files)
    place = differing.pop()
    numbers = {file: int(part[place]) for file, part in parts.items()}
    inorder = sorted(files, key=numbers.__getitem__)
    steps = [numbers[after] - numbers[before] for before, after in pairwise(inorder)]
    least = min(steps)
    odd = [at for at, step in enumerate(steps) if step != least]
    if odd or least < 1:
        at = odd[0] if odd else 0
        raise FormatError(
            f"folder '{path}': '{inorder[at].name}' is followed by '{inorder[at + 1].name}', other steps are of"
            f" {least}; copy the missing files, or number the files without gaps"
        )
    return inorder


def in_parts(path: Path, files: Sequence[Path]) -> list[Path]:
    """The parts of one movie in a folder: numbered without gaps from 0 or 1, or from 1 or 2 after one without number.

    Raises:
        FormatError: As `ordered`, a part is missing, or the number seems to count something else.
    """
    if len(files) == 1 and not PART.fullmatch(ENDS.sub("", files[0].name)):
        return list(files)
    whole = _unnumbered(files)
    rest = [file for file in files if file != whole]
    inorder = ordered(path, rest)
    first, *more = (re.split(r"(\d+)", file.name) for file in inorder)
    places = [at for at, pair in enumerate(zip(first, more[0], strict=True)) if pair[0] != pair[1]] if more else []
    at = places[0] if places else max(range(1, len(first), 2), default=0)
    numbers = [int(name[at]) for name in (first, *more)] if at else []
    begins = (1, 2) if whole else (0, 1)
    if numbers and (numbers[0] not in begins or (len(numbers) > 1 and numbers[1] != numbers[0] + 1)):
        raise FormatError(
            f"folder '{path}': its stacks are numbered {', '.join(map(str, numbers[:4]))}"
            f"{' ...' if numbers[4:] else ''} where {' or '.join(map(str, begins))} comes first and none is left out;"
            " copy the missing files, or rename these"
        )
    word = re.sub(r"[\d\W_]+$", "", first[at - 1]) if at else ""
    word = re.split(r"[\d\W_]+", word)[-1]
    if OTHERS.fullmatch(word) and len(files) > 1:
        raise FormatError(
            f"folder '{path}': '{inorder[0].name}' and '{inorder[-1].name}' are stacks numbered by '{word}', perhaps"
            " several movies; give one of them, or name the parts of one movie part1, part2 ..."
        )
    return [*([whole] if whole else []), *inorder]


def _unnumbered(files: Sequence[Path]) -> Path | None:
    """The file NAME among NAME_1, NAME_2 ..., or None."""
    found = [PART.fullmatch(ENDS.sub("", file.name)) for file in files]
    bases = {part[1] for part in found if part}
    plain = [file for file in files if ENDS.sub("", file.name) in bases]
    return plain[0] if len(plain) == 1 and len(files) > 1 else None


def continuing(path: Path) -> list[Path]:
    """Files beside one whose names continue its own, or that its own continues; sorted by their numbers.

    NAME is continued by NAME_1 or NAME_2, which NAME_2 or NAME_3 continues, and so on.
    """
    end = ENDS.search(path.name)
    stem, suffix = (path.name[: end.start()], end[0]) if end else (path.name, "")
    own = PART.fullmatch(stem)
    family: dict[tuple[str, str], dict[int, Path]] = {}
    for file in path.parent.iterdir():
        if not file.name.endswith(suffix) or file == path:
            continue
        part = PART.fullmatch(file.name.removesuffix(suffix))
        if part is not None:
            family.setdefault((part[1], part[2].lower()), {})[int(part[3])] = file
    for (base, _), found in family.items():
        if base == stem and {1, 2} & found.keys():
            return [found[number] for number in sorted(found)]
    if own is None:
        return []
    number, found = int(own[3]), family.get((own[1], own[2].lower()), {})
    near = {number - 1, number + 1} & found.keys()
    first = path.with_name(own[1] + suffix)
    lead = [first] if first.is_file() and (number in (1, 2) or near) else []
    return lead + ([found[number] for number in sorted(found)] if near else [])
