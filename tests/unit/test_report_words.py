import pytest

from smlmbench.report import words
from smlmbench.report.boards.planned import Planned
from smlmbench.report.model import Asked, Estimate, Gap


@pytest.mark.parametrize(
    ("values", "places"), [([0.5, None], 3), ([], 3), ([-7.0], 2), ([83.1, 0.2], 1), ([12345.0], 0)]
)
def test_decimals_suit_the_whole_column(values, places):
    assert words.decimals(values) == places


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (83.14, 1, "83.1"),
        (-6.2, 1, "−6.2"),
        (-0.0001, 1, "0.0"),
        (1366000, 0, "1,366,000"),
        (None, 1, "–"),
        (float("nan"), 1, "–"),
    ],
)
def test_numbers_as_text(value, places, text):
    assert words.number(value, places) == text


def test_a_value_with_its_interval():
    assert words.with_interval(Estimate(83.1, 82.02, 84.19)) == "83.1 [82.0, 84.2]"
    assert words.with_interval(Estimate(83.1)) == "83.1"


@pytest.mark.parametrize(("ms", "text"), [(0.9034, "0.903"), (14.26, "14.3"), (2345.6, "2,346"), (None, "–")])
def test_latency_has_three_digits(ms, text):
    assert words.milliseconds(ms) == text


def test_titles():
    registered = Planned({"columns": {"rmse_nm": {}}}).asked("any")
    assert registered.title("rmse_nm") == "RMSE (nm)"
    assert registered.title("never_registered") == "never_registered"
    stated = {"photons_r": {"unit": ""}, "gap": {"unit": "nm"}, "gap_nm": {"unit": "nm"}, "own": {"title": "Own name"}}
    asked = Asked("any", "gap", "up", measured=stated)
    assert [asked.title(name) for name in stated] == ["photons_r", "gap (nm)", "gap_nm", "Own name"]


def test_names_are_listed():
    assert words.listed(["a"]) == "a"
    assert words.listed(["a", "b", "c"]) == "a, b and c"


def test_the_ends_of_a_distance_turn_where_smaller_is_better():
    assert words.distance(Gap(-3.0, -4.0, -2.0)) == Estimate(3.0, 2.0, 4.0)
    assert words.distance(Gap(3.0, 2.0, 4.0)) == Estimate(3.0, 2.0, 4.0)
    assert words.with_interval(words.distance(Gap(3.0, None, 4.0))) == "3.00"
