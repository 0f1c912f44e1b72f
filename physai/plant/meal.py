"""Eating: a mouth with soft lips, a spoon that bends, and food that may run off.

The mouth is a cavity behind an elliptical opening. While the utensil is in it, its
shapes do not touch face and head as capsules; lips, palate and throat press on it as
soft springs in series with the spoon (stiffnesses are declared project choices).
Outside, a spoon on the face is a contact of the body like any other.

The food is one fraction of a bite. It runs off when the specific force on it (gravity
minus the spoon's mean acceleration over a control step) leans from the spoon's normal by
more than an angle; it is taken while the spoon is deep enough in a willing mouth.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import numba
import numpy as np
import numpy.typing as npt
from pydantic import Field

from physai.body.capsules import closest_points
from physai.body.person import Person
from physai.config import Config
from physai.plant.contact import ContactModel
from physai.plant.tracker import correlated_noise
from physai.randomness import generator
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.types import Array, Contact

if TYPE_CHECKING:
    from physai.plant.scenario import Scenario

__all__ = ["EXTRAS", "TRUTH_EXTRAS", "FaceTrackerConfig", "Meal", "MealConfig"]

NonNegative = Annotated[float, Field(ge=0.0)]
Positive = Annotated[float, Field(gt=0.0)]

EXTRAS = (
    "mouth_x_in_world_m",
    "mouth_y_in_world_m",
    "mouth_z_in_world_m",
    "mouth_axis_x_in_world",
    "mouth_axis_y_in_world",
    "mouth_axis_z_in_world",
    "mouth_opening_m",
    "consent",
    "stop_signal",
    "food_on_spoon",
)
TRUTH_EXTRAS = (
    "food_in_mouth",
    "food_spilled",
    "insertion_depth_m",
    "mouth_force_n",
    "face_distance_m",
    "face_approach_speed_m_s",
)


class FaceTrackerConfig(Config):
    """The close-range tracker of the mouth, and the channels of consent and food."""

    latency_s: NonNegative
    position_sigma_m: NonNegative
    axis_sigma_rad: NonNegative
    opening_sigma_m: NonNegative
    correlation: Annotated[float, Field(ge=0.0, lt=1.0)]
    miss_rate: Annotated[float, Field(ge=0.0, lt=1.0)]
    interface_latency_s: NonNegative
    food_sigma: NonNegative
    source: str


class MealConfig(Config):
    """Section ``meal`` of the plant."""

    face_tracker: FaceTrackerConfig
    lip_stiffness_n_per_m: Positive
    cavity_depth_m: Positive
    """Palate and throat press back from here on."""
    cavity_margin_m: NonNegative
    """How much wider than the lips the cavity is behind them."""
    intake_depth_m: Positive
    """Insertion from which the person takes the food."""
    intake_per_s: Positive
    spill_angle_rad: Positive
    spill_per_s_rad: Positive
    """Share of the bite lost per second and per radian beyond the angle."""
    smear_per_s: NonNegative
    """Share lost per second while the spoon touches the face."""
    source: str


@numba.njit(cache=True)
def _mouth_force(
    handle: Array,
    tip: Array,
    radius: float,
    position: Array,
    axis: Array,
    up: Array,
    opening: float,
    half_width: float,
    depth_limit: float,
    margin: float,
    stiffness: float,
    was_inside: bool,
    force: Array,
    point: Array,
    out: Array,
) -> bool:
    """Force of lips, palate and throat on a straight utensil.

    Args:
        handle: (3,) end of the utensil's axis at the hand.
        tip: (3,) its other end.
        radius: Of the utensil [m].
        position: (3,) middle of the lips.
        axis: (3,) unit outward.
        up: (3,) unit.
        opening: [m].
        half_width: [m].
        depth_limit: Where the cavity ends behind the lips [m].
        margin: The cavity is wider than the lips by this [m].
        stiffness: Lips and spoon in series [N/m].
        was_inside: Whether the utensil was inside in the substep before.
        force: (3,) out, on the utensil [N].
        point: (3,) out, where it acts.
        out: (2,) out: insertion depth [m]; force on the tissue, pinch included [N].

    Returns:
        Whether the utensil is in the opening.
    """
    force[:] = 0.0
    out[0], out[1] = 0.0, 0.0
    side = np.empty(3)
    side[0] = up[1] * axis[2] - up[2] * axis[1]
    side[1] = up[2] * axis[0] - up[0] * axis[2]
    side[2] = up[0] * axis[1] - up[1] * axis[0]
    tx = ty = tz = hx = hy = hz = 0.0
    for i in range(3):
        t, h = tip[i] - position[i], handle[i] - position[i]
        tx, ty, tz = tx + t * axis[i], ty + t * side[i], tz + t * up[i]
        hx, hy, hz = hx + h * axis[i], hy + h * side[i], hz + h * up[i]
        point[i] = position[i]
    front = tx - radius
    if front > 0.012 or hx <= 0.0:
        return False
    # Where the utensil's axis passes the lips, or its tip while still before them.
    share = min(1.0, max(0.0, hx / max(hx - tx, 1e-9)))
    y, z = hy + share * (ty - hy), hz + share * (tz - hz)
    wide = max(half_width - radius, 1e-3)
    high = 0.5 * opening - radius
    ellipse = np.sqrt((y / wide) ** 2 + (z / max(high, 1e-3)) ** 2)
    inside = was_inside and front < 0.0
    if not inside and (ellipse > 1.0 or high < 0.0):
        return False
    out[0] = max(0.0, -tx)
    if front > 0.0:
        return True
    if ellipse > 1.0:
        gap_y, gap_z = y * (1.0 - 1.0 / ellipse), z * (1.0 - 1.0 / ellipse)
        for i in range(3):
            force[i] -= stiffness * (gap_y * side[i] + gap_z * up[i])
        out[1] += stiffness * np.sqrt(gap_y * gap_y + gap_z * gap_z)
    if high < 0.0:
        out[1] += 2.0 * stiffness * -high
    # Palate, tongue and cheeks around the tip; throat behind it.
    over_z = abs(tz) - (max(high, 0.0) + margin)
    if over_z > 0.0 and tx < 0.0:
        sign = 1.0 if tz > 0.0 else -1.0
        for i in range(3):
            force[i] -= stiffness * over_z * sign * up[i]
        out[1] += stiffness * over_z
    over_y = abs(ty) - (wide + margin)
    if over_y > 0.0 and tx < 0.0:
        sign = 1.0 if ty > 0.0 else -1.0
        for i in range(3):
            force[i] -= stiffness * over_y * sign * side[i]
        out[1] += stiffness * over_y
    over_x = out[0] - depth_limit
    if over_x > 0.0:
        for i in range(3):
            force[i] += stiffness * over_x * axis[i]
        out[1] += stiffness * over_x
    return True


class Meal:
    """Mouth, food and their sensors over one episode.

    Args:
        config: Figures.
        scenario: May set ``spill_angle_rad`` and ``intake_per_s`` among its values.
        robot: Gives the utensil.
        steps: Control steps that the episode can have.

    Attributes:
        near: Whether the utensil is close enough that every substep counts.
        on_spoon: Fraction of the bite on the spoon; with in_mouth and spilled always 1.
    """

    def __init__(
        self, config: MealConfig, scenario: Scenario, robot: Robot, steps: int
    ) -> None:
        self.config, self.robot = config, robot
        values = scenario.values
        self._spill_angle = float(values.get("spill_angle_rad", config.spill_angle_rad))
        self._intake = float(values.get("intake_per_s", config.intake_per_s))
        self._shapes = np.flatnonzero(robot.shapes.utensil)
        tool = robot.tool.stiffness_n_per_m or math.inf
        self._stiffness = 1.0 / (1.0 / config.lip_stiffness_n_per_m + 1.0 / tool)
        self.on_spoon, self.in_mouth, self.spilled = 1.0, 0.0, 0.0
        self.near = False
        self._inside = False
        self._depth = self._force_n = 0.0
        self._step_depth = self._step_force = 0.0
        self._force, self._point, self._out = np.zeros(3), np.zeros(3), np.zeros(2)
        self._exempt: npt.NDArray[np.bool_] = np.zeros(
            (len(scenario.people), len(robot.shapes.link)), dtype=np.bool_
        )
        self._tcp_velocity: Array | None = None
        self._make_noise(config.face_tracker, scenario.seed, steps)
        self._mouths: list[tuple[float, Array, bool]] = []
        self._channels: list[tuple[float, float, float, float]] = []
        self._seen = np.zeros(len(EXTRAS))
        self._stamps = np.full(3, -np.inf)
        self._exact = np.zeros(len(EXTRAS))

    def _make_noise(self, tracker: FaceTrackerConfig, seed: int, steps: int) -> None:
        rng = generator(seed, "tracker.face.noise")
        unit = correlated_noise(rng, (steps + 2, 7), 1.0, tracker.correlation)
        scale = np.array(
            [tracker.position_sigma_m] * 3
            + [tracker.axis_sigma_rad] * 3
            + [tracker.opening_sigma_m]
        )
        self._noise = unit * scale
        missed = generator(seed, "tracker.face.miss").random(steps + 2)
        self._missed = missed < tracker.miss_rate
        self._missed[0] = False
        self._food_noise = tracker.food_sigma * np.clip(
            generator(seed, "sensor.food").normal(size=steps + 2), -3.0, 3.0
        )

    def touch(
        self,
        contact: ContactModel,
        person: Person,
        fraction: float,
        capsules: Array,
        velocity: Array,
    ) -> npt.NDArray[np.bool_] | None:
        """One substep of the mouth; enters its force into the contact model.

        Args:
            contact: The contact model.
            person: Who eats.
            fraction: Of the control period that has passed, in [0, 1).
            capsules: (R, 7) of the robot, world.
            velocity: (R, 6) of their end points.

        Returns:
            (P, R) shapes that are in the mouth; None if there are none.
        """
        mouth, behind = person.mouth, 1.0 - fraction
        # The mouth moves with the face capsule between the ends of the period.
        shift = behind * (person.previous[1, :3] - person.capsules[1, :3])
        position = mouth.position + shift
        handle, tip = capsules[self._shapes[0], :3], capsules[self._shapes[-1], 3:6]
        radius = float(capsules[self._shapes[-1], 6])
        self.near = bool(np.abs(tip - position).max() < 0.15)
        if not self.near:
            self._inside = False
            return None
        self._inside = bool(
            _mouth_force(
                handle,
                tip,
                radius,
                position,
                mouth.axis,
                mouth.up,
                mouth.opening_m,
                mouth.half_width_m,
                self.config.cavity_depth_m,
                self.config.cavity_margin_m,
                self._stiffness,
                self._inside,
                self._force,
                self._point,
                self._out,
            )
        )
        self._depth, self._force_n = float(self._out[0]), float(self._out[1])
        self._step_depth = max(self._step_depth, self._depth)
        self._step_force = max(self._step_force, self._force_n)
        if not self._inside:
            return None
        if self._force_n > 0.0:
            size = max(float(np.linalg.norm(self._force)), 1e-9)
            toward = -self._force / size
            shape = int(self._shapes[-1])
            robot = max(0.0, float(toward @ velocity[shape, 3:6]))
            own = max(0.0, float(-toward @ person.capsule_velocity[1, :3]))
            contact.add_mouth(
                0, shape, self._point, self._force, self._force_n, robot, own
            )
        self._exempt[0, self._shapes] = True
        return self._exempt

    def advance(
        self,
        dt_s: float,
        kinematics: Kinematics,
        velocity: Array,
        person: Person,
        contact: Contact,
    ) -> None:
        """Move food over one control period.

        Args:
            dt_s: Control period [s].
            kinematics: Of the robot, at the end of it.
            velocity: (n,) joint velocities.
            person: Who eats.
            contact: Contacts of the period.
        """
        tcp = kinematics.tool_jacobian()[:3] @ velocity
        before = tcp if self._tcp_velocity is None else self._tcp_velocity
        specific = (tcp - before) / dt_s + np.array([0.0, 0.0, 9.81])
        self._tcp_velocity = tcp
        cosine = float(specific @ kinematics.tool_rotation[:, 2]) / float(
            np.linalg.norm(specific)
        )
        excess = math.acos(min(1.0, max(-1.0, cosine))) - self._spill_angle
        lost = max(0.0, excess) * self.config.spill_per_s_rad * dt_s
        face = contact.link[0, 1:4]
        if bool(np.isin(face[contact.force_peak_n[0, 1:4] > 0.0], self._shapes).any()):
            lost += self.config.smear_per_s * dt_s
        lost = min(lost, self.on_spoon)
        self.on_spoon -= lost
        self.spilled += lost
        willing = person.consent and not person.stop_signal
        if self._inside and self._depth >= self.config.intake_depth_m and willing:
            taken = min(self._intake * dt_s, self.on_spoon)
            self.on_spoon -= taken
            self.in_mouth += taken
        if self.on_spoon < 1e-12:
            self.on_spoon = 0.0

    def look(self, time_s: float, step: int, person: Person) -> None:
        """Let face tracker and channels take and deliver what is due.

        Args:
            time_s: Plant clock [s].
            step: Control step.
            person: Who eats.
        """
        mouth, tracker = person.mouth, self.config.face_tracker
        e = self._exact
        e[:3], e[3:6], e[6] = mouth.position, mouth.axis, mouth.opening_m
        e[7], e[8], e[9] = (
            float(person.consent),
            float(person.stop_signal),
            self.on_spoon,
        )
        k = min(step, len(self._noise) - 1)
        measured = e[:7].copy()
        measured += self._noise[k]
        measured[3:6] /= max(float(np.linalg.norm(measured[3:6])), 1e-9)
        measured[6] = max(0.0, measured[6])
        self._mouths.append((time_s, measured, bool(self._missed[k])))
        food = min(1.0, max(0.0, self.on_spoon + float(self._food_noise[k])))
        self._channels.append((time_s, e[7], e[8], food))
        first = step == 0
        while self._mouths and (
            first or time_s - self._mouths[0][0] >= tracker.latency_s - 1e-9
        ):
            stamp, values, missed = self._mouths.pop(0)
            if not missed:
                self._seen[:7] = values
                self._stamps[0] = stamp
            first = False
        first = step == 0
        while self._channels and (
            first or time_s - self._channels[0][0] >= tracker.interface_latency_s - 1e-9
        ):
            stamp, *channel = self._channels.pop(0)
            self._seen[7:10] = channel
            self._stamps[1:] = stamp
            first = False

    def extras(self, time_s: float) -> tuple[Array, Array]:
        """Return the extras as sensors give them, and their ages [s]."""
        ages = np.empty(len(EXTRAS))
        ages[:7], ages[7:] = time_s - self._stamps[0], time_s - self._stamps[1]
        return self._seen.copy(), ages

    def truth(
        self, kinematics: Kinematics, person: Array, velocity: Array
    ) -> tuple[Array, Array]:
        """Return exact extras and the true extras of the control step.

        Args:
            kinematics: Of the robot.
            person: (S, 7) true capsules of who eats.
            velocity: (n,) true joint velocities.
        """
        capsules = kinematics.capsules()
        distance = math.inf
        for shape in self._shapes:
            for segment in (0, 1):
                distance = min(
                    distance,
                    closest_points(capsules[shape], person[segment], _A, _B, _N),
                )
        speed = 0.0
        if distance <= 0.3:
            tcp = kinematics.tool_jacobian()[:3] @ velocity
            speed = math.sqrt(float(tcp @ tcp))
        more = np.array(
            [
                self.in_mouth,
                self.spilled,
                self._step_depth,
                self._step_force,
                distance,
                speed,
            ]
        )
        self._step_depth = self._step_force = 0.0
        return self._exact.copy(), more


_A, _B, _N = np.zeros(3), np.zeros(3), np.zeros(3)
