from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from physai.tasks.terms import nearness, ramp


@given(st.floats(0, 10), st.floats(0, 10), st.floats(0.05, 5))
def test_nearness_is_bounded_and_falls(a, b, scale):
    near, far = nearness(min(a, b), scale), nearness(max(a, b), scale)
    assert 0.0 <= far <= near <= 1.0
    assert nearness(0.0, scale) == 1.0


def test_ramp():
    assert ramp(-1, 0, 2) == 0.0
    assert ramp(1, 0, 2) == 0.5
    assert ramp(9, 0, 2) == 1.0
    assert ramp(math.nan, 0, 2) == 0.0
