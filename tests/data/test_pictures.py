"""Grids: each image in its place, enlarged by whole factors, and points where a reader of a plane expects them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from genbench.data.pictures import check_folder, grid, png, save_folder, save_grid, texts
from genbench.errors import InputError
from genbench.rng import Rng
from genbench.spec import Scatter, Spec, Text


def images(n, spec):
    return Rng(0, range(n)).integers(spec.levels, spec.shape).numpy().astype(np.uint8)


@pytest.mark.parametrize(
    "spec", [Spec((1, 8, 8), 17), Spec((3, 32, 32), 256), Spec((1, 8, 6), 2), Spec((1, 1, 12), 27)]
)
@pytest.mark.parametrize(
    ("n", "columns", "shape"),
    [(9, None, (3, 3)), (7, None, (3, 3)), (7, 4, (2, 4)), (1, None, (1, 1)), (3, 3, (1, 3))],
)
def test_every_image_is_in_its_place(spec, n, columns, shape):
    x, gap = images(n, spec), 4
    picture = grid(x, spec, columns)
    scale = max(1, 48 // max(spec.shape[1:]))
    h, w = (scale * side for side in spec.shape[1:])
    rows, across = shape
    assert picture.dtype == np.uint8
    assert picture.shape == (rows * (h + gap) + gap, across * (w + gap) + gap, 3)
    paper = np.ones(picture.shape, dtype=bool)
    for i in range(n):
        top, left = gap + i // across * (h + gap), gap + i % across * (w + gap)
        place = np.s_[top : top + h, left : left + w]
        block, paper[place] = picture[place], False
        # grey levels fill 0 .. 255, one block of equal pixels per pixel
        expected = np.round(x[i].astype(float) * 255 / (spec.levels - 1)).transpose(1, 2, 0)
        assert np.array_equal(
            block, np.broadcast_to(expected.repeat(scale, 0).repeat(scale, 1), (h, w, 3))
        )
    assert (picture[paper] == 255).all()


@pytest.mark.parametrize("levels", [2, 3, 17, 256])
def test_the_lowest_level_is_black_and_the_highest_white(levels):
    x = np.array([0, levels - 1], dtype=np.uint8).reshape(1, 1, 1, 2).repeat(2, axis=2)
    assert sorted(np.unique(grid(x, Spec((1, 2, 2), levels), gap=0))) == [0, 255]


@pytest.mark.parametrize("gap", [0, 1, 6])
def test_gaps_are_as_wide_as_asked(gap):
    spec = Spec((1, 8, 8), 17)
    picture = grid(np.zeros((4, 1, 8, 8), dtype=np.uint8), spec, gap=gap)
    assert picture.shape == (96 + 3 * gap, 96 + 3 * gap, 3)
    assert int((picture[:, 48 // 2 + gap] == 255).sum()) == 3 * gap * 3


@pytest.mark.parametrize("levels", [16, 64, 256])
def test_points_lie_to_the_right_and_upwards(levels):
    """x = (i, j): i to the right, j upwards, as on the square of the densities."""
    spec = Spec((1, 1, 2), levels, looks=Scatter())
    point = np.array([[levels - 3, 2]], dtype=np.uint8)[:, None, None]
    picture = grid(point, spec)
    side = picture.shape[0]
    assert picture.shape == (side, side, 3)
    assert 250 <= side <= 420
    ink = (picture < 255).any(2)
    rows, columns = (np.arange(side)[ink.any(axis)].mean() / side for axis in (1, 0))
    assert columns == pytest.approx((levels - 2.5) / levels, abs=1.1 / side)
    assert 1 - rows == pytest.approx(2.5 / levels, abs=1.1 / side)


def test_more_points_are_darker_and_none_is_paper():
    spec = Spec((1, 1, 2), 16, looks=Scatter())
    points = np.array([[3, 3]] + [[8, 8]] * 2 + [[12, 12]] * 50, dtype=np.uint8)[:, None, None]
    picture = grid(points, spec).astype(int).sum(2)
    shades = sorted(np.unique(picture))
    assert len(shades) == 4
    assert shades[-1] == 3 * 255
    cell = lambda i: picture[::-1][i * 26 + 13, i * 26 + 13]  # noqa: E731
    assert 3 * 255 > cell(3) > cell(8) > cell(12)


def test_a_png_says_what_the_picture_says_and_always_in_the_same_bytes(tmp_path):
    spec = Spec((3, 8, 8), 256)
    x = images(5, spec)
    picture = grid(x, spec)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(picture)))), picture)
    for name in ("a.png", "b.png"):
        save_grid(x, spec, tmp_path / "new" / name)
    assert (
        (tmp_path / "new" / "a.png").read_bytes()
        == (tmp_path / "new" / "b.png").read_bytes()
        == png(picture)
    )
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.png", "b.png"]


def test_text_is_a_block_of_lines_and_padding_is_not_shown():
    spec = Spec((1, 1, 4), 3, looks=Text(".ab", padding="."))
    x = np.array([[1, 2, 0, 0], [1, 0, 2, 0], [0, 0, 0, 0]], dtype=np.uint8)[:, None, None]
    assert texts(x, spec.looks) == ["ab", "a.b", ""]
    picture = grid(x, spec)
    ink = (picture < 255).any((1, 2))
    thirds = np.array_split(ink[8:-8], 3)
    assert [bool(part.any()) for part in thirds] == [True, True, False]
    assert np.array_equal(grid(x[[0, 0]], spec), grid(x[[0, 0]], spec))
    assert not np.array_equal(grid(x[[0]], spec), grid(x[[1]], spec))


def test_names_are_made_only_where_a_folder_holds_as_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr("genbench.data.pictures.picture_name", lambda *_: pytest.fail("a name"))
    check_folder(tmp_path / "new", 10**12)
    check_folder(tmp_path, 10**12)
    (tmp_path / "000000.png").touch()
    with pytest.raises(InputError, match="holds 1 other files"):
        check_folder(tmp_path, 10**12)


def test_a_folder_of_texts_holds_text(tmp_path):
    spec = Spec((1, 1, 4), 3, looks=Text(".ab", padding="."))
    x = np.array([[1, 2, 0, 0], [2, 2, 2, 2]], dtype=np.uint8)[:, None, None]
    for _ in range(2):
        save_folder(x, spec, tmp_path / "out")
    content = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert content == {"000000.txt": "ab\n", "000001.txt": "bbbb\n"}
    with pytest.raises(InputError, match="other samples"):
        save_folder(x[::-1], spec, tmp_path / "out")
