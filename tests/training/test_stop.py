"""Signals that ask a training to stop: one is a flag, a second SIGINT is impatience."""

from __future__ import annotations

import signal

import pytest

from genbench.training.stop import StopRequest

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@pytest.fixture
def stop():
    before = [signal.getsignal(number) for number in NUMBERS]
    request = StopRequest()
    request.listen()
    yield request
    request.release()
    assert [signal.getsignal(number) for number in NUMBERS] == before


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_is_noted(stop, number):
    assert stop.signal is None
    signal.raise_signal(number)
    assert stop.signal == number


def test_a_second_sigint_interrupts(stop):
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_after_another_signal_the_first_sigint_is_noted_too(stop, first, second):
    signal.raise_signal(first)
    signal.raise_signal(second)
    assert stop.signal == second
