"""Cameras against the pinhole equation and analytic distances."""

from __future__ import annotations

import math

import numpy as np
import pytest

from physai.config import parse
from physai.errors import ConfigError, ContractError
from physai.plant.camera import Camera, look_rotation
from physai.plant.camera_settings import DEPTHS, Intrinsics, RgbdConfig
from physai.plant.camera_world import CameraWorld
from physai.plant.labels import FURNITURE, OBJECT_FIRST, PERSON_FIRST, ROBOT
from physai.plant.scene import BoxConfig, SceneConfig
from physai.robot.description import load_robot
from physai.robot.kinematics import Kinematics
from physai.types import Array

FRANKA = load_robot("franka")
NOBODY = np.zeros((0, 16, 7))
NO_ROBOT = np.zeros((0, 7))
WIDE = Intrinsics(160, 120, 150.0, 140.0, 83.0, 55.5)
CONFIG = {
    "position_m": [1.5, -1.5, 1.2],
    "target_m": [0.3, 0.0, 0.6],
    "intrinsics": {"width_px": 64, "height_px": 64, "fx_px": 70.0},
    "rate_hz": 10.0,
    "latency_s": 0.1,
    "source": "test",
}


def rays(camera: Intrinsics) -> Array:
    v, u = np.mgrid[: camera.height, : camera.width]
    return np.stack(
        [
            (u - camera.cx_px) / camera.fx_px,
            (v - camera.cy_px) / camera.fy_px,
            np.ones((camera.height, camera.width)),
        ],
        axis=-1,
    )


def place(rng: np.random.Generator) -> tuple[Array, Array]:
    position = rng.uniform([-1, -1, 0.5], [1, 1, 2])
    target = position + rng.uniform([1, -1, -0.6], [2, 1, 0.2])
    return position, look_rotation(position, target, np.array([0, 0, 1.0]))


def test_known_points_are_where_the_pinhole_equation_puts_them() -> None:
    """Middle of a small box's pixels against its projection, over many places."""
    world = CameraWorld(SceneConfig(), floor_z_m=None)
    rng = np.random.default_rng(1)
    errors = []
    for _ in range(150):
        position, rotation = place(rng)
        z = rng.uniform(0.8, 4.0)
        pixel = rng.uniform([20, 20], [140, 100])
        spot = np.array(
            [
                (pixel[0] - WIDE.cx_px) / WIDE.fx_px * z,
                (pixel[1] - WIDE.cy_px) / WIDE.fy_px * z,
                z,
            ]
        )
        side = 0.05 * z
        where = position + rotation @ spot
        world.place(
            NO_ROBOT, NOBODY, np.array([[*where, 0, 0, 0, 1, side, side, side]])
        )
        labels = world.render(WIDE, position, rotation).labels
        rows, columns = np.nonzero(labels == OBJECT_FIRST)
        assert 20 < len(rows) < 400
        np.testing.assert_allclose(WIDE.project(spot[None])[0], pixel, atol=1e-9)
        errors.append([columns.mean() - pixel[0], rows.mean() - pixel[1]])
    world.close()
    # The silhouette's middle differs a little from the projected middle either way.
    assert np.abs(np.mean(errors, axis=0)).max() < 0.08
    assert np.abs(errors).max() < 0.7


def test_depth_of_a_floor_and_a_wall_is_analytic() -> None:
    wall = BoxConfig(name="wall", center_m=(5.0, 0, 2), size_m=(0.2, 20, 8))
    world = CameraWorld(SceneConfig(boxes=(wall,)))
    world.place(NO_ROBOT, NOBODY)
    rng = np.random.default_rng(2)
    for _ in range(10):
        position, rotation = place(rng)
        shot = world.render(WIDE, position, rotation)
        directions = rays(WIDE) @ rotation.T
        down, ahead = directions[..., 2], directions[..., 0]
        floor = np.where(down < 0, -position[2] / np.minimum(down, -1e-9), np.inf)
        face = np.where(
            ahead > 0, (4.9 - position[0]) / np.maximum(ahead, 1e-9), np.inf
        )
        expected = np.minimum(floor, face)
        seen = np.isfinite(shot.depth) & (expected < 12)
        assert seen.mean() > 0.5
        # Pixels that the border between both goes through may be either.
        clear = seen & (np.abs(floor - face) > 0.05)
        np.testing.assert_allclose(shot.depth[clear], expected[clear], rtol=2e-4)
        assert (shot.labels[clear & (face < floor)] == FURNITURE).all()
        assert (shot.labels[clear & (face > floor)] == 0).all()
    world.close()


@pytest.mark.parametrize("length", [0.0, 0.4])
def test_depth_of_a_body_is_right_to_a_few_percent_of_its_radius(length: float) -> None:
    """Capsules are meshes; their depth against the closed form of a sphere."""
    world = CameraWorld(SceneConfig(), floor_z_m=None)
    radius, z = 0.15, 1.5
    camera = Intrinsics(256, 256, 500.0, 500.0, 127.5, 127.5)
    rotation = look_rotation(np.zeros(3), np.array([1.0, 0, 0]), np.array([0, 0, 1.0]))
    half = 0.5 * length
    person = np.array([[[z, 0, -half, z, 0, half, radius]]])
    world.place(NO_ROBOT, person)
    shot = world.render(camera, np.zeros(3), rotation)
    directions = rays(camera)
    if length == 0.0:
        along, square = directions[..., 2] * z, (directions**2).sum(-1)
    else:
        middle = np.abs(directions[..., 1]) < half / z * 0.8
        directions = np.where(middle[..., None], directions, np.nan)
        along, square = directions[..., 2] * z, (directions[..., [0, 2]] ** 2).sum(-1)
    root = along**2 - square * (z * z - radius * radius)
    with np.errstate(invalid="ignore"):
        expected = (along - np.sqrt(root)) / square
    # Near the outline depth changes by its whole radius within a pixel.
    inner = root > 0.25 * np.nanmax(root)
    assert (shot.labels[inner] == PERSON_FIRST).all()
    error = np.abs(shot.depth[inner] - expected[inner])
    assert error.max() < 0.06 * radius and error.mean() < 0.025 * radius
    world.close()


def test_labels_tell_robot_people_and_objects_apart_and_bodies_come_and_go() -> None:
    world = CameraWorld(
        SceneConfig(
            boxes=(BoxConfig(name="b", center_m=(2, 0, 0.2), size_m=(1, 1, 0.4)),)
        )
    )
    camera = Intrinsics(96, 96, 60.0, 60.0, 47.5, 47.5)
    position = np.array([-2.0, 0, 1.2])
    rotation = look_rotation(position, np.array([2.0, 0, 0.5]), np.array([0, 0, 1.0]))
    people = np.zeros((2, 2, 7))
    people[0] = [[1, 1, 0, 1, 1, 1, 0.2], [1, 1, 1.3, 1, 1, 1.3, 0.1]]
    people[1] = people[0] - [0, 2, 0, 0, 2, 0, 0]
    robot = np.array([[0, 0, 0.3, 0, 0, 0.5, 0.1]])
    boxes = np.array([[2, 0.0, 0.6, 0, 0, 0, 1, 0.4, 0.4, 0.4]])

    def seen() -> set[int]:
        return set(np.unique(world.render(camera, position, rotation).labels).tolist())

    world.place(robot, people, boxes)
    everything = {0, ROBOT, FURNITURE, PERSON_FIRST, PERSON_FIRST + 1, OBJECT_FIRST}
    assert seen() == everything
    world.place(robot, people[:1])
    assert seen() == {0, ROBOT, FURNITURE, PERSON_FIRST}
    people[0, 0, 6] = 0.3
    world.place(robot, people, boxes + 0.1 * np.eye(10)[7])
    assert seen() == everything
    with pytest.raises(ContractError, match="13 people"):
        world.place(robot, np.zeros((14, 1, 7)))
    with pytest.raises(ContractError, match=r"\(K, 10\)"):
        world.place(robot, people, boxes[:, :7])
    world.close()
    world.close()


def test_noise_of_depth_is_that_of_stereo_matching() -> None:
    wall = BoxConfig(name="wall", center_m=(2.1, 0, 0), size_m=(0.2, 20, 20))
    world = CameraWorld(SceneConfig(boxes=(wall,)), floor_z_m=None)
    config = parse(
        RgbdConfig,
        {
            **CONFIG,
            "position_m": [0, 0, 0],
            "target_m": [1, 0, 0],
            "hidden_shapes": list(FRANKA.shapes.names),
        },
        "x",
    )
    camera = Camera(config, FRANKA, world, "front")
    kinematics = Kinematics(FRANKA)
    values = []
    for step in range(40):
        camera.observe(step / 10.0, kinematics, NOBODY)
        assert camera.images is not None
        values.append(camera.images["front.depth"])
    depth = np.array(values)
    assert (depth == 0).mean() == pytest.approx(0.02, abs=0.004)
    # 15.1 mm at 2 m: tracker.csv.
    assert depth[depth > 0].std() == pytest.approx(0.0151, rel=0.03)
    assert depth[depth > 0].mean() == pytest.approx(2.0, abs=0.001)
    assert DEPTHS["realsense_d435"].sigma_m(1.0) == pytest.approx(0.0038, abs=5e-5)
    assert DEPTHS["realsense_d435"].sigma_m(4.0) == pytest.approx(0.0604, abs=1e-4)
    world.close()


def test_same_seed_same_images_and_they_arrive_late() -> None:
    world = CameraWorld(SceneConfig())
    config = parse(RgbdConfig, {**CONFIG, "light": [0.3, 0.9]}, "x")
    camera = Camera(config, FRANKA, world, "side")
    kinematics = Kinematics(FRANKA)

    def episode(seed: int) -> tuple[list[Array], list[float]]:
        camera.reset(seed)
        assert camera.images is None and camera.age(0.0) == math.inf
        images, ages = [], []
        for step in range(8):
            camera.observe(0.05 * step, kinematics, NOBODY)
            assert camera.images is not None
            images.append(camera.images["side.rgb"].astype(float))
            images.append(camera.images["side.depth"].astype(float))
            ages.append(camera.age(0.05 * step))
        return images, ages

    first, ages = episode(5)
    again, _ = episode(5)
    other, _ = episode(6)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(first[0] - other[0]).mean() > 3.0, "another light"
    np.testing.assert_allclose(ages, [0, 0.05, 0.1, 0.15, 0.1, 0.15, 0.1, 0.15])
    assert camera.images is not None
    with pytest.raises(ValueError, match="read-only"):
        camera.images["side.depth"][0, 0] = 1.0
    world.close()


def test_a_camera_on_the_hand_goes_with_it() -> None:
    world = CameraWorld(SceneConfig())
    config = parse(
        RgbdConfig,
        {
            **CONFIG,
            "link": FRANKA.config.tool.frame,
            "position_m": [0, 0, 0.1],
            "target_m": [0, 0, 1],
            "up": [0, 1, 0],
            "depth": "exact",
        },
        "x",
    )
    camera = Camera(config, FRANKA, world, "hand")
    kinematics = Kinematics(FRANKA, np.array([0, 0, 0.6, 0, 0, 0, 1]))
    camera.shoot(kinematics, NOBODY)
    np.testing.assert_allclose(
        camera.position,
        kinematics.tool_position + 0.1 * kinematics.tool_rotation[:, 2],
    )
    np.testing.assert_allclose(
        camera.rotation[:, 2], kinematics.tool_rotation[:, 2], atol=1e-12
    )
    np.testing.assert_allclose(
        camera.rotation[:, 1], -kinematics.tool_rotation[:, 1], atol=1e-12
    )
    world.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"depth": "realsense"}, "no depth camera"),
        ({"near_m": 30.0}, "below far_m"),
        ({"light": [0.9, 0.1]}, "low to high"),
        ({"up": [-1.2, 1.5, -0.6]}, "along its own up"),
        ({"zoom": 2}, "unknown key"),
    ],
)
def test_wrong_configurations_are_refused(
    change: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(RgbdConfig, {**CONFIG, **change}, "x.yaml")


def test_unknown_links_and_shapes_are_refused() -> None:
    world = CameraWorld(SceneConfig())
    config = parse(RgbdConfig, CONFIG, "x")
    with pytest.raises(ConfigError, match="no link"):
        Camera(config.model_copy(update={"link": "hnd"}), FRANKA, world, "c")
    with pytest.raises(ConfigError, match="no shape"):
        Camera(config.model_copy(update={"hidden_shapes": ("x",)}), FRANKA, world, "c")
    world.close()
