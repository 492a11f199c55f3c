"""Speed: what is counted, what is timed, and that the time is kept."""

from __future__ import annotations

import statistics
import time

import pytest
import torch
from torch import nn

from genbench.metrics import speed
from genbench.metrics.device import resident_bytes
from genbench.metrics.speed import count_evaluations, device_name, measure_speed
from genbench.model import GenerativeModel
from genbench.spec import Spec


class Walk(GenerativeModel):
    """Calls one layer `steps` times and another once; takes `base + each * n` seconds for n images."""

    def __init__(self, base=0.0, each=0.0):
        super().__init__(Spec((1, 2, 2), 4), lambda parameters: torch.optim.SGD(parameters, lr=1))
        self.block = nn.Sequential(nn.Linear(4, 4), nn.SiLU())
        self.last = nn.Linear(4, 4)
        self.base, self.each = base, each
        self.modes, self.batches = [], []

    def loss(self, x, y, rng):
        raise NotImplementedError

    def sample(self, rng, y=None, steps=7):
        self.modes.append((self.training, torch.is_grad_enabled()))
        self.batches.append(len(rng))
        time.sleep(self.base + self.each * len(rng))
        v = rng.normal((4,))
        for _ in range(steps):
            v = self.block(v)
        return self.to_pixels(self.last(v).view(-1, 1, 2, 2))


def test_evaluations_are_the_calls_of_the_busiest_layer():
    model = Walk()
    assert count_evaluations(model, "cpu", {}) == 7
    assert count_evaluations(model, "cpu", {"steps": 3}) == 3
    assert measure_speed(model, "cpu", {"steps": 11}, 0.5)["network_evaluations"] == 11
    assert not model.last._forward_pre_hooks and not model.block[0]._forward_pre_hooks


def test_a_model_without_layers_has_no_evaluations():
    model = Walk()
    model.block, model.last = nn.Sequential(), nn.Identity()
    assert count_evaluations(model, "cpu", {}) == 0


def test_times_are_those_of_the_model():
    # 20 ms however many images, so the largest batch is best
    result = measure_speed(Walk(base=0.02), "cpu", {}, 3)
    assert 0.02 < result["latency_seconds"] < 0.06
    assert result["batch"] == 1024 and 1024 / 0.06 < result["images_per_second"] < 1024 / 0.02
    assert result["repeats"] == result["latency_repeats"] == 7
    assert result["peak_memory_of"] == "process" and result["peak_memory_bytes"] > 2**24
    assert "thread" in result["device"]


def test_peak_memory_is_that_of_the_measurement():
    model = Walk()
    wide = torch.zeros(2**26)  # 256 MiB, gone before anything is measured
    wide += 1
    before = resident_bytes()
    del wide
    assert measure_speed(model, "cpu", {}, 0.2)["peak_memory_bytes"] < before - 2**27


def test_the_batch_stops_growing_when_it_does_not_pay(monkeypatch):
    # seconds of a call are a function of the batch: 0.1 s + 10 ms per image beyond 16
    clock = [0.0]
    monkeypatch.setattr(speed.time, "perf_counter", lambda: clock[0])
    model = Walk()
    monkeypatch.setattr(
        time,
        "sleep",
        lambda _: clock.__setitem__(0, clock[0] + 0.1 + 0.01 * max(0, model.batches[-1] - 16)),
    )
    result = measure_speed(model, "cpu", {}, 1000.0)
    assert result["batch"] == 16 and result["images_per_second"] == pytest.approx(160)
    assert max(model.batches) == 64
    assert result["latency_seconds"] == pytest.approx(0.1)


def test_the_first_call_at_a_batch_size_is_a_warm_up(monkeypatch):
    # 0.1 s however many images, and 2 s more at the first call of a size
    clock = [0.0]
    monkeypatch.setattr(speed.time, "perf_counter", lambda: clock[0])
    model = Walk()

    def cost(_):
        clock[0] += 2.1 if model.batches.count(model.batches[-1]) == 1 else 0.1

    monkeypatch.setattr(time, "sleep", cost)
    result = measure_speed(model, "cpu", {}, 1000.0)
    assert (result["batch"], result["images_per_second"]) == (1024, pytest.approx(10240))
    assert result["latency_seconds"] == pytest.approx(0.1)


@pytest.mark.parametrize(("base", "each"), [(0.0, 0.05), (0.05, 0.0), (0.05, 0.01), (0.002, 0.001)])
@pytest.mark.parametrize("budget", [0.5, 2.0, 60.0])
def test_the_budget_is_kept(base, each, budget, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(speed.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    result = measure_speed(Walk(base, each), "cpu", {}, budget)
    assert clock[0] <= budget
    assert result["latency_seconds"] == pytest.approx(base + each)
    assert result["images_per_second"] == pytest.approx(
        result["batch"] / (base + each * result["batch"])
    )


def test_a_slow_model_gets_one_repeat():
    model = Walk(base=0.2)
    result = measure_speed(model, "cpu", {}, 0.1)
    assert model.batches == [1, 1]
    assert result["repeats"] == result["latency_repeats"] == result["batch"] == 1
    assert result["latency_seconds"] == pytest.approx(0.2, abs=0.05)


def test_the_model_samples_in_evaluation_mode_and_is_left_as_it_was():
    model = Walk().train()
    measure_speed(model, "cpu", {}, 0.05)
    assert set(model.modes) == {(False, False)} and model.training
    model.eval()
    measure_speed(model, "cpu", {}, 0.05)
    assert not model.training


def test_a_batch_that_does_not_fit_the_memory_ends_the_growth():
    class Small(Walk):
        def sample(self, rng, y=None, steps=7):
            if len(rng) > 16:
                raise torch.OutOfMemoryError
            return super().sample(rng, y, steps)

    assert measure_speed(Small(base=0.01), "cpu", {}, 5.0)["batch"] == 16


def test_cpu_names_its_threads():
    assert device_name("cpu").endswith(", 1 thread")


class Slow(Walk):
    """Takes `base + each * n` seconds for n images in front of every call of its block, the first ones of which cost double."""

    def sample(self, rng, y=None, steps=64):
        self.batches.append(len(rng))
        v = rng.normal((4,))
        for step in range(steps):
            time.sleep((self.base + self.each * len(rng)) * (2 if step < 4 else 1))
            v = self.block(v)
        return self.to_pixels(self.last(v).view(-1, 1, 2, 2))


@pytest.mark.parametrize(
    ("budget", "batch", "timed"), [(13.5, 256, 2), (20.0, 1024, 2), (60.0, 1024, None)]
)
def test_a_slow_sampler_reaches_its_best_batch(budget, batch, timed, monkeypatch):
    """6.8 s for one image, 27.7 s for 1,024: parts of 2 of 64 evaluations find it, also where two images take more than the budget, and
    a whole call is timed where there is time for one."""
    clock = [0.0]
    monkeypatch.setattr(speed.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    model = Slow(base=0.1, each=0.0003)
    result = measure_speed(model, "cpu", {}, budget)
    assert (result["batch"], result["evaluations_timed"]) == (batch, timed)
    assert result["images_per_second"] == pytest.approx(batch / (68 * (0.1 + 0.0003 * batch)))
    assert result["latency_seconds"] == pytest.approx(68 * 0.1003)
    assert result["network_evaluations"] == 64
    assert clock[0] <= max(budget, 2 * result["latency_seconds"] + budget / 2)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_parts_find_where_a_larger_batch_does_not_pay(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(speed.time, "perf_counter", lambda: clock[0])
    model = Slow()
    monkeypatch.setattr(
        time,
        "sleep",
        lambda _: clock.__setitem__(0, clock[0] + 0.1 + 0.01 * max(0, model.batches[-1] - 16)),
    )
    result = measure_speed(model, "cpu", {}, 20.0)
    assert result["batch"] == 16 and result["images_per_second"] == pytest.approx(16 / 6.4)
    assert max(model.batches) == 64


def test_whole_calls_are_not_extrapolated():
    assert measure_speed(Walk(base=0.001), "cpu", {}, 3)["evaluations_timed"] is None
    # of which there are no parts
    model = Walk(base=0.2)
    assert measure_speed(model, "cpu", {"steps": 1}, 1.0)["evaluations_timed"] is None
    assert set(model.batches) == {1}


def test_latency_and_speed_are_medians(monkeypatch):
    """Of calls that take 0.5, 0.1 and 0.2 s in turn: neither the fastest call nor the mean."""
    clock, model = [0.0], Walk()
    seconds: dict[int, list[float]] = {}
    monkeypatch.setattr(speed.time, "perf_counter", lambda: clock[0])

    def cost(_):
        calls = seconds.setdefault(model.batches[-1], [])
        calls.append((0.5, 0.1, 0.2)[len(calls) % 3])
        clock[0] += calls[-1]

    monkeypatch.setattr(time, "sleep", cost)
    result = measure_speed(model, "cpu", {}, 1000.0)
    # one image was made before, to count evaluations; of each size the first call is a warm-up
    single, best = seconds[1][2:], seconds[1024][1:]
    assert (len(single), len(best), result["batch"]) == (7, 7, 1024)
    assert result["latency_seconds"] == pytest.approx(statistics.median(single))
    assert result["images_per_second"] == pytest.approx(1024 / statistics.median(best))
    for calls in (single, best):
        assert min(calls) < statistics.median(calls) < statistics.fmean(calls) < max(calls)
