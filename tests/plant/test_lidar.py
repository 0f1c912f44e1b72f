"""Lidar against sphere tracing, plane geometry and the physics engine's own rays."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from physai.config import parse
from physai.errors import ConfigError, ContractError
from physai.plant.labels import (
    BACKGROUND,
    FURNITURE,
    OBJECT_FIRST,
    PERSON_FIRST,
    ROBOT,
)
from physai.plant.lidar import Lidar, scene_boxes
from physai.plant.lidar_kernel import cast
from physai.plant.lidar_settings import LIDARS, LidarConfig, LidarFigures
from physai.plant.scene import BoxConfig, CylinderConfig, SceneConfig
from physai.robot.description import load_robot, rotation_from_rpy
from physai.robot.kinematics import Kinematics, quaternion_from_rotation
from physai.types import Array

TRUCK = load_robot("truck")
EXACT = LidarFigures(
    rays=360,
    field_of_view_rad=2.0 * math.pi,
    range_min_m=0.0,
    range_max_m=20.0,
    rate_hz=10.0,
    latency_s=0.0,
    sigma_m=0.0,
    systematic_m=0.0,
    drop_rate=0.0,
    dark_share=0.0,
    dark_range_m=20.0,
    source="test: no error",
)
NOBODY = np.zeros((0, 16, 7))
REAR = {"link": "base_link", "position_m": (-2.1, 0.0, 0.2)}


def turned(rng: np.random.Generator, tilt: float = math.pi) -> Array:
    return rotation_from_rpy(
        rng.uniform(-tilt, tilt), rng.uniform(-tilt, tilt), rng.uniform(-3.1, 3.1)
    )


def box_row(center: Array, rotation: Array, size: Array) -> Array:
    quaternion = np.zeros(4)
    quaternion_from_rotation(rotation, quaternion)
    return np.concatenate([center, quaternion, size])


def scan(
    origin: Array,
    rotation: Array,
    people: Array = NOBODY,
    boxes: Array | None = None,
    cylinders: Array | None = None,
    rays: int = 360,
    view: float = 2.0 * math.pi,
    start: float = -math.pi,
    floor: float = math.nan,
) -> tuple[Array, Array, Array]:
    """Cast through the kernel; returns distances, labels and directions."""
    step = view / rays
    bearings = start + step * np.arange(rays)
    flat = np.stack([np.cos(bearings), np.sin(bearings)], axis=1)
    best, far = np.empty(rays), np.empty(rays)
    labels = np.empty(rays, dtype=np.int64)
    boxes = np.zeros((0, 10)) if boxes is None else boxes
    cylinders = np.zeros((0, 5)) if cylinders is None else cylinders
    none = np.zeros((0, 10))
    cast(
        origin, rotation, flat, start, step, floor, np.zeros((0, 7)),
        np.zeros(0, dtype=np.bool_), people, np.full(len(people), math.inf), boxes,
        np.full(len(boxes), math.inf), cylinders, none, np.zeros(0), best, labels, far,
    )  # fmt: skip
    return best, labels, flat @ rotation[:, :2].T


def distance_to_capsules(points: Array, capsules: Array) -> Array:
    a, b, radius = capsules[:, :3], capsules[:, 3:6], capsules[:, 6]
    axis = b - a
    along = np.einsum("nmk,mk->nm", points[:, None] - a, axis)
    along = np.clip(along / np.maximum((axis**2).sum(1), 1e-12), 0, 1)
    away = points[:, None] - a - along[..., None] * axis
    return (np.linalg.norm(away, axis=2) - radius).min(axis=1)


def distance_to_boxes(points: Array, frames: list[tuple[Array, Array, Array]]) -> Array:
    best = np.full(len(points), np.inf)
    for center, rotation, size in frames:
        q = np.abs((points - center) @ rotation) - 0.5 * size
        outside = np.linalg.norm(np.maximum(q, 0.0), axis=1)
        best = np.minimum(best, outside + np.minimum(q.max(axis=1), 0.0))
    return best


def distance_to_cylinders(points: Array, cylinders: Array) -> Array:
    best = np.full(len(points), np.inf)
    for x, y, z, radius, height in cylinders:
        q = np.stack(
            [
                np.hypot(points[:, 0] - x, points[:, 1] - y) - radius,
                np.abs(points[:, 2] - z) - 0.5 * height,
            ],
            axis=1,
        )
        outside = np.linalg.norm(np.maximum(q, 0.0), axis=1)
        best = np.minimum(best, outside + np.minimum(q.max(axis=1), 0.0))
    return best


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.booleans(), st.floats(0.5, 2 * math.pi))
@example(2270, False, 3.0)
def test_every_ray_ends_where_sphere_tracing_ends(
    seed: int, tilted: bool, view: float
) -> None:
    """Independent method: march by the distance to the nearest surface."""
    rng = np.random.default_rng(seed)
    origin = np.array([*rng.uniform(-1, 1, 2), rng.uniform(0.1, 1.5)])
    rotation = turned(rng, 0.5 if tilted else 0.0)
    ends = rng.uniform([-6, -6, 0], [6, 6, 2], (12, 3))
    capsules = np.c_[
        ends, ends + rng.uniform(-0.6, 0.6, (12, 3)), rng.uniform(0.03, 0.3, 12)
    ]
    frames = [
        (rng.uniform([-6, -6, 0], [6, 6, 2]), turned(rng), rng.uniform(0.1, 4.0, 3))
        for _ in range(6)
    ]
    cylinders = np.c_[
        rng.uniform([-6, -6, 0], [6, 6, 2], (4, 3)), rng.uniform(0.05, 1.0, (4, 2))
    ]
    boxes = np.array([box_row(*frame) for frame in frames])
    best, labels, directions = scan(
        origin, rotation, capsules[None], boxes, cylinders,
        rays=97, view=view, start=float(rng.uniform(-4, 4)),
    )  # fmt: skip

    def nearest(points: Array) -> Array:
        return np.minimum(
            distance_to_capsules(points, capsules),
            np.minimum(
                distance_to_boxes(points, frames),
                distance_to_cylinders(points, cylinders),
            ),
        )

    if nearest(origin[None])[0] <= 1e-3:
        # From inside a body, every ray ends at once.
        if nearest(origin[None])[0] < -1e-3:
            assert (best == 0.0).all()
        return
    away, lowest = np.zeros(97), np.full(97, np.inf)
    for _ in range(400):
        gap = nearest(origin + away[:, None] * directions)
        lowest = np.minimum(lowest, np.where(away < 15.0, gap, np.inf))
        away = np.where(away < 15.0, away + np.maximum(gap, 0.0), away)
    hit = np.isfinite(best) & (best < 14.0)
    # What is not hit stays away from every surface; a graze settles nothing.
    assert (lowest[~hit & ~np.isfinite(best)] > 1e-9).all()
    grazing = (lowest < 2e-4) & (np.abs(away - best) > 1e-3)
    # Nearly along a face the march is still on its way: it must not have passed the end.
    arrived = nearest(origin + away[:, None] * directions) < 1e-6
    settled = hit & ~grazing & arrived
    np.testing.assert_allclose(away[settled], best[settled], atol=1e-3)
    assert (away[hit & ~arrived] < best[hit & ~arrived] + 1e-3).all()
    assert grazing.sum() <= 3
    assert ((labels == BACKGROUND) == ~np.isfinite(best)).all()
    # And every hit point lies on a surface.
    points = origin + best[hit, None] * directions[hit]
    assert np.abs(nearest(points)).max(initial=0.0) < 1e-9


@settings(max_examples=100, deadline=None)
@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0.05, 0.4), st.floats(-3.1, 3.1))
def test_upright_limbs_and_walls_are_circles_and_lines(
    x: float, y: float, radius: float, yaw: float
) -> None:
    """Plane geometry: circle of a leg, and the four edges of an upright box."""
    if math.hypot(x, y) < radius + 0.05:
        return
    origin = np.array([0.0, 0.0, 0.2])
    leg = np.array([[[x, y, 0.05, x, y, 0.5, radius]]])
    best, labels, directions = scan(origin, np.eye(3), leg)
    along = directions[:, :2] @ [x, y]
    off = radius**2 - (x * x + y * y - along**2)
    expected = np.where(
        (off >= 0) & (along > 0), along - np.sqrt(np.maximum(off, 0)), np.inf
    )
    clear = np.abs(off) > 1e-9
    np.testing.assert_allclose(best[clear], expected[clear], atol=1e-9)
    assert set(labels[np.isfinite(best)]) <= {PERSON_FIRST}

    rotation = rotation_from_rpy(0, 0, yaw)
    center = np.array([x, y, 0.2]) * 2
    size = np.array([0.5, 1.5, 3.0])
    corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * 0.5 * size[:2]
    inside = np.abs(rotation[:2, :2].T @ center[:2]) <= 0.5 * size[:2]
    if inside.all():
        return
    world = corners @ rotation[:2, :2].T + center[:2]
    expected = np.full(360, np.inf)
    for a, b in zip(world, np.roll(world, -1, axis=0), strict=True):
        # a + s (b - a) = t d, by Cramer's rule.
        d, e = directions[:, :2], b - a
        across = d[:, 0] * e[1] - d[:, 1] * e[0]
        across = np.where(np.abs(across) < 1e-12, np.nan, across)
        t = (a[0] * e[1] - a[1] * e[0]) / across
        s = (a[0] * d[:, 1] - a[1] * d[:, 0]) / across
        crosses = (t > 0) & (s >= 0) & (s <= 1)
        expected = np.where(crosses, np.minimum(expected, t), expected)
    boxes = box_row(center, rotation, size)[None]
    best, labels, _ = scan(origin, np.eye(3), boxes=boxes)
    same = np.isfinite(best) == np.isfinite(expected)
    assert (~same).sum() <= 1, "only a ray through a corner may differ"
    both = np.isfinite(best) & np.isfinite(expected)
    np.testing.assert_allclose(best[both], expected[both], atol=1e-6)
    assert set(labels[np.isfinite(best)]) <= {FURNITURE}


@pytest.mark.parametrize("seed", range(4))
def test_same_as_the_physics_engine(seed: int) -> None:
    pybullet = pytest.importorskip("pybullet")
    client = pybullet.connect(pybullet.DIRECT)
    rng = np.random.default_rng(seed)
    origin = np.array([0.0, 0.0, 0.4])
    capsules, boxes, cylinders = [], [], []

    def add(shape: int, where: Array, rotation: Array) -> None:
        quaternion = np.zeros(4)
        quaternion_from_rotation(rotation, quaternion)
        pybullet.createMultiBody(
            0, shape, -1, where.tolist(), quaternion.tolist(), physicsClientId=client
        )

    for i in range(18):
        bearing, away = rng.uniform(-3, 3), rng.uniform(1.5, 8)
        where = np.array([away * np.cos(bearing), away * np.sin(bearing), 0.4])
        rotation = turned(rng)
        if i % 3 == 0:
            radius, length = rng.uniform(0.05, 0.3), rng.uniform(0.1, 0.8)
            shape = pybullet.createCollisionShape(
                pybullet.GEOM_CAPSULE, radius=radius, height=length,
                physicsClientId=client,
            )  # fmt: skip
            end = 0.5 * length * rotation[:, 2]
            capsules.append([*(where - end), *(where + end), radius])
        elif i % 3 == 1:
            size = rng.uniform(0.2, 1.5, 3)
            shape = pybullet.createCollisionShape(
                pybullet.GEOM_BOX, halfExtents=(0.5 * size).tolist(),
                physicsClientId=client,
            )  # fmt: skip
            boxes.append(box_row(where, rotation, size))
        else:
            rotation = np.eye(3)
            radius, height = rng.uniform(0.1, 0.4), rng.uniform(0.3, 1.0)
            shape = pybullet.createCollisionShape(
                pybullet.GEOM_CYLINDER, radius=radius, height=height,
                physicsClientId=client,
            )  # fmt: skip
            cylinders.append([*where, radius, height])
        add(shape, where, rotation)
    best, _, directions = scan(
        origin, np.eye(3), np.array([capsules]), np.array(boxes), np.array(cylinders)
    )
    theirs = np.array(
        [
            pybullet.rayTest(
                origin.tolist(), (origin + 20 * d).tolist(), physicsClientId=client
            )[0][2]
            * 20
            for d in directions
        ]
    )
    pybullet.disconnect(client)
    ours = np.minimum(best, 20.0)
    different = np.abs(ours - theirs) > 0.005
    assert (theirs < 19.9).sum() > 60, "the scene is not empty"
    assert different.sum() <= 4, "only rays along an edge may differ"


def test_a_sensor_that_pitches_sees_the_floor() -> None:
    pitch = 0.1
    best, labels, _ = scan(
        np.array([0.0, 0.0, 0.3]), rotation_from_rpy(0, pitch, 0), floor=0.0
    )
    assert best[180] == pytest.approx(0.3 / math.sin(pitch))
    assert np.isinf(best[0]) and (labels == BACKGROUND).all()


def test_the_robot_itself_is_a_blind_zone_and_its_housing_is_not() -> None:
    scene = SceneConfig(
        boxes=(
            BoxConfig(name="wall", center_m=(-5, 0, 1), size_m=(0.2, 8, 2)),
            BoxConfig(name="ahead", center_m=(5, 0, 1), size_m=(0.2, 8, 2)),
        )
    )
    lidar = Lidar(LidarConfig(figures=EXACT, **REAR), TRUCK, scene)
    kinematics = Kinematics(TRUCK)
    lidar.observe(0.0, kinematics, NOBODY)
    behind = lidar.range_m[0]
    assert behind == pytest.approx(5 - 0.1 - 2.1, abs=1e-9)
    assert lidar.labels[180] == ROBOT and lidar.range_m[180] == 0.0
    inside = Lidar(
        LidarConfig(figures=EXACT, link="base_link", position_m=(-1.9, -0.28, 0.35)),
        TRUCK,
        scene,
    )
    names = np.array(TRUCK.shapes.names)
    assert set(names[inside._housing]) == {"chassis1"}
    named = ("chassis1", "chassis3", "mast1", "mast2", "carriage", "load1", "load3")
    open_ = Lidar(LidarConfig(figures=EXACT, housing=named, **REAR), TRUCK, scene)
    open_.observe(0.0, kinematics, NOBODY)
    assert open_.range_m[180] == pytest.approx(5 - 0.1 + 2.1, abs=1e-9)
    # It moves with its link.
    kinematics.set_base(np.array([1.0, 0, 0, 0, 0, 1, 0]))
    kinematics.update(TRUCK.home_position)
    lidar.observe(1.0, kinematics, NOBODY)
    assert lidar.range_m[0] == pytest.approx(5 - 0.1 - 1 - 2.1, abs=1e-9)


def test_moving_boxes_and_people_are_told_apart() -> None:
    lidar = Lidar(LidarConfig(figures=EXACT, **REAR), TRUCK, SceneConfig())
    moving = np.array(
        [[-4.1, 0, 0.5, 0, 0, 0, 1, 1, 1, 1], [-2.1, 4, 0.5, 0, 0, 0, 1, 1, 1, 1]]
    )
    people = np.full((2, 16, 7), 50.0)
    people[1, 0] = [-2.1, -3, 0, -2.1, -3, 1, 0.1]
    lidar.scan(Kinematics(TRUCK), people, moving)
    assert lidar.labels[0] == OBJECT_FIRST
    assert lidar.labels[270] == OBJECT_FIRST + 1
    assert lidar.labels[90] == PERSON_FIRST + 1
    assert lidar.true_range_m[90] == pytest.approx(2.9)
    with pytest.raises(ContractError, match=r"\(K, 10\)"):
        lidar.scan(Kinematics(TRUCK), people, moving[:, :7])


def test_noise_drop_out_latency_and_systematic_error() -> None:
    figures = EXACT.model_copy(
        update={
            "sigma_m": 0.02,
            "systematic_m": 0.06,
            "drop_rate": 0.05,
            "latency_s": 0.1,
            "rate_hz": 15.0,
        }
    )
    room = SceneConfig(
        boxes=tuple(
            BoxConfig(name=f"w{i}", center_m=(x, y, 0), size_m=(sx, sy, 2))
            for i, (x, y, sx, sy) in enumerate(
                [(6, 0, 1, 14), (-8, 0, 1, 14), (0, 6, 14, 1), (0, -6, 14, 1)]
            )
        )
    )
    names = tuple(TRUCK.shapes.names)
    lidar = Lidar(LidarConfig(figures=figures, housing=names, **REAR), TRUCK, room)
    kinematics = Kinematics(TRUCK)

    def episode(seed: int) -> tuple[Array, list[float]]:
        lidar.reset(seed)
        rows, ages = [], []
        for step in range(200):
            lidar.observe(0.05 * step, kinematics, NOBODY)
            rows.append(lidar.range_m)
            ages.append(lidar.age(0.05 * step))
        return np.array(rows), ages

    rows, ages = episode(7)
    again, _ = episode(7)
    other, _ = episode(8)
    np.testing.assert_array_equal(rows, again)
    assert not np.array_equal(rows, other)
    valid = rows > 0.0
    assert 1 - valid.mean() == pytest.approx(0.05, abs=0.005)
    error = (rows - lidar.true_range_m)[valid]
    assert np.abs(error).max() <= figures.bound_m + 1e-12
    assert error.std() == pytest.approx(0.02, rel=0.05)
    assert abs(error.mean()) <= 0.06 + 0.001
    means = []
    for seed in range(30):
        lidar.reset(seed)
        lidar.observe(0.0, kinematics, NOBODY)
        good = lidar.range_m > 0
        means.append((lidar.range_m - lidar.true_range_m)[good].mean())
    assert 0.02 < np.std(means) < 0.05, "uniform within 60 mm: 35 mm"
    # Frames at 15 Hz asked at 20 Hz, delivered after 0.1 s.
    assert ages[0] == 0.0 and min(ages[6:]) >= 0.1 - 1e-9 and max(ages) < 0.25


def test_dark_clothes_far_away_look_like_free_space() -> None:
    figures = EXACT.model_copy(update={"dark_share": 0.5, "dark_range_m": 3.0})
    lidar = Lidar(LidarConfig(figures=figures, **REAR), TRUCK, SceneConfig())
    people = np.full((1, 16, 7), 50.0)
    seen = {2.0: 0, 4.0: 0}
    for seed in range(60):
        for away in seen:
            people[0, 0] = [-2.1 - away, 0, 0, -2.1 - away, 0, 1, 0.1]
            lidar.reset(seed)
            lidar.observe(0.0, Kinematics(TRUCK), people)
            assert lidar.true_range_m[0] == pytest.approx(away - 0.1)
            seen[away] += lidar.range_m[0] < 20.0
    assert seen[2.0] == 60 and 18 <= seen[4.0] <= 42


def test_blind_sectors_and_named_makes() -> None:
    config = LidarConfig(
        model="sick_tim55x", blind_sectors_rad=((3.0, -3.0), (1.0, 1.5)), **REAR
    )
    lidar = Lidar(config, TRUCK, SceneConfig())
    assert lidar.bearings[0] == pytest.approx(-0.75 * math.pi)
    assert lidar.bearings[-1] == pytest.approx(0.75 * math.pi)
    assert lidar.figures.step_rad == pytest.approx(math.radians(1.0))
    blind = np.degrees(lidar.bearings[lidar.blind])
    assert blind.min() > 57 and blind.max() < 86 and lidar.blind.sum() == 28
    full = Lidar(
        config.model_copy(update={"model": "rplidar_a1"}), TRUCK, SceneConfig()
    )
    assert full.blind.sum() == 17 + 28
    lidar.observe(0.0, Kinematics(TRUCK), NOBODY)
    assert (lidar.range_m[lidar.blind] == 0.0).all()
    for figures in LIDARS.values():
        assert "design default" in figures.source


def test_wrong_configurations_are_refused_in_one_sentence() -> None:
    wrong = {"model": "sick", **REAR}
    with pytest.raises(ConfigError, match="no lidar"):
        parse(LidarConfig, wrong, "x.yaml")
    with pytest.raises(ConfigError, match="either"):
        parse(LidarConfig, REAR, "x.yaml")
    with pytest.raises(ConfigError, match="below range_max_m"):
        parse(
            LidarConfig,
            {"figures": {**EXACT.model_dump(), "range_min_m": 30.0}, **REAR},
            "x.yaml",
        )
    with pytest.raises(ConfigError, match="no link"):
        Lidar(
            LidarConfig(figures=EXACT, link="bse", position_m=(0, 0, 0)),
            TRUCK,
            SceneConfig(),
        )
    with pytest.raises(ConfigError, match="no shape"):
        Lidar(
            LidarConfig(figures=EXACT, housing=("door",), **REAR), TRUCK, SceneConfig()
        )


def test_furniture_is_taken_from_the_scene() -> None:
    scene = SceneConfig(
        boxes=(BoxConfig(name="a", center_m=(1, 2, 3), size_m=(4, 5, 6), solid=False),),
        cylinders=(
            CylinderConfig(name="b", center_m=(1, 2, 3), radius_m=1, height_m=2),
        ),
    )
    boxes, cylinders = scene_boxes(scene)
    np.testing.assert_array_equal(boxes, [[1, 2, 3, 0, 0, 0, 1, 4, 5, 6]])
    np.testing.assert_array_equal(cylinders, [[1, 2, 3, 1, 2]])
    empty = scene_boxes(SceneConfig())
    assert empty[0].shape == (0, 10) and empty[1].shape == (0, 5)
