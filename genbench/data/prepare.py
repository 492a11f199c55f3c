"""One rule from any picture to a square of 8-bit pixels. A picture that is one already keeps every bit.

    1. Turned as its EXIF orientation says; of an animation the first frame. Colour profiles are not applied.
    2. 8 bits: 16-bit grey v becomes v / 257, rounded; 16-bit colour keeps its high byte. Transparency is laid over white.
       Palettes, CMYK, YCbCr, HSV become RGB; one bit becomes grey 0 or 255. Floating-point pixels are refused.
    3. The central square: of width w and height h > w, rows (h - w) // 2 to (h - w) // 2 + w - 1; likewise columns.
    4. Reduced to size x size by Pillow's Lanczos filter, whose support grows with the factor (no aliasing), in 8 bits.

A picture whose shorter side is less than the size is refused: enlarging would invent what a model is then asked to learn.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

__all__ = ["Decoded", "decode", "square"]

_ORIENTATION = 0x112

# Tried in turn, whatever a file is called. Of what else Pillow knows, PostScript is a programming language, for another program.
_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF", "TGA")


class Decoded(NamedTuple):
    """A picture by steps 1 and 2.

    Args:
        pixels: uint8 (H, W) for grey, (H, W, 3) for colour, upright.
        changes: What the steps did that an eye could miss, such as "laid over white where transparent".
    """

    pixels: np.ndarray
    changes: tuple[str, ...] = ()


def decode(content: bytes) -> Decoded:
    """The bytes of a picture file.

    Raises:
        ValueError: It is empty, has floating-point pixels, or more pixels than any photograph.
        OSError: It is no picture, or half of one.
    """
    if not content:
        raise ValueError("it is empty")
    with Image.open(io.BytesIO(content), formats=_known_formats()) as image:
        if image.width * image.height > (Image.MAX_IMAGE_PIXELS or math.inf):
            raise ValueError(f"it would unpack to {image.width}x{image.height} pixels")
        upright = ImageOps.exif_transpose(image)
        return Decoded(np.asarray(_eight_bits(upright)), tuple(_changes(image, upright)))


def square(picture: np.ndarray, size: int) -> np.ndarray:
    """uint8 (H, W) or (H, W, 3) -> uint8 (size, size) or (size, size, 3).

    Raises:
        ValueError: It is too small.
    """
    height, width = picture.shape[:2]
    side = min(width, height)
    if side < size:
        raise ValueError(f"it is {width}x{height}, smaller than {size}x{size}")
    left, top = (width - side) // 2, (height - side) // 2
    middle = picture[top : top + side, left : left + side]
    return middle if side == size else np.asarray(Image.fromarray(middle).resize((size, size), Image.Resampling.LANCZOS))


@cache
def _known_formats() -> list[str]:
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _changes(image: Image.Image, upright: Image.Image) -> Iterator[str]:
    """What is done to an image besides decoding it; `upright` is its first frame by the EXIF orientation."""
    if image.getexif().get(_ORIENTATION, 1) != 1:
        yield "turned as the camera was (EXIF)"
    if getattr(image, "n_frames", 1) > 1:
        yield "first of several images in a file"
    if image.mode.startswith("I"):
        yield "16 bits to 8"
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        yield f"{image.mode} to RGB"
    if _has_alpha(upright) and np.asarray(upright.convert("RGBA"))[..., 3].min() < 255:
        yield "laid over white where transparent"


def _eight_bits(image: Image.Image) -> Image.Image:
    """Mode L or RGB."""
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode == "F":
        raise ValueError("it has floating-point pixels")
    if image.mode.startswith("I"):
        return Image.fromarray(_from_16_bits(np.asarray(image)))
    grey = image.mode in ("1", "L", "LA", "La")
    if _has_alpha(image):
        over = Image.new("RGBA", image.size, "white")
        over.alpha_composite(image.convert("RGBA"))
        image = over
    return image.convert("L" if grey else "RGB")


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info


def _from_16_bits(v: np.ndarray) -> np.ndarray:
    if v.min() < 0 or v.max() > 65_535:
        raise ValueError("its pixels have more than 16 bits")
    return ((v.astype(np.uint32) + 128) // 257).astype(np.uint8)
