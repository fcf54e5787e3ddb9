"""Whatever a name or a reason says, it stays text in every file of a report."""

import re
import string

from hypothesis import given
from hypothesis import strategies as st

from smlmbench.figures import scale_bar_nm
from smlmbench.report import words
from smlmbench.report.boards.frame import FORMULA, harmless
from smlmbench.report.page import LATEX, MARKDOWN

DANGEROUS = st.text(alphabet=string.printable + "λ|<>&\\`*[]{}%$#_~^=+-@", max_size=60)


@given(DANGEROUS)
def test_no_spreadsheet_runs_a_text(text):
    written = harmless(text)
    assert text in written
    try:
        float(written)
    except ValueError:
        assert not written.startswith(FORMULA)


@given(DANGEROUS)
def test_markdown_neither_breaks_a_table_nor_makes_tags_or_links(text):
    written = text.translate(MARKDOWN)
    assert not set(written) & set("<>\n\r")
    assert not re.search(r"(?<!\\)(?:\\\\)*[|\[\]*`]", written)


@given(DANGEROUS)
def test_latex_runs_no_command_of_a_text(text):
    written = text.translate(LATEX)
    for command in ("textbackslash{}", "textasciitilde{}", "textasciicircum{}", "lambda"):
        written = written.replace("\\" + command, "")
    assert not re.search(r"\\[A-Za-z]", written)
    assert not re.search(r"(?<!\\)[&%#_{}~^]", written)


@given(st.floats(min_value=1.0, max_value=1e7))
def test_a_scale_bar_is_a_tenth_to_three_tenths_of_the_field(width_nm):
    length = scale_bar_nm(width_nm)
    assert 0.1 * width_nm <= length <= 0.3 * width_nm * (1 + 1e-6)
    assert f"{length:.0e}"[0] in "125" or length < 1


@given(st.floats(min_value=-1e6, max_value=1e6), st.integers(min_value=0, max_value=4))
def test_a_number_reads_back(value, places):
    read = float(words.number(value, places).replace("−", "-").replace(",", ""))
    assert abs(read - value) <= 0.5 * 10**-places * (1 + 1e-6) + 1e-9
