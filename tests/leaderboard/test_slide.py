"""The comparison slide: what stands in its cells, and its pictures. Verdicts and records are made up."""

from __future__ import annotations

import dataclasses
import inspect
import io
import re
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from conftest import absent
from made_up_verdicts import verdict
from PIL import Image
from test_leaderboard import lecture, make, write

from genbench import capabilities
from genbench.cli.main import main
from genbench.cli.model_table import class_at, model_group
from genbench.errors import InputError
from genbench.leaderboard.board import boards
from genbench.leaderboard.claims import Lack, load_claims
from genbench.leaderboard.claims.claim_settings import load_settings
from genbench.leaderboard.folding import LONGEST_WHOLE, folds_of
from genbench.leaderboard.slide import panels
from genbench.leaderboard.slide.colours import MARKS
from genbench.leaderboard.slide.grid import SlideCell, make_slide, short_effect
from genbench.leaderboard.slide.latex_frame import slide_latex
from genbench.leaderboard.slide.plan import label_on, slide_plan
from genbench.leaderboard.slide.png import slide_png
from genbench.leaderboard.slide.powerpoint import slide_pptx
from genbench.leaderboard.slide.svg import slide_svg

LACKS = (Lack("digits", "vae", (3, 4), 5),)
VERDICTS = (
    verdict("gan-quality", "gan", "sample quality", "digits", "supported", 0.364, (0.254, 0.521)),
    verdict("gan-fast", "gan", "sampling speed", "points2d", "contradicted", 82.2, (40.0, 123.4)),
    verdict("gan-unstable", "gan", "stable training", "digits", "not resolved", 1.3, (0.5, 3.4)),
    verdict("gan-unstable", "gan", "stable training", "points2d", "supported", 4.0, (3.0, 5.0)),
    verdict("vae-fast", "vae", "sampling speed", "digits", "not measured", lacks=LACKS),
    verdict("ar-powerful", "autoregressive", "likelihood", "digits", "not resolved", -0.1, (-1.0, 0.02)),
    verdict("ar-density", "autoregressive", "density", "digits", "supported"),
    verdict("other", "none", "none", "digits", "contradicted", 1.0),
)  # fmt: skip


def slide_of(verdicts=VERDICTS, dataset="digits"):
    return make_slide(slide_plan(), verdicts, boards(lecture()), dataset)


def cell(slide, family, title) -> SlideCell | None:
    row = next(row for row in slide.rows if row.family == family)
    return row.cells[slide.words.index(title)]


# --- configs/slide.yaml ---------------------------------------------------------------------------


def test_every_claim_of_the_slide_has_a_row_a_column_and_a_phrase():
    plan = slide_plan()
    families = {row.family for row in plan.rows}
    words = [word for column in plan.columns for word in column.words]
    assert len(set(words)) == len(words)
    shown = [claim for claim in load_claims() if claim.word != "none"]
    assert shown
    for claim in shown:
        assert claim.family in families, claim.id
        assert claim.word in words, claim.id
        assert claim.id in plan.phrases, claim.id


def kind_of(model: type) -> str:
    """What kind of model a class says that it is."""
    if model.likelihood is None:
        return "implicit"
    if hasattr(model, "diffuse"):
        return "Markov chain"
    if model.likelihood == "bound" and not hasattr(model, "density_terms"):
        return "variational"
    return "tractable"


def latent_of(model: type) -> str:
    """Whether a class says that p(z | x) is known: of a density that is exact by its bijection."""
    if not capabilities.class_offers(model, capabilities.Encodes):
        return "no"
    return "approx." if kind_of(model) == "variational" else "exact"


def test_what_a_family_can_answer_is_what_its_classes_declare():
    asked = 0
    for line in slide_plan().rows:
        for dataset in load_settings().representatives:
            recipe, _, _ = label_on(dataset, line.family).partition("@")
            model = class_at(model_group(f"{dataset}/{recipe}")["class_path"])
            given = ["labels"] if "conditional" in inspect.signature(model).parameters else []
            if capabilities.class_offers(model, capabilities.Completes):
                given.append("known pixels")
            answers = (kind_of(model), latent_of(model), ", ".join(given))
            assert answers == (line.kind, line.latent, line.given), recipe
            asked += 1
    assert asked >= 15


# --- the cells ------------------------------------------------------------------------------------


def test_a_cell_shows_verdict_effect_and_interval():
    shown = cell(slide_of(), "gan", "sample quality")
    assert (shown.phrase, shown.outcome) == ("high", "supported")
    assert (shown.number, shown.error) == ("×0.36 FID", "[0.254, 0.521]")
    assert shown.anchor == "claim-gan-quality-digits"
    assert cell(slide_of(), "flow", "sample quality") is None  # the lectures say nothing


def test_a_cell_says_where_its_verdict_is_from_and_what_others_say():
    elsewhere = cell(slide_of(), "gan", "sampling speed")
    assert elsewhere.error == "[40, 123], on points2d"
    assert cell(slide_of(), "gan", "training").elsewhere == "points2d ✓"
    on_points = cell(slide_of(dataset="points2d"), "gan", "training")
    assert (on_points.outcome, on_points.elsewhere) == ("supported", "digits ≈")
    two_claims = cell(slide_of(), "autoregressive", "density")
    assert (two_claims.phrase, two_claims.elsewhere) == ("powerful", "density ✓")
    assert two_claims.number == "×−0.1 FID"


@pytest.mark.parametrize(
    ("unit", "effect", "text"),
    [
        ("images per second, ratio", 17.94, "×18 images/s"),
        ("recall, difference", 0.0175, "+0.018 recall"),
        ("recall, difference", -0.0175, "−0.018 recall"),
        ("largest error", 0.5, "0.5 largest error"),
        ("recall, difference", None, ""),
    ],
)
def test_an_effect_in_a_cell_is_short(unit, effect, text):
    shown = verdict("gan-fast", "gan", "sampling speed", "digits", "supported", effect)
    shown = dataclasses.replace(
        shown, finding=dataclasses.replace(shown.finding, unit=unit, effect=effect)
    )
    assert short_effect(shown, slide_plan().units) == text


def test_a_claim_without_a_verdict_says_how_many_seeds_are_there():
    shown = cell(slide_of(), "vae", "sampling speed")
    assert (shown.outcome, shown.number, shown.error) == ("not measured", "", "3 of 5 seeds")


def test_what_a_family_answers_comes_from_its_records():
    rows = {row.family: row for row in slide_of().rows}
    assert rows["autoregressive"].answers == ("exact", "no", "labels, known pixels")
    assert rows["vae"].answers[0] == "bound"
    assert rows["gan"].answers[0] == "–"  # no row named gan among these records
    assert rows["autoregressive"].sampling == "samples: 64 passes"
    assert rows["diffusion"].sampling == "samples: 50 passes"


# --- the pictures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("verdicts", [VERDICTS, ()])
def test_nothing_leaves_its_panel_and_words_are_large(verdicts):
    slide = slide_of(verdicts)
    drawn = panels.panels(slide)
    words = {f"{MARKS[c.outcome].sign} {c.phrase}" for row in slide.rows for c in row.cells if c}
    words |= {c.outcome for row in slide.rows for c in row.cells if c}
    seen = set()
    for panel in drawn:
        assert panel.x >= 0 and panel.x + panel.width <= panels.WIDTH
        assert panel.y >= 0 and panel.y + panel.height <= panels.HEIGHT
        for line, y in panel.baselines:
            assert line.width <= panel.width - panels.PADDING, line.text
            assert y <= panel.y + panel.height, line.text
            if line.text in words:
                seen.add(line.text)
                assert line.size >= 20, line.text
    assert seen == words
    cells = [
        panel
        for panel in drawn
        if panel.lines and panel.y > panels.TITLE_HEIGHT + panels.HEAD_HEIGHT
    ]
    for i, one in enumerate(cells):
        for other in cells[i + 1 :]:
            beside = one.x + one.width <= other.x or other.x + other.width <= one.x
            assert beside or one.y + one.height <= other.y or other.y + other.height <= one.y


@pytest.mark.parametrize("id", sorted(slide_plan().phrases))
def test_every_phrase_fits_at_full_size(id):
    (column, *_) = [place for place in panels.columns(slide_of()) if place.title == "training"]
    for mark in MARKS.values():
        line = panels.TextLine(f"{mark.sign} {slide_plan().phrases[id]}", panels.WORD, bold=True)
        assert line.width <= column.width - 2 * panels.PADDING


def test_svg_is_well_formed_and_holds_every_word():
    text = slide_svg(slide_of())
    assert text == slide_svg(slide_of())
    words = [element.text for element in ElementTree.fromstring(text).iter() if element.text]
    for wanted in ("✗ fast", "contradicted", "×0.36 FID", "[0.254, 0.521]", "3 of 5 seeds"):
        assert wanted in words


def test_png_has_the_colours_of_the_verdicts():
    content = slide_png(slide_of())
    assert content == slide_png(slide_of())
    picture = Image.open(io.BytesIO(content))
    assert picture.size == (2560, 1440)
    colours = {colour for _, colour in picture.getcolors(2**20)}
    for mark in MARKS.values():
        assert tuple(int(mark.fill[i : i + 2], 16) for i in (1, 3, 5)) in colours


def test_latex_has_as_many_cells_as_columns():
    text = slide_latex(slide_of())
    assert text == slide_latex(slide_of())
    columns = len(re.search(r"tabular\}\{@\{\}(l+)@", text)[1])
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 6
    assert {len(re.findall(r" & ", row)) for row in rows} == {columns - 1}
    assert re.sub("(?m)^%.*", "", text).isascii()
    assert text.count("{") == text.count("}")
    assert r"$\times$ \textbf{fast}" in text


def test_powerpoint_says_the_same_in_the_same_bytes():
    try:
        from pptx import Presentation
    except ModuleNotFoundError:
        absent("python-pptx")
    content = slide_pptx(slide_of())
    assert content == slide_pptx(slide_of())
    deck = Presentation(io.BytesIO(content))
    (page,) = deck.slides
    texts = [shape.text_frame.text for shape in page.shapes]
    assert "✓ high\nsupported\n×0.36 FID\n[0.254, 0.521]" in texts
    assert all(shape.left + shape.width <= deck.slide_width for shape in page.shapes)
    assert all(shape.top + shape.height <= deck.slide_height for shape in page.shapes)


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "pptx", None)
    with pytest.raises(InputError, match=r"pip install 'genbench\[slides\]'"):
        slide_pptx(slide_of())


# --- the command ----------------------------------------------------------------------------------


def test_the_command_writes_the_slide(tmp_path, capsys):
    write(tmp_path, lecture())
    path = tmp_path / "mine.svg"
    assert main(["table", str(tmp_path), "--slide", "-o", str(path)]) == 0
    assert capsys.readouterr().out.strip() == str(path)
    assert ElementTree.fromstring(path.read_text()).tag.endswith("svg")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--slide", "--format", "csv"], "no format 'csv'"),
        (["--slide", "--data", "birds"], "'birds'"),
        (["--slide", "--write"], "leave --write out"),
        (["--format", "png"], "add --slide"),
        (["--data", "digits"], "add --slide"),
    ],
)
def test_arguments_that_do_not_fit_are_one_line(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, lecture())
    known = sorted(tmp_path.rglob("*"))
    assert main(["table", str(tmp_path), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == known


# --- folded rows ----------------------------------------------------------------------------------


def many_rows(count: int):
    """A board of so many rows of VAEs, one of them the representative, and one foreign row."""
    records = make("vae") + make("mine", family="foreign", density="-", config="x")
    for i in range(count - 2):
        records += make(f"vae-{i}", config=f"{i:08d}")
    (board,) = boards(records)
    return board


def test_a_long_board_shows_what_stands_for_a_family():
    folds = folds_of(many_rows(LONGEST_WHOLE + 1))
    assert folds.counts == {"vae": LONGEST_WHOLE - 1}
    assert len(folds.others) == LONGEST_WHOLE - 1
    assert "vae" not in folds.others and "mine" not in folds.others


def test_a_short_board_is_shown_whole():
    folds = folds_of(many_rows(LONGEST_WHOLE))
    assert not folds.others and not folds.counts
