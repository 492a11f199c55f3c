"""The grammar: its language by another route, its draws, and metrics of models of it."""

from __future__ import annotations

import math
import re
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from genbench.cli.main import main
from genbench.cli.sample import prompt_levels
from genbench.config.recipe import load_config
from genbench.data import grammar
from genbench.data.grammar import RULES, Grammar, language
from genbench.data.pictures import save_folder
from genbench.errors import InputError
from genbench.metrics.measure import measure
from genbench.metrics.samples import Samples
from genbench.records.store import read_record
from genbench.rng import Rng
from genbench.runs.build import build
from genbench.spec import Text

NAMES = ("kl_estimate", "grammatical")


@pytest.fixture(scope="module")
def data():
    return Grammar()


def entropy(symbol: str) -> float:
    """H of a symbol by the chain rule: that of its rule, and of what the rule derives on average."""
    if symbol not in RULES:
        return 0.0
    return sum(
        p * (-math.log(p) + sum(entropy(part) for part in right.split()))
        for p, right in RULES[symbol]
    )


def test_the_table_has_the_entropy_of_the_rules(data):
    p = list(data.sentences.values())
    assert math.fsum(p) == pytest.approx(1, abs=1e-12)
    assert data.entropy == pytest.approx(entropy("SENTENCE"), abs=1e-9)
    assert all(math.fsum(q for q, _ in rules) == pytest.approx(1) for rules in RULES.values())


def test_a_sentence_has_the_product_of_its_rules(data):
    p = data.sentences["two red sevens above a blue three"]
    assert p == pytest.approx(0.7 * (0.6 * 0.5 * 0.4 * 0.2) * 0.5 * (0.4 * 0.3 * 0.1))
    agreement = re.compile(r"(a \w+ (\w+[^s]|\w*ss)|(two|three|four) \w+ \w+s)")
    for sentence in list(data.sentences)[::97]:
        assert all(
            agreement.fullmatch(part) for part in re.split(" (?:above|below|beside) ", sentence)
        )


@pytest.mark.parametrize(
    "rules",
    [
        {"S": ((0.5, "a"), (0.5, "N")), "N": ((1.0, "a"),)},
        {"S": ((1.0, "N M"),), "N": ((0.5, "A"), (0.5, "A B")), "M": ((0.5, "B C"), (0.5, "C")),
         "A": ((1.0, "a"),), "B": ((1.0, "b"),), "C": ((1.0, "c"),)},
    ],
)  # fmt: skip
def test_an_ambiguous_grammar_is_refused(rules):
    with pytest.raises(ValueError, match="two derivations"):
        language(rules, "S")


def test_lines_and_sentences_are_one_to_one(data):
    sentences = list(data.sentences)[::501]
    x = torch.from_numpy(data.lines(sentences))
    p = torch.tensor([data.sentences[sentence] for sentence in sentences], dtype=torch.float64)
    assert torch.allclose(data.known_log_prob(x), p.log())
    broken = x.clone()
    broken[:, 0, 0, 0] = 0  # a full stop in front
    assert data.known_log_prob(broken).isneginf().all()
    assert len(np.unique(x.flatten(1).numpy(), axis=0)) == len(sentences)
    assert max(map(len, data.sentences)) == data.spec.dims
    assert set("".join(data.sentences)) | {"."} == set(data.spec.looks.alphabet)


def test_a_full_stop_is_padding_behind_a_sentence_alone(data):
    x = torch.from_numpy(data.lines([".a red two", "a. red two", "a red two"]))
    assert data.known_log_prob(x).isneginf().tolist() == [True, True, False]


def test_a_line_shows_padding_in_front_and_within():
    assert Text(".abc", ".").read([0, 1, 0, 2, 0, 0]) == ".a.b"
    assert Text(".abc").read([0, 1, 0]) == ".a."


def test_the_label_is_the_first_colour(data, monkeypatch):
    """Of what is drawn, which a decoded copy need not be."""
    monkeypatch.setattr(data, "sizes", (300, 300, 300))
    for x, y in data.decode().values():
        words = [data.spec.looks.read(line).split() for line in x.reshape(len(x), -1).tolist()]
        colours = [[word for word in line if word in data.class_names] for line in words]
        assert [data.class_names[k] for k in y] == [line[0] for line in colours]
        assert any(line[0] != line[-1] for line in colours)


def test_splits_are_draws_of_their_own(data, monkeypatch):
    monkeypatch.setattr(data, "sizes", (50, 50, 50))
    train, val, test = (x for x, _ in data.decode().values())
    assert not any(np.array_equal(a, b) for a, b in ((train, val), (train, test), (val, test)))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_splits_are_draws_of_the_grammar(data, split):
    x, y = data.tensors(split)
    words = [data.spec.looks.read(line).split() for line in x.flatten(1).tolist()]
    assert [data.class_names[k] for k in y.tolist()] == [sentence[1] for sentence in words]
    assert data.known_log_prob(x).isfinite().all()
    # the word before the first space, and the place, against their probabilities
    texts = [data.spec.looks.read(line) for line in x.flatten(1).tolist()]
    first = Counter(text.split()[0] for text in texts)
    expected = {"a": 0.4, "two": 0.3, "three": 0.18, "four": 0.12}
    assert (
        chisquare(
            [first[word] for word in expected], [p * len(x) for p in expected.values()]
        ).pvalue
        > 1e-3
    )
    place = Counter(
        next((w for w in t.split() if w in ("above", "below", "beside")), "") for t in texts
    )
    expected = {"": 0.3, "above": 0.35, "below": 0.21, "beside": 0.14}
    assert (
        chisquare(
            [place[word] for word in expected], [p * len(x) for p in expected.values()]
        ).pvalue
        > 1e-3
    )


def samples(data, images, log_scores):
    reference, _ = data.tensors("test")
    return Samples(
        Rng(0, range(10)),
        images=images,
        reference_images=reference,
        log_scores=log_scores,
        known_log_prob=data.known_log_prob,
    )


def test_the_grammar_itself_has_kl_0_and_is_grammatical(data):
    x, _ = data.tensors("test")
    values = measure(samples(data, data.tensors("val")[0], data.known_log_prob(x)), NAMES)
    assert values == {"kl_estimate": (0.0, 0.0), "grammatical": (1.0, 0.0)}


def test_kl_is_estimated_within_its_error(data):
    """log q = log p + log 0.8 + a tilt by the length of the sentence: KL is a sum over the table."""
    x, _ = data.tensors("test")
    p = np.array(list(data.sentences.values()))
    tilt = torch.tensor(
        [(len(data.spec.looks.read(line)) % 5) - 2.0 for line in x.flatten(1).tolist()]
    )
    log_q = data.known_log_prob(x) + math.log(0.8) + 0.1 * tilt
    lengths = np.array([len(sentence) % 5 - 2.0 for sentence in data.sentences])
    exact = float((p * -(math.log(0.8) + 0.1 * lengths)).sum())
    value, error = measure(samples(data, x[:10], log_q), NAMES)["kl_estimate"]
    assert 0 < error < 0.01
    assert abs(value - exact) < 4 * error


def test_the_share_of_grammatical_lines_counts_lines(data):
    x, _ = data.tensors("val")
    x = x[:100].clone()
    x[:25, 0, 0, 3:6] = 2
    value, error = measure(samples(data, x, None), ["grammatical"])["grammatical"]
    assert value == 0.75
    assert error == pytest.approx(math.sqrt(0.75 * 0.25 / 100))


def test_metrics_of_known_probabilities_need_them():
    with pytest.raises(InputError, match="true probabilities"):
        measure(Samples(Rng(0, range(4)), images=torch.zeros(4, 1, 1, 2)), ["grammatical"])


# --- commands -------------------------------------------------------------------------------------


def test_a_prompt_of_padding_is_refused(data):
    config = load_config("grammar/transformer", smoke=True)
    loaded = SimpleNamespace(data=data, model=build(config)[1], config=config)
    assert prompt_levels(loaded, "two red", {}) == data.spec.looks.levels_of("two red")
    for prompt in ("two. red", ".", "two red."):
        with pytest.raises(InputError, match=r"'\.' fills texts of grammar up behind their end"):
            prompt_levels(loaded, prompt, {})


def test_sentences_of_another_tool_are_read_from_arrays_alone(data, tmp_path, capsys):
    lines = np.concatenate([data.arrays("val")[0]] * 3)[:5_000]
    folder = tmp_path / "texts"
    save_folder(lines[:4], data.spec, folder)
    command = ["evaluate", "--data", "grammar", "--out", str(tmp_path / "out"), "--samples"]
    assert main([*command, str(folder), "--name", "theirs"]) == 2
    errors = capsys.readouterr().err
    assert f"{folder}: samples of texts are read from an npz file" in errors
    assert "genbench sample RUN -o texts.npz writes it" in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "out").exists()
    # as `genbench sample` writes them
    np.savez(tmp_path / "texts.npz", images=lines, levels=data.spec.levels)
    assert main([*command, str(tmp_path / "texts.npz"), "--name", "theirs"]) == 0
    (path,) = (tmp_path / "out" / "records").rglob("*.json")
    assert read_record(path).metrics["grammatical"].value == 1.0


def test_sentences_of_another_grammar_are_drawn_anew(tmp_path, monkeypatch):
    folder = Grammar(str(tmp_path)).folder
    equal = {
        symbol: [(1 / len(rules), right) for _, right in rules] for symbol, rules in RULES.items()
    }
    monkeypatch.setattr(grammar, "RULES", equal)
    assert Grammar(str(tmp_path)).folder != folder
