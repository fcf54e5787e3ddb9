import pytest
from report_record import BOTH, LOW, Builder, frames

from smlmbench.report.boards import make_boards
from smlmbench.report.boards.frame import lines
from smlmbench.report.boards.rows import join
from smlmbench.report.tables.board import board_table
from smlmbench.report.words import answer


@pytest.fixture
def builder(tmp_path):
    return Builder(tmp_path)


def board_of(builder):
    boards = make_boards(builder.plan, join(builder.record))
    assert len(boards) == 1
    boards[0].answer = answer(boards[0])
    return boards[0]


def line(board, name):
    return next(entry for entry in [*board.entries, *board.others] if entry.name == name)


def test_repeats_become_one_line_and_a_clear_difference_is_a_win(builder):
    builder.trained("good", [0.9, 0.91, 0.9], ms=5.0)
    builder.trained("fair", [0.6, 0.61, 0.6], ms=1.0)
    board = board_of(builder)
    assert [(e.name, e.rank, e.verdict, e.best) for e in board.entries] == [
        ("good", "1", "best", True),
        ("fair", "2", "behind the best", False),
    ]
    assert len(board.entries[0].rows) == 3
    assert board.answer[0] == "Best on sim: good (l1l2, λ = 50)."
    assert "The next, fair, is behind by" in " ".join(board.answer)
    assert "It takes 5 ms per frame." in board.answer


def test_a_difference_that_cannot_be_told_from_chance_is_a_tie(builder):
    builder.trained("one", [0.9, 0.8, 0.7], ms=5.0)
    builder.trained("two", [0.75, 0.85, 0.7], ms=1.0)
    builder.trained("far", [0.2, 0.2, 0.2], ms=0.1)
    board = board_of(builder)
    assert [(e.name, e.rank, e.best) for e in board.entries] == [
        ("one", "1=", True), ("two", "1=", True), ("far", "3", False),
    ]  # fmt: skip
    assert board.answer[0] == "Best on sim: one (l1l2, λ = 50), tied with two."
    assert "Fastest within the interval of the best: two, 1 ms per frame." in board.answer


def test_the_pick_is_made_on_validation_not_on_test(builder):
    builder.trained("net", [0.9, 0.9], val=60.0, lam="10")
    builder.trained("net", [0.7, 0.7], val=65.0, lam="20")
    board = board_of(builder)
    assert [(e.rows[0].labels["lambda"], e.picked, e.trials) for e in board.entries] == [("20", True, 2)]
    assert [(e.rows[0].labels["lambda"], e.rank, e.best) for e in board.others] == [("10", "", False)]


def test_a_down_metric_picks_and_ranks_the_smallest(tmp_path):
    builder = Builder(tmp_path, primary={"name": "rmse_nm", "direction": "down"})
    for name, values in {"near": (10.0, 11.0, 10.5), "far": (40.0, 41.0, 40.5)}.items():
        for lam, extra in (("1", 0.0), ("2", 3.0)):
            for repeat, value in enumerate(values):
                run = builder.done(builder.cell(name, repeat, lam=lam), {"low": {"rmse_nm": value + extra}})
                run.metrics["val/rmse_nm"] = value + extra
    board = board_of(builder)
    assert [(e.name, e.rank, e.rows[0].labels["lambda"]) for e in board.entries] == [
        ("near", "1", "1"),
        ("far", "2", "1"),
    ]


def test_the_line_with_the_most_repeats_is_picked_and_the_better_one_is_named(builder):
    builder.trained("net", [0.8, 0.8, 0.8], lam="10")
    builder.trained("net", [0.9, 0.9], lam="20")
    builder.run(builder.cell("net", 2, lam="20"), "failed", reason="DivergedError")
    board = board_of(builder)
    assert board.entries[0].rows[0].labels["lambda"] == "10"
    assert "first on validation: l1l2 λ = 20 with 2 repeats" in board.entries[0].flags[0]
    assert any("2 of 3 repeats count (repeat 2 failed)" in flag for flag in board.others[0].flags)


def test_a_row_says_that_its_batches_were_halved(builder):
    builder.trained("net", [0.8, 0.8, 0.8])
    builder.record.runs[1].params["batch_parts"] = "2"
    assert (
        "1 of 3 repeats saw each batch in halves, for want of memory on their device"
        in board_of(builder).entries[0].flags
    )


def test_a_board_says_that_its_rows_were_trained_in_several_number_formats(builder):
    builder.trained("net", [0.8, 0.8, 0.8])
    builder.trained("other", [0.7, 0.7, 0.7])
    runs = [run for run in builder.record.runs if run.role == "cell"]
    for run in runs:
        run.params["number_format"] = "bf16"
    board = board_of(builder)
    assert not any("bf16" in text for text in (*board.notes, *board.entries[0].flags))
    runs[1].params["number_format"] = "fp32"
    board = board_of(builder)
    mixed, whole = sorted(board.entries, key=lambda entry: -len(entry.flags))
    assert mixed.flags[-1] == "its 3 repeats were not trained in one number format: 2 in bf16, 1 in fp32"
    assert not any("number format" in flag for flag in whole.flags)
    both = ", ".join(entry.label for entry in board.entries)
    assert f"Trained in bf16: {both}; in fp32: {mixed.label}. Left to itself" in " ".join(board.notes)


def test_a_distilled_student_competes_beside_its_plain_twin(builder):
    builder.trained("net", [0.8, 0.8])
    builder.trained("net", [0.9, 0.9], method="hint", teacher="big")
    board = board_of(builder)
    assert {entry.label: entry.picked for entry in board.entries} == {"net": True, "net ← big (hint)": True}


def test_settings_are_written_where_lines_of_one_name_differ(builder):
    builder.trained("net", [0.8, 0.8], settings={"blocks": 4, "width": 8})
    builder.trained("net", [0.9, 0.9], settings={"blocks": 6, "width": 8})
    board = board_of(builder)
    assert board.entries[0].label == "net [blocks=6]"
    assert board.others[0].label == "net [blocks=4]"


def test_one_repeat_is_never_a_win(builder):
    builder.trained("good", [0.9])
    builder.trained("bad", [0.1])
    board = board_of(builder)
    assert board.not_ranked.startswith("one repeat")
    assert not any(entry.best or entry.rank for entry in board.entries)
    assert board.answer[0] == "One repeat: sim is not ranked, no row is declared best."


def test_a_single_repeat_among_others_stands_aside(builder):
    builder.trained("one", [0.5, 0.5, 0.5])
    builder.trained("single", [0.9])
    board = board_of(builder)
    assert (line(board, "single").rank, line(board, "single").best) == ("", False)
    assert line(board, "one").best
    assert "One repeat, so not ranked: single." in board.notes


def test_two_repeats_are_said_to_be_few(builder):
    builder.trained("one", [0.5, 0.5])
    assert any("Fewer than the 3 repeats" in note for note in board_of(builder).notes)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"truth_kind": "pseudo"}, "pseudo truth"),
        ({"shared_structure": True}, "shared-structure"),
        ({"tags": ["shared-structure"]}, "shared-structure"),
    ],
)
def test_data_that_cannot_rank_are_not_ranked(tmp_path, facts, said):
    builder = Builder(tmp_path, {"low": LOW["low"] | facts})
    builder.trained("good", [0.9, 0.9, 0.9], ms=1.0)
    board = board_of(builder)
    assert board.not_ranked.startswith(said)
    assert not any(entry.best or entry.rank or entry.on_front for entry in board.entries)
    assert "not ranked" in board.answer[0]


def test_above_one_emitter_per_um2_best_needs_both_numbers(tmp_path):
    builder = Builder(tmp_path, BOTH)
    numbers = {"sharp": (90.0, 0.2), "honest": (60.0, 0.8)}
    for name, (first, second) in numbers.items():
        for repeat in range(3):
            dense = {"efficiency": first + repeat / 10, "mjac_c": second + repeat / 1000}
            scores = {"low": {"efficiency": first + repeat / 10}, "high": dense}
            builder.done(builder.cell(name, repeat), scores, val=first)
    board = board_of(builder)
    assert board.section.second_on == ("high",)
    assert not any(entry.best for entry in board.entries)
    assert any("disagree: sharp leads in efficiency, honest in mjac_c" in note for note in board.notes)
    assert board.answer[0] == "No single best on sim."
    assert line(board, "sharp").verdict == "first in efficiency, behind in mjac_c"


def test_above_one_emitter_per_um2_a_row_first_in_both_is_best(tmp_path):
    builder = Builder(tmp_path, {"high": BOTH["high"]})
    for name, (first, second) in {"good": (90.0, 0.8), "fair": (60.0, 0.5)}.items():
        for repeat in range(3):
            scores = {"efficiency": first + repeat / 10, "mjac_c": second + repeat / 1000}
            builder.done(builder.cell(name, repeat), {"high": scores}, val=first)
    board = board_of(builder)
    assert [entry.best for entry in board.entries] == [True, False]
    assert "mjac_c 0.801" in board.answer[1]


def test_without_the_second_number_there_is_no_best(tmp_path):
    builder = Builder(tmp_path, {"high": BOTH["high"]})
    builder.trained("net", [0.9, 0.9], conditions=["high"])
    board = board_of(builder)
    assert not board.entries[0].best
    assert board.answer[1] == "net (l1l2, λ = 50) leads in efficiency, but mjac_c is not stored."
    assert board.entries[0].verdict == "first in efficiency, mjac_c is not stored"


def test_the_density_may_come_from_what_was_measured(tmp_path):
    builder = Builder(tmp_path, {"low": {"truth_kind": "designed"}})
    run = builder.done(builder.cell("net"), {"low": frames(0.9, 20)})
    path = run.folder / "metrics.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text[:-1] + ', "facts": {"low": {"density_per_um2": 1.5}}}', encoding="utf-8")
    assert board_of(builder).section.second_on == ("low",)


def test_rows_below_a_reference_are_flagged_in_words(builder):
    builder.trained("weak", [0.4, 0.4, 0.4])
    builder.trained("strong", [0.9, 0.9, 0.9])
    builder.reference("peaks", {"low": frames(0.6, 20)}, knows=["psf"])
    board = board_of(builder)
    flag = line(board, "weak").flags[0]
    assert flag.startswith("below peaks, which needs no training (efficiency 36.8 against 55.3)")
    assert line(board, "strong").flags == []
    assert "not above it: weak." in " ".join(board.answer)
    assert [entry.name for entry in board.entries] == ["strong", "peaks", "weak"]


def test_a_row_that_is_above_the_best_reference_by_chance_says_so(builder):
    builder.trained("clear", [0.9, 0.9, 0.9])
    builder.trained("shaky", [0.9, 0.6, 0.65])
    builder.reference("peaks", {"low": frames(0.7, 20)})
    builder.reference("weak", {"low": frames(0.2, 20)})
    board = board_of(builder)
    assert line(board, "clear").flags == []
    (flag,) = line(board, "shaky").flags
    assert flag.startswith("not surely above peaks, the best row without training (difference +")
    low, high = map(float, flag.partition("[")[2].rstrip("])").split(","))
    assert low < 0 < high


def test_a_row_without_the_primary_number_is_compared_by_its_image(builder):
    for repeat in range(2):
        builder.done(builder.cell("net", repeat), {"low": {"efficiency": 50.0, "nmse_star": 0.9}}, val=50.0)
    builder.reference("bicubic", {"low": {"nmse_star": 0.8}}, gives="image")
    builder.reference("blank", {"low": {"nmse_star": 1.0}}, gives="image")
    flags = line(board_of(builder), "net").flags
    assert flags == ["worse than bicubic, which needs no training (NMSE* 0.9 against 0.8)"]


def test_a_row_above_a_bound_that_knew_the_truth_is_questioned(builder):
    builder.trained("net", [0.95, 0.95])
    builder.reference("oracle", {"low": frames(0.9, 20)}, knows=["positions", "psf"], ceiling=True)
    board = board_of(builder)
    assert "above oracle, which was told the truth" in line(board, "net").flags[0]
    assert not any("best reference" in sentence for sentence in board.answer)


@pytest.mark.parametrize("protocol", ["challenge-2016", "smlmbench-2"])
def test_numbers_of_two_protocols_never_share_a_board(builder, protocol):
    builder.trained("new", [0.9, 0.9])
    builder.done(builder.cell("old"), {"low": frames(0.8, 20)}, val=80.0, protocol=protocol)
    boards = make_boards(builder.plan, join(builder.record))
    assert [(board.protocol, [e.name for e in board.entries]) for board in boards] == [
        ("smlmbench-1", ["new"]),
        (protocol, ["old"]),
    ]


def test_only_picks_stand_on_the_front(builder):
    builder.trained("slow", [0.9, 0.9], ms=9.0)
    builder.trained("fast", [0.5, 0.5], ms=1.0)
    builder.trained("beaten", [0.4, 0.4], ms=2.0)
    builder.trained("fast", [0.99, 0.99], ms=0.5, lam="9", val=1.0)
    board = board_of(builder)
    assert {entry.name: entry.on_front for entry in board.entries} == {"slow": True, "fast": True, "beaten": False}
    assert not any(entry.on_front for entry in board.others)


def test_unfinished_and_lost_rows_are_said(builder):
    builder.trained("net", [0.9, 0.9])
    builder.cell("later")
    builder.run(builder.cell("broken"), "failed", reason="DivergedError")
    board = board_of(builder)
    assert "No finished row: later, broken (reasons in the table of all rows)." in board.notes
    assert "Provisional: 1 planned rows are not finished." in board.answer


def test_a_board_without_numbers_says_so(builder):
    builder.cell("net")
    board = board_of(builder)
    assert board.answer == ["Nothing to compare on sim yet: none of 1 planned trainings is finished and scored."]


def test_several_lines_without_a_validation_score_do_not_compete(builder):
    for lam in ("1", "2"):
        builder.done(builder.cell("net", lam=lam), {"low": frames(0.9, 20)})
    board = board_of(builder)
    assert board.competitors == []
    assert "net: no validation score is stored, so none of its rows competes." in board.notes


def test_reasons_of_absent_numbers_stand_below_the_table(builder):
    builder.done(builder.cell("net"), {"low": {"efficiency": 50.0}}, reasons={"rmse_nm": "no matched pair"})
    assert "n/a: no matched pair (net rmse_nm)." in board_of(builder).notes


def test_each_wiring_of_a_network_has_a_pick_of_its_own(builder):
    builder.trained("net", [0.9, 0.9], val=60.0, lam="10")
    builder.trained("net", [0.7, 0.7], val=65.0, lam="20")
    for cell in builder.plan["cells"][2:]:
        cell["settings"] = {"variant": "seed"}
    for cell in builder.plan["cells"][:2]:
        cell["settings"] = {"variant": "published"}
    board = board_of(builder)
    assert [(e.entrant[0], e.picked) for e in board.entries] == [("net", True), ("net (seed)", True)]
    assert board.others == []


def test_each_number_of_frames_seen_has_a_pick_and_the_board_tells_it(builder):
    builder.trained("net", [0.9, 0.9], val=60.0, lam="10")
    builder.trained("net", [0.7, 0.7], val=65.0, lam="20")
    for count, cell in zip((1, 1, 3, 3), builder.plan["cells"], strict=True):
        cell |= {"settings": {"context": count}, "context_frames": count}
    board = board_of(builder)
    assert [(e.entrant[0], e.picked) for e in board.entries] == [("net", True), ("net (3 frames)", True)]
    table = board_table(board)
    at = [column.title for column in table.columns].index("Frames seen")
    assert [cells[at].text for _, cells in table.rows] == ["1", "3"]
    assert list(lines([board]).drop_duplicates("line")["context_frames"]) == [1, 3]
    for cell in builder.plan["cells"]:
        cell["settings"], cell["context_frames"] = {"blocks": cell["context_frames"]}, 1
    assert "Frames seen" not in [column.title for column in board_table(board_of(builder)).columns]
