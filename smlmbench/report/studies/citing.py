"""What a study stands on, as BibTeX, and how it was made, as a paragraph of a methods section: from the store alone."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from smlmbench.errors import SmlmBenchError, StoreError
from smlmbench.registry import ROOMS
from smlmbench.report.boards.planned import Planned
from smlmbench.report.boards.rows import join
from smlmbench.report.model import Record

# "Zhou, Wu, Wang, Huang 2023, Deep learning .... Biomedical Optics Express 14(4):1833-1847": how cards write a paper;
# all but the year may be absent, and "(about what)" may stand for a title that is not known.
PAPER = re.compile(
    r"(?:(?P<who>\D+?),? )?(?P<year>(?:19|20)\d\d)(?: \((?P<note>[^)]+)\))?"
    r"(?:, (?P<title>.+?))?(?:\. (?P<venue>.+))?"
)
JOURNAL = re.compile(r"(?P<journal>.+?)(?: (?P<volume>\d+)(?:\((?P<number>\d+)\))?:(?P<pages>[\w-]+))?")
PREPRINTS = ("arXiv", "bioRxiv")
FIELDS = ("author", "title", "journal", "booktitle", "howpublished", "volume", "number", "pages", "year")
SPECIAL = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)
# Labels of a planned row that name a registered thing, and its room.
NAMED = {"model": "models", "loss": "losses", "method": "recipes"}


@dataclass(frozen=True, slots=True)
class Work:
    """One entry of a bibliography: its key, the BibTeX, the doi (empty: none is known), what of the study it is for."""

    key: str
    bibtex: str
    doi: str
    used_for: Sequence[str]


@dataclass(frozen=True, slots=True)
class Citation:
    """Works that a study uses, and its methods in words."""

    study: str
    works: Sequence[Work]
    methods: str


def cite(record: Record) -> Citation:
    """The works behind all that a study planned and ran, and its settings as a paragraph.

    Raises:
        StoreError: The study has no plan.
    """
    if not record.plan:
        raise StoreError("the study has no plan.json in this store; run it once, then it can be cited")
    study = str(record.plan.get("study", "study"))
    return Citation(study, _works(record), " ".join(_methods(record)))


def _works(record: Record) -> list[Work]:
    """One entry for each paper, then for each thing without one; the harness first."""
    plan = record.plan
    version = str(plan.get("versions", {}).get("smlmbench", ""))
    catalog = Planned(plan).catalog
    about: dict[tuple[str, str, int], dict[str, str]] = {}
    uses: dict[tuple[str, str, int], list[str]] = {}
    harness = "smlmbench: a benchmark harness for deep learning in single-molecule localization microscopy"
    about["harness", "", 0] = {"title": harness, "note": f"Version {version}" if version else "", "key": "smlmbench"}
    uses["harness", "", 0] = ["harness"]
    for room, name in dict.fromkeys(_things(plan)):
        use = f"{ROOMS[room]} {name}"
        try:
            card = catalog.card(room, name)
        except SmlmBenchError:
            paper, doi, summary = "", "", "its file is not here"
        else:
            paper, doi, summary = card.paper or "", card.doi or "", card.summary
        if not paper and not doi and room not in ("models", "losses", "data"):
            continue
        of = ("paper", doi or paper) if paper or doi else (room, name)
        own = {"title": use, "note": f"{summary.removesuffix('.')}. Part of smlmbench"}
        for place, told in enumerate(_papers(paper) if paper else [own]):
            about.setdefault((*of, place), {"key": _key(told, name), **told, "doi": doi})
            uses.setdefault((*of, place), []).append(use)
    taken: Counter[str] = Counter()
    return [_work(facts, uses[of], taken) for of, facts in about.items()]


def _things(plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Room and name of all that rows and data of a plan name."""
    for item in plan.get("cells", []):
        labels = item.get("labels", {})
        yield from ((room, str(labels[label])) for label, room in NAMED.items() if labels.get(label))
    for item in plan.get("references", []):
        yield "references", str(item.get("reference", ""))
    for facts in plan.get("data", {}).values():
        for described in facts.get("train", {}).values():
            if described.get("kind"):
                yield "data", str(described["kind"])
            for part, room in (("psf", "psf"), ("structure", "structures")):
                if isinstance(described.get(part), Mapping) and described[part].get("name"):
                    yield room, str(described[part]["name"])
    for conditions in plan.get("conditions", {}).values():
        yield from (("data", str(facts["kind"])) for facts in conditions.values() if facts.get("kind"))
    for name in dict.fromkeys([*plan.get("tasks", {}), plan.get("task", "")]):
        yield from [("tasks", str(name))] if name else []


def _papers(text: str) -> list[dict[str, str]]:
    """Fields of the papers that a card names; of one that cannot be told apart the text is the title."""
    parts = text.split("; ")
    found = [PAPER.fullmatch(part) for part in parts]
    if None in found:
        year = re.search(r"\b(?:19|20)\d\d\b", text)
        return [{"title": text} | ({"year": year.group()} if year else {})]
    return [_paper({key: held or "" for key, held in one.groupdict().items()}) for one in found if one is not None]


def _paper(parts: Mapping[str, str]) -> dict[str, str]:
    who, others = re.subn(r",? et al\.$", "", parts["who"].strip())
    names = [name.strip() for name in who.split(",") if name.strip()]
    # "Yao B." is a family name with an initial.
    names = [re.sub(r"^(\S+) ((?:[A-Z]\.)+)$", r"\1, \2", name) for name in names]
    told = {"author": " and ".join([*names, *(["others"] if others else [])]), **_place(parts["venue"])}
    told |= {name: parts[name] for name in ("title", "year", "note")}
    return {name: value for name, value in told.items() if value}


def _place(venue: str) -> dict[str, str]:
    """Where a paper appeared: "In ..." are proceedings, a preprint has no journal."""
    if venue.startswith("In "):
        return {"booktitle": venue.removeprefix("In ")}
    if venue.startswith(PREPRINTS):
        return {"howpublished": venue}
    found = JOURNAL.fullmatch(venue)
    told = {} if found is None else {name: held or "" for name, held in found.groupdict().items()}
    return told | {"pages": told.get("pages", "").replace("-", "--")}


def _key(told: Mapping[str, str], name: str) -> str:
    first = re.split(r" and |,", told.get("author", ""))[0] or name
    plain = unicodedata.normalize("NFKD", first).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9_]", "", plain) + (told.get("year", "") if "author" in told else "")


def _work(facts: Mapping[str, str], used_for: Sequence[str], taken: Counter[str]) -> Work:
    base, doi = facts["key"] or "work", facts.get("doi", "")
    taken[base] += 1
    key = base if taken[base] == 1 else f"{base}_{taken[base]}"
    fields = {name: facts.get(name, "").translate(SPECIAL) for name in FIELDS}
    fields["title"] = fields["title"] and f"{{{fields['title']}}}"
    fields |= {} if fields["author"] else {"key": key}  # to be sorted by
    # A doi is an address: hyperref and biblatex take it as it is.
    fields["doi"] = re.sub(r"[{}\\\s]", "", doi)
    used = f"Used for: {', '.join(used_for)}" if used_for != ["harness"] else ""
    fields["note"] = "; ".join(filter(None, [facts.get("note", ""), used])).translate(SPECIAL)
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    kind = "article" if fields["journal"] else "inproceedings" if fields["booktitle"] else "misc"
    return Work(key, "\n".join([f"@{kind}{{{key},", *lines, "}"]), doi, list(used_for))


def _methods(record: Record) -> Iterator[str]:
    plan = record.plan
    versions, host = dict(plan.get("versions", {})), plan.get("host", {})
    own = str(versions.pop("smlmbench", "of unknown version"))
    yield f"The study {plan.get('study', 'study')} was made with smlmbench {own} ({_said(versions)})."
    for name, facts in plan.get("data", {}).items():
        yield from _data(name, facts, plan.get("conditions", {}).get(name, {}))
    yield from _trained(plan)
    references = {str(item.get("reference")): item.get("settings", {}) for item in plan.get("references", [])}
    if references:
        said = [f"{name} ({text})" if (text := _said(settings)) else name for name, settings in references.items()]
        yield f"References without training: {_listed(said)}."
    scoring = dict(plan.get("scoring", {}))
    protocol = scoring.pop("protocol", "") or plan.get("protocol", "")
    if protocol:
        yield f"Numbers follow the protocol {protocol}{f' ({_said(scoring)})' if scoring else ''}."
    asked = {name: Planned(plan).asked(name) for name in plan.get("conditions", {})}
    for (metric, way), names in _grouped(((one.primary, one.direction), name) for name, one in asked.items()):
        better = "lower" if way == "down" else "higher"
        yield f"On {_listed(names)} the models are ranked by {metric} ({better} is better)."
    yield (
        "Loss, λ, threshold and settings were chosen on validation; intervals are 95 %, the frames' part from a "
        "bootstrap within each repeat, the repeats' part from a t-interval; all pairs of ranked rows count (Holm)."
    )
    if host:
        yield f"Hardware and system: {_said(host)}."
    states = Counter(row.status for row in join(record))
    yield f"Rows: {', '.join(f'{count} {status}' for status, count in states.items())}."


def _data(name: str, facts: Mapping[str, Any], conditions: Mapping[str, Any]) -> Iterator[str]:
    trained = facts.get("train", {})
    for role, words in (("train", "Training"), ("val", "Validation")):
        described = trained.get(role, {})
        told = described if role == "train" else {k: v for k, v in described.items() if v != trained["train"].get(k)}
        if told:
            yield f"{words} data {name}: {_said(told)}."
    if conditions:
        tests = [f"{test} ({_said(said)})" for test, said in conditions.items()]
        yield f"Frozen test sets of {name}: {_listed(tests, '; ')}."


def _trained(plan: Mapping[str, Any]) -> Iterator[str]:
    cells = plan.get("cells", [])
    if not cells:
        return
    labels = [item.get("labels", {}) for item in cells]
    for model in dict.fromkeys(one.get("model", "") for one in labels):
        own = [item for item in cells if item.get("labels", {}).get("model") == model]
        losses: dict[str, dict[str, None]] = {}
        for item in own:
            losses.setdefault(item["labels"].get("loss", ""), {})[item["labels"].get("lambda", "")] = None
        with_losses = [f"{loss} (λ {', '.join(values)})" for loss, values in losses.items()]
        settings = _several([item.get("settings", {}) for item in own])
        yield f"Model {model}{f' ({settings})' if settings else ''} was trained with {_listed(with_losses)}."
    methods = dict.fromkeys(str(one.get("method", "")) for one in labels)
    teachers = dict.fromkeys(str(one["teacher"]) for one in labels if one.get("teacher") not in (None, "", "none"))
    taught = f" with {_listed(teachers)} as teacher" if teachers else ""
    yield f"Ways of training: {_listed(filter(None, methods))}{taught}."
    yield f"Training: {_several([item.get('training', {}) for item in cells])}."
    if output := _several([item.get("output", {}) for item in cells]):
        yield f"Outputs: {output}."
    yield f"Trainings of each kind: {plan.get('repeats', 1)}, from seed {plan.get('seed', 'unstated')}."


def _several(blocks: Sequence[Mapping[str, Any]]) -> str:
    """Settings of several rows: one value where they agree, else all that occur."""
    found: dict[str, dict[str, None]] = {}
    for block in blocks:
        for name, value in _flat(block):
            found.setdefault(name, {})[value] = None
    return ", ".join(f"{name} {' or '.join(values)}" for name, values in found.items())


def _said(block: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in _flat(block))


def _flat(block: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Names and values in words; a file by its name alone, what is not set not at all."""
    for name, value in block.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        elif value not in (None, "", [], ()):
            text = f"{value:g}" if isinstance(value, float) else str(value)
            yield f"{before}{name}", PurePath(text).name if "/" in text and " " not in text else text


def _grouped(pairs: Iterable[tuple[Any, str]]) -> list[tuple[Any, list[str]]]:
    found: dict[Any, list[str]] = {}
    for key, name in pairs:
        found.setdefault(key, []).append(name)
    return list(found.items())


def _listed(names: Iterable[str], between: str = ", ") -> str:
    return between.join(names)
