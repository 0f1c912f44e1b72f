"""Pictures: faces masked by default, fields and ground where they are, robots that drive."""

from __future__ import annotations

import ast
import math
import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import physai
from physai.errors import ContractError
from physai.plant.picture import Picture
from physai.plant.scenario import PlantConfig
from physai.plant.scene import BoxConfig, CameraConfig, SceneConfig, Surface
from physai.record.layout import StepRecord
from physai.record.overlay import SLOW_COLOR, STOP_COLOR, Zone, circle_zone
from physai.report.film import Film, draw_step
from physai.robot.description import load_robot
from physai.robot.kinematics import Kinematics
from physai.tasks import registry
from physai.tasks.cycle import Cycle
from physai.types import Array, State

pybullet = pytest.importorskip("pybullet")
cv2 = pytest.importorskip("cv2")
ABOVE = CameraConfig(
    position_m=(-3.0, -3.0, 3.0), target_m=(0.5, 0.0, 0.0), field_of_view_deg=60
)


@pytest.fixture(scope="module")
def cycle() -> Iterator[Cycle]:
    cycle = registry.make_cycle("physai/CareFeeding-v0", guard="on")
    first = cycle.environment.distributions["test"].seeds.first
    cycle.reset(cycle.task.sample_scenario(first, "test", "nominal_rest"))
    yield cycle
    cycle.close()


@pytest.fixture(scope="module")
def state(cycle: Cycle) -> State:
    assert cycle.truth is not None
    return cycle.truth.state


@pytest.fixture(scope="module")
def picture(cycle: Cycle) -> Iterator[Picture]:
    picture = Picture(cycle.environment.plant, cycle.task.robot, 160, 120)
    yield picture
    picture.close()


def empty_plant(cycle: Cycle, *boxes: BoxConfig) -> PlantConfig:
    scene = SceneConfig(boxes=boxes, cameras={"above": ABOVE})
    return cycle.environment.plant.model_copy(update={"scene": scene})


def head_pixels(picture: Picture, state: State) -> Array:
    """Where heads and faces project to, by their spheres' middles."""
    return picture.project(state.people[:, :2, :3].reshape(-1, 3))


def test_faces_are_painted_over_unless_somebody_asks_for_them(
    picture: Picture, state: State
) -> None:
    bare = picture.draw(state, mask="none")
    masked = picture.draw(state)
    person = picture.draw(state, mask="person")
    changed = (bare != masked).any(axis=2)
    assert changed.sum() > 50
    # What is masked is one colour, and has not been before.
    assert len(np.unique(masked[changed], axis=0)) == 1
    assert len(np.unique(bare[changed], axis=0)) > 20
    whole = (bare != person).any(axis=2)
    assert (
        len(np.unique(person[whole], axis=0)) == 1 and whole.sum() > 4 * changed.sum()
    )
    column, row = head_pixels(picture, state)[0].astype(int)
    assert (masked[row, column] == masked[changed][0]).all()
    with pytest.raises(ContractError, match="masks"):
        picture.draw(state, mask="blur")  # type: ignore[arg-type]


def test_a_mouth_is_a_mark_and_stays(picture: Picture, state: State) -> None:
    mouth = state.extras[:3]
    with_mark = picture.draw(state, "face", mouth)
    assert (with_mark != picture.draw(state, "face")).any()


def test_the_film_of_a_run_holds_no_face(
    cycle: Cycle, tmp_path: Path, picture: Picture
) -> None:
    """The whole path of ``physai run --video``: file, decoded, looked at."""
    first = cycle.environment.distributions["test"].seeds.first
    cycle.reset(cycle.task.sample_scenario(first, "test", "nominal_rest"))
    film = Film(cycle, tmp_path / "a.mp4", every=1)
    records = [cycle.step(np.zeros(len(cycle.spaces.action_names))) for _ in range(3)]
    for record in records:
        film.take(record)
    truth = records[-1].truth
    assert truth is not None
    bare = film.picture.draw(truth.state, mask="none").astype(int)
    masked = film.picture.draw(truth.state).astype(int)
    film.close()
    capture = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    frames = []
    while True:
        there, frame = capture.read()
        if not there:
            break
        frames.append(frame[:, :, ::-1].astype(int))
    assert len(frames) == 3
    # Away from the outline, where the codec mixes colours.
    face = (np.abs(bare - masked).sum(axis=2) > 0).astype(np.uint8)
    inner = cv2.erode(face, np.ones((9, 9))) > 0
    assert inner.sum() > 200
    spread = bare[inner].std(axis=0).max()
    assert frames[-1][inner].std(axis=0).max() < 0.2 * spread
    assert spread > 8.0


def test_the_last_step_stays_with_its_outcome(cycle: Cycle, tmp_path: Path) -> None:
    first = cycle.environment.distributions["test"].seeds.first
    cycle.reset(cycle.task.sample_scenario(first, "test", "nominal_rest"))
    record = cycle.step(np.zeros(len(cycle.spaces.action_names)))
    picture = Picture(cycle.environment.plant, cycle.task.robot, 320, 240)

    def corner(record: StepRecord) -> Array:
        image: Array = draw_step(picture, cycle, record)[200:, 220:].astype(float)
        return image

    running = corner(record)
    done = corner(replace(record, terminated=True, success=True))
    late = corner(replace(record, truncated=True))
    assert np.abs(done - running).max() > 50 and np.abs(done - late).max() > 50
    picture.close()
    film = Film(cycle, tmp_path / "b.mp4")
    film.take(replace(record, terminated=True, success=True))
    film.close()
    assert film.writer.frames == round(1.5 * cycle.environment.control_hz / 2)


def test_nothing_else_writes_pictures_and_nobody_unmasks() -> None:
    """Every way that a picture could take to the disk, by reading the source."""
    writers, unmasked = set(), set()
    package = Path(physai.__file__).parent
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            where = path.relative_to(package).as_posix()
            if name in {"imwrite", "imencode", "VideoWriter", "imsave", "fromarray"}:
                writers.add((where, name))
            for keyword in node.keywords:
                value = getattr(keyword.value, "value", None)
                if keyword.arg == "mask" and value == "none":
                    unmasked.add(where)
    assert writers == {
        ("record/video.py", "VideoWriter"),
        ("report/film.py", "VideoWriter"),
        ("demo.py", "imencode"),
    }, "a new writer of pictures: mask what it writes, then name it here"
    assert not unmasked


def flat(start: float = -4.0, count: int = 80) -> Surface:
    shape = (count, count)
    return Surface(
        np.array([start, start]), 0.1, np.zeros(shape), np.zeros(shape, bool)
    )


def test_zones_lie_on_the_floor_behind_what_stands_on_it(
    cycle: Cycle, state: State
) -> None:
    box = BoxConfig(name="b", center_m=(1.0, 0.5, 0.4), size_m=(0.6, 0.6, 0.8))
    picture = Picture(empty_plant(cycle, box), cycle.task.robot, 320, 240)
    nobody = replace(state, people=np.zeros((0, 16, 7)))
    square = np.array([[0.0, -0.8], [2.0, -0.8], [2.0, 1.2], [0.0, 1.2]])
    bare = picture.draw(nobody).astype(int)
    painted = picture.draw(nobody, zones=[Zone(square, STOP_COLOR)]).astype(int)
    changed = (bare != painted).any(axis=2)
    rng = np.random.default_rng(0)
    points = np.c_[rng.uniform(-1.5, 3.0, (400, 2)) - [0, 1], np.zeros(400)]
    hidden = 0
    for point, (column, row) in zip(points, picture.project(points), strict=True):
        inside = (np.abs(point[:2] - [1.0, 0.2]) < 1.0).all()
        edge = np.abs(np.abs(point[:2] - [1.0, 0.2]) - 1.0).min() < 0.05
        if edge or not (1 < column < 318 and 1 < row < 238):
            continue
        if inside and not changed[int(row), int(column)]:
            hidden += 1
        assert inside or not changed[int(row), int(column)]
    # The box covers a part of the field and is not painted over.
    top = picture.project(np.array([[1.0, 0.5, 0.8]]))[0].astype(int)
    assert not changed[top[1], top[0]] and 0 < hidden < 60
    assert changed.sum() > 1500
    red = painted[changed] - bare[changed]
    assert (red[:, 0] > red[:, 2]).all()
    picture.close()


def test_a_flat_height_map_carries_zones_as_the_floor_does(
    cycle: Cycle, state: State
) -> None:
    picture = Picture(empty_plant(cycle), cycle.task.robot, 160, 120)
    nobody = replace(state, people=np.zeros((0, 16, 7)))
    zones = [circle_zone(np.array([1.0, 0.0]), 0.8, SLOW_COLOR, "slow")]

    def region(surface: Surface | None) -> Array:
        bare = picture.draw(nobody, surface=surface).astype(int)
        shown = picture.draw(nobody, surface=surface, zones=zones)
        changed: Array = (shown != bare).any(axis=2)
        return changed

    floor, ground = region(None), region(flat())
    assert (floor != ground).mean() < 0.01 and floor.sum() > 200
    picture.close()


def test_ground_is_seen_where_it_is_and_hides_what_is_behind(
    cycle: Cycle, state: State
) -> None:
    picture = Picture(empty_plant(cycle), cycle.task.robot, 320, 240)
    nobody = replace(state, people=np.zeros((0, 16, 7)))
    x, y = np.mgrid[0:60, 0:60] * 0.1 - 2.95
    ridge = np.where(np.abs(x + y + 1.0) < 0.2, 2.5, 0.0)
    even = flat(-3.0, 60)
    open_ = picture.draw(nobody, surface=even).astype(int)
    behind = picture.draw(nobody, surface=even._replace(height_m=ridge)).astype(int)
    # A ridge across the line of sight hides the robot behind it.
    column, row = picture.project(np.array([[0.0, 0.0, 0.65]]))[0].astype(int)
    soil = open_[200, 160]
    assert np.abs(open_[row, column] - soil).max() > 40
    assert np.abs(behind[row, column] - behind[row, column - 3]).max() < 40
    assert behind[row, column, 0] > behind[row, column, 2] + 15
    # Loose soil is lighter than what was never dug.
    loose = picture.draw(nobody, surface=even._replace(loose=np.ones((60, 60), bool)))
    assert loose[200, 160].astype(int).sum() > soil.sum() + 30
    with pytest.raises(ContractError, match="a surface is"):
        picture.draw(nobody, surface=even._replace(height_m=np.zeros((1, 5))))
    picture.close()


def test_pictures_of_ground_that_changes_keep_no_memory(
    cycle: Cycle, state: State
) -> None:
    """A mesh for every picture would keep 600 bytes of each corner."""
    picture = Picture(empty_plant(cycle), cycle.task.robot, 64, 48)
    even = flat(-3.0, 60)

    def memory_mb() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6

    for k in range(60):
        if k == 20:
            before = memory_mb()
        changed = even._replace(height_m=even.height_m + 0.001 * k)
        picture.draw(state, surface=changed)
    assert memory_mb() - before < 20.0, "40 pictures of 3600 corners"
    picture.close()


@pytest.mark.parametrize("name", ["truck", "crawler_dump", "mobile_manipulator"])
def test_a_robot_that_drives_is_drawn_where_its_kinematics_put_it(
    cycle: Cycle, state: State, name: str
) -> None:
    robot = load_robot(name)
    picture = Picture(empty_plant(cycle), robot, 64, 48)
    yaw = 0.7
    base = np.array([1.2, -0.4, 0.3, 0, 0, math.sin(yaw / 2), math.cos(yaw / 2)])
    position = robot.home_position + 0.05
    picture.draw(
        replace(
            state,
            actuator_position=position,
            base_pose_in_world=base,
            people=np.zeros((0, 16, 7)),
        )
    )
    kinematics = Kinematics(robot, base)
    kinematics.update(position)
    names = {}
    for index in range(picture._world.call(pybullet.getNumJoints, picture._world.body)):
        info = picture._world.call(pybullet.getJointInfo, picture._world.body, index)
        names[info[12].decode()] = index
    for link, place in zip(
        robot.tree.link_names[1:], kinematics.link_position[1:], strict=True
    ):
        drawn = picture._world.call(
            pybullet.getLinkState,
            picture._world.body,
            names[link],
            computeForwardKinematics=1,
        )
        np.testing.assert_allclose(drawn[4], place, atol=1e-5)
    picture.close()
    picture.close()


def test_objects_and_people_come_and_go(picture: Picture, state: State) -> None:
    nobody = replace(state, people=np.zeros((0, 16, 7)))
    box = np.array([[0.5, 0.0, 0.8, 0, 0, 0, 1, 0.2, 0.2, 0.2]])
    empty = picture.draw(nobody)
    with_box = picture.draw(nobody, objects=box)
    assert (empty != with_box).any(axis=2).sum() > 30
    larger = picture.draw(nobody, objects=box + 0.1 * np.eye(10)[8])
    assert (larger != with_box).any()
    assert (picture.draw(state) != empty).any()
    np.testing.assert_array_equal(picture.draw(nobody), empty)
    with pytest.raises(ContractError, match=r"\(K, 10\)"):
        picture.draw(nobody, objects=box[:, :7])
