"""The leaderboard in a real browser: what its script does, and what a reader without scripts has."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_record import full_builder, hostile

from smlmbench.report.access import Access
from smlmbench.report.page import build_report

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not here: pip install 'smlmbench[browser]'")
wait = pytest.importorskip("selenium.webdriver.support.wait")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
AXE = Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js"
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
    made = full_builder(tmp_path_factory.mktemp("runs"))
    for shade, run in enumerate(run for run in made.runs if run.status == "done"):
        (run.folder / "figures").mkdir()
        for condition in ("low", "high"):
            image = Image.fromarray(np.full((30, 120, 3), 20 * shade, dtype=np.uint8))
            image.save(run.folder / "figures" / f"{condition}.png")
    access = Access(("--store", "my store"), "http://127.0.0.1:9")
    out = tmp_path_factory.mktemp("out")
    files = build_report(made.record, out, history=lambda run, key: [(100, 40.0), (200, 60.0)], access=access)
    return files.html.as_uri()


def names(browser, part, column):
    return browser.execute_script(
        "const t = document.querySelector(arguments[0] + ' table.sortable');"
        "return [...t.tBodies[0].rows].filter(r => r.offsetParent !== null)"
        ".map(r => [...r.cells].find(c => c.dataset.label === arguments[1]).firstChild.textContent.trim())",
        part, column,
    )  # fmt: skip


def media(browser, **more):
    """Light, but for what is asked otherwise."""
    scheme = {"name": "prefers-color-scheme", "value": more.get("scheme", "light")}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": more.get("media", ""), "features": [scheme]})


def sized(browser, width):
    media(browser)
    facts = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", facts)


def follow(browser, link, target):
    """Click a link to something folded, which is unfolded in an event of its own."""
    link.click()
    wait.WebDriverWait(browser, 20).until(lambda _: target.is_displayed())


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
    link = browser.find_element("css selector", "#board-0 a[href='#row-0-0']")
    follow(browser, link, detail.find_element("tag name", "svg"))
    assert "blocks = 4" in detail.text


def test_a_row_leads_to_its_pictures_and_they_lead_back(browser, page):
    sized(browser, 1300)
    browser.get(page)
    row = browser.find_element("id", "row-0-0")
    link = browser.find_element("css selector", "#board-0 a[href='#row-0-0']")
    follow(browser, link, row.find_element("tag name", "svg"))
    links = row.find_elements("css selector", "a[href^='#picture']")
    assert [link.text for link in links] == ["high", "low"]
    picture = browser.find_element("id", links[1].get_attribute("href").partition("#")[2])
    assert not picture.is_displayed()  # the other condition is open
    follow(browser, links[1], picture)
    assert picture.text.startswith("good (l1l2, λ = 50) on low: ")
    top = browser.execute_script("return arguments[0].getBoundingClientRect().top", picture)
    assert -1 <= top < 900
    picture.find_element("tag name", "a").click()
    assert browser.execute_script("return location.hash") == "#row-0-0"


def test_charts_have_a_link_where_a_server_is_known(browser, page):
    browser.get(page)
    link = browser.find_element("link text", "Charts in MLflow").get_attribute("href")
    assert link.startswith("http://127.0.0.1:9/#/experiments/7/runs?compareRunsMode=CHART")
    assert "smlmbench ui" not in browser.find_element("tag name", "body").text


def test_the_whole_command_is_seen_on_a_phone(browser, page):
    sized(browser, 390)
    browser.get(page)
    line = browser.find_element("css selector", ".questions pre")
    assert line.text == "smlmbench predict run-c000-0 movie.tif --camera camera.yaml -o results --store 'my store'"
    assert browser.execute_script("return arguments[0].scrollWidth <= arguments[0].clientWidth", line)


LUMINANCE = """
const parts = getComputedStyle(document.body)[arguments[0]].match(/[\\d.]+/g).map(Number);
return (0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]) / 255;
"""


def test_dark_is_dark_and_paper_stays_white(browser, page):
    sized(browser, 1300)
    browser.get(page)

    def seen(**more):
        media(browser, **more)
        return [browser.execute_script(LUMINANCE, name) for name in ("backgroundColor", "color")]

    paper, ink = seen(scheme="light")
    assert paper > 0.9 > 0.2 > ink
    paper, ink = seen(scheme="dark")
    assert paper < 0.2 < 0.8 < ink
    paper, ink = seen(scheme="dark", media="print")
    assert paper > 0.9 > 0.2 > ink


@pytest.mark.skipif(not shutil.which("pdftotext"), reason="needs pdftotext (poppler-utils)")
def test_on_paper_no_heading_is_empty_or_alone_at_the_foot(browser, page, tmp_path):
    sized(browser, 1300)
    browser.get(page)
    headings = {one.text for one in browser.find_elements("css selector", "h2, h3, dt, .gallery summary") if one.text}
    made = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    (tmp_path / "page.pdf").write_bytes(base64.b64decode(made["data"]))
    asked = ["pdftotext", "-layout", str(tmp_path / "page.pdf"), "-"]
    said = subprocess.run(asked, capture_output=True, check=True, text=True).stdout
    pages = [[line.strip() for line in text.splitlines() if line.strip()] for text in said.split("\f") if text.strip()]
    assert len(pages) > 3
    assert {"Gallery", "All rows"} <= headings
    assert {"Gallery", "All rows"} <= {line for lines in pages for line in lines}
    feet = [re.sub(r"^[▸▾▼►] *", "", lines[-1]) for lines in pages]
    assert not headings.intersection(feet)
    assert "Row by row" not in said  # its rows are folded, which paper cannot unfold
    assert "curve, settings, runs" not in said


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not here: npm install axe-core")
@pytest.mark.parametrize("width", [1300, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(browser, page, width, scheme):
    sized(browser, width)
    media(browser, scheme=scheme)
    browser.get(page)
    browser.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    browser.execute_script(AXE.read_text(encoding="utf-8"))
    found = browser.execute_async_script("axe.run().then(arguments[0])")
    assert len(found["passes"]) > 20
    faults = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    assert not faults, json.dumps(faults, indent=1)[:3000]


def test_on_a_phone_rows_are_cards_and_nothing_is_wider_than_the_screen(browser, page):
    sized(browser, 390)
    browser.get(page)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    assert browser.execute_script(WIDEST) <= 390
    tall = browser.execute_script("return document.querySelector('#rows .scroll').getBoundingClientRect().height")
    assert tall <= 900  # hundreds of rows do not stand between a reader and what comes after them
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
