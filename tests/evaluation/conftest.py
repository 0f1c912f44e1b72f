"""Small real episodes, written by the real writer, with figures chosen by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physai.evaluation.facts import RuleFacts
from physai.record.episode import Episode, EpisodeWriter, StepRecord
from physai.types import Action, Command, Contact, Decision, State, Truth

RULES = (
    RuleFacts(
        "separation", "Separation", "距離", "moving_contact", "hard", "both", 0.01, 0.95
    ),
    RuleFacts(
        "moving_contact",
        "Moving contact",
        "接触",
        "moving_contact",
        "hard",
        "truth",
        0.01,
        0.95,
    ),
    RuleFacts(
        "face_gate",
        "Face gate",
        "顔",
        "utensil_in_face",
        "hard",
        "both",
        0.01,
        0.95,
        hold_s=0.1,
    ),
    RuleFacts(
        "workspace", "Workspace", "領域", "robot_damage", "report", "both", 0.05, 0.95
    ),
    RuleFacts("joint_age", "Age", "鮮度", "loss_of_link", "none", "guard", 0.01, 0.95),
)
TRUTH_EXTRAS = [
    "food_in_mouth",
    "food_spilled",
    "insertion_depth_m",
    "mouth_force_n",
    "face_distance_m",
    "face_approach_speed_m_s",
]


def state(index: int, people: int = 1, speed: float = 0.01) -> State:
    capsules = np.zeros((people, 16, 7))
    capsules[..., 0] = capsules[..., 3] = 0.9
    capsules[..., 2] = 0.9 + 0.02 * np.arange(16)
    capsules[..., 5] = capsules[..., 2] + 0.02
    capsules[..., 6] = 0.08
    return State(
        stamp_s=index / 20,
        sequence=index,
        actuator_position=np.array([0.0, -0.6, 0.0, -2.2, 0.0, 1.7, 0.8]),
        actuator_velocity=np.full(7, speed),
        actuator_effort=np.zeros(7),
        actuator_age_s=0.0,
        base_pose_in_world=np.array([0, 0, 0.6, 0, 0, 0, 1.0]),
        base_twist_in_world=np.zeros(6),
        tool_pose_in_world=np.array([0.5, 0, 1.0, 0, 0, 0, 1.0]),
        tool_force_in_world_n=np.zeros(3),
        tool_force_age_s=0.0,
        people=capsules,
        people_velocity=np.zeros((people, 16, 3)),
        people_age_s=np.zeros(people),
        people_frame_age_s=0.0,
        objects_pose_in_world=np.zeros((0, 7)),
        objects_age_s=np.zeros(0),
        lidar_range_m=np.zeros(0),
        lidar_age_s=0.0,
        extras=np.zeros(10),
        extras_age_s=np.zeros(10),
    )


def contact(touches: Mapping[int, Mapping[str, float]]) -> Contact:
    names = (
        "force_peak_n",
        "force_mean_n",
        "pressure_n_per_cm2",
        "age_s",
        "robot_normal_speed_m_s",
        "person_normal_speed_m_s",
        "clamped",
        "link",
    )
    table = {name: np.zeros((1, 30)) for name in names}
    table["link"][:] = -1
    for area, values in touches.items():
        for name, value in values.items():
            table[name][0, area] = value
    return Contact(**table)


@pytest.fixture
def make_episode(tmp_path: Path) -> Callable[..., Episode]:
    """Write an episode: ``margins`` {step: {rule: value}}, ``touches`` {step: ...}.

    ``tracked`` says how many people the tracker sees in a step.
    """

    def make(
        name: str = "00000_a_1",
        length: int = 40,
        margins: Mapping[int, Mapping[str, float]] | None = None,
        touches: Mapping[int, Mapping[int, Mapping[str, float]]] | None = None,
        actions: Mapping[int, Action] | None = None,
        success: bool = True,
        truth: bool = True,
        folder: Path | None = None,
        outcome: Mapping[str, Any] | None = None,
        speed: Callable[[int], float] = lambda index: 0.01,
        tracked: Callable[[int], int] = lambda index: 1,
        **header: Any,
    ) -> Episode:
        path = (folder or tmp_path) / f"{name}.parquet"
        full = {
            "seed": 1,
            "case": "a",
            "kind": "nominal",
            "hazard": "moving_contact",
            "group": "adult",
            "expect": "feed",
            "guard_mode": "on",
            "plant": "bullet",
            "control_hz": 20.0,
            "rules": [rule.to_json() for rule in RULES],
            "truth_extras": TRUTH_EXTRAS,
            "scenario": {"seed": 1},
            "digests": {
                "policy": "p" * 64,
                "environment": "e" * 64,
                "guard": "g" * 64,
                "suite": "s" * 64,
            },
            **header,
        }
        with EpisodeWriter(path, full) as writer:
            for index in range(length):
                row = np.ones(len(RULES))
                for rule, value in ((margins or {}).get(index) or {}).items():
                    row[[r.id for r in RULES].index(rule)] = value
                action = (actions or {}).get(index, Action.NONE)
                command = Command(np.zeros(7), np.zeros(0), index / 20, index)
                true = Truth(
                    state(index, speed=speed(index)),
                    contact((touches or {}).get(index) or {}),
                    np.array([min(1.0, index / 30), 0.01, 0.02, 0.5, 0.4, 0.03]),
                )
                last = index == length - 1
                writer.append(
                    StepRecord(
                        state=state(index, tracked(index)),
                        truth=true if truth else None,
                        action=np.zeros(6, dtype=np.float32),
                        command_asked=command,
                        command_sent=command,
                        decision=Decision(
                            action,
                            "separation" if action else "",
                            row,
                            action > 0,
                            "A person is near." if action else "",
                            "人が近い。" if action else "",
                        ),
                        truth_margins=row if truth else None,
                        reward=0.1,
                        cost=float(np.maximum(0, -np.nan_to_num(row)).sum()),
                        time_s=(index + 1) / 20,
                        terminated=last and success,
                        truncated=last and not success,
                        success=last and success,
                    )
                )
            writer.close(outcome or {"success": success})
        return Episode.load(path)

    return make


@pytest.fixture
def rules() -> tuple[RuleFacts, ...]:
    return RULES
