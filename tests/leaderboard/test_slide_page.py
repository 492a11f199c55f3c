"""The first part of the page in headless Chromium: the slide, its verdicts, folded rows, published figures."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import json
from pathlib import Path

import pytest
from conftest import absent
from made_up_verdicts import verdict
from test_leaderboard import PROTOCOL, lecture, make, write
from test_page import active, browser, contrast, css, press, shown, wait  # noqa: F401

from genbench.leaderboard import page
from genbench.leaderboard.board import boards
from genbench.leaderboard.claims import Lack
from genbench.leaderboard.folding import LONGEST_WHOLE
from genbench.leaderboard.reproductions import LIST
from genbench.leaderboard.slide.colours import INK, MARKS, QUIET
from genbench.system.locations import project_root

WIDTHS = (390, 768, 1280)
DYNAMIC = dataclasses.replace(PROTOCOL, dataset="mnist-dynamic", levels=2)
PUBLISHED = """
entries:
  - recipe: mnist-dynamic/vae
    method: a method
    unit: nats
    difference: a difference
    published:
      - {value: 86.76, kind: bound, conditions: by 5000 samples, publication: "Burda & others", link: "https://arxiv.org/abs/1509.00519"}
"""


def made_up(rows):
    """A page's verdicts: of each outcome one, and the slide's cells."""
    lacks = (Lack("digits", "vae", (3, 4), 5),)
    gan = "gan"
    return [
        verdict("gan-fast", gan, "sampling speed", "digits", "contradicted", 82.2, (40.0, 123.4), rows=rows),
        verdict("gan-quality", gan, "sample quality", "digits", "supported", 0.364, (0.254, 0.521), rows=rows, disagrees=("equal images",)),
        verdict("gan-quality", gan, "sample quality", "digits", "contradicted", 1.2, (1.1, 1.3), rows=rows, budget="equal images"),
        verdict("gan-unstable", gan, "stable training", "digits", "not resolved", 1.3, (0.5, 3.4)),
        verdict("gan-unstable", gan, "stable training", "points2d", "not resolved", 1.3, (0.5, 3.4)),
        verdict("gan-collapse", gan, "mode coverage", "points2d", "contradicted", 0.01, (-0.02, 0.03)),
        verdict("gan-no-density", gan, "density", "", "supported"),
        verdict("vae-fast", "vae", "sampling speed", "digits", "not measured", lacks=lacks),
        verdict("vae-quality", "vae", "sample quality", "digits", "not measured", lacks=lacks),
        verdict("ar-powerful", "autoregressive", "likelihood", "digits", "not resolved", -0.1, (-1.0, 0.02)),
        verdict("ar-density", "autoregressive", "density", "digits", "supported"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    """A page with a long board, a slide, published figures and verdicts of each outcome."""
    out = tmp_path_factory.mktemp("slide")
    records = lecture()
    for i in range(LONGEST_WHOLE):
        records += make(f"vae-{i}", (50.0 + i, 51.0 + i), config=f"{i:08d}")
    records += make("vae", (9.0,), kind="bound", bits=(0.16,), protocol=DYNAMIC)
    write(out, records)
    (out / LIST).write_text(PUBLISHED)
    (board, _) = boards(records)
    rows = tuple(row for row in board.rows if row.label in ("vae", "ddpm"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "verdicts", lambda _: made_up(rows))
        page.write_page(out)
    return out / "index.html"


@pytest.fixture(params=WIDTHS)
def at(request, browser, path):  # noqa: F811
    """The page at a width."""
    return opened(browser, path, request.param)


@pytest.fixture
def wide(browser, path):  # noqa: F811
    """The page on a projector."""
    return opened(browser, path, 1280)


def opened(driver, path, width):
    size = {"width": width, "height": 720, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get("about:blank")
    driver.get(path.as_uri())
    wait(driver, lambda: css(driver, "footer"))  # a busy machine may take its time
    return driver


def test_colours_of_verdicts_are_legible():
    """WCAG AA: 4.5 for text."""
    for mark in MARKS.values():
        assert contrast(mark.colour, mark.fill) >= 4.5
        assert contrast(mark.dark_colour, mark.dark_fill) >= 4.5
        assert contrast(INK, mark.fill) >= 4.5
        assert contrast(QUIET, mark.fill) >= 4.5
    assert len({mark.sign for mark in MARKS.values()}) == len(MARKS)


def test_the_page_leads_with_the_slide_and_contradictions(path):
    text = path.read_text()
    places = [
        text.index(part)
        for part in (
            'id="slide"',
            'id="claim-gan-fast-digits"',
            'id="claim-gan-quality-digits"',
            'id="d0"',
        )
    ]
    assert places == sorted(places)
    assert text.index('id="claim-gan-quality-digits-equal-images"') < text.index(
        'id="claim-gan-quality-digits"'
    )
    assert 'href="records/digits/vae-s0-' in text
    assert "digits/vae: 3 of 5 seeds" in text


def test_the_slide_is_one_screen_and_nothing_leaves_the_page(at):
    widths = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    whole, inside = at.execute_script(widths)
    assert whole <= inside
    cut = """
return [...document.querySelectorAll(".slide *")].filter((e) => e.clientWidth && e.scrollWidth > e.clientWidth + 1
  && getComputedStyle(e).position !== "absolute").map((e) => e.textContent);"""
    assert at.execute_script(cut) == []
    if inside < 1000:
        assert len(shown(at, ".verdict .word")) == len(shown(at, ".verdict")) > 0
        return
    box = at.execute_script("return document.getElementById('slide').getBoundingClientRect()")
    assert box["top"] >= 0 and box["bottom"] <= 720
    size = "return Math.min(...[...document.querySelectorAll('.phrase, .outcome')].map((e) => parseFloat(getComputedStyle(e).fontSize)))"
    assert at.execute_script(size) >= 20


def test_the_committed_slide_is_one_screen(browser):  # noqa: F811
    """With the effects and intervals that were measured."""
    committed = project_root() / "leaderboards" / "index.html"
    driver = opened(browser, committed, 1280)
    assert len(shown(driver, ".slide .number")) >= 10
    box = driver.execute_script("return document.getElementById('slide').getBoundingClientRect()")
    assert box["top"] >= 0 and box["bottom"] <= 720


def test_a_cell_leads_to_its_verdict_from_the_keyboard(wide):
    from selenium.webdriver import Keys

    for _ in range(8):
        press(wide, Keys.TAB)
        if active(wide).get_attribute("href").endswith("#claim-gan-fast-digits"):
            break
    press(wide, Keys.ENTER)
    here = wide.execute_script("return location.hash")
    assert here == "#claim-gan-fast-digits"
    box = wide.execute_script(
        "return document.querySelector(location.hash).getBoundingClientRect()"
    )
    assert 0 <= box["top"] < 720
    link = css(wide, '#slide a[href="#claim-vae-fast-digits"]')[0]
    wide.execute_script("arguments[0].click()", link)
    folded = css(wide, "#claim-vae-fast-digits")[0]
    assert folded.is_displayed()  # what was not measured is folded until it is asked for


def test_rows_of_a_long_board_unfold(wide):
    table = css(wide, "table.big")[0]
    rows = 'tr[data-family="vae"]'
    whole = len(table.find_elements("css selector", rows))

    def seen():
        return [row for row in table.find_elements("css selector", rows) if row.is_displayed()]

    assert whole == LONGEST_WHOLE + 2
    assert [row.text.split("\n")[0] for row in seen()] == ["vae"]
    button = table.find_element("css selector", "button.more")
    assert button.text == f"{whole - 1} more vae"
    wide.execute_script("arguments[0].click()", button)
    assert len(seen()) == whole and button.get_attribute("aria-expanded") == "true"
    wide.execute_script("arguments[0].click()", button)
    assert len(seen()) == 1
    wide.execute_script("arguments[0].click()", css(wide, "button.every")[0])
    assert len(seen()) == whole


def test_published_figures_stand_apart_with_their_source(wide):
    (link,) = css(wide, "td.published a")
    assert link.text.startswith("<= 86.76")
    assert link.get_attribute("title") == "Burda & others: by 5000 samples"
    assert link.get_attribute("href") == "https://arxiv.org/abs/1509.00519"
    wide.execute_script("arguments[0].focus({focusVisible: true})", link)
    details = link.find_element("css selector", "span")
    assert details.size["height"] > 10  # written out for the keyboard
    assert len(css(wide, "th.published")) == 1


def test_axe_finds_nothing(wide):
    """The rules of WCAG 2.1 A and AA, by axe-core."""
    found = importlib.util.find_spec("axe_core_python")
    if found is None or found.origin is None:
        absent("axe-core-python")
    wide.execute_script((Path(found.origin).parent / "axe.min.js").read_text())
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
    code = f"axe.run(document, {json.dumps(rules)}).then((r) => arguments[0](r.violations))"
    problems = wide.execute_async_script(code)
    assert [(p["id"], [node["html"][:200] for node in p["nodes"]][:3]) for p in problems] == []


def test_headings_descend_by_one(wide):
    levels = wide.execute_script(
        "return [...document.querySelectorAll('h1, h2, h3, h4, h5')].map((e) => +e.tagName[1])"
    )
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_print_has_slide_and_every_row(wide):
    wide.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    assert len(shown(wide, "table.big tbody tr")) == len(css(wide, "table.big tbody tr"))
    assert shown(wide, ".verdict") and shown(wide, ".more") == []
    wide.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
