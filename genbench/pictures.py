"""Grids of integer images as PNG: big enough to see, with gaps between the images."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
from PIL import Image

from genbench.files import write_atomic
from genbench.spec import Spec

__all__ = ["grid", "pixels", "png", "save_grid"]

_GAP, _PAPER = 4, (255, 255, 255)
_IMAGE_PIXELS = 48


def save_grid(images: np.ndarray, spec: Spec, path: Path, columns: int | None = None) -> None:
    """Write uint8 images (N, C, H, W) as one PNG, atomically."""
    write_atomic(path, png(grid(images, spec, columns)))


def png(picture: np.ndarray) -> bytes:
    """(H, W) or (H, W, 3) uint8 -> PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def pixels(image: np.ndarray, spec: Spec) -> np.ndarray:
    """One image (C, H, W), pixel for pixel -> (H, W) or (H, W, 3) uint8; fewer than 256 levels are spread over 0 to 255."""
    spread = np.round(image.astype(np.float64) * (255 / (spec.levels - 1))).astype(np.uint8)
    return spread[0] if len(image) == 1 else spread[:3].transpose(1, 2, 0)


def grid(
    images: np.ndarray, spec: Spec, columns: int | None = None, gap: int = _GAP, paper: tuple[int, int, int] = _PAPER
) -> np.ndarray:
    """Images (N, C, H, W) in reading order, enlarged by whole factors; points (1, 1, 2) as one scatter plot. (H, W, 3) uint8."""
    if spec.shape == (1, 1, 2):
        return _scatter(images, spec.levels)
    n, channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    scale = max(1, _IMAGE_PIXELS // max(height, width))
    grey = np.round(images.astype(np.float64) * (255 / (spec.levels - 1))).astype(np.uint8)
    colour = np.repeat(grey, 3, axis=1) if channels == 1 else grey[:, :3]
    large = colour.transpose(0, 2, 3, 1).repeat(scale, axis=1).repeat(scale, axis=2)
    h, w, rows = height * scale + gap, width * scale + gap, -(-n // columns)
    picture = np.full((rows * h + gap, columns * w + gap, 3), paper, dtype=np.uint8)
    for i, image in enumerate(large):
        top, left = i // columns * h + gap, i % columns * w + gap
        picture[top : top + h - gap, left : left + w - gap] = image
    return picture


def _scatter(points: np.ndarray, levels: int) -> np.ndarray:
    """Each point darkens its cell; first axis to the right, second upwards. About 400 pixels square."""
    counts = np.zeros((levels, levels))
    np.add.at(counts, (points[:, 0, 0, 0], points[:, 0, 0, 1]), 1)
    scale = max(1, 416 // levels)
    # a point covers 3 x 3 cells of 256, or it could not be seen from the back row
    reach = levels // 170
    padded = np.pad(counts, reach)
    spread = sum(padded[i : i + levels, j : j + levels] for i in range(2 * reach + 1) for j in range(2 * reach + 1))
    ink = 1 - np.exp(-0.9 * spread)
    shade = np.array([31, 58, 110]) * ink[..., None] + 255 * (1 - ink[..., None])
    return np.round(shade).astype(np.uint8).transpose(1, 0, 2)[::-1].repeat(scale, 0).repeat(scale, 1)
