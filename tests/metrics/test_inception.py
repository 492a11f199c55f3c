"""The canonical Inception extractor is torch-fidelity's, resize included."""

from __future__ import annotations

import io
import math
import shutil

import pytest
import torch
import yaml
from torch_fidelity.feature_extractor_inceptionv3 import (
    URL_INCEPTION_V3,
    FeatureExtractorInceptionV3,
)

from genbench.errors import InputError
from genbench.metrics import extractor
from genbench.metrics.extractor import fetch_weights, load_extractor
from genbench.metrics.frechet import fid
from genbench.metrics.inception import Inception
from genbench.rng import Rng
from genbench.system.files import file_digest
from genbench.system.locations import project_root

CARD = project_root() / "configs" / "features" / "inception.yaml"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of random weights, of the size that keeps activations alive through 94 layers."""
    file, keep = io.BytesIO(), FeatureExtractorInceptionV3.load_state_dict
    torch.save({}, file)
    file.seek(0)
    try:
        FeatureExtractorInceptionV3.load_state_dict = lambda self, state: None
        state = FeatureExtractorInceptionV3("inception", ["2048"], file).state_dict()
    finally:
        FeatureExtractorInceptionV3.load_state_dict = keep
    for name, value in state.items():
        if value.ndim > 1:
            value.copy_(
                Rng(0, [0]).split(name).normal(value.shape)[0] * math.sqrt(2 / value[0].numel())
            )
    path = (
        tmp_path_factory.mktemp("published")
        / "weights"
        / "weights-inception-2015-12-05-6726825d.pth"
    )
    path.parent.mkdir()
    torch.save(state, path)
    return path


@pytest.fixture
def here(tmp_path, monkeypatch, weights):
    """A checkout whose card states the hash of the random weights, and an empty folder of weights."""
    folder = tmp_path / "configs" / "features"
    folder.mkdir(parents=True)
    shutil.copy(CARD.with_name("digits.yaml"), folder)
    (folder / CARD.name).write_text(
        yaml.safe_dump({**yaml.safe_load(CARD.read_text()), "sha256": file_digest(weights)})
    )
    monkeypatch.setattr("genbench.metrics.card.shipped", tmp_path.joinpath)
    monkeypatch.setattr(extractor, "shipped", tmp_path.joinpath)
    monkeypatch.setenv("GENBENCH_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path


def fetched(weights):
    return list(fetch_weights("inception", weights.parent.parent.as_uri()))


def test_card_names_the_published_file():
    card = yaml.safe_load(CARD.read_text())
    assert card["url"] == URL_INCEPTION_V3 and card["url"].endswith("/" + card["weights"])
    assert len(card["sha256"]) == 64 and card["weights"].endswith(f"-{card['sha256'][:8]}.pth")


def test_features_and_scores_are_those_of_torch_fidelity(here, weights):
    fetched(weights)
    draws = torch.random.get_rng_state()
    extract = load_extractor("inception")
    assert torch.equal(torch.random.get_rng_state(), draws) and extract.hash == file_digest(weights)
    theirs = FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"], str(weights))
    for shape in ((3, 32, 32), (3, 40, 24)):
        x = Rng(0, range(2)).integers(256, shape).to(torch.uint8)
        features, logits = extract(x)
        with torch.no_grad():
            wanted, scores = theirs(x)
        assert features.shape == (2, extract.features) and logits.shape == (2, extract.classes)
        assert float(wanted.std(0).mean()) > 1e-3 and float(scores.std(0).mean()) > 1e-3
        torch.testing.assert_close(features, wanted, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(logits, scores, rtol=1e-6, atol=1e-6)
    # neither autocast nor the batch can be seen
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(extract(x[1:])[0], features[1:], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28)])
def test_from_pixels_to_the_distance_is_torch_fidelity(here, weights, shape):
    """Resize included, with fewer images than features. Grey images come to torch-fidelity repeated to three channels."""
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    fetched(weights)
    extract = load_extractor("inception")
    theirs = FeatureExtractorInceptionV3("inception", ["2048"], str(weights))
    sets = [
        Rng(0, range(4)).split(name).integers(high, shape).to(torch.uint8)
        for name, high in (("x", 256), ("r", 180))
    ]
    ours = [extract(images)[0] for images in sets]
    with torch.no_grad():
        wanted = [theirs(images.expand(-1, 3, -1, -1))[0].double() for images in sets]
    for features, reference in zip(ours, wanted):
        torch.testing.assert_close(features.double(), reference, rtol=1e-6, atol=1e-6)
    # their eigenvalues of a 2048 x 2048 product of rank 3 take long: the distance does not change in the span of all images
    span = torch.linalg.qr(torch.cat(wanted).T)[0]
    statistics = [fid_features_to_statistics(features @ span) for features in wanted]
    expected = fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    assert expected > 1e-3
    assert fid(*ours) == pytest.approx(expected, rel=1e-6)


def test_grey_images_are_repeated_and_levels_scaled(here, weights):
    fetched(weights)
    x = Rng(0, range(2)).integers(17, (1, 8, 8)).to(torch.uint8)
    as_photograph = (x.double() * 255 / 16).round().to(torch.uint8).repeat(1, 3, 1, 1)
    features, _ = load_extractor("inception", levels=17)(x)
    assert torch.equal(features, load_extractor("inception")(as_photograph)[0])
    with pytest.raises(ValueError, match="pixels are 0 to 16, not 255"):
        load_extractor("inception", levels=17)(as_photograph)
    with pytest.raises(
        ValueError, match=r"\(1, H, W\) or \(3, H, W\), not torch\.uint8 of \(2, 8, 8\)"
    ):
        load_extractor("inception")(x.repeat(1, 2, 1, 1))
    assert load_extractor("inception")(x[:0])[0].shape == (0, 2048)


def test_missing_weights_say_how_to_get_them(here, weights):
    with pytest.raises(
        InputError,
        match=r"no \S+6726825d\.pth; genbench data fetch-weights inception, or put a copy",
    ) as error:
        load_extractor("inception")
    assert "\n" not in str(error.value)
    assert "downloaded" in fetched(weights)[0]
    assert "was here" in fetched(weights)[0]
    load_extractor("inception")


def test_weights_with_another_hash_are_not_kept(here, weights, tmp_path):
    other = tmp_path / "mirror" / "weights" / weights.name
    other.parent.mkdir(parents=True)
    other.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(InputError, match="nothing was kept"):
        fetched(other)
    assert not list((here / "weights").iterdir())
    with pytest.raises(InputError, match="extractor digits needs no download"):
        list(fetch_weights("digits"))


def test_nothing_is_unpickled_but_tensors(here, tmp_path):
    path, card = (
        here / "weights" / "weights-inception-2015-12-05-6726825d.pth",
        here / "configs" / "features" / CARD.name,
    )
    path.parent.mkdir()
    torch.save({"fc.weight": tmp_path}, path)
    card.write_text(
        yaml.safe_dump({**yaml.safe_load(card.read_text()), "sha256": file_digest(path)})
    )
    with pytest.raises(InputError, match="not a file of tensors alone"):
        load_extractor("inception")


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match="2048 and 1008, not 64 and 1008"):
        Inception({}, features=64)


def test_weights_in_a_root_of_data(here, weights):
    root = here / "root"
    list(fetch_weights("inception", weights.parent.parent.as_uri(), str(root)))
    assert (root / "weights" / weights.name).is_file()
    assert load_extractor("inception", root=root).name == "inception"
    with pytest.raises(InputError, match="fetch-weights"):
        load_extractor("inception")
