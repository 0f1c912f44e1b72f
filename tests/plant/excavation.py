"""An excavator in Bullet with soil under it: for tests and benchmarks.

The loop of a plant in little: motor targets, soil, forces, step.
"""

from __future__ import annotations

import math

import numpy as np
import pybullet

from physai.plant.bullet import BulletDynamics
from physai.plant.scene import SceneConfig
from physai.plant.soil import Soil
from physai.plant.soil_settings import SoilConfig, load_bucket
from physai.robot.description import load_robot
from physai.robot.kinematics import Kinematics
from physai.types import Array

DT = 1.0 / 240.0
SOLVER_ITERATIONS = 100
SETTLE_EVERY = 24
"""Physics steps in a control step of 10 Hz."""


def posture(x: float, z: float, pitch: float) -> Array:
    """Joint positions with the edge at x, z before the swing axis [m].

    Args:
        x: Ahead of the swing axis.
        z: Above the ground under the carriage.
        pitch: Sum of boom, arm and bucket angle; the plate dips 130 deg less it.
    """
    wx = x - 0.14 - 1.23 * math.cos(pitch)
    wz = z - 1.424 + 1.23 * math.sin(pitch)
    reach = math.hypot(wx, wz)
    a, b = 4.6, 2.519
    fold = math.pi - math.acos((a * a + b * b - reach * reach) / (2.0 * a * b))
    lift = math.acos((a * a + reach * reach - b * b) / (2.0 * a * reach))
    boom = -(math.atan2(wz, wx) + lift)
    return np.array([0.0, boom, fold, pitch - boom - fold])


class Excavation:
    """The machine on a map of 12 x 6 m that begins 1 m before it."""

    def __init__(self, kind: str = "sandy_loam", with_soil: bool = True) -> None:
        self.robot = load_robot("excavator")
        base = np.array([0.0, 0, 0, 0, 0, 0, 1])
        self.dynamics = BulletDynamics(self.robot, base, SceneConfig(), DT)
        # With the engine's own 50, heavy links far out sink by 3 mm/s at the edge.
        pybullet.setPhysicsEngineParameter(
            numSolverIterations=SOLVER_ITERATIONS,
            physicsClientId=self.dynamics._client,
        )
        self.kinematics = Kinematics(self.robot, base)
        self.soil = Soil(
            SoilConfig(kind=kind, origin_m=(1.0, -3.0), size_m=(11.0, 6.0)),
            load_bucket("excavator"),
        )
        self.with_soil = with_soil
        self.link = self.robot.tree.link_names.index("bucket")
        self.steps = 0
        self.target = np.zeros(4)

    def reset(self, q: Array) -> None:
        """Stand still with joint positions q on even ground."""
        self.dynamics.reset(q)
        self.look()
        self.soil.reset()
        self.soil.place(self.kinematics.tool_position, self.kinematics.tool_rotation)
        self.steps = 0
        self.target[:] = 0.0

    def look(self) -> None:
        """Bring the kinematics up to date."""
        self.dynamics.read()
        self.kinematics.update(self.dynamics.position)

    def step(self, velocity: Array) -> None:
        """One physics step toward joint velocities [rad/s], ramped as by a plant."""
        change = self.robot.acceleration_max * DT
        self.target += np.clip(velocity - self.target, -change, change)
        self.dynamics.set_velocity(self.target)
        self.look()
        if self.with_soil:
            k = self.kinematics
            for row in self.soil.interact(k.tool_position, k.tool_rotation, DT):
                if row[3] or row[4] or row[5]:
                    self.dynamics.apply_force(self.link, row[:3], row[3:])
            if self.steps % SETTLE_EVERY == 0:
                self.soil.settle()
        self.dynamics.step()
        self.steps += 1

    def rates(self, vr: float, vz: float, curl: float) -> Array:
        """Joint rates for a motion of the edge in the plane of the boom.

        Args:
            vr: Away from the swing axis [m/s].
            vz: Up [m/s].
            curl: Turn of the bucket, in positive [rad/s].
        """
        swing = self.dynamics.position[0]
        c, s = math.cos(swing), math.sin(swing)
        j = self.kinematics.tool_jacobian()[:, 1:]
        plane = np.vstack([c * j[0] + s * j[1], j[2], c * j[4] - s * j[3]])
        rates = np.zeros(4)
        rates[1:] = np.linalg.solve(plane, [vr, vz, curl])
        return np.clip(rates, -self.robot.velocity_max, self.robot.velocity_max)

    def close(self) -> None:
        """Release the engine."""
        self.dynamics.close()
