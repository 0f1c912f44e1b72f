"""A robot of one dimension that runs into a body area: for tests and benchmarks.

A sphere with a mass, moved by semi-implicit Euler at 240 Hz as in the engine; it gets
the mean force of each substep. Its motor holds its speed up to a force limit.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import numpy as np

from physai.body.person import SEGMENTS
from physai.body.regions import area_of, load_regions
from physai.plant.contact import ContactModel
from physai.robot.description import ShapeTable
from physai.types import Array

DT = 1.0 / 240.0
RADIUS = 0.02
BODY_RADIUS = 0.05
REGIONS = load_regions()


def shape_table(stiffness: float = math.inf) -> ShapeTable:
    """One sphere."""
    return ShapeTable(
        names=("tip",),
        link=np.zeros(1, dtype=np.int64),
        local=np.array([[0.0, 0, 0, 0, 0, 0, RADIUS]]),
        utensil=np.zeros(1, dtype=np.bool_),
        edge_radius_m=np.array([0.01]),
        minimum_area_cm2=np.array([1.0]),
        stiffness_n_per_m=np.array([stiffness]),
    )


def places() -> dict[int, tuple[int, float, Array]]:
    """Return a segment, fraction and normal on each area that can be touched."""
    found: dict[int, tuple[int, float, Array]] = {}
    normals = [
        np.array(n) / np.linalg.norm(n)
        for n in itertools.product((-1.0, 0.0, 1.0), repeat=3)
        if np.linalg.norm(n) > 0
    ]
    for segment, fraction, n in itertools.product(
        range(len(SEGMENTS)), np.linspace(0.02, 0.98, 25), normals
    ):
        area = area_of(segment, float(fraction), *n)
        # Not on the boundary to another area.
        if area not in found and all(
            area_of(segment, float(fraction) + f, *(n + 0.02 * m)) == area
            for f, m in itertools.product((-0.01, 0.01), normals)
        ):
            found[area] = (segment, float(fraction), n)
    return found


@dataclass
class Run:
    """What a run gave, one entry a substep."""

    peak: list[float] = field(default_factory=list)
    mean: list[float] = field(default_factory=list)
    age: list[float] = field(default_factory=list)
    speed: list[float] = field(default_factory=list)
    force: list[float] = field(default_factory=list)
    clamped: bool = False
    robot_speed: float = 0.0
    areas: set[int] = field(default_factory=set)


def push(
    area: int,
    mass: float,
    speed: float,
    phase: float = 0.5,
    travel: float = math.inf,
    motor: float = 0.0,
    seconds: float = 0.3,
    stiffness: float = math.inf,
    person_speed: float = 0.0,
    model: ContactModel | None = None,
    place: tuple[int, float, Array] | None = None,
) -> Run:
    """Let the sphere run into one area along its normal.

    Args:
        area: Body area.
        mass: Of the robot [kg].
        speed: Of approach, and the speed that its motor holds [m/s].
        phase: Of the first touch within a substep, 0 to 1.
        travel: How far the segment can yield [m].
        motor: Force limit of the motor [N]; 0: none.
        seconds: Length of the run.
        stiffness: Of the robot's shape, in series [N/m].
        person_speed: Scripted speed of the person toward the robot [m/s].
        model: A model to reuse.
        place: Segment, fraction and normal.
    """
    segment, fraction, normal = place or places()[area]
    model = model or ContactModel(REGIONS, shape_table(stiffness), 1)
    model.reset()
    model.travel_m[:] = travel
    people = np.zeros((1, len(SEGMENTS), 7))
    people[:, :, (0, 3)] = 100.0
    # The segment's axis lies across the normal, the touched fraction at the origin.
    across = np.cross(normal, [0.3, 0.5, 0.8])
    across *= 0.2 / np.linalg.norm(across)
    people[0, segment, :3], people[0, segment, 3:6] = (
        -fraction * across,
        across * (1.0 - fraction),
    )
    people[0, segment, 6] = BODY_RADIUS
    people_velocity = np.zeros((1, len(SEGMENTS), 6))
    people_velocity[0, segment] = np.tile(person_speed * normal, 2)
    rotation = np.tile(np.eye(3), (1, len(SEGMENTS), 1, 1))
    robot, velocity = np.zeros((1, 7)), np.zeros((1, 6))
    robot[0, 6] = RADIUS
    closing = speed + person_speed
    x, v = BODY_RADIUS + RADIUS + (3.0 + phase) * closing * DT, -speed
    run = Run()
    for _ in range(round(seconds / DT)):
        robot[0, :3] = robot[0, 3:6] = x * normal
        velocity[0] = np.tile(v * normal, 2)
        model.begin_step()
        count = model.substep(
            DT, robot, velocity, people, people_velocity, rotation, lambda *_: mass
        )
        force = float(model.forces[:, 4:7].sum(axis=0) @ normal) if count else 0.0
        contact = model.contact()
        run.peak.append(float(contact.force_peak_n.max()))
        run.mean.append(float(contact.force_mean_n.max()))
        run.age.append(float(contact.age_s.max()))
        run.force.append(force)
        run.clamped = run.clamped or bool(contact.clamped.max() > 0.0)
        run.robot_speed = max(
            run.robot_speed, float(contact.robot_normal_speed_m_s.max())
        )
        run.areas |= {int(a) for a in np.flatnonzero(contact.force_peak_n[0])}
        drive = 0.0
        if motor > 0.0:
            wanted = (-speed - (v + force / mass * DT)) * mass / DT
            drive = min(motor, max(-motor, wanted))
        v += (force + drive) / mass * DT
        x += v * DT
        people[0, segment, :6] += people_velocity[0, segment] * DT
        run.speed.append(-v)
    return run
