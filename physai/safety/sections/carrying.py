"""Carrying: the arm moves while the base stands, and what it carries stays level.

A base that drives with an arm that moves adds two speeds and two sources of tilt, and a
person beside it expects neither (project rule, as interlocks of mobile manipulators in
ISO/IMR R15.08 type C do). So joints creep while the base moves, the base creeps while a
joint moves or the tool is stretched out, and every joint keeps to a speed at which the
tilt of what is carried cannot exceed its limit: with h_i the horizontal share of joint
i's axis, the tilt changes by no more than sum_i h_i |qd_i|, so that

    |qd_i| <= gain (limit - tilt) / sum_j h_j

in the direction that tilts keeps tilt <= limit; the other direction is given the way
through level to the limit on the other side.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import numba
import numpy as np
import numpy.typing as npt
from pydantic import Field

from physai.config import Config
from physai.errors import ConfigError
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics, chain_of
from physai.safety.rules import Signal
from physai.safety.sections.section import Caps, Section, cap_actuator
from physai.types import Array, State

__all__ = ["Carrying", "CarryingValues"]

Positive = Annotated[float, Field(gt=0.0)]


class CarryingValues(Config):
    """section ``carrying``."""

    standing_m_s: Positive
    """Below it the base stands."""
    standing_rad_s: Positive
    still_rad_s: Positive
    """Below it a joint is still."""
    creep_share: Annotated[float, Field(gt=0.0, le=0.1)]
    """Share of the speed limits that joints keep while the base moves, and the base
    while joints move."""
    joint_share: Annotated[float, Field(gt=0.0, le=1.0)]
    """Share of the speed limits that joints keep while the base stands."""
    joint_change_rad_s: Positive
    """How much a joint may gain in one control period; it may always stop, but a drink
    that is shaken to and fro spills as one that is tilted."""
    stowed_radius_m: Positive
    """Tool from the base's middle; farther out it is stretched out."""
    stretched_m_s: Positive
    """Base, forward and backward, with the tool stretched out."""
    stretched_rad_s: Positive
    tilt_limit_rad: Annotated[float, Field(gt=0.0, lt=1.57)]
    """Between the tool's -z and the world's vertical."""
    tilt_gain_per_s: Positive
    source: str


@numba.njit(cache=True)
def _look(
    velocity: Array,
    fastest: Array,
    figures: Array,
    slack: float,
    tool: int,
    size: npt.NDArray[np.int64],
    buffer: Array,
    lower: Array,
    upper: Array,
    capped: tuple[Array, Array, npt.NDArray[np.int64]],
    kind: int,
    out: Array,
) -> None:
    """Cap every actuator, and write by how much the worst exceeds its own cap.

    Args:
        velocity: (n,) actuators, those of the base first.
        fastest: (n,) limits of the maker.
        figures: (11,) standing speed, standing turn, still joint, creep share, stowed
            radius, stretched speed, stretched turn, tilt limit, tilt gain, joint share,
            joint change.
        slack: Factor on what counts as standing and still.
        tool: Link of the tool's frame.
        size: Of the robot's kinematics.
        buffer: The same, placed.
        lower: (n,) scratch.
        upper: (n,) scratch.
        capped: Upper, lower and rule of :class:`Caps`.
        kind: Of the capping rule.
        out: (2,) out: worst excess as a share of the limit, tilt [rad].
    """
    c, n = chain_of(buffer, size), velocity.shape[0]
    f = figures
    moves = abs(velocity[0]) > slack * f[0] or abs(velocity[1]) > slack * f[1]
    busy, spread = False, 0.0
    for a in range(2, n):
        busy = busy or abs(velocity[a]) > slack * f[2]
    dx = c.link_position[tool, 0] - c.link_position[0, 0]
    dy = c.link_position[tool, 1] - c.link_position[0, 1]
    far = dx * dx + dy * dy > f[4] * f[4]
    for a in range(2):
        high = fastest[a]
        if far:
            high = min(high, f[5 + a])
        if busy:
            high = min(high, f[3] * fastest[a])
        upper[a], lower[a] = high, -high
    up = -c.link_rotation[tool, :, 2]
    sine = np.sqrt(up[0] * up[0] + up[1] * up[1])
    tilt = np.arctan2(sine, up[2])
    for i in range(c.parent.shape[0]):
        if c.actuator[i] >= 2:
            spread += np.sqrt(c.link_axis[i, 0] ** 2 + c.link_axis[i, 1] ** 2)
    more = f[8] * max(0.0, f[7] - tilt) / max(spread, 1e-6)
    less = f[8] * (f[7] + tilt) / max(spread, 1e-6)
    for i in range(c.parent.shape[0]):
        a = c.actuator[i]
        if a < 2:
            continue
        high = (f[3] if moves else f[9]) * fastest[a]
        upper[a] = min(high, max(0.0, velocity[a] + f[10]))
        lower[a] = max(-high, min(0.0, velocity[a] - f[10]))
        x, y = c.link_axis[i, 0], c.link_axis[i, 1]
        flat = np.sqrt(x * x + y * y)
        if flat < 0.02:
            continue
        # d tilt / dq = -(axis x up)_z / sin(tilt)
        rate = -(x * up[1] - y * up[0]) / max(sine, 1e-6)
        across = abs(rate) < 0.3 * flat or sine < 1e-3
        upper[a] = min(upper[a], more if rate > 0.0 or across else less)
        lower[a] = -min(-lower[a], more if rate < 0.0 or across else less)
    worst = -1.0
    for a in range(n):
        over = max(velocity[a] - upper[a], lower[a] - velocity[a]) / fastest[a]
        worst = max(worst, over)
        cap_actuator(capped[0], capped[1], capped[2], a, upper[a], -lower[a], kind)
    out[0], out[1] = worst, tilt


class Carrying(Section):
    """Caps base by arm and arm by base, and the arm by tilt; see the module.

    Raises:
        ConfigError: If the robot has no base or no joints.
    """

    Values: ClassVar[type[Config]] = CarryingValues

    def __init__(
        self,
        values: CarryingValues,
        robot: Robot,
        truth_view: bool,
        caps: Caps,
        reaction_time_s: float,
    ) -> None:
        super().__init__(values, robot, truth_view, caps, reaction_time_s)
        if robot.base is None:
            raise ConfigError(f"sections.carrying: {robot.name} has no base")
        v, n = values, len(robot.actuator_names)
        self._figures = np.array(
            [
                v.standing_m_s,
                v.standing_rad_s,
                v.still_rad_s,
                v.creep_share,
                v.stowed_radius_m,
                v.stretched_m_s,
                v.stretched_rad_s,
                v.tilt_limit_rad,
                v.tilt_gain_per_s,
                v.joint_share,
                v.joint_change_rad_s,
            ]
        )
        # What has happened is judged a little more kindly than what may be asked: the
        # other part of the robot needs a period to come to rest.
        self._slack = 2.0 if truth_view else 1.0
        self._lower, self._upper = np.zeros(n), np.zeros(n)
        self._out = np.zeros(2)
        self._fastest = np.array(robot.velocity_max)
        self._kind = caps.kind("carrying_speed")
        self._capped = (caps.upper, caps.lower, caps.rule)

    def update(self, state: State, kinematics: Kinematics, signals: Array) -> None:
        """Cap every actuator and judge what moves."""
        _look(
            state.actuator_velocity,
            self._fastest,
            self._figures,
            self._slack,
            self.robot.tool_link,
            kinematics.size,
            kinematics.buffer,
            self._lower,
            self._upper,
            self._capped,
            self._kind,
            self._out,
        )
        signals[Signal.CARRYING_SPEED] = self._out[0]
        signals[Signal.LOAD_TILT] = self._out[1]
