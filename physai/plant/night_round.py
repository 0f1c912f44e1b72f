"""A night round: what is carried, who is out of bed, what is reported, what is blocked.

The item is an abstract load in the hand, not a body of the engine: it spills by a
criterion of apparent tilt (:func:`physai.plant.food.apparent_tilt`), and its mass is the
robot's payload for the whole episode. The hand opens only where something else carries
the item, as a gripper that feels the weight does: nothing is ever dropped, but an item
that is pushed into the table falls over.

The bed-exit sensor is late, may miss and may give false alarms. A report counts as right
while the resident is out of bed and in the robot's view. A sheet that trails from the
bed lies below the lidar's plane; only a camera that looks at the floor sees it, in the
dark from a shorter way.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from physai.body.person import SEGMENT_COUNT, Person
from physai.config import Config
from physai.errors import ContractError
from physai.plant.contact import ContactModel
from physai.plant.night_round_kernel import (
    PELVIS,
    Status,
    advance,
    locate,
    on_bed,
)
from physai.plant.night_round_settings import NightRoundConfig, figures_of
from physai.randomness import generator
from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.types import Array, Contact

if TYPE_CHECKING:
    from physai.plant.dynamics import Dynamics
    from physai.plant.scenario import Scenario

__all__ = ["NightRound"]

EXTRAS = (
    "mission",
    "item_held",
    "item_tilt_rad",
    "bed_exit",
    "report_acknowledged",
    "light_lx",
    "exit_zone_s",
    "sheet_ahead_m",
    "table_x_in_base_m",
    "table_y_in_base_m",
    "carer_x_in_world_m",
    "carer_y_in_world_m",
)
TRUTH_EXTRAS = (
    "delivered",
    "spilled",
    "reported",
    "false_reports",
    "up_unreported_s",
    "floor_unreported_s",
    "exit_blocked_s",
    "sheet_caught",
    "looked_s",
    "clear_s",
)
_TRUE = [
    Status.PLACED,
    Status.SPILLED,
    Status.REPORTED,
    Status.FALSE_REPORTS,
    Status.UP_UNREPORTED,
    Status.FLOOR_UNREPORTED,
    Status.EXIT_BLOCKED,
    Status.SHEET_CAUGHT,
    Status.LOOKED,
    Status.CLEAR,
]
NOWHERE_M = 50.0
"""Place of a badge that nobody carries."""
_REPORT_PAUSE_S = 2.0
"""One press, one report: the channel must be low for so long before the next."""


class NightRound:
    """One night round over one episode; the first person is the resident.

    Args:
        config: Figures.
        scenario: Its values say ``mission`` (0 deliver, 1 look after a bed-exit alarm),
            ``light_lx``, ``false_alarm_s`` (when the sensor rings for nothing, negative
            for never), ``bed_sensor_missed`` (1: the sensor is silent),
            ``carer`` (1: the second person wears a carer's badge), ``sheet_reach_m`` (how far it trails from the bed, 0 for none),
            ``sheet_y_m`` (its middle) and ``spill_start_rad`` in place of the item's.
        robot: Carries the item in its tool frame, whose z points down.
        dynamics: Not needed.
        steps: Control steps that the episode can have.

    Raises:
        ContractError: If the robot has no base.

    Attributes:
        near: Never: nothing here acts on the robot.
        status: (Status.COUNT,) what is so now.
    """

    Values: ClassVar[type[Config]] = NightRoundConfig
    EXTRAS: ClassVar[tuple[str, ...]] = EXTRAS
    TRUTH_EXTRAS: ClassVar[tuple[str, ...]] = TRUTH_EXTRAS

    def __init__(
        self,
        config: NightRoundConfig,
        scenario: Scenario,
        robot: Robot,
        dynamics: Dynamics,
        steps: int,
    ) -> None:
        if robot.base is None:
            raise ContractError(f"{scenario.case}: a night round needs a robot's base")
        self.near = False
        self._config, values = config.sensors, scenario.values
        self._mission = float(values.get("mission", 0.0))
        self._light = float(values.get("light_lx", 5.0))
        self._false_alarm_s = float(values.get("false_alarm_s", -1.0))
        self._silent = float(values.get("bed_sensor_missed", 0.0)) > 0.5
        self._carer = float(values.get("carer", 0.0)) > 0.5
        self.figures = figures_of(config, values)
        self.status = np.zeros(Status.COUNT)
        self.status[Status.HELD] = 1.0 if self._mission < 0.5 else 0.0
        self.status[Status.VELOCITY : Status.VELOCITY + 3] = np.nan
        self._wheels = np.array([w.position_m for w in robot.base.wheels])
        self._tool = robot.tool_link
        self._bodies = np.zeros((len(scenario.people), SEGMENT_COUNT, 7))
        self._opens = self._asks = False
        self._quiet_s = math.inf
        self._dark = self._sheet_range()
        noise = generator(scenario.seed, "sensor.night_round").normal(
            0.0, 1.0, (steps + 2, 6)
        )
        self._noise = np.clip(noise, -3.0, 3.0)
        self._queue: deque[tuple[float, Array]] = deque()
        self._delivered: tuple[float, Array] | None = None
        self._exact = np.zeros(len(EXTRAS))
        if scenario.base is not None:
            x, y, _ = scenario.base.position_m
            locate(x, y, scenario.base.yaw_rad, self.figures, self.status)

    def _sheet_range(self) -> float:
        """How far ahead the floor camera sees a sheet in this light [m]."""
        c = self._config
        share = min(1.0, max(0.0, self._light / c.bright_lx))
        return c.sheet_range_dark_m + share * (
            c.sheet_range_bright_m - c.sheet_range_dark_m
        )

    def command(self, tool: Array, stopped: bool) -> None:
        """Take the channels ``open_hand`` and ``report``; a stop keeps the hand shut."""
        self._opens = bool(len(tool) > 0 and tool[0] > 0.5 and not stopped)
        self._asks = bool(len(tool) > 1 and tool[1] > 0.5)

    def touch(
        self,
        contact: ContactModel,
        people: Sequence[Person],
        fraction: float,
        kinematics: Kinematics,
    ) -> npt.NDArray[np.bool_] | None:
        """Nothing here touches anybody but as a body."""
        return None

    def act(self, dynamics: Dynamics, kinematics: Kinematics, dt_s: float) -> None:
        """Apply nothing: the item's mass is the robot's payload."""

    def advance(
        self,
        dt_s: float,
        kinematics: Kinematics,
        people: Sequence[Person],
        contact: Contact,
    ) -> None:
        """Move on by one control period."""
        reports = self._asks and self._quiet_s >= _REPORT_PAUSE_S
        self._quiet_s = 0.0 if self._asks else self._quiet_s + dt_s
        for index, person in enumerate(people):
            self._bodies[index] = person.capsules
        self._move(dt_s, kinematics, self._opens, reports)

    def _move(self, dt_s: float, k: Kinematics, opens: bool, reports: bool) -> None:
        advance(
            k.buffer,
            k.size,
            self._tool,
            self._wheels,
            self._bodies,
            opens,
            reports,
            dt_s,
            self.figures,
            self.status,
        )

    def look(self, time_s: float, step: int, people: Sequence[Person]) -> None:
        """Take what the sensors measure now and deliver what has arrived."""
        s, c = self.status, self._config
        if self._delivered is None and people:
            # Who is up at the start has been so for long: the sensor has told it.
            pelvis = people[0].capsules[PELVIS]
            if not on_bed(0.5 * (pelvis[:3] + pelvis[3:6]), self.figures):
                s[Status.UP], s[Status.OUT_OF_BED] = 1.0, c.bed_exit_delay_s + 1.0
        exact = self._exact = np.array(
            [
                self._mission,
                s[Status.HELD],
                s[Status.TILT],
                s[Status.UP],
                s[Status.REPORTED],
                self._light,
                s[Status.EXIT_STANDING],
                min(s[Status.SHEET_AHEAD], 1.5),
                s[Status.TABLE_X],
                s[Status.TABLE_Y],
                *self._badge(people),
            ]
        )
        noise = self._noise[min(step, len(self._noise) - 1)].tolist()
        tilt, sheet, x, y, badge_x, badge_y = noise
        measured = exact.copy()
        measured[2] = max(0.0, exact[2] + c.tilt_sigma_rad * tilt)
        measured[3] = self._bed_exit(time_s)
        seen = exact[7] <= self._dark
        measured[7] = max(0.0, exact[7] + c.sheet_sigma_m * sheet) if seen else 1.5
        measured[8] += c.table_sigma_m * x
        measured[9] += c.table_sigma_m * y
        measured[10] += c.badge_sigma_m * badge_x
        measured[11] += c.badge_sigma_m * badge_y
        self._queue.append((time_s, measured))
        while self._delivered is None or (
            self._queue and time_s - self._queue[0][0] >= c.latency_s - 1e-9
        ):
            self._delivered = self._queue.popleft()

    def _badge(self, people: Sequence[Person]) -> list[float]:
        """Where the second person's badge is; far away where nobody carries one."""
        if self._carer and len(people) > 1:
            pelvis = people[1].capsules[PELVIS]
            middle: list[float] = (0.5 * (pelvis[:2] + pelvis[3:5])).tolist()
            return middle
        return [NOWHERE_M, NOWHERE_M]

    def _bed_exit(self, time_s: float) -> float:
        if 0.0 <= self._false_alarm_s <= time_s:
            return 1.0
        if self._silent:
            return 0.0
        return float(self.status[Status.OUT_OF_BED] > self._config.bed_exit_delay_s)

    def extras(self, time_s: float) -> tuple[Array, Array]:
        """Return the extras as sensors give them, and their ages [s]."""
        assert self._delivered is not None
        stamp, values = self._delivered
        return values, np.full(len(EXTRAS), time_s - stamp)

    def truth(
        self, kinematics: Kinematics, people: Array
    ) -> tuple[Array, Array, Array]:
        """Return exact extras, their ages and the true extras of the control step."""
        return self._exact, _NO_AGE, self.status[_TRUE]

    def objects(self) -> Array:
        """Return the (1, 7) pose of the item, or none where none is carried."""
        if self._mission > 0.5:
            return np.zeros((0, 7))
        place = self.status[Status.ITEM : Status.ITEM + 3]
        return np.array([[*place, 0.0, 0.0, 0.0, 1.0]])


_NO_AGE = np.zeros(len(EXTRAS))
_NO_AGE.setflags(write=False)
