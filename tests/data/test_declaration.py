"""What a data set declares and what it decodes agree, and a decoded copy belongs to the code that made it."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from genbench.cli.main import main
from genbench.data.declaration import check_arrays, check_held_out, check_sizes
from genbench.data.digits import Digits
from genbench.data.images import ImageData
from genbench.data.pairs import Pairs
from genbench.data.points2d import Points2d
from genbench.errors import InputError
from genbench.spec import Image, Labels, Spec, Tokens
from genbench.system.discover import leaf_classes

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
SECTION = PAGE.read_text().partition("## A data set\n")[2].partition("\n## ")[0]
BARS, RECIPE = re.findall(r"^```(?:python|yaml)\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)[:2]


@pytest.fixture
def load(tmp_path, monkeypatch):
    """A function from the text of a module to its class Bars."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load(text: str, module: str = "my_data") -> type[ImageData]:
        (tmp_path / f"{module}.py").write_text(text)
        monkeypatch.delitem(sys.modules, module, raising=False)
        importlib.invalidate_caches()
        return importlib.import_module(module).Bars

    return load


def edited(*edits: tuple[str, str]) -> str:
    """The page's example with some of its text replaced."""
    text = BARS
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


NAME = '    name = "bars"\n'
SPEC = "    spec = Spec((1, 4, 4), levels=2)\n"
SIZES = "sizes = (800, 100, 100)"
TEST = '"test": (x[900:], None)'
VAL = '"val": (x[800:900], None)'
NO_SPLIT = "train, val and test are right"
# what is broken -> the edits, and what the refusal says
BROKEN = {
    "no name": ([(NAME, "")], 'declares no name; a text such as name = "bars" is right'),
    "a name that is no text": ([('"bars"\n    spec', "3\n    spec")], "declares no name"),
    "a name with a slash": (
        [('"bars"\n    spec', '"bars/4"\n    spec')],
        "name 'bars/4' is part of file names; letters, digits, and . _ + - are right",
    ),
    "no spec": ([(SPEC, "")], "declares no spec; spec = Spec((channels, height, width)"),
    "a spec without channels": (
        [("Spec((1, 4, 4)", "Spec((4, 4)")],
        "the shape of its spec is (4, 4); (channels, height, width) is right",
    ),
    "two sizes": ([(SIZES, "sizes = (800, 100)")], "sizes are (800, 100); (train, val, test)"),
    "another size": (
        [(SIZES, "sizes = (800, 100, 200)")],
        "100 images for test; 200 are right, by its sizes",
    ),
    "no test": ([(f", {TEST}", "")], f"decode() gives no test; {NO_SPLIT}"),
    "a fourth split": (
        [(TEST, f'{TEST}, "more": (x, None)')],
        f"decode() gives a split 'more'; {NO_SPLIT}",
    ),
    "no dictionary": (
        [("return {", "return ["), (TEST + "}", "]"), ('"train": ', ""), ('"val": ', "")],
        "decode() gives a list; a dictionary",
    ),
    "images without y": (
        [(TEST, '"test": x[900:]')],
        "decode() gives a ndarray for test; (images, y) is right",
    ),
    "a tensor": ([(".numpy().astype(np.uint8)", ".byte()")], "images for train are a Tensor"),
    "a pixel above the levels": (
        [("integers(2,", "integers(3,")],
        "images for train have the values 0 to 2; 0 to 1 are right",
    ),
    "a pixel below zero": (
        [("levels=2", "levels=300"), ("astype(np.uint8)", "astype(np.int32) - 1")],
        "images for train have the values -1 to 0; 0 to 299 are right",
    ),
    "another type": ([("np.uint8", "np.int64")], "images for train are int64; uint8 is right"),
    "another shape": (
        [(VAL, '"val": (x[800:900, :, :3], None)')],
        "images for val have the shape (100, 1, 3, 4); (N, 1, 4, 4) is right",
    ),
    "no channels": (
        [(TEST, '"test": (x[900:, 0], None)')],
        "images for test have the shape (100, 4, 4); (N, 1, 4, 4) is right",
    ),
    "no images": ([(TEST, '"test": (x[1000:], None)')], "images for test are none; one at least"),
    "y that is not declared": (
        [(TEST, '"test": (x[900:], x[900:, 0, 0, 0])')],
        "y for test is a ndarray; None is right, since its spec has no y",
    ),
    "the training images": (
        [(SIZES, "sizes = (800, 100, 800)"), (TEST, '"test": (x[:800], None)')],
        "images for test are part of the array for train",
    ),
    "some training images": (
        [(VAL, '"val": (x[350:450], None)')],
        "images for val are part of the array for train",
    ),
    "a copy of training images": (
        [
            ("levels=2", "levels=256"),
            ("integers(2, (1, 4, 1))", "integers(256, (1, 4, 1))"),
            (TEST, '"test": (x[99::-1].copy(), None)'),
        ],
        "every image for test is a training image",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_declaration_is_refused_in_one_line_and_nothing_is_written(case, load, tmp_path):
    edits, message = BROKEN[case]
    root = tmp_path / "data"
    with pytest.raises(InputError) as error:
        load(edited(*edits))(str(root)).arrays("train")
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("my_data.Bars")
    assert message in str(error.value)
    assert not root.exists() or list(root.iterdir()) == []


LABELS = (("import Spec", "import Image, Labels, Spec, Tokens"),)


def with_y(kind: str, y: str) -> str:
    """The page's example with a y of a kind; `y` is an expression of n, its number."""
    return edited(
        *LABELS,
        ("levels=2)", f"levels=2, y={kind})"),
        ("    return {", f"    y = lambda n: {y}\n        return {{"),
        ("(x[:800], None)", "(x[:800], y(800))"),
        ("(x[800:900], None)", "(x[800:900], y(100))"),
        ("(x[900:], None)", "(x[900:], y(100))"),
    )


@pytest.mark.parametrize(
    ("kind", "y", "message"),
    [
        ("Labels(3)", "None", "y for train is None; an array is right"),
        ("Labels(3)", "np.arange(n) % 4", "labels y for train have the values 0 to 3; 0 to 2"),
        ("Labels(3)", "np.arange(n) % 3 - 1", "labels y for train have the values -1 to 1"),
        ("Labels(3)", "np.zeros(n)", "labels y for train are float64; int64 is right"),
        ("Labels(3)", "np.zeros((n, 3), int)", "shape (800, 3); (N,) is right"),
        ("Labels(3)", "np.zeros(n + 1, int)", "labels y for train are 801; 800 are right"),
        ("Labels(3)", "[0] * n", "labels y for train are a list; a numpy array is right"),
        (
            "Image((1, 2, 2), 4)",
            "np.full((n, 1, 2, 2), 4, np.uint8)",
            "images y for train have the values 4 to 4; 0 to 3 are right",
        ),
        (
            "Image((1, 2, 2), 4)",
            "np.zeros((n, 1, 2, 3), np.uint8)",
            "shape (800, 1, 2, 3); (N, 1, 2, 2) is right",
        ),
        ("Tokens(5, 9)", "np.zeros((n, 4), int)", "shape (800, 4); (N, 5) is right"),
        ("Tokens(5, 9)", "np.full((n, 5), 9)", "texts y for train have the values 9 to 9; 0 to 8"),
    ],
)
def test_y_that_does_not_fit_its_declaration_is_refused(load, tmp_path, kind, y, message):
    root = tmp_path / "data"
    with pytest.raises(InputError, match=re.escape(message)) as error:
        load(with_y(kind, y))(str(root)).arrays("train")
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("my_data.Bars: ")
    assert list(root.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "y", "expected"),
    [
        ("Labels(3)", "np.arange(n) % 3", Labels(3)),
        ("Image((1, 2, 2), 4)", "np.full((n, 1, 2, 2), 3, np.uint8)", Image((1, 2, 2), 4)),
        ("Tokens(5, 9)", "np.full((n, 5), 8)", Tokens(5, 9)),
    ],
)
def test_y_that_fits_its_declaration_is_taken(load, tmp_path, kind, y, expected):
    data = load(with_y(kind, y))(str(tmp_path / "data"))
    assert data.spec.y == expected
    assert len(data.arrays("test")[1]) == 100


def test_a_refused_training_leaves_no_run_folder(load, tmp_path, monkeypatch, capsys):
    load(edited(("integers(2,", "integers(3,")))
    (tmp_path / "bars.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    command = ["train", "-c", "bars.yaml", "--trust", "my_data", "--smoke", f"--run_dir={run}"]
    assert main([*command, f"--data.root={tmp_path / 'data'}"]) == 2
    assert capsys.readouterr().err == (
        "genbench: my_data.Bars: images for train have the values 0 to 2; 0 to 1 are right\n"
    )
    assert not run.exists()


def test_a_recipe_of_data_without_a_name_is_refused(load, tmp_path, monkeypatch, capsys):
    load(edited((NAME, "")))
    (tmp_path / "bars.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    assert main(["train", "-c", "bars.yaml", "--trust", "my_data", "--smoke"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "my_data.Bars declares no name" in line


# --- training images in other splits ----------------------------------------------------------------------------------


def test_draws_that_repeat_by_nature_are_no_copies(load, tmp_path):
    """Every bar and every point of a coarse grid that is tested is a training image as well."""
    for data in (
        load(BARS)(str(tmp_path)),
        Points2d(str(tmp_path), cloud="checkerboard", levels=16),
    ):
        train, test = (set(map(bytes, data.arrays(split)[0])) for split in ("train", "test"))
        assert test <= train


def test_interleaved_splits_of_one_array_are_no_copies(load, tmp_path):
    text = edited(
        (SIZES, "sizes = (500, 250, 250)"),
        ('"train": (x[:800], None)', '"train": (x[::2], None)'),
        (VAL, '"val": (x[1::4], None)'),
        (TEST, '"test": (x[3::4], None)'),
    )
    assert len(load(text)(str(tmp_path)).arrays("test")[0]) == 250


# --- what ships -------------------------------------------------------------------------------------------------------


def without_files() -> list[tuple[str, ImageData]]:
    """Every data set of the leaf classes of the package that reads no file, by class and name."""
    sets = []
    for path in leaf_classes("data", "ImageData"):
        module, _, name = path.rpartition(".")
        kind = getattr(importlib.import_module(module), name)
        sets += [(f"{name}-{data.name}", data) for data in kind.offered() if not data.source_files]
    return sets


SHIPPED = dict(without_files())


def test_shipped_classes_are_found():
    assert {"Digits-digits", "Grammar-grammar", "Points2d-points2d"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_data_are_what_they_declare(name):
    data = SHIPPED[name]
    data.check_declared()
    assert 0 not in data.sizes
    arrays = data.decode()
    check_arrays(name, data.spec, arrays)
    check_sizes(name, data.sizes, arrays)
    check_held_out(name, arrays)


def test_a_shipped_class_is_checked_when_it_decodes(tmp_path, monkeypatch):
    monkeypatch.setattr(Digits, "spec", Spec((1, 8, 8), levels=16, y=Labels(10)))
    message = "genbench.data.digits.Digits: images for train have the values 0 to 16; 0 to 15"
    with pytest.raises(InputError, match=message):
        Digits(str(tmp_path)).arrays("train")


# --- one copy for each class and its code -----------------------------------------------------------------------------

BLACK = (
    "import numpy as np\n"
    "from genbench.data.images import ImageData\n"
    "from genbench.spec import Labels, Spec\n"
    "class Bars(ImageData):\n"
    '    name = "digits"\n'
    "    spec = Spec((1, 8, 8), levels=17, y=Labels(10))\n"
    "    def decode(self):\n"
    "        x = np.zeros((100, 1, 8, 8), np.uint8)\n"
    "        return {s: (x.copy(), np.arange(100) % 10) for s in ('train', 'val', 'test')}\n"
)


def test_a_class_of_a_shipped_name_has_a_copy_of_its_own(load, tmp_path):
    root = str(tmp_path / "data")
    black = load(BLACK)(root)
    assert black.arrays("train")[0].max() == 0
    digits = Digits(root)
    assert digits.arrays("train")[0].max() == 16
    assert digits.folder != black.folder
    assert Pairs(Digits(root), root).arrays("train")[0].max() == 16


def test_pairs_of_another_class_of_the_same_name_have_a_copy_of_their_own(load, tmp_path):
    root = str(tmp_path / "data")
    black = Pairs(load(BLACK)(root), root)
    black.sizes = (100, 100, 100)
    assert black.arrays("train")[0].max() == 0
    assert Pairs(Digits(root), root).folder != black.folder


def test_two_classes_of_one_name_have_copies_of_their_own(load, tmp_path):
    root = str(tmp_path / "data")
    first = load(BARS)(root)
    second = load(BARS, "other_data")(root)
    assert (first.name, first.spec) == (second.name, second.spec)
    assert first.folder != second.folder


def test_an_edited_decode_is_decoded_anew(load, tmp_path):
    root = str(tmp_path / "data")
    first = load(BARS)(root)
    x = np.array(first.arrays("train")[0])
    edited_x = load(edited(("x = rows", "x = 1 - rows")))(root).arrays("train")[0]
    assert np.array_equal(edited_x, 1 - x)
    # and the former text finds the former copy
    again = load(BARS)(root)
    assert again.is_decoded
    assert again.folder == first.folder


def test_an_edited_base_class_is_decoded_anew(load, tmp_path):
    root = str(tmp_path / "data")
    leaf = "import my_data\nclass Bars(my_data.Bars):\n    pass\n"
    load(BARS)
    first = load(leaf, "my_leaf")(root)
    x = np.array(first.arrays("train")[0])
    load(edited(("x = rows", "x = 1 - rows")))
    second = load(leaf, "my_leaf")(root)
    assert np.array_equal(second.arrays("train")[0], 1 - x)


def test_an_edit_behind_the_back_of_a_process_does_not_name_its_copy(load, tmp_path):
    """The file is edited after it was imported: what the old code decodes is stored as the old code's."""
    root = str(tmp_path / "data")
    old = load(BARS)
    new_text = edited(("x = rows", "x = 1 - rows"))
    (tmp_path / "my_data.py").write_text(new_text)
    x = np.array(old(root).arrays("train")[0])
    assert np.array_equal(load(new_text)(root).arrays("train")[0], 1 - x)


def test_a_class_in_no_file_is_refused(tmp_path):
    namespace = {"__name__": "nowhere"}
    exec(BARS, namespace)
    with pytest.raises(InputError, match=r"nowhere.Bars is defined in no file") as error:
        namespace["Bars"](str(tmp_path)).arrays("train")
    assert "\n" not in str(error.value)


def test_copies_of_shipped_data_keep_their_names(tmp_path):
    """The folders of copies that earlier versions have decoded."""
    root = str(tmp_path)
    digits = Digits(root)
    names = [data.folder.name for data in (digits, Points2d(root), Pairs(digits, root))]
    assert names == ["digits-21a6f1fe6bf4", "points2d-02cacec8296f", "digits-halves-25a366779c4e"]
