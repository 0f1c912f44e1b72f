"""Laws of the estimate of lateness: never negative, blind to offsets, sees queues."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from physai.plant.lateness import Lateness

delays = st.lists(st.floats(0.0, 2.0), min_size=1, max_size=40)


@given(delays, st.floats(-1e6, 1e6))
def test_it_is_at_least_zero_and_at_most_the_delay(
    found: list[float], offset: float
) -> None:
    clock = Lateness()
    for k, delay in enumerate(found):
        stamp = 100.0 + 2.0 * k
        late = clock.measure(stamp + delay, stamp + offset + 1e-3)
        assert 0.0 <= late <= delay + 1e-6


@given(delays, st.floats(-1e6, 1e6))
def test_the_offset_of_the_clocks_does_not_matter(
    found: list[float], offset: float
) -> None:
    one, other = Lateness(), Lateness()
    for k, delay in enumerate(found):
        stamp = 100.0 + 2.0 * k
        assert one.measure(stamp + delay, stamp) == pytest.approx(
            other.measure(stamp + delay, stamp + offset + 1e-3), abs=1e-6
        )


def test_a_growing_queue_shows_and_a_drifting_clock_does_not() -> None:
    queue, drift = Lateness(), Lateness()
    for k in range(2000):
        stamp = 1.0 + 0.05 * k
        late = queue.measure(stamp + 0.001 * k, stamp)
        slow = drift.measure(stamp * (1.0 + 1e-4), stamp)
    assert late > 1.8
    assert slow < 1e-3


def test_what_was_held_up_and_comes_at_once_is_late() -> None:
    clock = Lateness()
    clock.measure(10.0, 5.0)
    late = [clock.measure(13.0, 5.0 + 0.05 * k) for k in range(1, 60)]
    assert late[0] == pytest.approx(2.95, abs=0.01)
    assert all(b < a for a, b in itertools.pairwise(late))


@pytest.mark.parametrize("stamp", [0.0, math.nan, math.inf])
def test_without_a_stamp_the_age_is_unknown(stamp: float) -> None:
    assert Lateness().measure(1.0, stamp) == math.inf
