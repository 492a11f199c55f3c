"""DINOv2's transformer, its positions and its resize against independent computations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from genbench.metrics import extractor
from genbench.metrics.dinov2 import DINOv2, resize
from genbench.metrics.extractor import load_extractor
from genbench.rng import Rng
from genbench.system.files import file_digest
from genbench.system.locations import project_root

SIZES = {"features": 24, "classes": 0, "depth": 2, "heads": 3, "patch": 14}


def theirs(image_size):
    """timm's transformer of the same shape, with random weights large enough that every part matters."""
    from timm.models.vision_transformer import VisionTransformer

    net = VisionTransformer(
        img_size=image_size,
        patch_size=14,
        num_classes=0,
        embed_dim=24,
        depth=2,
        num_heads=3,
        init_values=1.0,
        global_pool="token",
    )
    with torch.no_grad():
        for name, value in net.named_parameters():
            value.copy_(
                0.3 * Rng(0, [0]).split(name).normal(value.shape)[0] + name.endswith("norm.weight")
            )
    return net.eval()


def photographs(*shape):
    return Rng(1, range(3)).integers(256, shape).to(torch.uint8)


def test_transformer_equals_that_of_timm():
    oracle, x = theirs(56), photographs(3, 32, 40)
    net = DINOv2({**oracle.state_dict(), "mask_token": torch.zeros(1, 24)}, **SIZES, size=56).eval()
    mean, deviation = (
        torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    with torch.no_grad():
        features, logits = net(x)
        wanted = oracle((resize(x, 56) / 255 - mean) / deviation)
    assert logits.shape == (3, 0) and float(wanted.std(0).mean()) > 0.01
    torch.testing.assert_close(features, wanted, rtol=1e-5, atol=1e-5)


def cubic(t):
    """Keys' kernel with a = -3/4."""
    t, a = np.abs(t), -0.75
    return np.where(
        t <= 1,
        (a + 2) * t**3 - (a + 3) * t**2 + 1,
        np.where(t < 2, a * (t**3 - 5 * t**2 + 8 * t - 4), 0),
    )


def test_positions_are_interpolated_as_published():
    state = theirs(98).state_dict()
    with torch.no_grad():
        found = DINOv2(state, **SIZES, size=42)._positions()
    # output i looks at (i + 1/2) / scale - 1/2 of the 7 learned rows, clamped at the border; scale = (3 + 0.1) / 7
    weights = np.zeros((3, 7))
    for i, centre in enumerate((np.arange(3) + 0.5) * 7 / 3.1 - 0.5):
        for j in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            weights[i, np.clip(j, 0, 6)] += cubic(centre - j)
    learned = state["pos_embed"][0, 1:].double().numpy().reshape(7, 7, 24)
    wanted = np.einsum("ia,jb,abc->ijc", weights, weights, learned).reshape(9, 24)
    np.testing.assert_allclose(found[0, 1:].numpy(), wanted, atol=1e-5)
    assert torch.equal(found[:, 0], state["pos_embed"][:, 0])


@pytest.mark.parametrize("height", [28, 32, 64, 224, 300])
def test_resize_is_that_of_pillow(height):
    x = photographs(3, height, height + 3)
    pictures = [
        Image.fromarray(image.permute(1, 2, 0).numpy()).resize((224, 224), Image.Resampling.BICUBIC)
        for image in x
    ]
    wanted = torch.stack(
        [torch.tensor(np.asarray(picture)).permute(2, 0, 1) for picture in pictures]
    )
    off = (resize(x, 224) - wanted).abs()
    assert float(off.max()) <= 1 and float((off > 0).float().mean()) < 0.01


def test_extractor_of_a_file(tmp_path, monkeypatch):
    card = yaml.safe_load((project_root() / "configs" / "features" / "dinov2.yaml").read_text())
    folder, path = (
        tmp_path / "configs" / "features",
        tmp_path / "data" / "weights" / card["weights"],
    )
    folder.mkdir(parents=True)
    path.parent.mkdir(parents=True)
    torch.save({**theirs(98).state_dict(), "mask_token": torch.zeros(1, 24)}, path)
    tiny = {**card, "init_args": {**SIZES, "size": 42}, "sha256": file_digest(path)}
    (folder / "dinov2.yaml").write_text(yaml.safe_dump(tiny))
    monkeypatch.setattr("genbench.metrics.card.shipped", tmp_path.joinpath)
    monkeypatch.setattr(extractor, "shipped", tmp_path.joinpath)
    monkeypatch.delenv("GENBENCH_WEIGHTS", raising=False)
    monkeypatch.setenv("GENBENCH_DATA", str(tmp_path / "data"))
    extract, x = load_extractor("dinov2"), photographs(1, 28, 28)
    together, logits = extract(x)
    assert (together.shape, logits.shape, together.requires_grad) == ((3, 24), (3, 0), False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        alone = torch.cat([extract(x[i : i + 1])[0] for i in range(3)])
    torch.testing.assert_close(alone, together, rtol=1e-5, atol=1e-5)


def test_impossible_shapes_are_refused():
    with pytest.raises(ValueError, match="size a multiple of patch"):
        DINOv2({}, size=220)
