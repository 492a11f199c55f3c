"""Images that another tool made, scored as if a model here had made them: one record, marked as
foreign in the table.

What is known of them is their pixels. There is no likelihood, no speed and no cost, and nothing
vouches for how they came about.
"""

from __future__ import annotations

import glob
import hashlib
import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL.Image import DecompressionBombWarning
from torch import Tensor

from genbench.config.protocol import load_protocol
from genbench.data.canonical import canonical_order, content_order
from genbench.data.containers import PIXELS, Picture, open_container, printable
from genbench.data.images import ImageData
from genbench.data.prepare import Decoded, Depth, refuse_dark
from genbench.errors import InputError
from genbench.evaluation.draw import save_picture
from genbench.evaluation.images_record import record_of_images
from genbench.evaluation.resolve import device_class, resolve_protocol
from genbench.evaluation.score import score_samples
from genbench.records.contents import FOREIGN, NOISE_FLOOR
from genbench.records.record import record_id
from genbench.records.store import check_place, check_stem, read_record, record_path, write_record
from genbench.spec import Spec, Text, pixel_dtype
from genbench.system.files import NAME
from genbench.system.json_files import digest
from genbench.system.processes import agreed, first_alone

__all__ = ["content_hash", "evaluate_samples", "read_samples"]

_log = logging.getLogger(__name__)


def evaluate_samples(
    path: Path,
    data: ImageData,
    name: str,
    out: Path,
    seed: int = 0,
    protocol_name: str | None = None,
    device: str = "cpu",
) -> Path:
    """Measure images and write their record and their grid.

    Args:
        path: A folder or a zip of pictures, or an npz file: images, or arr_0, uint8 (N, H, W[, C])
            or (N, C, H, W), or int32 for more than 256 levels; levels (256); or an npy file of images alone.
        data: What they should look like.
        name: What to call them: a row of the table.
        out: Folder with records/ and pictures/.
        seed: Number of the training of the other tool that they come from. The seeds of one name
            are one row.
        protocol_name: Name of the protocol that judges them. Default: that of the data.
        device: Where to compute.

    Returns:
        The record's file. An existing record of the same images is left as it is.

    Raises:
        InputError: They are not images of that shape and those levels, or fewer than the protocol
            asks for.
    """
    if not NAME.fullmatch(name) or name == NOISE_FLOOR:
        raise InputError(
            f"--name {name!r} is a row's name and part of file names: letters, digits, and . _ + - "
            f"are right, the first one a letter, a digit or _; not {NOISE_FLOOR}"
        )
    check_stem(name, "", seed)
    protocol = load_protocol(protocol_name or data.protocol)
    images = read_samples(path, data.spec)
    resolved = resolve_protocol(protocol, data, device)
    identity = resolved.identity
    if len(images) < protocol.images:
        raise InputError(
            f"{path} holds {len(images):,} images; protocol {protocol.name} is about"
            f" {protocol.images:,}"
        )
    if len(images) > protocol.images:
        _log.warning(
            "%s holds %s images; %s of them, drawn at random, are scored by protocol %s",
            path,
            f"{len(images):,}",
            f"{protocol.images:,}",
            protocol.name,
        )
    resolved = resolved.of_training(seed)
    config = {"samples": content_hash(images)}
    # Files come in the order of their names, often class by class.
    evaluation_seed = resolved.protocol.evaluation_seed
    images = images[content_order(images.numpy(), evaluation_seed)[: protocol.images]]
    id8 = record_id(digest(FOREIGN), identity, "", {}, {}, device_class(device))
    target = record_path(out, data.name, name, "", seed, id8)
    if agreed(target.exists()):
        known = read_record(target)
        if known.family != FOREIGN or known.provenance.config != config:
            raise InputError(
                f"{target} is a record of other images under the name {name}; choose another --name"
                " or --seed"
            )
        return target
    for other in target.parent.glob(f"{glob.escape(name)}-s*.json"):
        if (known := read_record(other)).provenance.config == config and known.protocol == identity:
            raise InputError(
                f"{other} is a record of the same images as --seed {known.seed}; seeds are"
                " trainings of their own"
            )
    check_place(out, data.name, name, "", seed, id8)
    images = images.to(device)
    metrics = score_samples(images, resolved)
    with first_alone() as first:
        if first:
            record = record_of_images(
                name,
                FOREIGN,
                seed,
                device_class(device),
                identity,
                metrics,
                config,
                digest(FOREIGN),
            )
            save_picture(images, data.spec, record, out)
            write_record(out, record)
    return target


def content_hash(images: Tensor) -> str:
    """SHA-256 of a set of images, integers (N, C, H, W), in whatever order they come."""
    order = canonical_order(images.numpy(), None)
    return hashlib.sha256(images[order].numpy().tobytes()).hexdigest()


def read_samples(path: Path, spec: Spec) -> Tensor:
    """Images of exactly the shape of the data, integers (N, C, H, W), in the order of their names.
    Nothing is resized.

    Pixels of 256 levels are scaled to the data's levels where those are fewer, and rounded; other
    levels must be the data's.

    Raises:
        InputError: They are no such images, or the data are text and the samples no arrays.
    """
    if isinstance(spec.looks, Text) and path.suffix.lower() not in (".npz", ".npy"):
        raise InputError(
            f"{path}: samples of texts are read from an npz file of their characters' levels, as "
            "genbench sample RUN -o texts.npz writes it"
        )
    container = open_container(path, PIXELS)
    if container.unreadable:
        name, reason = container.unreadable[0]
        raise InputError(f"{path}: {printable(name)}: {reason}")
    images: list[Tensor] = []
    depths: dict[bool, Depth] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error", DecompressionBombWarning)
        for picture in container.pictures:
            decoded = _decoded(path, picture)
            images.append(_image(path, picture.name, decoded.pixels, spec))
            if decoded.depth is not None:
                kind = decoded.depth.is_high_byte
                depths[kind] = decoded.depth.over(depths.get(kind))
    for depth in depths.values():
        try:
            refuse_dark(depth, "make files of 8 bits of them, scaled as is right")
        except ValueError as error:
            raise InputError(f"{path}: {error}") from None
    return _scaled(path, torch.stack(images), container.levels, spec.levels)


def _decoded(path: Path, picture: Picture) -> Decoded:
    try:
        return picture.read()
    except Exception as error:  # Decoders of damaged files may raise anything.
        raise InputError(
            f"{path}: {printable(picture.name)}:"
            f" {' '.join(str(error).split()) or type(error).__name__}"
        ) from None


def _image(path: Path, name: str, pixels: np.ndarray, spec: Spec) -> Tensor:
    """A picture as an image (C, H, W) of the data's shape."""
    channels, height, width = spec.shape
    if channels == 1 and pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., 0]  # The picture is grey, but stored in colour.
    if channels == 3 and pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    if pixels.shape != ((height, width) if channels == 1 else (height, width, channels)):
        kind = "grey" if pixels.ndim == 2 else "colour"
        declared = f"{'grey' if channels == 1 else 'colour'}, {width}x{height}"
        raise InputError(
            f"{path}: {printable(name)} is {kind}, {pixels.shape[1]}x{pixels.shape[0]}; the data"
            f" are {declared}"
        )
    return (
        torch.from_numpy(np.array(pixels))
        .reshape(height, width, channels)
        .permute(2, 0, 1)
        .contiguous()
    )


def _scaled(path: Path, images: Tensor, image_levels: int, levels: int) -> Tensor:
    if image_levels == levels:
        return images
    if image_levels != 256 or levels > 256:
        raise InputError(f"{path}: its images have {image_levels} levels; the data have {levels}")
    if int(images.max()) < levels:
        raise InputError(
            f"{path}: no pixel is above {int(images.max())} of 255; if these are the data's"
            f" {levels} levels, say so in an npz file: levels={levels}"
        )
    return (images.double() * ((levels - 1) / 255)).round().to(pixel_dtype(levels))
