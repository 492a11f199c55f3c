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
