"""Strips of people who walk, carry aids, fall and get up, to look at.

    python benchmarks/people_strip.py people.png [--front]

Each row is one person, seen from their right side (or from the front), at equal steps
of time; grey lines are 0.5 m apart. Colours: dark legs right, light legs left.
"""

import argparse
import math
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from physai.body.behaviour import BehaviourConfig, PersonView
from physai.body.person import GROUPS, PersonConfig
from physai.body.walker import PathConfig, Walker
from physai.types import Array

_AHEAD = ((0.0, 0.0), (9.0, 0.0))
_SKIN, _SHIRT, _LEFT, _RIGHT = "#e9c2a6", "#5b8c99", "#8a93ad", "#3d465c"
_COLORS = [
    *("#9c9894", _SKIN, _SKIN, _SHIRT, _SHIRT, _RIGHT),
    *("#6f9ba6", "#4d7681", _SKIN, "#c79f83", _SKIN, "#c79f83"),
    *(_LEFT, _RIGHT, _LEFT, _RIGHT),
]
Row = tuple[str, str, dict, list, float, float]
_ROWS: list[Row] = [
    ("walks 1.3 m/s", "adult_man", {"speed_m_s": 1.3}, [], 2.6, 0.13),
    ("walks 0.6 m/s", "adult_woman", {"speed_m_s": 0.6}, [], 2.6, 0.2),
    ("75+, 1.0 m/s", "elderly_woman", {"speed_m_s": 1.0}, [], 2.6, 0.13),
    ("child of 6", "girl_6", {"speed_m_s": 1.0}, [], 2.6, 0.1),
    ("cane", "elderly_man", {"speed_m_s": 0.6, "aid": "cane"}, [], 2.6, 0.22),
    (
        "walking frame",
        "elderly_woman",
        {"speed_m_s": 0.45, "aid": "walker"},
        [],
        2.6,
        0.26,
    ),
    (
        "wheelchair",
        "elderly_man",
        {"speed_m_s": 0.5, "aid": "wheelchair"},
        [],
        2.6,
        0.3,
    ),
    (
        "falls forward",
        "elderly_man",
        {},
        [{"kind": "fall", "direction": "forward"}],
        0.6,
        0.2,
    ),
    (
        "falls back",
        "elderly_man",
        {},
        [{"kind": "fall", "direction": "backward"}],
        0.6,
        0.2,
    ),
    (
        "falls left",
        "elderly_woman",
        {},
        [{"kind": "fall", "direction": "left"}],
        0.6,
        0.2,
    ),
    (
        "gets up (back)",
        "adult_man",
        {"posture": "lying"},
        [{"kind": "get_up"}],
        0.0,
        0.8,
    ),
    (
        "gets up (front)",
        "adult_man",
        {},
        [{"kind": "fall", "direction": "forward"}, {"kind": "get_up", "start_s": 4.0}],
        4.0,
        0.8,
    ),
    (
        "crouches",
        "adult_man",
        {},
        [{"kind": "crouch", "start_s": 0.5, "duration_s": 1.0}],
        0.5,
        0.4,
    ),
    (
        "stumbles",
        "adult_man",
        {"waypoints_m": _AHEAD, "speed_m_s": 1.2},
        [{"kind": "stumble", "start_s": 3.0}],
        2.9,
        0.2,
    ),
    (
        "reaches",
        "adult_woman",
        {},
        [
            {
                "kind": "reach",
                "start_s": 0.3,
                "duration_s": 0.5,
                "target": "point",
                "point_m": [0.6, -0.1, 1.2],
            }
        ],
        0.2,
        0.3,
    ),
    (
        "backwards",
        "adult_man",
        {},
        [{"kind": "walk_backwards", "distance_m": 3.0}],
        1.5,
        0.2,
    ),
]


def outline(p: Array, q: Array, radius: float) -> Array:
    """Return the outline of a capsule seen flat."""
    turn = math.atan2(q[1] - p[1], q[0] - p[0])
    a = np.linspace(-0.5 * math.pi, 0.5 * math.pi, 12) + turn
    arc = radius * np.stack([np.cos(a), np.sin(a)], axis=1)
    return np.concatenate([q + arc, p - arc])


def draw(axes: Axes, capsules: Array, shift: float, front: bool) -> None:
    """Draw one person; what is nearer covers what is farther."""
    across, depth = (1, 0) if front else (0, 1)
    sign = -1.0 if front else 1.0
    far = capsules[:, depth] + capsules[:, 3 + depth]
    for s in np.argsort(far if front else -far):
        row = capsules[s]
        p = np.array([sign * row[across] + shift, row[2]])
        q = np.array([sign * row[3 + across] + shift, row[5]])
        axes.fill(*outline(p, q, row[6]).T, color=_COLORS[s], ec="#333333", lw=0.3)


def strip(axes: Axes, row: Row, columns: int, front: bool) -> None:
    """Draw one row."""
    title, group, path, behaviours, start, step = row
    data = GROUPS[group]
    config = PersonConfig(
        group=group, sex=data.sex, stature_m=data.stature_m[1], mass_kg=data.mass_kg[1]
    )
    if not path.get("posture") and not behaviours:
        path = {"waypoints_m": _AHEAD, **path}
    person = Walker(
        config,
        PathConfig(position_m=(0.0, 0.0, 0.0), **path),
        [BehaviourConfig(**behaviour) for behaviour in behaviours],
        3,
    )
    view, time, column = PersonView(np.zeros(3), np.zeros(3), 9.0), 0.0, 0
    while column < columns:
        if time >= start + column * step - 1e-9:
            own = person.capsules.copy()
            own[:, [0, 3]] -= person.position_m[0]
            own[:, [1, 4]] -= person.position_m[1]
            draw(axes, own, 1.5 * column, front)
            column += 1
        time += 0.02
        person.advance(time, 0.02, view)
    axes.set_title(f"{title} (every {step:g} s)", fontsize=7, loc="left", pad=1)
    axes.set_aspect("equal")
    axes.set_xlim(-1.6, 1.5 * columns)
    axes.set_ylim(-0.1, 1.95)
    axes.set_yticks(np.arange(0, 2, 0.5))
    axes.grid(axis="y", lw=0.3)
    axes.tick_params(labelsize=0, length=0)


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--front", action="store_true")
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--rows", default=f"0-{len(_ROWS) - 1}")
    options = parser.parse_args()
    first, last = (int(part) for part in options.rows.split("-"))
    rows = _ROWS[first : last + 1]
    figure, axes = plt.subplots(
        len(rows), 1, figsize=(options.columns * 1.25, len(rows) * 1.75), squeeze=False
    )
    for place, row in zip(axes[:, 0], rows, strict=True):
        strip(place, row, options.columns, options.front)
    figure.tight_layout(pad=0.2)
    figure.savefig(options.out, dpi=100)


if __name__ == "__main__":
    main()
