"""Force between robot and people: our own contact model beside the physics engine.

The engine's rigid contact is wrong by 0.4 to 5 times in either direction at 240 Hz,
and softened contacts come out low by up to three times; so robot-person pairs are
filtered out of the engine and treated here.

The person is scripted (kinematic). Each body area is a linear spring k with an
effective mass m_H (ISO/TS 15066:2016, A.3; values of the table in use), and each
segment may yield virtually, as a free mass that a weak critically damped spring
leads back, up to an obstacle behind it (a travel of 0 is a clamp). Per pair of
capsules the compression p is integrated inside the substep by 16 leapfrog steps:

    closing:  F = k p                 opening:  F = max(0, k p + d u)

with d = 2 * 0.5 * sqrt(k mu), restitution 0.55, which cannot raise the peak. The
**mean** force of the substep goes back to the robot. The next substep compares the
robot's measured speed with the predicted one: the difference is what motors and
gravity did, and is fed forward; p is drawn to the geometric overlap within 0.15 s.

Against the two-body formula v sqrt(mu k) a free impact is within -2/+5 %, against
F_motor + v sqrt(m_R k) a clamp within -1/+25 % (``benchmarks/contact_accuracy.py``).
That is numerical error only: one spring and one mass per region, no tissue damping,
no friction. Nothing here is a measurement; pressures are indicative.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import Field

from physai.body.person import SEGMENTS
from physai.config import Config
from physai.errors import ConfigError, ContractError, suggest
from physai.plant import contact_kernel as kernel
from physai.robot.description import ShapeTable
from physai.types import AREA_COUNT, MOUTH_AREA, Array, Contact

__all__ = ["ContactModel", "ContactSettings", "ReflectedMass", "RegionTable"]

Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]


class RegionTable(Protocol):
    """What the model needs of the body areas (see :mod:`physai.body.regions`)."""

    @property
    def effective_mass_kg(self) -> Array:
        """(30,) m_H of each area [kg]."""

    @property
    def spring_n_per_m(self) -> Array:
        """(30,) k of each area [N/m]."""


class ReflectedMass(Protocol):
    """Effective mass of the robot at a contact, as Kinematics.reflected_mass."""

    def __call__(self, shape: int, point_in_world: Array, normal: Array) -> float:
        """Return m_R [kg] of a shape at a point along a unit normal."""


class ContactSettings(Config):
    """Numbers of the contact model; the defaults are those that were validated."""

    substep_s: Positive = 1.0 / 240.0
    """Physics step of the plant."""
    inner_steps: Annotated[int, Field(ge=1, le=256)] = 16
    """Leapfrog steps within a substep."""
    opening_damping_ratio: NotNegative = 0.5
    """Damping while opening; 0.5 gives a restitution of 0.55."""
    overlap_time_s: Positive = 0.15
    """Time constant that draws the compression to the geometric overlap."""
    overlap_after_s: NotNegative = 0.05
    """Age of a contact from which that is done."""
    drive_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Low-pass share of a falling acceleration by the motors (a rise counts at once)."""
    drive_ahead: NotNegative = 0.6
    """Share of the last rise of that acceleration by which it is run ahead; chosen so
    that clamps come out within -1/+25 % from 1 to 100 kg."""
    return_rate_per_s2: Positive = 9.0
    """Spring rate, per mass, that leads a yielding segment back."""
    mass_refresh_substeps: Annotated[int, Field(ge=1)] = 5
    """Substeps between two evaluations of the reflected mass."""
    mean_window_s: Positive = 0.1
    """Window of the moving mean for the quasi-static limit (our choice)."""
    gap_memory_s: NotNegative = 0.05
    """Shorter gaps do not end a contact (our choice)."""
    hertz_factor: Positive = 1.5
    """Peak over mean pressure of a Hertz patch."""
    travel_m: Mapping[str, NotNegative] = Field(default_factory=dict)
    """How far a segment yields before something behind it stops it, by segment
    name; 0 is a clamp, a segment that is not named is free."""


class ContactModel:
    """Contacts of one robot with the people around it.

    In each control step: :meth:`begin_step`, then once a substep either
    :meth:`substep` or, as often as :meth:`substeps_until_possible` allows,
    :meth:`skip`; at the end :meth:`contact`.

    Args:
        regions: Effective mass and spring of the 30 areas.
        shapes: The robot's collision shapes.
        people: Number of people.
        settings: Numbers of the model.

    Attributes:
        travel_m: (P, S) how far each segment can yield [m]; writable, for a plant
            whose scene changes what lies behind a body part.
        travel_direction: (P, S, 3) unit direction of the obstacle in the world;
            zero (the default) means all around. Writable.
        yield_m: (P, S, 6) virtual displacement [m] and velocity [m/s] of each
            segment in the world.

    Raises:
        ConfigError: If ``travel_m`` names an unknown segment.
    """

    def __init__(
        self,
        regions: RegionTable,
        shapes: ShapeTable,
        people: int,
        settings: ContactSettings | None = None,
    ) -> None:
        self.settings = s = settings or ContactSettings()
        segments, count = len(SEGMENTS), len(shapes.link)
        for name in s.travel_m:
            if name not in SEGMENTS:
                raise ConfigError(
                    f'travel_m: unknown segment "{name}"; {suggest(name, SEGMENTS)}'
                )
        row = [s.travel_m.get(name, np.inf) for name in SEGMENTS]
        self.travel_m: Array = np.tile(np.array(row, dtype=np.float64), (people, 1))
        self.travel_direction: Array = np.zeros((people, segments, 3))
        self.yield_m: Array = np.zeros((people, segments, 6))
        self._table = np.stack(
            [regions.effective_mass_kg, regions.spring_n_per_m], axis=1
        ).astype(np.float64)
        self._shape = np.stack(
            [
                np.minimum(shapes.stiffness_n_per_m, 1e15),
                shapes.edge_radius_m,
                shapes.minimum_area_cm2,
            ],
            axis=1,
        )
        self._constants = np.array(
            [
                s.inner_steps,
                s.opening_damping_ratio,
                s.overlap_time_s,
                s.overlap_after_s,
                s.drive_share,
                s.drive_ahead,
                s.return_rate_per_s2,
                s.hertz_factor,
            ]
        )
        rows = people * segments * count
        self._pair = np.zeros((rows, kernel.PAIR_COLUMNS))
        self._pair_integer = np.zeros((rows, kernel.PAIR_INTEGERS), dtype=np.int64)
        self._near = np.zeros((rows, kernel.NEAR_COLUMNS))
        self._near_integer = np.zeros((rows, kernel.NEAR_INTEGERS), dtype=np.int64)
        self._area_now = np.zeros((people, AREA_COUNT, kernel.AREA_COLUMNS))
        self._clock = np.zeros((people, AREA_COUNT, 2))
        width = max(1, round(s.mean_window_s / s.substep_s))
        self._window = np.zeros((people, AREA_COUNT, width))
        self._step = np.zeros((people, AREA_COUNT, kernel.RECORD_COLUMNS))
        self._forces = np.zeros((rows + people, 7))
        self._gap = np.zeros(1)
        self._scratch = np.zeros(7)
        self._no_exempt = np.zeros((people, count), dtype=np.bool_)
        self._nothing = self._empty(people)
        self.reset()

    @staticmethod
    def _empty(people: int) -> Contact:
        zero, none = np.zeros((people, AREA_COUNT)), np.full((people, AREA_COUNT), -1.0)
        zero.setflags(write=False)
        none.setflags(write=False)
        return Contact(zero, zero, zero, zero, zero, zero, zero, none)

    def reset(self) -> None:
        """Forget every contact; what lies behind the segments stays as it was set."""
        self.yield_m[:] = 0.0
        self._pair[:] = 0.0
        self._pair[:, kernel.P_MASS] = 1.0
        self._pair_integer[:] = 0
        self._area_now[:] = 0.0
        self._clock[:, :, 0] = 0.0
        self._clock[:, :, 1] = np.inf
        self._window[:] = 0.0
        self._position = 0
        self._count = 0
        self._extra = 0
        self._busy = False
        self._gap[0] = 0.0
        self._touched = True
        self.begin_step()

    def begin_step(self) -> None:
        """Start the record of a new control step."""
        if self._touched:
            self._step[:] = 0.0
            self._step[:, :, kernel.R_LINK] = -1.0
            self._touched = False

    @property
    def busy(self) -> bool:
        """Whether contacts, their memory or a yielding segment need every substep."""
        return self._busy

    @property
    def gap_m(self) -> float:
        """Least gap that any pair can have now [m]: exact after a :meth:`substep`,
        a lower bound after a :meth:`skip`.
        """
        return float(self._gap[0])

    @property
    def forces(self) -> Array:
        """(K, 7) shape, point x y z [m], force on the robot x y z [N], in the world.

        A view of the last substep's result, overwritten by the next.
        """
        return self._forces[: self._count]

    def substeps_until_possible(self, speed_bound_m_s: float) -> int:
        """Return how many substeps may be skipped before anything can touch.

        Args:
            speed_bound_m_s: Largest speed at which any point of the robot and any
                point of a person can close in on each other during that time.

        Returns:
            A number of substeps; 0 while :attr:`busy`.
        """
        if self._busy:
            return 0
        free = float(self._gap[0]) - 2e-4
        if not free > 0.0:
            return 0
        # One substep less: a pair must be seen before the substep in which it touches.
        reach = max(speed_bound_m_s, 1e-9) * self.settings.substep_s
        return max(0, int(min(free / reach, 1e6)) - 2)

    def skip(self, substeps: int, speed_bound_m_s: float) -> None:
        """Let substeps pass in which nothing can touch.

        Args:
            substeps: How many.
            speed_bound_m_s: Largest speed at which anything closed in during them; the
                gap that is remembered shrinks by it.
        """
        self._count = 0
        self._gap[0] -= substeps * speed_bound_m_s * self.settings.substep_s

    def add_mouth(
        self,
        person: int,
        shape: int,
        point_in_world: Array,
        force_on_robot: Array,
        force_n: float,
        robot_speed_m_s: float,
        person_speed_m_s: float,
        clamped: bool = False,
    ) -> None:
        """Enter what the mouth does with the utensil in the coming :meth:`substep`.

        It is recorded in column 0, and its force is among :attr:`forces`.

        Args:
            person: Index of the person.
            shape: Robot shape that the mouth touches.
            point_in_world: (3,) [m].
            force_on_robot: (3,) force on the utensil in the world [N].
            force_n: Force on the mouth's tissue [N]; a pinch counts both lips.
            robot_speed_m_s: The robot's own speed toward the touched tissue.
            person_speed_m_s: The person's own speed toward the utensil.
            clamped: Whether the head cannot yield.
        """
        if not force_n > 0.0:
            return
        now = self._area_now[person, MOUTH_AREA]
        now[kernel.A_FORCE] += force_n
        now[kernel.A_PEAK] += force_n
        spring, (_, edge, patch) = self._table[MOUTH_AREA, 1], self._shape[shape]
        now[kernel.A_PRESSURE] = max(
            now[kernel.A_PRESSURE],
            self.settings.hertz_factor * kernel.pressure(force_n, spring, edge, patch),
        )
        now[kernel.A_ROBOT] = max(now[kernel.A_ROBOT], robot_speed_m_s)
        now[kernel.A_PERSON] = max(now[kernel.A_PERSON], person_speed_m_s)
        now[kernel.A_CLAMPED] = max(now[kernel.A_CLAMPED], float(clamped))
        now[kernel.A_LINK] = shape
        row = self._forces[self._extra]
        row[0] = shape
        row[1:4] = point_in_world
        row[4:7] = force_on_robot
        self._extra += 1

    def substep(
        self,
        dt_s: float,
        robot_capsules: Array,
        robot_velocity: Array,
        people_capsules: Array,
        people_velocity: Array,
        segment_rotation: Array,
        reflected_mass: ReflectedMass,
        exempt: npt.NDArray[np.bool_] | None = None,
    ) -> int:
        """Advance by one substep; afterwards apply :attr:`forces`, then step physics.

        Args:
            dt_s: Must be the settings' ``substep_s`` [s].
            robot_capsules: (R, 7) in the world at the start of the substep.
            robot_velocity: (R, 6) velocities of their end points, as measured [m/s].
            people_capsules: (P, S, 7).
            people_velocity: (P, S, 6).
            segment_rotation: (P, S, 3, 3) segment frames in the world.
            reflected_mass: Asked for each pair when it comes near and every few
                substeps while it is.
            exempt: (P, R) shapes inside that person's mouth: they do not touch that
                person's head and face here (:mod:`physai.plant.mouth` has them).

        Returns:
            Number of rows in :attr:`forces`.

        Raises:
            ContractError: If ``dt_s`` is not the substep of the settings.
        """
        if abs(dt_s - self.settings.substep_s) > 1e-9:
            raise ContractError(
                f"the contact model is set to substeps of {self.settings.substep_s} s "
                f"and was called with {dt_s} s"
            )
        near = kernel.detect(
            robot_capsules,
            robot_velocity,
            people_capsules,
            people_velocity,
            segment_rotation,
            self._no_exempt if exempt is None else exempt,
            self.yield_m,
            self._pair,
            self._pair_integer,
            self._near,
            self._near_integer,
            dt_s,
            self.settings.mass_refresh_substeps,
            self._scratch,
            self._gap,
        )
        if near == 0 and not self._busy and self._extra == 0:
            self._count = 0
            return 0
        self._refresh(near, reflected_mass)
        return self._advance(near, dt_s)

    def _refresh(self, near: int, reflected_mass: ReflectedMass) -> None:
        for i in range(near):
            work = self._near_integer[i]
            if work[kernel.J_REFRESH]:
                row = self._near[i]
                mass = reflected_mass(int(work[kernel.J_SHAPE]), row[0:3], row[3:6])
                # A singular posture has no mobility along the normal: a heavy robot.
                heavy = mass if mass == mass and mass < 1e3 else 1e3
                self._pair[work[kernel.J_PAIR], kernel.P_MASS] = max(heavy, 1e-2)

    def _advance(self, near: int, dt_s: float) -> int:
        self._count = self._extra + kernel.integrate(
            near,
            self._near,
            self._near_integer,
            self._pair,
            self._pair_integer,
            self.yield_m,
            self.travel_m,
            self.travel_direction,
            self._table,
            self._shape,
            self._constants,
            dt_s,
            self._area_now,
            self._forces[self._extra :] if self._extra else self._forces,
        )
        self._extra = 0
        self._busy = bool(
            kernel.record(
                self._area_now,
                self.yield_m,
                self._clock,
                self._window,
                self._position,
                dt_s,
                self.settings.gap_memory_s,
                self._step,
            )
        )
        self._position = (self._position + 1) % self._window.shape[2]
        self._touched = self._touched or self._busy
        return self._count

    def where(self) -> Array:
        """Return (P, 30, 6) where the largest peak since :meth:`begin_step` was.

        Point in the world [m] and unit direction from person to robot; 0 where nothing
        was touched, or the mouth did it.
        """
        return self._step[:, :, kernel.R_WHERE :]

    def contact(self) -> Contact:
        """Return the contacts since :meth:`begin_step`."""
        if not self._touched:
            return self._nothing
        columns = np.ascontiguousarray(self._step.transpose(2, 0, 1))
        columns.setflags(write=False)
        return Contact(
            force_peak_n=columns[kernel.R_PEAK],
            force_mean_n=columns[kernel.R_MEAN],
            pressure_n_per_cm2=columns[kernel.R_PRESSURE],
            age_s=columns[kernel.R_AGE],
            robot_normal_speed_m_s=columns[kernel.R_ROBOT],
            person_normal_speed_m_s=columns[kernel.R_PERSON],
            clamped=columns[kernel.R_CLAMPED],
            link=columns[kernel.R_LINK],
        )
