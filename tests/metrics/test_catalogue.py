"""A metric is one file of genbench/metrics/ and the protocol that asks for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import genbench.metrics
from genbench.config.protocol import Protocol
from genbench.errors import InputError
from genbench.metrics.measure import measure, measure_of
from genbench.metrics.samples import Samples
from genbench.records import catalogue
from genbench.rng import Rng

NEW = """
from genbench.records.catalogue import MetricInfo
from genbench.system.typed import Range

METRICS = {"brightness": MetricInfo("Brightness", None, 1, range=Range(0, 255))}


def measure_brightness(samples):
    return samples.images.double().mean().item(), None
"""


@pytest.fixture
def brightness(tmp_path, monkeypatch):
    """A metric in a file of its own, beside those of the package."""
    (tmp_path / "brightness.py").write_text(NEW)
    monkeypatch.setattr(genbench.metrics, "__path__", [*genbench.metrics.__path__, str(tmp_path)])
    every = catalogue.metrics() | catalogue.declared_metrics(tmp_path)
    for module in ("genbench.metrics.measure", "genbench.config.protocol"):
        monkeypatch.setattr(f"{module}.metrics", lambda: every)
    yield
    sys.modules.pop("genbench.metrics.brightness", None)


def test_a_file_is_all_that_a_new_metric_needs(brightness):
    import torch

    protocol = Protocol("p", ("brightness",), 4)
    images = torch.full((4, 1, 2, 2), 7, dtype=torch.uint8)
    samples = Samples(Rng(0, range(4)), images=images)
    assert measure(samples, protocol.metrics) == {"brightness": (7.0, None)}


def test_every_declared_metric_has_its_function_and_its_file():
    assert len(catalogue.metrics()) >= 14
    for name, info in catalogue.metrics().items():
        assert measure_of(name).__module__ == f"genbench.metrics.{info.module}"


def test_what_a_file_declares_is_what_the_catalogue_reads():
    from genbench.metrics import points

    read = {name: catalogue.metric_info(name) for name in points.METRICS}
    assert {name: info.module for name, info in read.items()} == dict.fromkeys(read, "points")
    for name, info in points.METRICS.items():
        assert (info.title, info.range, info.inputs) == (
            read[name].title,
            read[name].range,
            read[name].inputs,
        )


def test_a_metric_that_no_file_declares_is_named():
    with pytest.raises(InputError, match="no sample metric 'coverag'; did you mean 'coverage'"):
        measure(Samples(Rng(0, range(4))), ["coverag"])


def test_the_catalogue_is_read_without_torch():
    code = (
        "import sys; from genbench.records.catalogue import metric_info; "
        "assert metric_info('kid').title == 'KID' and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


DECLARED = """
from genbench.records.catalogue import MetricInfo
from genbench.system.typed import Range

METRICS{annotation} = {{"ink": {info}}}
"""


@pytest.mark.parametrize("annotation", ["", ": dict[str, MetricInfo]"])
def test_a_declaration_is_read_with_a_type_and_without(tmp_path, annotation):
    info = 'MetricInfo("Ink", "lower", 2, range=Range(0))'
    (tmp_path / "ink.py").write_text(DECLARED.format(annotation=annotation, info=info))
    assert catalogue.declared_metrics(tmp_path)["ink"].module == "ink"


@pytest.mark.parametrize(
    ("info", "line"),
    [
        ('MetricInfo("Ink", "smaller", 2)', r"better of ink is 'lower', 'higher' or None, not 'smaller'"),
        ('MetricInfo("Ink", "lower", 2, inputs=("reference pictures",))', "did you mean 'reference images'"),
        ('Info("Ink", "lower", 2)', r"ink\.py:5: METRICS is read without running the file"),
        ('MetricInfo("Ink", BETTER, 2)', "not {'ink': MetricInfo"),
        ('MetricInfo("Ink", "lower", 2, colour=1)', "METRICS is read without running"),
        ('"lower"', "from a name to a MetricInfo"),
    ],
)  # fmt: skip
def test_a_wrong_declaration_is_refused_in_one_line_that_names_the_file(tmp_path, info, line):
    (tmp_path / "ink.py").write_text(DECLARED.format(annotation="", info=info))
    with pytest.raises(InputError, match=line) as error:
        catalogue.declared_metrics(tmp_path)
    assert str(tmp_path / "ink.py") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("value", "is_right"), [("7.0", True), ("-1.0", False), ("math.nan", False)]
)
def test_a_value_that_the_metric_cannot_take_is_refused(tmp_path, monkeypatch, value, is_right):
    declaration = DECLARED.format(
        annotation="", info='MetricInfo("Ink", "lower", 2, range=Range(0))'
    )
    measured = f"import math\n\n\ndef measure_ink(samples):\n    return {value}, None\n"
    (tmp_path / "ink.py").write_text(declaration + measured)
    monkeypatch.setattr(genbench.metrics, "__path__", [*genbench.metrics.__path__, str(tmp_path)])
    monkeypatch.setattr(
        "genbench.metrics.measure.metrics", lambda: catalogue.declared_metrics(tmp_path)
    )
    samples = Samples(Rng(0, range(4)))
    try:
        if is_right:
            assert measure(samples, ["ink"]) == {"ink": (7.0, None)}
        else:
            with pytest.raises(
                InputError, match=r"measure_ink of .*ink\.py gave .*: Ink is at least 0"
            ):
                measure(samples, ["ink"])
    finally:
        sys.modules.pop("genbench.metrics.ink", None)


def test_a_metric_without_its_function_is_named(tmp_path, monkeypatch):
    (tmp_path / "ink.py").write_text(
        DECLARED.format(annotation="", info='MetricInfo("Ink", None, 2)')
    )
    monkeypatch.setattr(genbench.metrics, "__path__", [*genbench.metrics.__path__, str(tmp_path)])
    monkeypatch.setattr(
        "genbench.metrics.measure.metrics", lambda: catalogue.declared_metrics(tmp_path)
    )
    try:
        with pytest.raises(InputError, match="declares ink and has no function measure_ink"):
            measure_of("ink")
    finally:
        sys.modules.pop("genbench.metrics.ink", None)
