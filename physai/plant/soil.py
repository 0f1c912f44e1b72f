"""Soil as a height map of two layers, dug by a bucket with a force that is credible.

**State.** ``bank_m`` is the top of undisturbed ground, ``loose_m`` the thickness of
loose soil on it. Cutting turns bank into loose soil, which takes ``1 + swell`` times the
room. What is conserved is the bank-equivalent volume of both layers, of the load and of
what left the map: nothing is ever created or lost but rounding.

**Force.** The fundamental earth-moving equation (:mod:`physai.plant.earthmoving`) for
the ground just ahead of the edge: depth below the local surface, rake of the plate
against it, its slope; loose soil on top as weight without cohesion, the load as a
surcharge, side plates as a share. Besides: a lip that is pressed along its plate, a
plate pressed down (bearing capacity), a side plate swung into a wall (equation at an
upright rake). Soil yields like an elastic, ideally plastic body: each resistance grows
with displacement to its full value and falls with the way back, so that a stalled
machine stands still instead of chattering, and soil never pulls.

**Volume.** What lies above the plate is cut from the map, cell by cell, and enters the
bucket (a share ``eta`` until it is struck full, less until it is heaped); the rest lies
as a berm before whatever pushed it. A tilted or shaken bucket spills onto the map.
Slopes above the angle of repose slide (:meth:`Soil.settle`).

Weight of the load acts on the bucket; its inertia does not (added to a lighter bucket
from outside it would be unstable in a stepped engine).

**Use in a plant.** Proposal for the substep loop of ``SimulatedPlant._step_physics``::

    for k in range(n):
        (ramp and motor targets as now)
        dynamics.read(); kinematics.update(dynamics.position)     # shared with contacts
        soil.interact(kinematics.tool_position, kinematics.tool_rotation, h)
        for row in soil.forces: dynamics.apply_force(bucket_link, row[:3], row[3:])
        dynamics.step()
    soil.settle()                                             # once a control step
    trench.measure(); pipe.update(kinematics.tool_position, kinematics.tool_rotation)

In every substep, never skipped: a force acts for one step, and its elastic part is
integrated with it. The pipe too in every substep if its buffer is thinner than the
edge's way in a control step. ``reset`` calls ``soil.reset(generator)``, then
``soil.place(...)`` with the start pose. Heavy links far out need 100 iterations of
Bullet's solver instead of 50 to be held (3 mm/s of sinking against 0.1).
Truth extras: load [kg], fill, depth of the edge, resistance [N], force on the bucket
(3,), distance of the pipe and whether it was touched, remaining and over-dug volumes,
surface on a small grid around the edge. State extras, what a machine has: load from
cylinder pressure (noisy), local height map and its age, distance of the pipe by plan.

Numbers and their confidence: ``configs/soil/kinds.yaml`` and
:mod:`physai.plant.soil_settings`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from physai.errors import ConfigError, ContractError, suggest
from physai.plant import digging_kernel as dk
from physai.plant import soil_kernel as sk
from physai.plant.earthmoving import (
    COEFFICIENTS,
    GRAVITY,
    N_C,
    N_G,
    bearing_factors,
    blade_coefficients,
    critical_height,
)
from physai.plant.slump_kernel import slump
from physai.plant.soil_settings import BucketConfig, SoilConfig, SoilKind, load_kinds
from physai.types import Array

__all__ = ["BucketConfig", "Soil", "SoilConfig", "SoilKind", "load_kinds"]


class Soil:
    """The ground and what the bucket holds of it.

    Args:
        config: The ground.
        bucket: The bucket.

    Attributes:
        bank_m: (nx, ny) top of the bank layer in the world [m].
        loose_m: (nx, ny) thickness of the loose layer [m].
        kind: The soil as reset (randomised or nominal).
        forces: (4, 6) point [m] and force [N] on the bucket by the last
            :meth:`interact`, in the world: blade, lip, plate and side, load.

    Raises:
        ConfigError: If there is no such kind of soil.
    """

    def __init__(self, config: SoilConfig, bucket: BucketConfig) -> None:
        kinds = load_kinds()
        if config.kind not in kinds:
            raise ConfigError(f'no soil "{config.kind}": {suggest(config.kind, kinds)}')
        self.config, self.bucket = config, bucket
        self.nominal = self.kind = kinds[config.kind]
        shape = (
            round(config.size_m[0] / config.cell_m),
            round(config.size_m[1] / config.cell_m),
        )
        self.bank_m, self.loose_m = np.zeros(shape), np.zeros(shape)
        self.initial_m = np.zeros(shape)
        """(nx, ny) surface after the last :meth:`reset` [m]."""
        self._d_bank, self._d_loose = np.zeros(shape), np.zeros(shape)
        self._p = np.zeros(sk.PARAMETERS)
        self._s, self._f = np.zeros(dk.STATE), np.zeros(sk.FRAME)
        self._w, self._n = np.zeros(sk.SURVEY), np.zeros(COEFFICIENTS)
        self._step = np.zeros(6)
        self._box = np.zeros(4, dtype=np.int64)
        self.forces = np.zeros((dk.FORCES, 6))
        self.reset()

    @property
    def arrays(self) -> tuple[Any, ...]:
        """What :func:`physai.plant.digging_kernel.dig` takes besides pose and time,
        in its order.
        """
        return (
            self.bank_m,
            self.loose_m,
            self._p,
            self._s,
            self._f,
            self._w,
            self._step,
            self._n,
            self._box,
            self.forces,
        )

    def reset(
        self,
        generator: np.random.Generator | None = None,
        surface_m: Array | None = None,
    ) -> None:
        """Make new ground, empty the bucket.

        Args:
            generator: Draws cohesion, friction and unit weight; nominal if None.
            surface_m: (nx, ny) heights of the ground; even if None.

        Raises:
            ContractError: If the heights have another shape or are not finite.
        """
        if surface_m is None:
            self.bank_m[:] = self.config.level_m
        else:
            if surface_m.shape != self.bank_m.shape or not np.isfinite(surface_m).all():
                raise ContractError(
                    f"the ground must be {self.bank_m.shape} finite heights"
                )
            self.bank_m[:] = surface_m
        self.loose_m[:] = 0.0
        self.initial_m[:] = self.bank_m
        self.kind = self.nominal if generator is None else self._draw(generator)
        self._set_parameters(self.kind)
        self._s[:] = 0.0
        self.forces[:] = 0.0
        self._box[:] = (self.bank_m.shape[0], 0, self.bank_m.shape[1], 0)
        self._area = self.config.cell_m**2

    def _draw(self, generator: np.random.Generator) -> SoilKind:
        c, kind = self.config, self.nominal
        low, high = np.log(c.cohesion_factor)
        phi = kind.friction_deg + c.friction_spread_deg * generator.uniform(-1.0, 1.0)
        phi = min(45.0, max(2.0, phi))
        weight = 1.0 + c.unit_weight_spread_share * generator.uniform(-1.0, 1.0)
        return kind.model_copy(
            update={
                "cohesion_kpa": kind.cohesion_kpa
                * float(np.exp(generator.uniform(low, high))),
                "friction_deg": phi,
                "metal_friction_deg": min(kind.metal_friction_deg, phi),
                "unit_weight_kn_m3": kind.unit_weight_kn_m3 * weight,
            }
        )

    def _set_parameters(self, kind: SoilKind) -> None:
        c, b, p = self.config, self.bucket, self._p
        phi, delta = (
            math.radians(kind.friction_deg),
            math.radians(kind.metal_friction_deg),
        )
        gamma, cohesion = 1e3 * kind.unit_weight_kn_m3, 1e3 * kind.cohesion_kpa
        p[sk.P_CELL], p[sk.P_X0], p[sk.P_Y0] = c.cell_m, *c.origin_m
        p[sk.P_SWELL] = kind.swell_share
        p[sk.P_REPOSE] = math.tan(math.radians(kind.repose_deg))
        p[sk.P_CRITICAL] = critical_height(cohesion, gamma, phi)
        p[sk.P_GAMMA], p[sk.P_COHESION] = gamma, cohesion
        p[sk.P_PHI], p[sk.P_DELTA] = phi, delta
        p[sk.P_ADHESION] = 1e3 * kind.adhesion_kpa
        p[sk.P_NC], p[sk.P_NQ], p[sk.P_NGAMMA] = bearing_factors(phi)
        blade_coefficients(0.5 * math.pi, phi, delta, 0.0, self._n)
        p[sk.P_SIDE_NG], p[sk.P_SIDE_NC] = self._n[N_G], self._n[N_C]
        p[sk.P_WIDTH], p[sk.P_PLATE] = b.width_m, b.plate_length_m
        p[sk.P_STRUCK] = min(b.struck_m3, b.heaped_m3 * kind.fill_factor)
        p[sk.P_HEAPED] = b.heaped_m3 * kind.fill_factor
        width = b.teeth * b.tooth_width_m if b.teeth else b.width_m
        p[sk.P_LIP_AREA] = min(width, b.width_m) * b.lip_thickness_m
        p[sk.P_LIP] = b.lip_thickness_m
        angle = math.radians(b.mouth_angle_deg)
        p[sk.P_MOUTH_SIN], p[sk.P_MOUTH_COS] = math.sin(angle), math.cos(angle)
        p[sk.P_MOUTH] = b.mouth_length_m
        p[sk.P_LOAD_X], p[sk.P_LOAD_Z] = b.load_center_m
        p[sk.P_TILT_FULL] = math.radians(b.full_tilt_deg)
        p[sk.P_SPILL_S], p[sk.P_SPILL_ACC] = b.spill_time_s, b.spill_acceleration_m_s2
        p[sk.P_ETA], p[sk.P_SIDE_SHARE] = b.fill_share, b.side_plate_share
        p[sk.P_YIELD_CUT] = c.yield_displacement_m
        p[sk.P_YIELD_BEAR] = c.plate_yield_displacement_m
        p[sk.P_DAMP_S] = c.damping_s

    def place(self, position_in_world: Array, rotation_in_world: Array) -> None:
        """Put the bucket somewhere without digging; its load stays.

        Args:
            position_in_world: (3,) middle of the edge [m].
            rotation_in_world: (3, 3) of the edge frame.
        """
        s = self._s
        load = s[dk.S_LOAD], s[dk.S_OUTSIDE], s[dk.S_DUG], s[dk.S_SPILLED]
        s[:] = 0.0
        s[dk.S_LOAD], s[dk.S_OUTSIDE], s[dk.S_DUG], s[dk.S_SPILLED] = load
        s[dk.S_X : dk.S_Z + 1] = position_in_world
        self.forces[:] = 0.0

    def interact(
        self, position_in_world: Array, rotation_in_world: Array, dt_s: float
    ) -> Array:
        """Let the bucket come to a new pose within one physics step.

        Args:
            position_in_world: (3,) middle of the edge [m].
            rotation_in_world: (3, 3) of the edge frame.
            dt_s: Length of the step [s].

        Returns:
            :attr:`forces`, written anew; they act on the bucket.

        Raises:
            ContractError: If the pose is not finite or the step not positive.
        """
        possible = dk.dig(
            self.bank_m,
            self.loose_m,
            self._p,
            self._s,
            self._f,
            self._w,
            position_in_world,
            rotation_in_world,
            dt_s,
            self._step,
            self._n,
            self._box,
            self.forces,
        )
        if not possible:
            raise ContractError("a bucket in soil needs a finite pose and a time step")
        return self.forces

    def settle(self, sweeps: int = 3, tolerance_deg: float = 0.5) -> float:
        """Let slopes in the disturbed window slide for a few sweeps.

        Returns:
            The largest excess over the angle of repose that was found [rad].
        """
        if self._box[1] <= self._box[0]:
            return 0.0
        return float(
            slump(
                self.bank_m,
                self.loose_m,
                self._d_bank,
                self._d_loose,
                self._p,
                self._box,
                sweeps,
                math.radians(tolerance_deg),
            )
        )

    def disturb(self) -> None:
        """Have the next :meth:`settle` look at the whole map."""
        self._box[:] = (0, self.bank_m.shape[0], 0, self.bank_m.shape[1])

    def dump(self, x_m: float, y_m: float, loose_m3: float) -> None:
        """Put loose soil of a loose volume [m3] on the map at a point [m]."""
        self._s[dk.S_OUTSIDE] += sk.deposit_line(
            self.loose_m, self._p, x_m, y_m, x_m, y_m, loose_m3, self._box
        )

    def height_at(self, x_m: float, y_m: float) -> float:
        """Return the surface at a point of the world, bilinear [m].

        Outside of the map: that of its rim.
        """
        c, shape = self.config, self.bank_m.shape
        a = min(max((x_m - c.origin_m[0]) / c.cell_m - 0.5, 0.0), shape[0] - 1.0)
        b = min(max((y_m - c.origin_m[1]) / c.cell_m - 0.5, 0.0), shape[1] - 1.0)
        i, j = min(int(a), shape[0] - 2), min(int(b), shape[1] - 2)
        a, b = a - i, b - j
        top = self.bank_m[i : i + 2, j : j + 2] + self.loose_m[i : i + 2, j : j + 2]
        return float(np.array([1.0 - a, a]) @ top @ np.array([1.0 - b, b]))

    @property
    def load_m3(self) -> float:
        """Loose volume in the bucket [m3]."""
        return float(self._s[dk.S_LOAD])

    @load_m3.setter
    def load_m3(self, value: float) -> None:
        self._s[dk.S_LOAD] = value

    @property
    def load_kg(self) -> float:
        """Mass in the bucket [kg]."""
        weight = self._p[sk.P_GAMMA] / (1.0 + self._p[sk.P_SWELL])
        return float(self._s[dk.S_LOAD] * weight / GRAVITY)

    @property
    def fill(self) -> float:
        """Load over the heaped capacity for this soil."""
        return float(self._s[dk.S_LOAD] / self._p[sk.P_HEAPED])

    @property
    def capacity_m3(self) -> float:
        """What the bucket could hold as it is tilted and shaken now [m3]."""
        return float(self._s[dk.S_CAPACITY])

    @property
    def depth_m(self) -> float:
        """Mean depth of the edge below the surface ahead [m]."""
        return float(self._s[dk.S_DEPTH])

    @property
    def rake_rad(self) -> float:
        """Angle of the plate against the surface ahead, when last in the ground."""
        return float(self._s[dk.S_RAKE])

    @property
    def resistance_n(self) -> float:
        """Full resistance F of blade and side plates to cutting on [N]."""
        return float(self._s[dk.S_RESISTANCE])

    @property
    def dug_m3(self) -> float:
        """Bank volume cut since the reset [m3]."""
        return float(self._s[dk.S_DUG])

    @property
    def spilled_m3(self) -> float:
        """Loose volume that left the bucket since the reset [m3]."""
        return float(self._s[dk.S_SPILLED])

    @property
    def outside_m3(self) -> float:
        """Loose volume that fell outside of the map since the reset [m3]."""
        return float(self._s[dk.S_OUTSIDE])

    @property
    def force_n(self) -> Array:
        """(3,) sum of :attr:`forces` on the bucket, in the world [N]."""
        total: Array = self.forces[:, 3:].sum(axis=0)
        return total

    @property
    def torque_n_m(self) -> Array:
        """(3,) moment of :attr:`forces` about the middle of the edge [N m]."""
        arms = self.forces[:, :3] - self._s[dk.S_X : dk.S_Z + 1]
        total: Array = np.cross(arms, self.forces[:, 3:]).sum(axis=0)
        return total

    @property
    def volume_m3(self) -> float:
        """Bank-equivalent volume of map (above height 0), load and what left [m3]."""
        loose = self.loose_m.sum() * self._area + self.load_m3 + self.outside_m3
        return float(
            self.bank_m.sum() * self._area + loose / (1.0 + self.kind.swell_share)
        )
