"""Episodes as pictures and videos: the scene, its fields, the guard's state, margins."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from physai.plant.picture import Image, Picture
from physai.plant.scene import Outline
from physai.plant.seating import pictured_boxes, pictured_ground
from physai.record.episode import StepRecord
from physai.record.overlay import SLOW_COLOR, STOP_COLOR, Overlay, Zone, draw_overlay
from physai.robot.footprint import footprint_of
from physai.robot.kinematics import rotation_from_quaternion
from physai.tasks.cycle import Cycle, GuardMode
from physai.types import Array, State

__all__ = ["Film", "draw_step", "film_held_out", "spec_zones", "stopping_zone"]

_LAST_S = 1.5
"""How long the last picture of an episode stays."""


class Film:
    """A video of an episode: scene, fields, tightest margins and the guard's state.

    Args:
        cycle: The cycle that is filmed.
        file: An ``.mp4``.
        every: Take every so many steps.

    Raises:
        MissingExtraError: Without OpenCV.
    """

    def __init__(self, cycle: Cycle, file: Path, every: int = 2) -> None:
        from physai.record.video import VideoWriter

        self.cycle, self.every = cycle, every
        self.picture = Picture(cycle.environment.plant, cycle.task.robot, 640, 480)
        self._rate = cycle.environment.control_hz / every
        self.writer = VideoWriter(file, self._rate)
        self._count = 0

    def take(self, record: StepRecord) -> None:
        """Add a step; the last one of an episode stays for a moment."""
        from physai.record.video import MASKED

        self._count += 1
        last = record.terminated or record.truncated
        if self._count % self.every and not last:
            return
        image = draw_step(self.picture, self.cycle, record)
        for _ in range(max(1, round(_LAST_S * self._rate)) if last else 1):
            self.writer.write(image, MASKED)

    def add(self, record: StepRecord) -> bool:
        """Take a step as :func:`physai.runtime.loop.run_loop` gives it: it goes on."""
        self.take(record)
        return False

    def close(self) -> None:
        """Write the file."""
        self.writer.close()
        self.picture.close()


def film_held_out(
    policy: Path, environment: str, guard: str, episodes: int, folder: Path
) -> list[Path]:
    """Film the first held-out episodes of a policy, faces painted over.

    They are those with which :func:`physai.evaluation.held_out.count_held_out` begins.

    Args:
        policy: A bundle.
        environment: Id of the environment.
        guard: ``on``, ``observe`` or ``off``.
        episodes: How many.
        folder: Where to write ``episode_<seed>.mp4``.

    Returns:
        The files.

    Raises:
        MissingExtraError: Without OpenCV.
        RecordError: If a file cannot be written.
    """
    from physai.policy.adapters import load_policy
    from physai.runtime.loop import run_loop
    from physai.tasks import registry

    files = []
    cycle = registry.make_cycle(environment, guard=guard)
    try:
        actor = load_policy(str(policy), env=cycle)
        first = cycle.environment.distributions["test"].seeds.first
        for seed in range(first, first + episodes):
            film = Film(cycle, folder / f"episode_{seed}.mp4")
            try:
                scenario = cycle.task.sample_scenario(seed, "test")
                run_loop(cycle, actor, scenario, on_step=film.add)
            finally:
                film.close()
            files.append(film.writer.path)
    finally:
        cycle.close()
    return files


def draw_step(
    picture: Picture, cycle: Cycle, record: StepRecord, camera: str = ""
) -> Image:
    """Return a picture of a step, faces masked, with the guard's state drawn over it.

    Args:
        picture: Where to draw.
        cycle: Gives the names of the rules, and fields and ground of the scene.
        record: The step.
        camera: Name of a camera of the scene.
    """
    state = record.state if record.truth is None else record.truth.state
    names = cycle.environment.extras
    eats = names[:1] == ("mouth_x_in_world_m",)
    mouth = state.extras[:3] if eats else None
    food = state.extras[names.index("food_on_spoon")] if "food_on_spoon" in names else 0
    scene = cycle.environment.plant.scene
    image = picture.draw(
        state,
        camera,
        mouth,
        float(food),
        pictured_ground(cycle.plant),
        objects=pictured_boxes(cycle.plant, cycle.scenario, scene),
        zones=[*spec_zones(cycle), *stopping_zone(cycle, state)],
    )
    _draw_outlines(image, picture, cycle, camera)
    draw_overlay(image, _overlay(cycle, record))
    return image


def spec_zones(cycle: Cycle) -> list[Zone]:
    """Return the areas of the specification; the stricter lie above the wider."""
    areas = cycle.spec.config.sections.get("areas", {}).get("areas", ())
    looks = {"unmanned": (STOP_COLOR, 0.22), "restricted": (SLOW_COLOR, 0.22)}
    zones = []
    for area in areas:
        color, opacity = looks.get(area["kind"], (SLOW_COLOR, 0.18))
        corners = np.array(area["polygon_m"])
        zones.append(Zone(corners, color, area["name"].replace("_", " "), opacity))
    return sorted(zones, key=lambda zone: -float(np.ptp(zone.corners, axis=0).max()))


def stopping_zone(cycle: Cycle, state: State) -> list[Zone]:
    """Return what a robot that drives needs to stop: v Tr + v^2 / 2a along its path.

    The footprint is swept along the circle that it drives on now; reaction time,
    deceleration and margins are those of the section ``field``. Nothing for a robot
    that is bolted down or a specification without such a field.

    Args:
        cycle: Robot and specification.
        state: Where the robot is and how it moves.
    """
    values = cycle.spec.config.sections.get("field")
    robot = cycle.task.robot
    if values is None or robot.base is None:
        return []
    turn = np.empty((3, 3))
    rotation_from_quaternion(state.base_pose_in_world[3:7], turn)
    speed = float(turn[:, 0] @ state.base_twist_in_world[:3])
    if not abs(speed) > 0.02:
        return []
    way = abs(speed) * cycle.spec.config.separation.reaction_time_s
    way += speed * speed / (2.0 * values["deceleration_m_s2"]) + values["standstill_m"]
    curvature = float(state.base_twist_in_world[5]) / speed
    corners = _sweep(footprint_of(robot), way, curvature, float(np.sign(speed)))
    yaw = float(np.arctan2(turn[1, 0], turn[0, 0]))
    c, s = np.cos(yaw), np.sin(yaw)
    world = corners @ np.array([[c, s], [-s, c]]) + state.base_pose_in_world[:2]
    return [Zone(world, STOP_COLOR, "stop", 0.4)]


def _sweep(footprint: Array, way: float, curvature: float, sign: float) -> Array:
    """Outline (V, 2) of where the leading edge of a footprint goes on a circle.

    Args:
        footprint: (4,) rear, front, right, left [m].
        way: How far [m].
        curvature: Positive to the left [1/m].
        sign: 1 ahead, -1 back.
    """
    rear, front, right, left = footprint
    edge = front if sign > 0.0 else rear
    angles = np.linspace(0.0, sign * way * curvature, 12)
    straight = np.linspace(0.0, sign * way, 12)
    if abs(curvature) > 1e-4:
        x, y = np.sin(angles) / curvature, (1.0 - np.cos(angles)) / curvature
    else:
        x, y = straight, np.zeros(12)
    sides = [
        np.stack(
            [
                x + edge * np.cos(angles) - side * np.sin(angles),
                y + edge * np.sin(angles) + side * np.cos(angles),
            ],
            axis=1,
        )
        for side in (left, right)
    ]
    outline: Array = np.concatenate([sides[0], sides[1][::-1]])
    return outline


def _overlay(cycle: Cycle, record: StepRecord) -> Overlay:
    decision, outcome = record.decision, ""
    if record.terminated or record.truncated:
        outcome = "success" if record.success else "time over"
        if record.terminated and not record.success:
            outcome = "stopped" if decision.latched else "not done"
    margins: tuple[tuple[str, float], ...] = ()
    if record.truth_margins is not None:
        titles = [rule.title.en for rule in cycle.spec.config.rules]
        margins = tuple(zip(titles, record.truth_margins.tolist(), strict=True))
    guarded = cycle.mode is not GuardMode.OFF
    scenario = cycle.scenario.case if cycle.scenario is not None else ""
    return Overlay(
        record.time_s,
        cycle.environment.title.en,
        scenario.replace("_", " "),
        decision.action if guarded else None,
        decision.sentence.split(" [")[0],
        margins,
        outcome=outcome,
        good=record.success,
    )


def _draw_outlines(image: Image, picture: Picture, cycle: Cycle, camera: str) -> None:
    """Draw the lines that a process marks, such as a design."""
    import cv2

    look = getattr(cycle.plant, "outlines", None)
    lines: list[Outline] = [] if look is None else look()
    for line in lines:
        for pixels in picture.trace(line, camera):
            cv2.polylines(image, [pixels], False, line.color, 1, cv2.LINE_AA, shift=4)
