from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from physai.record.episode import StepRecord
from physai.record.layout import CONTACT_ARRAYS
from physai.types import Action, Command, Contact, Decision, State, Truth


def random_state(rng: np.random.Generator, people: int, index: int) -> State:
    effort = rng.normal(size=7)
    effort[index % 7] = np.nan
    return State(
        stamp_s=index / 20 + 0.1,
        sequence=index,
        actuator_position=rng.normal(size=7),
        actuator_velocity=rng.normal(size=7),
        actuator_effort=effort,
        actuator_age_s=0.001 * index,
        base_pose_in_world=rng.normal(size=7),
        base_twist_in_world=rng.normal(size=6),
        tool_pose_in_world=rng.normal(size=7),
        tool_force_in_world_n=rng.normal(size=3),
        tool_force_age_s=float("nan"),
        people=rng.normal(size=(people, 16, 7)),
        people_velocity=np.full((people, 16, 3), np.nan),
        people_age_s=rng.random(people),
        people_frame_age_s=0.03,
        objects_pose_in_world=rng.normal(size=(2, 7)),
        objects_age_s=rng.random(2),
        lidar_range_m=np.empty(0),
        lidar_age_s=float("inf"),
        extras=rng.normal(size=10),
        extras_age_s=rng.random(10),
    )


def random_step(
    rng: np.random.Generator, people: int, index: int, truth: bool = True
) -> StepRecord:
    state = random_state(rng, people, index)
    contact = Contact(**{n: rng.normal(size=(people, 30)) for n in CONTACT_ARRAYS})
    true = Truth(random_state(rng, people, index), contact, rng.normal(size=5))
    command = Command(rng.normal(size=7), rng.normal(size=0), index / 20, index)
    margins = rng.normal(size=12)
    margins[3] = np.nan
    decision = Decision(
        Action.LIMIT, "separation", margins, True, "A person is near.", "人が近い。"
    )
    return StepRecord(
        state=state,
        truth=true if truth else None,
        action=rng.uniform(-1, 1, 7).astype(np.float32),
        command_asked=command,
        command_sent=command,
        decision=decision,
        truth_margins=rng.normal(size=12) if truth else None,
        reward=float(rng.normal()),
        cost=float(rng.random()),
        time_s=index / 20,
        terminated=index == 4,
        success=index == 4,
        observation=rng.normal(size=30).astype(np.float32),
        values={"guard_us": float(rng.random())},
    )


@pytest.fixture
def make_steps() -> Callable[..., list[StepRecord]]:
    def make(
        count: int, people: int = 1, seed: int = 0, truth: bool = True
    ) -> list[StepRecord]:
        rng = np.random.default_rng(seed)
        return [random_step(rng, people, i, truth) for i in range(count)]

    return make
