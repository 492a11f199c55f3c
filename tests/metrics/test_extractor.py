"""The shipped extractor is what its card says, and sees nothing but the image."""

from __future__ import annotations

import shutil

import pytest
import torch
import yaml

from genbench.data.digits import Digits
from genbench.errors import InputError
from genbench.metrics import classifier, extractor
from genbench.metrics.card import Recipe
from genbench.metrics.classifier import Classifier, accuracy, augment, fit_classifier
from genbench.metrics.extractor import load_extractor
from genbench.rng import Rng
from genbench.system.files import file_digest
from genbench.system.locations import project_root

CARD = project_root() / "configs" / "features" / "digits.yaml"


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return Digits(root=str(tmp_path_factory.mktemp("data")))


@pytest.fixture
def cards(tmp_path, monkeypatch):
    """A checkout of its own to break."""
    for path in (CARD, project_root() / "genbench" / "metrics" / "weights" / "digits.safetensors"):
        copy = tmp_path / path.relative_to(project_root())
        copy.parent.mkdir(parents=True)
        shutil.copy(path, copy)
    monkeypatch.setattr("genbench.metrics.card.shipped", tmp_path.joinpath)
    monkeypatch.setattr(extractor, "shipped", tmp_path.joinpath)
    monkeypatch.setattr(classifier, "shipped", tmp_path.joinpath)
    return tmp_path


def test_hash_and_accuracy_are_those_of_the_card(digits):
    card, extract = yaml.safe_load(CARD.read_text()), load_extractor("digits")
    assert extract.hash == card["sha256"] == file_digest(project_root() / card["weights"])
    x, y = digits.tensors("test")
    _, logits = extract(x)
    assert round(float((logits.argmax(1) == y).double().mean()), 4) == card["test_accuracy"] >= 0.97


def test_features_are_alive_and_told_apart(digits):
    extract = load_extractor("digits")
    features, logits = extract(digits.tensors("test")[0])
    assert features.shape == (719, extract.features) and logits.shape == (719, 10)
    assert features.dtype == logits.dtype == torch.float32
    assert float(features.std(0).min()) > 0.1
    # full rank: no direction of the feature space is dead
    assert float(torch.linalg.eigvalsh(features.double().T.cov()).min()) > 1e-3


def test_features_of_an_image_do_not_depend_on_its_batch(digits):
    x, extract = digits.tensors("test")[0], load_extractor("digits")
    together, alone = extract(x[:50])[0], torch.cat([extract(x[i : i + 1])[0] for i in range(50)])
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=1e-6)


def test_extractor_cannot_be_swallowed_by_a_module(digits):
    extract = load_extractor("digits")
    host = torch.nn.Module()
    host.extract = extract
    host.train()
    assert not extract.net.training and not list(host.parameters()) and not host.state_dict()
    x = digits.tensors("test")[0][:4]
    features, _ = extract(x)
    assert not features.requires_grad
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(extract(x)[0], features)


def test_loading_draws_no_random_numbers():
    before = torch.random.get_rng_state()
    load_extractor("digits")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_wrong_images_are_refused():
    extract = load_extractor("digits")
    with pytest.raises(ValueError, match="pixels are 0 to 16, not 255"):
        extract(torch.full((2, 1, 8, 8), 255, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"images are torch\.uint8 of"):
        extract(torch.zeros(2, 1, 8, 8))
    assert extract(torch.zeros(0, 1, 8, 8, dtype=torch.uint8))[0].shape == (0, 32)


def test_pixels_of_other_levels_are_scaled(digits):
    x = digits.tensors("test")[0][:20]
    binary = (x > 8).to(torch.uint8)
    assert torch.equal(
        load_extractor("digits", levels=2)(binary)[0], load_extractor("digits")(binary * 16)[0]
    )
    assert torch.equal(load_extractor("digits", levels=17)(x)[0], load_extractor("digits")(x)[0])
    with pytest.raises(ValueError, match="pixels are 0 to 1, not 16"):
        load_extractor("digits", levels=2)(binary * 16)


@pytest.mark.parametrize("name", ["cifar10", "mnist"])
def test_shipped_classifiers_are_those_of_their_cards(name):
    card = yaml.safe_load(CARD.with_name(f"{name}.yaml").read_text())
    extract = load_extractor(name)
    assert (
        extract.hash == card["sha256"] and (project_root() / card["weights"]).stat().st_size < 2**22
    )
    x = Rng(0, range(12)).integers(256, tuple(card["init_args"]["shape"])).to(torch.uint8)
    features, logits = extract(x)
    assert features.shape == (12, extract.features) and logits.shape == (12, extract.classes)
    # neither the batch nor autocast can be seen
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(extract(x[3:5])[0], features[3:5], rtol=1e-6, atol=1e-6)


def test_unknown_names_get_the_nearest_right_one():
    with pytest.raises(InputError, match="no feature extractor 'digit': did you mean 'digits'\\?"):
        load_extractor("digit")


def test_other_weights_are_refused(cards):
    load_extractor("digits")
    weights = cards / "genbench" / "metrics" / "weights" / "digits.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(InputError, match=r"the card says [0-9a-f]{12}") as error:
        load_extractor("digits")
    assert "\n" not in str(error.value)
    weights.unlink()
    with pytest.raises(InputError, match="no file"):
        load_extractor("digits")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"class_path": "os.system"}, "class_path is 'os.system', not a class of genbench"),
        ({"levels": None}, "levels is missing"),
        ({"levels": 1}, "levels is 1, not from 2 to 65536"),
        ({"init_args": {"features": 3}}, r"init_args\.classes is missing"),
        ({"recipe": {"images": 0}}, r"recipe\.images is 0, not at least 1"),
    ],
)
def test_broken_cards_are_refused(cards, change, line):
    path = cards / "configs" / "features" / "digits.yaml"
    card = {
        key: value
        for key, value in {**yaml.safe_load(path.read_text()), **change}.items()
        if value is not None
    }
    path.write_text(yaml.safe_dump(card))
    with pytest.raises(InputError, match=line):
        load_extractor("digits")


def test_training_is_a_function_of_the_recipe(cards, digits, monkeypatch, capsys):
    monkeypatch.setenv("GENBENCH_DATA", str(digits.root))
    path = cards / "configs" / "features" / "digits.yaml"
    card = yaml.safe_load(path.read_text())
    card["recipe"]["images"] = 32000
    path.write_text(yaml.safe_dump(card))
    hashes = []
    for draws in range(2):
        torch.rand(draws)
        classifier.main(path)
        printed = yaml.safe_load(capsys.readouterr().out)
        hashes.append(printed["sha256"])
        assert printed["test_accuracy"] > 0.9
    assert hashes[0] == hashes[1] == file_digest(cards / card["weights"])
    assert [p.name for p in (cards / card["weights"]).parent.iterdir()] == ["digits.safetensors"]


def test_classifier_of_other_shapes_and_levels_learns():
    # left bright or right bright: any working loop has this in a few steps
    y = torch.arange(64) % 2
    x = Rng(0, range(64)).integers(128, (3, 9, 12)).to(torch.uint8)
    x[y == 0, :, :, :6] += 127
    x[y == 1, :, :, 6:] += 127
    net = Classifier((3, 9, 12), 2, width=4, features=8)
    fit_classifier(net, x, y, 256, Recipe(images=2000, batch_size=32, rotation=5, shift=0.5))
    assert accuracy(net, x, y, 256) == 1


def test_augmentation_moves_by_whole_pixels_and_keeps_the_background():
    v = -torch.ones(64, 1, 8, 8)
    v[:, :, 4, 4] = 1
    rng = Rng(0, range(64))
    still = augment(v, Recipe(images=1, rotation=0, scale=0, shift=0), rng)
    torch.testing.assert_close(still, v, atol=1e-5, rtol=0)
    moved = augment(v, Recipe(images=1, rotation=0, scale=0, shift=1), rng) + 1
    # bilinear: mass 2 stays, its centre moves by at most one pixel, by the stream's own amount
    torch.testing.assert_close(moved.sum((1, 2, 3)), torch.full((64,), 2.0), atol=1e-4, rtol=0)
    centre = (moved[:, 0].sum(1) * torch.arange(8.0)).sum(1) / 2
    assert 0.8 < float((centre - 4).abs().max()) <= 1.0001 and float(centre.std()) > 0.3
    alone = augment(v[:1], Recipe(images=1), Rng(0, [5]))
    torch.testing.assert_close(augment(v, Recipe(images=1), Rng(0, range(64)))[5:6], alone)
