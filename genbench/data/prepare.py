"""One rule from any picture to a square of 8-bit pixels.

    1. The picture is turned as its EXIF orientation says; of an animation the first frame is taken.
       Colour profiles are not applied.
    2. It gets 8 bits. A grey value v of more than 8 bits becomes 255 v / white, rounded, where
       white is 65,535 unless the caller says otherwise; 16-bit colour keeps its high byte.
       Transparency is laid over white. Palettes, CMYK, YCbCr and HSV become RGB; one bit becomes
       grey 0 or 255. Floating-point pixels are refused.
    3. The central square is cut out: of width w and height h > w, rows (h - w) // 2 to
       (h - w) // 2 + w - 1; likewise columns.
    4. It is reduced to size x size by Pillow's Lanczos filter, whose support grows with the factor
       (no aliasing), in 8 bits.

A picture that is such a square already keeps every bit.

A picture whose shorter side is less than the size is refused: enlarging would invent what a model
is then asked to learn. Pictures of more than 8 bits that all stay below a quarter of white are
refused too: files of 16 bits often hold 12, and would come out black.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile

__all__ = ["WHITE", "Decoded", "Depth", "decode", "from_array", "refuse_dark", "square"]

# A grey value of 16 bits is white at this number.
WHITE = 65_535

_ORIENTATION = 0x112

# These formats are tried in turn, whatever a file is called. Pillow knows more, but one of them,
# PostScript, is a programming language that another program runs.
_FORMATS = (
    "PNG",
    "JPEG",
    "MPO",
    "WEBP",
    "GIF",
    "BMP",
    "TIFF",
    "PPM",
    "JPEG2000",
    "AVIF",
    "HEIF",
    "TGA",
)


class Depth(NamedTuple):
    """The values of pictures of more than 8 bits.

    Attributes:
        lowest: The smallest value.
        highest: The largest one.
        white: The value that becomes 255.
        is_high_byte: Whether the values are high bytes alone: so Pillow reads colour, and grey with
            transparency.
    """

    lowest: int
    highest: int
    white: int
    is_high_byte: bool = False

    def over(self, other: Depth | None) -> Depth:
        """The range of the values of both."""
        if other is None:
            return self
        return Depth(
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
            self.white,
            self.is_high_byte,
        )


class Decoded(NamedTuple):
    """A picture by steps 1 and 2.

    Attributes:
        pixels: uint8 (H, W) for grey, (H, W, 3) for colour, upright.
        changes: What the steps did that an eye could miss, such as "laid over white where
            transparent".
        depth: The values of a picture of more than 8 bits.
    """

    pixels: np.ndarray
    changes: tuple[str, ...] = ()
    depth: Depth | None = None


def decode(content: bytes, white: int = WHITE) -> Decoded:
    """Decode a picture file by steps 1 and 2.

    Args:
        content: The bytes of the file.
        white: The value of a grey picture of more than 8 bits that becomes 255.

    Raises:
        ValueError: It is empty, has floating-point pixels, some above white, or more pixels than
            any photograph.
        OSError: It is no picture, or half of one.
    """
    if not content:
        raise ValueError("it is empty")
    with Image.open(io.BytesIO(content), formats=_known_formats()) as image:
        if image.width * image.height > (Image.MAX_IMAGE_PIXELS or math.inf):
            raise ValueError(f"it would unpack to {image.width}x{image.height} pixels")
        is_cut = _is_cut_to_8_bits(image)
        upright = ImageOps.exif_transpose(image)
        pixels = np.asarray(_eight_bits(upright, white))
        depth = None
        if upright.mode.startswith("I"):
            values = np.asarray(upright)
            depth = Depth(int(values.min()), int(values.max()), white)
        elif is_cut:
            depth = Depth(int(pixels.min()), int(pixels.max()), 255, is_high_byte=True)
        changes = tuple(_changes(image, upright))
        if is_cut:
            changes += ("16 bits to 8",)
        return Decoded(pixels, changes, depth)


def from_array(pixels: np.ndarray) -> Decoded:
    """Treat an array by step 2, which leaves it as it is unless it has transparency.

    Args:
        pixels: Integers (H, W), (H, W, 3), or uint8 (H, W, 4) with transparency.
    """
    if pixels.shape[2:] != (4,):
        return Decoded(pixels)
    image = Image.fromarray(np.ascontiguousarray(pixels), "RGBA")
    return Decoded(np.asarray(_eight_bits(image, WHITE)), tuple(_changes(image, image)))


def refuse_dark(depth: Depth | None, remedy: str) -> None:
    """Refuse pictures that would come out black.

    Args:
        depth: The range of all pictures of more than 8 bits, if there are any.
        remedy: The advice of the message for grey pictures. Where high bytes alone are known, the
            advice is another file.

    Raises:
        ValueError: All values are below a quarter of white.
    """
    if depth is None or 4 * depth.highest >= depth.white:
        return
    if depth.is_high_byte:
        remedy = "make files of 8 bits of them, scaled as is right"
    raise ValueError(
        f"pictures of more than 8 bits hold {depth.lowest:,} to {depth.highest:,}, where white is "
        f"{depth.white:,}: they would come out"
        f" black; {remedy}"
    )


def square(picture: np.ndarray, size: int) -> np.ndarray:
    """Cut out the central square and reduce it, by steps 3 and 4.

    Args:
        picture: uint8 (H, W) or (H, W, 3).
        size: Height and width of the result.

    Returns:
        uint8 (size, size) or (size, size, 3).

    Raises:
        ValueError: The picture is too small.
    """
    height, width = picture.shape[:2]
    side = min(width, height)
    if side < size:
        raise ValueError(f"it is {width}x{height}, smaller than {size}x{size}")
    left = (width - side) // 2
    top = (height - side) // 2
    middle = picture[top : top + side, left : left + side]
    if side == size:
        return middle
    return np.asarray(Image.fromarray(middle).resize((size, size), Image.Resampling.LANCZOS))


@cache
def _known_formats() -> list[str]:
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _is_cut_to_8_bits(image: Image.Image) -> bool:
    """Whether a file of 16 bits is one that Pillow reads as 8 bits.

    Its raw mode, known before the pixels are read, is one such as RGB;16B.
    """
    tiles: list[tuple[object, ...]] = getattr(image, "tile", [])
    if image.mode.startswith("I") or not tiles:
        return False
    arguments = tiles[0][3]
    if not isinstance(arguments, tuple):
        arguments = (arguments,)
    return any(isinstance(argument, str) and ";16" in argument for argument in arguments)


def _changes(image: Image.Image, upright: Image.Image) -> Iterator[str]:
    """Say what is done to an image besides decoding it.

    Args:
        image: The image as the file has it.
        upright: The first frame of the image, turned by the EXIF orientation.

    Yields:
        One phrase per change.
    """
    if image.getexif().get(_ORIENTATION, 1) != 1:
        yield "turned as the camera was (EXIF)"
    if getattr(image, "n_frames", 1) > 1:
        yield "first of several images in a file"
    if image.mode.startswith("I"):
        yield f"{_grey_bits(image)} bits to 8"
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        yield f"{image.mode} to RGB"
    if _has_alpha(upright) and np.asarray(upright.convert("RGBA"))[..., 3].min() < 255:
        yield "laid over white where transparent"


def _grey_bits(image: Image.Image) -> int:
    """Number of bits of a grey picture of more than 8.

    A TIFF states it; no other format has more than 16.
    """
    if isinstance(image, TiffImageFile):
        return int(image.tag_v2.get(BITSPERSAMPLE, (16,))[0])
    return 16


def _eight_bits(image: Image.Image, white: int) -> Image.Image:
    """The same picture in mode L (grey) or RGB, with 8 bits."""
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode == "F":
        raise ValueError("it has floating-point pixels")
    if image.mode.startswith("I"):
        return Image.fromarray(_from_more_bits(np.asarray(image), white))
    grey = image.mode in ("1", "L", "LA", "La")
    if _has_alpha(image):
        over = Image.new("RGBA", image.size, "white")
        over.alpha_composite(image.convert("RGBA"))
        image = over
    return image.convert("L" if grey else "RGB")


def _has_alpha(image: Image.Image) -> bool:
    """Whether a picture has transparency."""
    return image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info


def _from_more_bits(v: np.ndarray, white: int) -> np.ndarray:
    """Grey values of more than 8 bits as uint8: 255 v / white, rounded."""
    if v.min() < 0:
        raise ValueError("it has negative pixels")
    if v.max() > white:
        raise ValueError(f"its pixels go up to {int(v.max()):,}, above white, which is {white:,}")
    return ((v.astype(np.int64) * 255 + white // 2) // white).astype(np.uint8)
