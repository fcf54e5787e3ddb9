"""The leaderboard in a real browser: what its script does, and what a reader without scripts has."""

import shutil

import pytest
from report_record import full_builder, hostile

from smlmbench.report.page import build_report

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not here: pip install 'smlmbench[browser]'")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM or not DRIVER, reason="needs chromium and chromedriver on the PATH"),
]
WIDEST = """
const seen = (one) => one.checkVisibility() && !one.closest(".pan, pre, .skip, caption");
const shown = [...document.querySelectorAll("body *")].filter(seen);
return Math.max(...shown.map((one) => one.getBoundingClientRect().right));
"""


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for one in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(one)
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    made.set_page_load_timeout(120)
    yield made
    made.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    record = full_builder(tmp_path_factory.mktemp("runs")).record
    out = tmp_path_factory.mktemp("out")
    return build_report(record, out, history=lambda run, key: [(100, 40.0), (200, 60.0)]).html.as_uri()


def names(browser, part, column):
    return browser.execute_script(
        "const t = document.querySelector(arguments[0] + ' table.sortable');"
        "return [...t.tBodies[0].rows].filter(r => r.offsetParent !== null)"
        ".map(r => [...r.cells].find(c => c.dataset.label === arguments[1]).firstChild.textContent.trim())",
        part, column,
    )  # fmt: skip


def sized(browser, width):
    facts = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", facts)


def test_a_heading_sorts_and_a_choice_and_a_word_filter(browser, page):
    sized(browser, 1300)
    browser.get(page)
    assert names(browser, "#board-0", "Row") == ["good", "peaks", "weak", "random"]
    browser.find_element("xpath", "//section[@id='board-0']//th/button[.='Row']").click()
    assert names(browser, "#board-0", "Row") == ["good", "peaks", "random", "weak"]
    browser.find_element("xpath", "//section[@id='board-0']//th/button[.='Latency (ms)']").click()
    assert names(browser, "#board-0", "Row")[:2] == ["weak", "good"]
    status = browser.find_element("xpath", "//section[@id='rows']//label[starts-with(., 'Status')]/select")
    status.find_element("xpath", "option[.='failed']").click()
    assert names(browser, "#rows", "Row") == ["broken"]
    assert browser.find_element("css selector", "#rows output").text == "1 of 14 rows"
    status.find_element("xpath", "option[.='all']").click()
    browser.find_element("css selector", "#rows input[type=search]").send_keys("WEAK 0.3")
    assert set(names(browser, "#rows", "Row")) == {"weak"}


def test_a_column_can_be_hidden_and_the_heading_above_shrinks(browser, page):
    sized(browser, 1300)
    browser.get(page)
    browser.find_element("css selector", "#board-0 .tools summary").click()
    browser.find_element("xpath", "//section[@id='board-0']//label[.='Trials']/input").click()
    assert not browser.find_element("css selector", "#board-0 td[data-label=Trials]").is_displayed()
    above = browser.find_elements("css selector", "#board-0 .groups > *")
    spans = [int(cell.get_attribute("colspan")) for cell in above if cell.is_displayed()]
    heads = browser.find_elements("css selector", "#board-0 table.board thead tr:last-child th")
    assert sum(spans) == sum(head.is_displayed() for head in heads) == len(heads) - 1


def test_a_row_leads_to_its_details(browser, page):
    sized(browser, 1300)
    browser.get(page)
    detail = browser.find_element("id", "row-0-0")
    assert not detail.find_element("tag name", "svg").is_displayed()
    browser.find_element("css selector", "#board-0 a[href='#row-0-0']").click()
    assert detail.find_element("tag name", "svg").is_displayed()
    assert "blocks = 4" in detail.text


def test_on_a_phone_rows_are_cards_and_nothing_is_wider_than_the_screen(browser, page):
    sized(browser, 390)
    browser.get(page)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    assert browser.execute_script(WIDEST) <= 390
    title = "return getComputedStyle(document.querySelector('#board-0 td[data-label=Trials]'), '::before').content"
    assert browser.execute_script(title) == '"Trials"'


def test_without_scripts_everything_is_there(browser, page):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        sized(browser, 1300)
        browser.get(page)
        assert not browser.find_elements("css selector", ".tools, th button")
        assert len(browser.find_elements("css selector", "#rows tbody tr")) == 14
        browser.find_element("css selector", "#row-0-0 summary").click()
        assert "blocks = 4" in browser.find_element("id", "row-0-0").text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_hostile_text_is_text_nothing_complains_and_no_request_leaves(browser, page, tmp_path):
    files = build_report(hostile(tmp_path), tmp_path / "out")
    browser.get_log("browser")  # what was said before
    browser.get(files.html.as_uri())
    assert "<script>alert(1)</script>" in browser.find_element("tag name", "h1").text
    assert browser.execute_script("return document.scripts.length") == 1
    browser.get(page)
    assert browser.get_log("browser") == []
    asked = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert all(name.startswith("data:") for name in asked)
