"""What of a robot's motion is its own, while people push it.

A robot on wheels that somebody walks or falls into rolls and turns, springs back, and
touches the same person again. That motion is the person's, not the robot's: a contact
counts as moving by the robot's own speed. Own is the speed that the robot had when it
was first touched, braked from then on as its drives brake, or what they are told to do;
of that, what goes toward the person at the place that is touched.

An arm that is bolted down gives way only while it is pushed, and springs back at once.
What it does to somebody who does not push it, slipping off something for instance, is its
own.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from physai.robot.description import Robot
from physai.robot.kinematics import Kinematics
from physai.types import Array, Contact

__all__ = ["OwnMotion"]

_SETTLED_S = 1.0
"""So long after the last touch the robot has come to rest on its tyres (project)."""


class OwnMotion:
    """Follows the own speed of every actuator of one robot.

    Args:
        robot: Its braking limits.
        period_s: Control period [s].

    Attributes:
        velocity: (n,) own speed of every actuator [m/s or rad/s].
    """

    def __init__(self, robot: Robot, period_s: float) -> None:
        self._bolted = robot.base is None
        self._brakes = np.maximum(robot.braking_max, 1e-9) * period_s
        self._period_s, self._link = period_s, robot.shapes.link
        self.velocity = np.zeros(len(robot.actuator_names))
        self.reset()

    def reset(self) -> None:
        """Start at rest, touched by nobody."""
        self.velocity[:] = 0.0
        self._quiet_s = np.inf

    def judge(
        self,
        contact: Contact,
        where: Array,
        measured: Array,
        set_point: Array,
        kinematics: Kinematics,
    ) -> Contact:
        """Return the contacts of a control period with the robot's own speeds.

        Args:
            contact: As measured.
            where: (P, 30, 6) point in the world and direction from person to robot of
                every contact; a direction of 0 is not known.
            measured: (n,) velocity of the actuators at the end of the period.
            set_point: (n,) what the drives are told at the end of it.
            kinematics: Of the robot, placed; moved to ``measured`` on return.
        """
        touched = bool(contact.force_peak_n.any() or contact.force_mean_n.any())
        self._quiet_s = 0.0 if touched else self._quiet_s + self._period_s
        if self._quiet_s > _SETTLED_S:
            self.velocity[:] = measured
            return contact
        before = self.velocity.copy()
        more = self.velocity - set_point
        rest = np.maximum(0.0, np.abs(more) - self._brakes)
        self.velocity[:] = set_point + np.sign(more) * rest
        if not touched or (self._bolted and not _is_pushed(contact)):
            return contact
        speed = contact.robot_normal_speed_m_s.copy()
        both = (before, self.velocity)
        for p, a in np.argwhere(contact.force_peak_n > 0.0).tolist():
            shape, away = int(contact.link[p, a]), where[p, a, 3:]
            if shape >= 0 and away.any():
                link = int(self._link[shape])
                toward = -away @ kinematics.jacobian(link, where[p, a, :3])[:3]
                own = max(float(toward @ v) for v in both)
            else:
                own = max(_fastest(kinematics, v) for v in both)
            speed[p, a] = min(speed[p, a], max(0.0, own))
        kinematics.capsule_velocity(measured)
        return dataclasses.replace(contact, robot_normal_speed_m_s=speed)


def _is_pushed(contact: Contact) -> bool:
    """Whether somebody comes faster than the robot does, at any place."""
    faster = contact.person_normal_speed_m_s > contact.robot_normal_speed_m_s
    return bool((faster & (contact.force_peak_n > 0.0)).any())


def _fastest(kinematics: Kinematics, velocity: Array) -> float:
    """Largest speed of any shape's end at actuator velocities [m/s]."""
    ends = kinematics.capsule_velocity(velocity).reshape(-1, 3)
    return float(np.sqrt((ends * ends).sum(axis=1)).max())
