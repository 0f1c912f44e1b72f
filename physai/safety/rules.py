"""The rules: one small class each, with formula, unit and clause.

A rule names the signal that it judges; :mod:`physai.safety.monitor` computes every
signal once per step, and a margin is ``(limit - signal) / scale``. Limits, windows,
actions and texts come from the specification, never from here. A new rule is one
class and one line in :data:`RULES`; rules of other packages come through the entry
points ``physai.rules``.
"""

from __future__ import annotations

import enum
from typing import ClassVar

__all__ = ["RULES", "Rule", "Signal"]


class Signal(enum.IntEnum):
    """Places in the signal vector."""

    MISSING = 0
    JOINT_AGE = 1
    PEOPLE_AGE = 2
    FACE_AGE = 3
    INTERFACE_AGE = 4
    TOOL_FORCE_AGE = 5
    PEOPLE_MISSING = 6
    JOINT_POSITION = 7
    JOINT_VELOCITY = 8
    JOINT_ACCELERATION = 9
    TCP_SPEED = 10
    WORKSPACE = 11
    SEPARATION = 12
    NEAR_SPEED = 13
    CONTACT_SPEED = 14
    CONTACT_FORCE = 15
    FACE_GATE = 16
    FACE_SPEED = 17
    UTENSIL_FORCE = 18
    MOUTH_FORCE = 19
    INSERTION_DEPTH = 20
    STOP_SIGNAL = 21
    MOVING_CONTACT = 22
    LIDAR_AGE = 23
    PROTECTIVE_FIELD = 24
    GEOFENCE = 25
    AREA_INTRUSION = 26
    AREA_SPEED = 27
    INCLINATION = 28
    STABILITY_SPEED = 29
    CROSSING = 30
    LOAD_AGE = 31
    LOAD_APPROACH = 32
    LOAD_SPEED = 33
    LOAD_RELEASE = 34
    AREA_MOTION = 35
    SWING_SECTOR = 36
    SERVICE_APPROACH = 37
    CARRYING_SPEED = 38
    LOAD_TILT = 39
    ENVELOPE = 40
    COUNT = 41
    """The signals of rules about extras come after these."""


class Rule:
    """Base of every rule.

    Attributes:
        signal: What it judges; None for an extra that the specification names.
        unit: Unit of signal and limit; empty where the specification says it.
        section: Section of the specification that measures the signal.
        extras: Extras of the state that it needs.
        truth_extras: True extras that it needs.
        view: ``both``, ``guard`` (a trigger; no scorer judges it) or ``truth``
            (only what really happened can tell).
        by_push: Whether a person who pushes the robot can bring it about. The scorer
            does not charge the robot with that: motion caused by a push is not its own.
    """

    signal: ClassVar[Signal | None]
    unit: ClassVar[str]
    section: ClassVar[str] = ""
    extras: ClassVar[tuple[str, ...]] = ()
    truth_extras: ClassVar[tuple[str, ...]] = ()
    view: ClassVar[str] = "both"
    by_push: ClassVar[bool] = False

    def __init__(self, id: str) -> None:
        self.id = id


class InputIntegrity(Rule):
    """Number of inputs that are missing, not finite, or of the wrong size.

    Fail-open traps make this the first rule: solvers ignore NaN rows and comparisons
    with NaN are false. Limit 0. ASTM F3269 input manager; ISO 10218-1 fault reaction.
    """

    signal, unit, view = Signal.MISSING, "count", "guard"


class JointAge(Rule):
    """Age of the joint reading [s]: what moves unseen is not under control."""

    signal, unit, view = Signal.JOINT_AGE, "s", "guard"


class PeopleAge(Rule):
    """Age of the oldest person track and of the tracker's newest frame [s].

    Up to this age the separation ages every track by vh times its age.
    """

    signal, unit, view = Signal.PEOPLE_AGE, "s", "guard"


class FaceAge(Rule):
    """Age of the close-range face measurement while the tool is near the face [s]."""

    signal, unit, view = Signal.FACE_AGE, "s", "guard"
    extras = ("mouth_x_in_world_m", "mouth_opening_m")


class InterfaceAge(Rule):
    """Age of the consent and stop channels [s]: silence is not consent."""

    signal, unit, view = Signal.INTERFACE_AGE, "s", "guard"
    extras = ("consent", "stop_signal")


class ToolForceAge(Rule):
    """Age of the tool's force reading [s]."""

    signal, unit, view = Signal.TOOL_FORCE_AGE, "s", "guard"


class PeopleMissing(Rule):
    """People expected by the specification but not tracked."""

    signal, unit, view = Signal.PEOPLE_MISSING, "count", "guard"


class JointPosition(Rule):
    """Largest distance of a joint beyond its range, max(q - q_max, q_min - q) [rad]."""

    signal, unit = Signal.JOINT_POSITION, "rad"


class JointVelocity(Rule):
    """Largest joint speed as a share of the maker's limit, max |qd| / qd_max."""

    signal, unit = Signal.JOINT_VELOCITY, "1"
    by_push = True


class JointAcceleration(Rule):
    """Largest mean joint acceleration over a step, max |dqd| / (dt qdd_max)."""

    signal, unit = Signal.JOINT_ACCELERATION, "1"
    by_push = True


class TcpSpeed(Rule):
    """Speed of the TCP [m/s]; 0.25 m/s is the reduced speed of ISO 10218-1."""

    signal, unit = Signal.TCP_SPEED, "m/s"
    by_push = True


class Workspace(Rule):
    """Largest distance of the TCP, or of a shape below the floor, outside [m]."""

    signal, unit = Signal.WORKSPACE, "m"


class Separation(Rule):
    """Approach speed above the permitted speed, worst pair [m/s].

    max over pairs of v_n - v_permitted(d), expressed in speed so that a stopped robot
    with a person beside it violates nothing. ISO/TS 15066 5.5.4, ISO 10218-2:2025;
    closed form in :func:`physai.safety.kernel.permitted_speed`.
    """

    signal, unit = Signal.SEPARATION, "m/s"
    by_push = True


class NearSpeed(Rule):
    """Speed of a shape in any direction above its cap, worst shape [m/s].

    A person may reach round to any side of a near link, so that its whole speed, not
    only its approach, stays under max(v_permitted(d), near speed).
    """

    signal, unit = Signal.NEAR_SPEED, "m/s"
    by_push = True


class ContactSpeed(Rule):
    """Approach speed of a touching or nearly touching shape over its PFL speed.

    max v_n / v_PFL, v_PFL = F_T / sqrt(mu k) by body area, ISO/TS 15066 A.3.5, A.4,
    for pairs closer than 50 mm.
    """

    signal, unit = Signal.CONTACT_SPEED, "1"
    by_push = True


class ContactForce(Rule):
    """Contact force over the limit of its body area, worst area.

    The transient peak is compared with the transient limit (younger than 0.5 s, not
    clamped), the 100 ms mean with the quasi-static limit, both times the frailty
    factor; skull and face permit no contact, so that a utensil there is judged by the
    specification's own limit of the mouth. Judged where the robot moved or pushed: of
    a peak, the share that the robot's own speed has in the closing speed
    (v sqrt(mu k)); of a held or clamped contact, all of it. ISO/TS 15066 Table A.2,
    ISO 10218-2:2025; the share is this project's reading of who caused it.
    """

    signal, unit, view = Signal.CONTACT_FORCE, "1", "truth"


class FaceGate(Rule):
    """Approach to head or neck above what the gate permits [m/s].

    Only the utensil, only with consent, inside the stand-off only toward an open mouth
    along its axis; no other link closer than the carrier distance.
    """

    signal, unit = Signal.FACE_GATE, "m/s"
    by_push = True
    extras = (
        "mouth_x_in_world_m",
        "mouth_axis_x_in_world",
        "mouth_opening_m",
        "consent",
        "stop_signal",
    )


class FaceSpeed(Rule):
    """TCP speed within the face zone [m/s]; 0.05 m/s in a deployed feeding robot."""

    signal, unit = Signal.FACE_SPEED, "m/s"
    by_push = True
    extras = ("mouth_x_in_world_m",)


class UtensilForce(Rule):
    """Force on the utensil by its modelled sensor [N]; 1 N stops and withdraws.

    A trigger of the guard (as in a deployed feeding robot), not a scorer's limit.
    """

    signal, unit, view = Signal.UTENSIL_FORCE, "N", "guard"


class MouthForce(Rule):
    """True force at lips, teeth and palate [N]; 10 N is the comfort line."""

    signal, unit, view = Signal.MOUTH_FORCE, "N", "truth"
    truth_extras = ("mouth_force_n",)


class InsertionDepth(Rule):
    """How deep the utensil's tip is behind the lips [m]."""

    signal, unit, view = Signal.INSERTION_DEPTH, "m", "truth"
    truth_extras = ("insertion_depth_m",)


class StopSignal(Rule):
    """The person's stop signal or withdrawn consent near the face: 1 when given."""

    signal, unit, view = Signal.STOP_SIGNAL, "1", "guard"
    extras = ("consent", "stop_signal")


class MovingContact(Rule):
    """The robot's own speed toward the person at a contact outside the mouth [m/s].

    A contact with a robot slower than 0.05 m/s is not a moving contact; what a push
    by the person moves does not count.
    """

    signal, unit, view = Signal.MOVING_CONTACT, "m/s", "truth"


class LidarAge(Rule):
    """Age of the lidar's scan [s]: who is not seen cannot be avoided."""

    signal, unit, view, section = Signal.LIDAR_AGE, "s", "guard", "field"


class ProtectiveFieldSpeed(Rule):
    """Speed above that from which the base stops within the free way of its corridor.

    As a share of the maker's speed limit. ISO 3691-4 (stop within the detection range),
    ISO 13855; closed form in :mod:`physai.safety.sections.field`.
    """

    signal, unit, section = Signal.PROTECTIVE_FIELD, "1", "field"
    by_push = True


class Geofence(Rule):
    """Speed above that from which the base stops before the fence, as a share.

    Stopping distance v Tr + v^2 / 2a measured on the machine; ISO 17757, MLIT rules for
    automated construction.
    """

    signal, unit, section = Signal.GEOFENCE, "1", "fence"
    by_push = True


class Crossing(Rule):
    """Speed above that from which the base stops before a closed crossing, as a share.

    v Tr + v^2 / 2a measured on the machine; MLIT rules for automated construction.
    """

    signal, unit, section = Signal.CROSSING, "1", "crossing"


class AreaIntrusion(Rule):
    """1 while a person is, or could be, in an unmanned area.

    MLIT safety rules for automated construction, Ver. 1.0 (2024): three areas.
    """

    signal, unit, view, section = Signal.AREA_INTRUSION, "1", "guard", "areas"


class AreaSpeed(Rule):
    """Speed above what the areas permit, as a share of the maker's speed limit."""

    signal, unit, section = Signal.AREA_SPEED, "1", "areas"
    by_push = True


class AreaMotion(Rule):
    """Speed of the fastest actuator, as a share, while a person is in an unmanned area.

    What a machine still does after an intrusion; its hold window is the time to stop.
    MLIT safety rules for automated construction, Ver. 1.0 (2024).
    """

    signal, unit, view, section = Signal.AREA_MOTION, "1", "truth", "areas"


class SwingSector(Rule):
    """How far the swing is, or can no longer be kept from going, out of its sector [rad].

    The swept zone is marked and kept free (29 CFR 1926.1424(a)); the tail goes with it.
    """

    signal, unit, section = Signal.SWING_SECTOR, "rad", "sector"


class Envelope(Rule):
    """How far the tool is outside of the box that it may work in [m].

    Depth limit, height limit, distance from the own tracks of machine guidance.
    """

    signal, unit, section = Signal.ENVELOPE, "m", "envelope"


class ServiceApproach(Rule):
    """Speed of the bucket toward a buried pipe above the one that stops at its buffer.

    v Tr + v^2 / 2a = distance - buffer solved for v, worst side of the plate [m/s].
    """

    signal, unit, section = Signal.SERVICE_APPROACH, "m/s", "services"


class Inclination(Rule):
    """Roll or pitch of the base over the permitted angle, the larger share.

    tan(angle) = (track / 2) / h tips (rigid body); the limit is a share of it.
    """

    signal, unit, section = Signal.INCLINATION, "1", "stability"
    by_push = True


class StabilitySpeed(Rule):
    """Speed above what slope, curve and lift height permit, as a share."""

    signal, unit, section = Signal.STABILITY_SPEED, "1", "stability"
    by_push = True


class CarryingSpeed(Rule):
    """Speed of base or arm above what the other permits, as a share.

    The arm moves while the base stands, and no faster than keeps its load level; see
    :mod:`physai.safety.sections.carrying`.
    """

    signal, unit, section = Signal.CARRYING_SPEED, "1", "carrying"
    by_push = True


class LoadTilt(Rule):
    """Tilt of what the hand carries, between the tool's -z and the vertical [rad]."""

    signal, unit, section = Signal.LOAD_TILT, "rad", "carrying"
    by_push = True


class LoadAge(Rule):
    """Age of the oldest reading of gripper, case and slot [s]."""

    signal, unit, view, section = Signal.LOAD_AGE, "s", "guard", "load"


class LoadApproach(Rule):
    """Horizontal approach of a carried case to a person above the permitted one [m/s].

    Height does not count, so that nothing is carried over people; closed form of
    ISO/TS 15066 5.5.4 as in :func:`physai.safety.kernel.permitted_speed`.
    """

    signal, unit, section = Signal.LOAD_APPROACH, "m/s", "load"


class LoadSpeed(Rule):
    """Speed above what the vacuum permits with this case, as a share.

    Static margin dp A / (m g); see :mod:`physai.safety.sections.load`.
    """

    signal, unit, section = Signal.LOAD_SPEED, "1", "load"


class LoadRelease(Rule):
    """How far from its place a case was let go, sideways or in height [m]."""

    signal, unit, section = Signal.LOAD_RELEASE, "m", "load"


class ExtraAbove(Rule):
    """An extra that the rule names must not exceed the limit."""

    signal, unit = None, ""


class ExtraBelow(Rule):
    """An extra that the rule names must not fall below the limit."""

    signal, unit = None, ""


class ExtraAge(Rule):
    """Age of an extra that the rule names [s]: what is old is not known."""

    signal, unit, view = None, "s", "guard"


RULES: dict[str, type[Rule]] = {
    "input_integrity": InputIntegrity,
    "joint_age": JointAge,
    "people_age": PeopleAge,
    "face_age": FaceAge,
    "interface_age": InterfaceAge,
    "tool_force_age": ToolForceAge,
    "people_missing": PeopleMissing,
    "joint_position": JointPosition,
    "joint_velocity": JointVelocity,
    "joint_acceleration": JointAcceleration,
    "tcp_speed": TcpSpeed,
    "workspace": Workspace,
    "separation": Separation,
    "near_speed": NearSpeed,
    "contact_speed": ContactSpeed,
    "contact_force": ContactForce,
    "face_gate": FaceGate,
    "face_speed": FaceSpeed,
    "utensil_force": UtensilForce,
    "mouth_force": MouthForce,
    "insertion_depth": InsertionDepth,
    "stop_signal": StopSignal,
    "moving_contact": MovingContact,
    "lidar_age": LidarAge,
    "protective_field": ProtectiveFieldSpeed,
    "geofence": Geofence,
    "crossing": Crossing,
    "area_intrusion": AreaIntrusion,
    "area_speed": AreaSpeed,
    "area_motion": AreaMotion,
    "swing_sector": SwingSector,
    "service_approach": ServiceApproach,
    "envelope": Envelope,
    "inclination": Inclination,
    "stability_speed": StabilitySpeed,
    "load_age": LoadAge,
    "load_approach": LoadApproach,
    "load_speed": LoadSpeed,
    "load_release": LoadRelease,
    "carrying_speed": CarryingSpeed,
    "load_tilt": LoadTilt,
    "extra_above": ExtraAbove,
    "extra_below": ExtraBelow,
    "extra_age": ExtraAge,
}
