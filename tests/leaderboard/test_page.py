"""The page in a browser: headless Chromium, at the width of a phone and of a desk. No model is trained: the records are made up."""

from __future__ import annotations

import base64
import dataclasses
import importlib.util
import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from conftest import absent
from PIL import Image
from test_leaderboard import POINTS, PROTOCOL, lecture, make, write

from genbench.errors import InputError
from genbench.leaderboard import build
from genbench.leaderboard.board import Board, boards
from genbench.leaderboard.families import COLOURS, FAMILIES, family_class, marker
from genbench.leaderboard.formats import load_boards
from genbench.leaderboard.gallery import TEXT_PIXELS, strip
from genbench.leaderboard.page import page_text
from genbench.leaderboard.plots import diversity_plot
from genbench.leaderboard.row_provenance import row_provenance
from genbench.leaderboard.seeds import seed_text, seed_values
from genbench.leaderboard.table import board_table, comparison_table
from genbench.records.store import picture_path
from genbench.system.locations import project_root

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
READY = CHROMIUM and DRIVER and importlib.util.find_spec("selenium")
WIDTHS = (360, 1280)
EVIL = r"""<img src=x onerror="document.title='broken'">&'"""
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)


def fill(out):
    """Two data sets, a hostile name, a grid for every seed but one, and two figures of `genbench explore`."""
    records = (
        lecture()
        + lecture(POINTS, scale=0.01)
        + make(EVIL, (90.0, 95.0, 99.0), EVIL, config="evil", speed=5.0)
    )
    write(out, records)
    for r in records:
        if (r.model, r.seed) != ("realnvp", 2):
            path = picture_path(out, r.dataset, r.model, r.variant, r.seed, r.id)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(PNG)
    folder = out / "explore" / "digits"
    folder.mkdir(parents=True)
    for name in ("vae-tsne.png", "vae-tsne.svg", "gan-samples.png"):
        (folder / name).write_bytes(PNG)
    words = {
        "title": EVIL,
        "caption": "Encodings & labels",
        "model": "vae",
        "seed": 0,
        "command": "genbench explore x",
    }
    (folder / "captions.json").write_text(json.dumps({"vae-tsne": words, "../../secret": words}))
    build(out)
    return out / "index.html"


# --- what stands in the page ------------------------------------------------------------------------------------------------


def test_values_of_seeds_are_those_of_the_records():
    (board,) = boards(lecture())
    row = next(row for row in board.rows if row.label == "iwae")
    seeds = seed_values(board, row, board_table)
    assert seeds["FID"] == "seed 0: 39.50 · seed 1: 41.00 · seed 2: 40.20"
    assert seeds["bits/dim p(x)"] == "seed 0: <= 2.210 · seed 1: <= 2.220 · seed 2: <= 2.200"
    assert "Network evaluations" not in seeds  # the same for every seed
    assert seed_values(board, row, comparison_table)["Sample quality: FID"] == seeds["FID"]
    diverged = next(row for row in board.rows if row.label == "dcgan")
    assert (
        seed_values(board, diverged, board_table)["FID"]
        == "seed 0: 19.50 · seed 1: diverged · seed 2: 24.00"
    )
    assert "bits/dim p(x)" not in seed_values(board, diverged, board_table)


def test_conditional_likelihoods_keep_their_column():
    plain = make("vae", (9.0, 8.0), kind="bound", bits=(2.0, 2.1))
    labelled = make("cvae", (7.0, 6.0), kind="bound", bits=(1.8, 1.9), conditional=True, config="d")
    (board,) = boards(plain + labelled)
    seeds = {row.label: seed_values(board, row, board_table) for row in board.rows}
    assert seeds["cvae"]["bits/dim p(x | y)"] == "seed 0: <= 1.800 · seed 1: <= 1.900"
    assert "bits/dim p(x)" not in seeds["cvae"]
    assert seeds["vae"]["bits/dim p(x)"] == "seed 0: <= 2.000 · seed 1: <= 2.100"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.86912, "0.8691"),
        (-0.3550, "-0.3550"),
        (43_287.6, "43,288"),
        (1.77515, "1.775"),
        (4e-12, "0.000000000"),
    ],
)
def test_seed_text_needs_no_exponent(value, text):
    assert seed_text(value) == text


def test_commands_name_recipe_seed_and_variant_and_survive_a_shell():
    (board,) = boards(lecture())
    found = {row.label: row_provenance(row) for row in (*board.rows, *board.floor)}
    assert found["ddpm@ddim50"].commands.splitlines()[2:4] == [
        "genbench train -c digits/ddpm --seed=1",
        "genbench evaluate runs/digits/ddpm/s1 --variant ddim50",
    ]
    assert (
        "evaluate runs/digits/dcgan/s1" not in found["dcgan"].commands
    )  # diverged: nothing to evaluate
    assert found["noise-floor"].commands == ""
    assert found["vae"].commits == ("f" * 10,)
    (evil,) = boards(make("a b; rm -rf $HOME"))
    assert row_provenance(evil.rows[0]).commands.startswith(
        "genbench train -c 'digits/a b; rm -rf $HOME' --seed=0"
    )


def test_commands_parse():
    from genbench.cli.main import build_parser

    (board,) = boards(lecture())
    lines = row_provenance(board.rows[0]).commands.splitlines()
    assert len(lines) > 3
    for line in lines:
        _, rest = build_parser().parse_known_args(line.split()[1:])
        assert rest in ([], ["--seed=0"], ["--seed=1"], ["--seed=2"])


def test_diversity_is_drawn_only_where_rows_differ():
    assert diversity_plot(boards(make("a", (1.0,)) + make("b", (2.0,), config="d"))[0]) is None
    picture = diversity_plot(
        boards(make("a", (1.0,)) + make("b", (2.0,), config="d", recall=0.7))[0]
    )
    assert picture is not None and "Recall (higher is better)" in picture


def test_every_family_has_a_shape_and_a_colour_of_its_own():
    assert len({marker(family) for family in (*FAMILIES, "mine")}) == len(FAMILIES) + 1
    assert set(COLOURS) == {*FAMILIES, "other"}
    assert len({family_class(family) for family in (*FAMILIES, "mine")}) == len(FAMILIES) + 1


def luminance(colour):
    """Relative luminance of WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [0, 1])
def test_text_stands_out_on_its_ground(dark, tmp_path):
    """WCAG AA: 4.5 for text, 3 for the edges of controls."""
    style = page_text(boards(make()), tmp_path)
    variables = [
        dict(re.findall(r"--(\w+): (#\w{6})", block))
        for block in re.findall(r":root \{([^}]*--ink[^}]*)\}", style)
    ]
    values = variables[dark]
    for ground in (values["ground"], values["band"]):
        for colour in [
            values["ink"],
            values["soft"],
            values["link"],
            *(pair[dark] for pair in COLOURS.values()),
        ]:
            assert contrast(colour, ground) >= 4.5, (colour, ground)
    assert contrast(values["edge"], values["ground"]) >= 3
    assert contrast(values["link"], values["ground"]) >= 3


def test_figures_of_explore_are_shown_with_their_words(tmp_path):
    text = fill(tmp_path).read_text()
    assert text.count('<img src="explore/') == 2
    assert 'href="explore/digits/vae-tsne.svg"' in text and "gan-samples.svg" not in text
    assert "Encodings &amp; labels" in text and "genbench explore x" in text
    assert "secret" not in text
    assert "<img src=x" not in text
    (tmp_path / "explore/digits/captions.json").write_text('["no"]')
    with pytest.raises(InputError, match=r"captions\.json"):
        build(tmp_path)


@pytest.mark.slow
def test_a_page_of_many_boards_stays_small(tmp_path):
    """8 boards x 20 rows x 5 seeds: below 2 MiB; a quarter of it here."""
    found: list[Board] = []
    for b in range(2):
        protocol = dataclasses.replace(PROTOCOL, name=f"p{b}", dataset=f"set{b}")
        records = []
        for r in range(20):
            fid = tuple(10.0 + r + 0.1 * s for s in range(5))
            more = {"kind": "bound", "bits": (2.0, 2.1, 2.2, 2.3, 2.4)}
            family = FAMILIES[r % len(FAMILIES)]
            records += make(
                f"model-{r}",
                fid,
                family,
                recall=0.4 + r / 100,
                protocol=protocol,
                config=f"{r:08d}",
                **more,
            )
        found += boards(records)
    assert len(page_text(found, tmp_path).encode()) < 2 * 2**20 / 4


def test_what_is_committed_is_light():
    """15 MiB in all, 1 MiB a file; and every address of the page is there."""
    folder = Path(__file__).parents[2] / "leaderboards"
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    assert sum(sizes) < 15 * 2**20
    assert max(sizes) < 2**20
    addresses = re.findall(r'(?:src|href)="([^"#][^"]*)"', (folder / "index.html").read_text())
    assert any(address.endswith(".png") for address in addresses)
    for address in addresses:
        assert (
            address == "data:,"
            or address.startswith("https://")
            or (folder / unquote(address)).is_file()
        ), address


@pytest.mark.parametrize(
    ("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)]
)
def test_a_missing_browser_skips_a_test_but_not_in_ci(ci, outcome, monkeypatch):
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="chromium"):
        absent("chromium")


# --- the page in a browser ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def browser():
    if not READY:
        absent("selenium, and Debian's chromium and chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for flag in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-dev-shm-usage",
        "force-prefers-reduced-motion",
    ):
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


def media(browser, kind=""):
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": kind, "features": []})


def script(browser, on):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not on})


@pytest.fixture(params=WIDTHS)
def at(request, browser, path):
    """The page, fresh, at a width; calls run JavaScript in it."""
    size = {
        "width": request.param,
        "height": 800,
        "deviceScaleFactor": 1,
        "mobile": request.param < 500,
    }
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    media(browser)
    script(browser, True)
    browser.get_log("browser"), browser.get_log("performance")
    browser.get("about:blank")
    browser.get(path.as_uri())
    # the driver may come back from a change of processes with nothing but the beginning of the page
    whole = "return document.readyState === 'complete' && location.protocol === 'file:'"
    wait(browser, lambda: browser.execute_script(whole))
    return browser


def column(browser, title):
    """Texts of a column of the first table of every measurement, without and with the noise floor's body."""
    code = """
const table = document.querySelector("table:not(.big)");
const heads = [...table.querySelectorAll("thead th")], i = heads.findIndex((h) => h.textContent.startsWith(arguments[0]));
return [...table.tBodies].map((body) => [...body.rows].map((row) => row.cells[i].firstChild.textContent.trim()));"""
    return browser.execute_script(code, title)


def head(browser, title):
    code = """
return [...document.querySelectorAll("table:not(.big) thead button")].find((b) => b.textContent.startsWith(arguments[0]));"""
    return browser.execute_script(code, title)


def press(browser, *keys):
    from selenium.webdriver import ActionChains

    ActionChains(browser).send_keys(*keys).perform()


def click(browser, element):
    browser.execute_script(
        "arguments[0].scrollIntoView({block: 'center', inline: 'center'})", element
    )
    element.click()


def css(browser, selector):
    return browser.find_elements("css selector", selector)


def shown(browser, selector):
    return [element for element in css(browser, selector) if element.is_displayed()]


def wait(browser, holds):
    """Until something holds; a busy machine may take its time."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 20, poll_frequency=0.05).until(lambda _: holds())


def active(browser):
    return browser.switch_to.active_element


def number(text):
    return float(re.sub(r"<= |~ | ±.*|,", "", text))


def test_nothing_is_wrong_and_nothing_leaves_the_file_system(at):
    at.execute_script("for (const image of document.images) image.loading = 'eager'")
    loaded = (
        "return [...document.images].every((image) => image.complete && image.naturalWidth > 0)"
    )
    wait(at, lambda: at.execute_script(loaded))
    messages = [json.loads(entry["message"])["message"] for entry in at.get_log("performance")]
    asked = [
        m["params"]["request"]["url"]
        for m in messages
        if m["method"] == "Network.requestWillBeSent"
    ]
    assert any(url.endswith("index.html") for url in asked)
    assert {url.split(":")[0] for url in asked} <= {"file", "data", "about"}
    assert at.get_log("browser") == []
    assert at.title == "genbench: deep generative models, measured"  # no hostile name has run


def test_nothing_but_tables_and_plots_scrolls_sideways(at):
    at.execute_script("for (const fold of document.querySelectorAll('details')) fold.open = true")
    width = at.execute_script(
        "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert width[0] <= width[1]
    small = """
return [...document.querySelectorAll("button, label, summary, nav a")].map((e) => [e.textContent, e.getBoundingClientRect()])
  .filter(([, box]) => box.width && (box.height < 24 || box.width < 24)).map(([text]) => text);"""
    assert at.execute_script(small) == []  # targets of WCAG 2.2


def test_a_head_sorts_by_number_both_ways_and_back(at):
    button, (original, floor) = head(at, "Train s"), column(at, "Images/s")
    button = head(at, "Images/s")
    (state,) = at.execute_script("return [arguments[0].parentElement]", button)
    seen = []
    for order, reverse in (("descending", True), ("ascending", False), (None, None)):
        click(at, button)
        assert state.get_attribute("aria-sort") == order
        rows, below = column(at, "Images/s")
        seen.append(rows)
        assert below == floor  # the noise floor is not ranked
        if order:
            values = [number(text) for text in rows if text != "–"]
            assert values == sorted(values, reverse=reverse)
            assert values != sorted(values, key=str, reverse=reverse)  # not by letters
    assert seen[2] == original
    click(at, head(at, "FID"))
    assert (
        head(at, "FID").find_element("xpath", "..").get_attribute("aria-sort") == "ascending"
    )  # the best first
    click(at, head(at, "bits/dim p(x)"))
    assert column(at, "bits/dim p(x)")[0][-1] == "–"  # nothing measured stays last
    assert len(css(at, "table:not(.big) [aria-sort]")) == 1


def test_the_filter_hides_a_family_in_all_boards(at):
    box = css(at, ".filter input[value=gan]")[0]
    assert [len(shown(at, f"{part}[data-family=gan]")) > 1 for part in ("tr", "figure", "g")] == [
        True
    ] * 3
    assert len(css(at, ".board table")) == 4
    assert all(
        table.find_elements("css selector", "tr[data-family=gan]")
        for table in css(at, ".board table")
    )
    click(at, box)
    assert shown(at, "[data-family=gan]") == []
    assert len(shown(at, "tr[data-family=vae]")) == len(css(at, "tr[data-family=vae]")) > 0
    assert css(at, ".filter output")[0].text == "15 of 19 rows"
    click(at, css(at, ".filter button[data-all='']")[0])
    assert shown(at, "tr[data-family]") == []
    assert len(shown(at, "tbody.floor tr")) == len(css(at, ".board table"))
    click(at, css(at, ".filter button[data-all=true]")[0])
    assert len(shown(at, "tr[data-family]")) == len(css(at, "tr[data-family]"))


def test_seeds_are_shown_when_pointed_at_and_when_focused(at):
    from selenium.webdriver import ActionChains, Keys

    cell = css(at, "table.big td.many")[0]
    tip = css(at, "#tip")[0]
    assert not tip.is_displayed()
    at.execute_script("arguments[0].scrollIntoView({block: 'center'})", cell)
    ActionChains(at).move_to_element(cell).perform()
    assert tip.text.splitlines() == ["seed 0: 39.50", "seed 1: 41.00", "seed 2: 40.20"]
    ActionChains(at).move_to_element(tip).perform()
    assert tip.is_displayed()  # one can point at the values themselves
    press(at, Keys.ESCAPE)
    at.execute_async_script("setTimeout(arguments[0], 100)")
    assert not tip.is_displayed()  # nor the values of what lay below it
    for cell in css(at, "table:not(.big) td.many")[
        -2:
    ]:  # at the far end, which has to be scrolled to
        at.execute_script("arguments[0].focus()", cell)
        box, inside = tip.rect, at.execute_script("return [innerWidth, scrollY, innerHeight]")
        assert tip.is_displayed() and cell.get_attribute("aria-describedby") == "tip"
        assert box["x"] >= 0 and box["x"] + box["width"] <= inside[0]
        assert inside[1] <= box["y"] and box["y"] + box["height"] <= inside[1] + inside[2]
    at.execute_script("document.activeElement.blur()")
    assert not tip.is_displayed()


def test_everything_can_be_done_from_the_keyboard(at):
    from selenium.webdriver import Keys

    def tab_to(wanted, limit=60):
        for _ in range(limit):
            press(at, Keys.TAB)
            if at.execute_script(f"return document.activeElement.matches({json.dumps(wanted)})"):
                return active(at)
        raise AssertionError(f"{wanted} is not reached with Tab")

    tab_to("#marks summary")
    press(at, Keys.ENTER)
    assert css(at, ".legend dl")[0].is_displayed()
    tab_to(".filter input[value=vae]")
    press(at, Keys.SPACE)
    assert shown(at, "tr[data-family=vae]") == []
    first = tab_to("table.big thead th:nth-child(2) button")
    press(at, Keys.ENTER)
    rows = [
        row
        for row in css(at, "table.big")[0].find_elements("css selector", "tbody:first-of-type tr")
        if row.is_displayed()
    ]
    assert rows[0].text.startswith("ddpm")
    assert first.find_element("xpath", "..").get_attribute("aria-sort") == "ascending"
    cell = tab_to("table.big td.many")
    assert css(at, "#tip")[0].text.startswith("seed 0: 9.8")
    press(at, Keys.ARROW_DOWN)
    assert css(at, "#tip")[0].text.startswith("seed 0: 11.00")
    press(at, Keys.ARROW_RIGHT)
    here = active(at)
    assert here.id != cell.id and at.execute_script("return arguments[0].cellIndex > 1", here)
    assert (
        len(
            at.execute_script(
                "return [...arguments[0].closest('table').querySelectorAll('td[tabindex=\"0\"]')]",
                here,
            )
        )
        == 1
    )
    press(at, Keys.TAB)
    assert (
        at.execute_script("return document.activeElement.closest('td.many')") is None
    )  # one stop per table


def test_a_row_leads_to_its_commands_and_copies_them(at):
    assert not css(at, ".provenance pre")[0].is_displayed()
    click(at, css(at, "tr[data-family=vae] th a")[0])
    block = active(at)
    assert block.tag_name == "section" and block.is_displayed()
    covered = "return arguments[0].getBoundingClientRect().top < document.querySelector('.filter').getBoundingClientRect().bottom"
    assert not at.execute_script(covered, block)
    assert block.text.startswith("iwae\ngenbench train -c digits/iwae --seed=0")
    button = block.find_element("css selector", ".copy")
    click(at, button)
    wait(at, lambda: button.text in ("Copied", "Selected"))


def test_one_choice_of_the_seed_changes_the_grids_of_its_board_only(at):
    board, other = css(at, ".grids")[:2]
    before = [image.get_attribute("src") for image in other.find_elements("css selector", "img")]
    click(at, css(at, "fieldset.seeds input[value='2']")[0])
    sources = [
        image.get_attribute("src")
        for image in board.find_elements("css selector", "figure:not(.absent) img")
    ]
    assert len(sources) > 5 and all("-s2-" in address for address in sources)
    (absent, *_) = [
        f.text for f in board.find_elements("css selector", ".absent") if "realnvp" in f.text
    ]
    assert "no grid of this seed" in absent
    assert [
        image.get_attribute("src") for image in other.find_elements("css selector", "img")
    ] == before
    sizes = {(f.size["width"]) for f in board.find_elements("css selector", "figure")}
    assert len(sizes) == 1


def test_print_has_every_row_and_no_controls(at):
    opened = css(at, "details[open]")
    click(at, css(at, ".filter button[data-all='']")[0])
    media(at, "print")
    assert len(shown(at, "tr[data-family]")) == len(css(at, "tr[data-family]")) > 0
    for selector in (".filter", "nav", ".copy", "fieldset", "#tip", ".script"):
        assert shown(at, selector) == [], selector
    kept = "return getComputedStyle(document.querySelector(arguments[0])).breakInside"
    assert [at.execute_script(kept, part) for part in ("tbody tr", ".plots figure")] == [
        "avoid",
        "avoid",
    ]
    media(at)
    pdf = base64.b64decode(
        at.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"]
    )
    assert pdf.startswith(b"%PDF")
    assert css(at, "details[open]") == opened  # as it was


def test_without_script_everything_is_there(at):
    script(at, False)
    at.refresh()
    assert shown(at, ".filter") == [] and shown(at, ".copy") == [] and shown(at, ".seeds") == []
    script(at, True)  # the driver itself needs it; the page's own has not run
    assert at.execute_script("return document.documentElement.className") == ""
    assert (
        css(at, "table.big td.many small")[0].text
        == "seed 0: 39.50 · seed 1: 41.00 · seed 2: 40.20"
    )
    assert len(shown(at, "tr")) == len(css(at, "tr"))
    assert len(shown(at, ".grids a[data-seed='2']")) > 5
    assert at.execute_script(
        "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )


def test_samples_beside_a_name_look_as_their_data_do():
    """One row of a grid, a whole scatter plot, and three whole lines of a block of text."""
    folder = project_root() / "leaderboards"
    strips = {}
    for board in load_boards(folder):
        for row in board.rows:
            shown = strip(row, folder)
            if shown is not None:
                strips[board.protocol.dataset] = shown
    assert (strips["digits"].kind, strips["digits"].aspect) == ("grid", 8)
    assert (strips["digits-halves"].kind, strips["digits-halves"].aspect) == ("grid", 8)
    assert (strips["points2d"].kind, strips["points2d"].aspect) == ("scatter", 1)
    assert strips["grammar"].kind == "text"
    picture = Image.open(folder / unquote(strips["grammar"].address)).convert("L")
    assert strips["grammar"].aspect == round(picture.width / TEXT_PIXELS, 2)
    # letters that reach below the line and the next line's tall ones leave a white row between them
    inked = (np.asarray(picture) < 255).any(1)[:TEXT_PIXELS]
    lines = np.flatnonzero(np.diff(inked.astype(int)) == 1)
    assert len(lines) == 3 and not inked[-1]
