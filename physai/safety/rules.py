"""The rules: one small class each, with formula, unit and clause.

A rule names the signal that it judges; :mod:`physai.safety.monitor` computes every
signal once per step, and a margin is ``(limit - signal) / scale``. Limits, windows,
actions and texts come from the specification, never from here. A new rule is one
class and one line in :data:`RULES`; rules of other packages come through the entry
points ``physai.rules``.
"""

from __future__ import annotations

import enum
import math
from typing import ClassVar

from physai.types import Action

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
    PLAUSIBILITY = 41
    PERIOD = 42
    UNEXPECTED_MOTION = 43
    FOLLOWING = 44
    JOINT_JERK = 45
    JOINT_EFFORT = 46
    CONTACT_PRESSURE = 47
    KEEP_OUT = 48
    TOOL_ORIENTATION = 49
    FROZEN = 50
    POSE_JUMP = 51
    TRAFFIC = 52
    COUNT = 53
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
        least: Weakest action that a specification may give it, with the clause in the
            docstring; a rule that only the scorer can judge has none to give.
        lowest: Least value that the signal can take; a limit below it can never hold.
        sign: How an extra counts: 1 must not exceed the limit, -1 must not fall below
            it, 0 its age is judged.
    """

    signal: ClassVar[Signal | None]
    unit: ClassVar[str]
    section: ClassVar[str] = ""
    extras: ClassVar[tuple[str, ...]] = ()
    truth_extras: ClassVar[tuple[str, ...]] = ()
    view: ClassVar[str] = "both"
    by_push: ClassVar[bool] = False
    least: ClassVar[Action] = Action.NONE
    lowest: ClassVar[float] = -math.inf
    sign: ClassVar[float] = 1.0

    def __init__(self, id: str) -> None:
        self.id = id


class InputIntegrity(Rule):
    """Number of inputs that are missing, not finite, or of the wrong size.

    Fail-open traps make this the first rule: solvers ignore NaN rows and comparisons
    with NaN are false. Limit 0. ASTM F3269 input manager; ISO 10218-1 fault reaction.
    """

    signal, unit, view = Signal.MISSING, "count", "guard"
    least, lowest = Action.STOP1, 0.0


class JointAge(Rule):
    """Age of the joint reading [s]: what moves unseen is not under control."""

    signal, unit, view = Signal.JOINT_AGE, "s", "guard"
    least, lowest = Action.STOP1, 0.0


class PeopleAge(Rule):
    """Age of the oldest person track and of the tracker's newest frame [s].

    Up to this age the separation ages every track by vh times its age.
    """

    signal, unit, view = Signal.PEOPLE_AGE, "s", "guard"
    least, lowest = Action.STOP2, 0.0


class FaceAge(Rule):
    """Age of the close-range face measurement while the tool is near the face [s]."""

    signal, unit, view = Signal.FACE_AGE, "s", "guard"
    least, lowest = Action.STOP2, 0.0
    extras = ("mouth_x_in_world_m", "mouth_opening_m")


class InterfaceAge(Rule):
    """Age of the consent and stop channels [s]: silence is not consent."""

    signal, unit, view = Signal.INTERFACE_AGE, "s", "guard"
    least, lowest = Action.STOP2, 0.0
    extras = ("consent", "stop_signal")


class ToolForceAge(Rule):
    """Age of the tool's force reading [s]."""

    signal, unit, view = Signal.TOOL_FORCE_AGE, "s", "guard"
    least, lowest = Action.STOP2, 0.0


class PeopleMissing(Rule):
    """People expected by the specification but not tracked."""

    signal, unit, view = Signal.PEOPLE_MISSING, "count", "guard"
    least, lowest = Action.STOP2, 0.0


class JointPosition(Rule):
    """Largest distance of a joint beyond its range, max(q - q_max, q_min - q) [rad]."""

    signal, unit = Signal.JOINT_POSITION, "rad"
    least = Action.LIMIT


class JointVelocity(Rule):
    """Largest joint speed as a share of the maker's limit, max |qd| / qd_max."""

    signal, unit = Signal.JOINT_VELOCITY, "1"
    least, lowest = Action.LIMIT, 0.0
    by_push = True


class JointAcceleration(Rule):
    """Largest mean joint acceleration over a step, max |dqd| / (dt qdd_max)."""

    signal, unit = Signal.JOINT_ACCELERATION, "1"
    lowest = 0.0
    by_push = True


class TcpSpeed(Rule):
    """Speed of the TCP [m/s]; 0.25 m/s is the reduced speed of ISO 10218-1."""

    signal, unit = Signal.TCP_SPEED, "m/s"
    least, lowest = Action.LIMIT, 0.0
    by_push = True


class Workspace(Rule):
    """Largest distance of the TCP, or of a shape below the floor, outside [m]."""

    signal, unit = Signal.WORKSPACE, "m"
    least = Action.LIMIT


class Separation(Rule):
    """Approach speed above the permitted speed, worst pair [m/s].

    max over pairs of v_n - v_permitted(d), expressed in speed so that a stopped robot
    with a person beside it violates nothing. ISO/TS 15066 5.5.4, ISO 10218-2:2025;
    closed form in :func:`physai.safety.kernel.permitted_speed`.
    """

    signal, unit = Signal.SEPARATION, "m/s"
    least = Action.LIMIT
    by_push = True


class NearSpeed(Rule):
    """Speed of a shape in any direction above its cap, worst shape [m/s].

    A person may reach round to any side of a near link, so that its whole speed, not
    only its approach, stays under max(v_permitted(d), near speed).
    """

    signal, unit = Signal.NEAR_SPEED, "m/s"
    least = Action.LIMIT
    by_push = True


class ContactSpeed(Rule):
    """Approach speed of a touching or nearly touching shape over its PFL speed.

    max v_n / v_PFL, v_PFL = F_T / sqrt(mu k) by body area, ISO/TS 15066 A.3.5, A.4,
    for pairs closer than 50 mm; mu is bounded by the body's mass
    (:func:`physai.safety.spec.compile_spec`).
    """

    signal, unit = Signal.CONTACT_SPEED, "1"
    least = Action.LIMIT
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
    lowest = 0.0


class FaceGate(Rule):
    """Approach to head or neck above what the gate permits [m/s].

    Only the utensil, only with consent, inside the stand-off only toward an open mouth
    along its axis; no other link closer than the carrier distance.
    """

    signal, unit = Signal.FACE_GATE, "m/s"
    least = Action.LIMIT
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
    least, lowest = Action.LIMIT, 0.0
    by_push = True
    extras = ("mouth_x_in_world_m",)


class UtensilForce(Rule):
    """Force on the utensil by its modelled sensor [N]; 1 N stops and withdraws.

    A trigger of the guard (as in a deployed feeding robot), not a scorer's limit.
    """

    signal, unit, view = Signal.UTENSIL_FORCE, "N", "guard"
    least, lowest = Action.STOP2, 0.0


class MouthForce(Rule):
    """True force at lips, teeth and palate [N]; 10 N is the comfort line."""

    signal, unit, view = Signal.MOUTH_FORCE, "N", "truth"
    lowest = 0.0
    truth_extras = ("mouth_force_n",)


class InsertionDepth(Rule):
    """How deep the utensil's tip is behind the lips [m]."""

    signal, unit, view = Signal.INSERTION_DEPTH, "m", "truth"
    truth_extras = ("insertion_depth_m",)


class StopSignal(Rule):
    """The person's stop signal or withdrawn consent near the face: 1 when given."""

    signal, unit, view = Signal.STOP_SIGNAL, "1", "guard"
    least, lowest = Action.STOP2, 0.0
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
    least, lowest = Action.STOP2, 0.0


class ProtectiveFieldSpeed(Rule):
    """Speed above that from which the base stops within the free way of its corridor.

    As a share of the maker's speed limit. ISO 3691-4 (stop within the detection range),
    ISO 13855; closed form in :mod:`physai.safety.sections.field`.
    """

    signal, unit, section = Signal.PROTECTIVE_FIELD, "1", "field"
    least = Action.LIMIT
    by_push = True


class Geofence(Rule):
    """Speed above that from which the base stops before the fence, as a share.

    Stopping distance v Tr + v^2 / 2a measured on the machine; ISO 17757, MLIT rules for
    automated construction.
    """

    signal, unit, section = Signal.GEOFENCE, "1", "fence"
    least = Action.LIMIT
    by_push = True


class Crossing(Rule):
    """Speed above that from which the base stops before a closed crossing, as a share.

    v Tr + v^2 / 2a measured on the machine; MLIT rules for automated construction.
    """

    signal, unit, section = Signal.CROSSING, "1", "crossing"
    least = Action.LIMIT


class Traffic(Rule):
    """Approach to another machine above what stops before it [m/s].

    See :mod:`physai.safety.sections.traffic`. ISO 13855 with a machine in the person's
    place; MLIT rules for automated construction.
    """

    signal, unit, section = Signal.TRAFFIC, "m/s", "traffic"
    least = Action.LIMIT


class AreaIntrusion(Rule):
    """1 while a person is, or could be, in an unmanned area.

    MLIT safety rules for automated construction, Ver. 1.0 (2024): three areas.
    """

    signal, unit, view, section = Signal.AREA_INTRUSION, "1", "guard", "areas"
    least, lowest = Action.STOP2, 0.0


class AreaSpeed(Rule):
    """Speed above what the areas permit, as a share of the maker's speed limit."""

    signal, unit, section = Signal.AREA_SPEED, "1", "areas"
    least = Action.LIMIT
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
    least = Action.LIMIT


class Envelope(Rule):
    """How far the tool is outside of the box that it may work in [m].

    Depth limit, height limit, distance from the own tracks of machine guidance.
    """

    signal, unit, section = Signal.ENVELOPE, "m", "envelope"
    least = Action.LIMIT


class ServiceApproach(Rule):
    """Speed of the bucket toward a buried pipe above the one that stops at its buffer.

    v Tr + v^2 / 2a = distance - buffer solved for v, worst side of the plate [m/s].
    """

    signal, unit, section = Signal.SERVICE_APPROACH, "m/s", "services"
    least = Action.LIMIT


class Inclination(Rule):
    """Roll or pitch of the base over the permitted angle, the larger share.

    tan(angle) = (track / 2) / h tips (rigid body); the limit is a share of it.
    """

    signal, unit, section = Signal.INCLINATION, "1", "stability"
    least, lowest = Action.STOP2, 0.0
    by_push = True


class StabilitySpeed(Rule):
    """Speed above what slope, curve and lift height permit, as a share."""

    signal, unit, section = Signal.STABILITY_SPEED, "1", "stability"
    least = Action.LIMIT
    by_push = True


class CarryingSpeed(Rule):
    """Speed of base or arm above what the other permits, as a share.

    The arm moves while the base stands, and no faster than keeps its load level; see
    :mod:`physai.safety.sections.carrying`.
    """

    signal, unit, section = Signal.CARRYING_SPEED, "1", "carrying"
    least = Action.LIMIT
    by_push = True


class LoadTilt(Rule):
    """Tilt of what the hand carries, between the tool's -z and the vertical [rad]."""

    signal, unit, section = Signal.LOAD_TILT, "rad", "carrying"
    least, lowest = Action.LIMIT, 0.0
    by_push = True


class LoadAge(Rule):
    """Age of the oldest reading of gripper, case and slot [s]."""

    signal, unit, view, section = Signal.LOAD_AGE, "s", "guard", "load"
    least, lowest = Action.STOP2, 0.0


class LoadApproach(Rule):
    """Horizontal approach of a carried case to a person above the permitted one [m/s].

    Height does not count, so that nothing is carried over people; closed form of
    ISO/TS 15066 5.5.4 as in :func:`physai.safety.kernel.permitted_speed`.
    """

    signal, unit, section = Signal.LOAD_APPROACH, "m/s", "load"
    least = Action.LIMIT


class LoadSpeed(Rule):
    """Speed above what the vacuum permits with this case, as a share.

    Static margin dp A / (m g); see :mod:`physai.safety.sections.load`.
    """

    signal, unit, section = Signal.LOAD_SPEED, "1", "load"
    least = Action.LIMIT


class LoadRelease(Rule):
    """How far from its place a case was let go, sideways or in height [m]."""

    signal, unit, section = Signal.LOAD_RELEASE, "m", "load"


class Plausibility(Rule):
    """How far position and speed of a joint contradict each other, worst joint.

    |dq - (qd + qd') dt / 2| beyond what its acceleration explains, as a share of what
    the joint can travel in a step. A reading that jumps or is frozen in part is none:
    input manager of ASTM F3269-21; fault reaction of ISO 10218-1.
    """

    signal, unit, view, section = Signal.PLAUSIBILITY, "1", "guard", "drives"
    least, lowest = Action.STOP1, 0.0


class PoseJump(Rule):
    """By how far the pose of the base moved otherwise than its own twist says [m].

    |dp - (v + v') dt / 2| in the plane: what localisation corrects in one step. Where a
    jump is larger than its noise, either what was or what is known is wrong, and with it
    every zone on the map. Input manager of ASTM F3269-21; positioning of ISO 17757.
    """

    signal, unit, view, section = Signal.POSE_JUMP, "m", "guard", "drives"
    least, lowest = Action.STOP2, 0.0


class PeriodOverrun(Rule):
    """Time between two readings, in control periods.

    A loop that misses its deadline acts on what was, and a clock that jumps makes every
    age a guess: beyond two missed periods it stops.
    """

    signal, unit, view, section = Signal.PERIOD, "1", "guard", "drives"
    least, lowest = Action.STOP1, 0.0


class FrozenSource(Rule):
    """For how long a source has repeated itself while it claimed to be fresh [s].

    See :mod:`physai.safety.sections.liveness`. Perception failures of ISO 17757;
    freshness of ISO 13849-1 monitoring: what is not alive is not known.
    """

    signal, unit, view, section = Signal.FROZEN, "s", "guard", "liveness"
    least, lowest = Action.STOP2, 0.0


class UnexpectedMotion(Rule):
    """Speed beyond everything commanded lately, or against it, as a share.

    max over actuators of the distance of qd from the hull of standstill and what a
    drive could have made of the commands of the window. Unexpected start-up of
    ISO 12100 6.2.11, ISO 14118; SLS, SDI and SOS of IEC 61800-5-2. A drive that runs
    away does not brake either: only a stop of category 0, or 1 with power removed at
    its end, is a reaction.
    """

    signal, unit, view = Signal.UNEXPECTED_MOTION, "1", "guard"
    section = "drives"
    least, lowest = Action.STOP1, 0.0


class Following(Rule):
    """Speed short of everything commanded lately, as a share.

    A joint that does not follow is blocked, by a thing or by a person, or its reading
    is frozen. Collision detection by following error as in controllers of arms; clamping
    is a hazard of ISO 10218-2 and ISO/TS 15066 5.5.5: the arm holds and may back off.
    """

    signal, unit, view, section = Signal.FOLLOWING, "1", "guard", "drives"
    least, lowest = Action.STOP2, 0.0


class JointJerk(Rule):
    """Largest mean joint jerk over two steps, max |d2qd| / (dt2 qddd_max)."""

    signal, unit, section = Signal.JOINT_JERK, "1", "drives"
    lowest = 0.0
    by_push = True


class JointEffort(Rule):
    """Largest joint torque or force as a share of the maker's limit.

    SLT of IEC 61800-5-2: what the drive needs tells of a load that is too heavy or of
    something in the way.
    """

    signal, unit, section = Signal.JOINT_EFFORT, "1", "drives"
    least, lowest = Action.STOP2, 0.0


class ContactPressure(Rule):
    """Indicative pressure at a contact over the limit of its body area, worst area.

    Twice the quasi-static limit while the contact is younger than 0.5 s and not clamped,
    times the frailty factor; judged where the robot moved or pushed, by the same share
    as the force. ISO/TS 15066 Table A.2 (75th percentile of pain onset of adults). The
    patch is the least that the shape's edge gives, so that it is an indication: measured
    values need a film (ISO/PAS 5672).
    """

    signal, unit, view = Signal.CONTACT_PRESSURE, "1", "truth"
    lowest = 0.0


class KeepOut(Rule):
    """How far a shape of the robot is inside a volume that it must stay out of [m].

    Soft axes and zones of ISO 10218-1 5.12.3; SLP of IEC 61800-5-2.
    """

    signal, unit, section = Signal.KEEP_OUT, "m", "volumes"
    least = Action.LIMIT


class ToolOrientation(Rule):
    """Angle between an axis of the tool and where it must point [rad].

    Tool-orientation limit of makers' safety functions; what is on a spoon or in a cup
    is spilled by tilt.
    """

    signal, unit, section = Signal.TOOL_ORIENTATION, "rad", "orientation"
    least, lowest = Action.LIMIT, 0.0
    by_push = True


class ExtraAbove(Rule):
    """An extra that the rule names must not exceed the limit."""

    signal, unit = None, ""


class ExtraBelow(Rule):
    """An extra that the rule names must not fall below the limit."""

    signal, unit = None, ""
    sign = -1.0


class ExtraAge(Rule):
    """Age of an extra that the rule names [s]: what is old is not known."""

    signal, unit, view = None, "s", "guard"
    least, lowest = Action.STOP2, 0.0
    sign = 0.0


class LinkHealth(ExtraAbove):
    """Age of the last heartbeat of a link that the machine depends on [s].

    ISO 17757 remote stop; MoveIt Servo halts on commands older than 0.1 s and base
    controllers after 0.25 to 0.5 s (measured defaults in the robotics sources).
    """

    unit, view = "s", "guard"
    least, lowest = Action.STOP2, 0.0


class PositionQuality(ExtraAbove):
    """Uncertainty of the machine's own position [m]; ISO 17757 positioning."""

    unit, view = "m", "guard"
    least, lowest = Action.STOP2, 0.0


class EnablingDevice(ExtraBelow):
    """Enabling device of the person who supervises: 1 while held in its middle position.

    Let go or pressed through stops. ISO 10218-1 5.8.3, IEC 60204-1 9.2.6.3: stop
    category 0 or 1, so that starting again is a decision of its own.
    """

    unit, view = "1", "guard"
    least = Action.STOP1


class Battery(ExtraBelow):
    """Charge that is left, as a share: so much that it still gets out of the way.

    ISO 13482 5.2 (charging and battery), ISO 3691-4 4.9 (batteries).
    """

    unit, view = "1", "guard"
    least = Action.SLOW


class Payload(ExtraAbove):
    """Mass that the robot carries [kg]; above the maker's figure nothing else holds."""

    unit = "kg"
    least, lowest = Action.LIMIT, 0.0


class VacuumMargin(ExtraBelow):
    """Holding force of the suction cups over the weight that hangs on them.

    Static margin dp A / (m g); below it the load is put down, never let go
    (ISO 10218-2 5.3.10, loss of gripping force).
    """

    unit = "1"
    least = Action.STOP2


class FallingLoad(ExtraAbove):
    """Energy m g h with which a load could strike or struck somebody [J].

    No force model covers a case that falls: mass and height over a person are judged.
    """

    unit = "J"
    lowest = 0.0


class BlockedExit(ExtraAbove):
    """For how long the robot has stood in an exit or escape route [s]."""

    unit = "s"
    lowest = 0.0


class Bumper(ExtraAbove):
    """Pressure-sensitive bumper: 1 while pressed. ISO 3691-4 4.8.2: stop, no restart."""

    unit, view = "1", "guard"
    least, lowest = Action.STOP1, 0.0


class Response(Rule):
    """After a rule has been violated for a time, another quantity is within a limit.

    Past-time form of "once A holds for T, B is below x": historically[0, T](A) implies
    B <= x. Judged in the loop by counting steps, in verdicts as a formula of signal
    temporal logic (:mod:`physai.evaluation.temporal`).
    """

    signal, unit = None, ""


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
    "traffic": Traffic,
    "inclination": Inclination,
    "stability_speed": StabilitySpeed,
    "load_age": LoadAge,
    "load_approach": LoadApproach,
    "load_speed": LoadSpeed,
    "load_release": LoadRelease,
    "carrying_speed": CarryingSpeed,
    "load_tilt": LoadTilt,
    "plausibility": Plausibility,
    "pose_jump": PoseJump,
    "period_overrun": PeriodOverrun,
    "frozen_source": FrozenSource,
    "unexpected_motion": UnexpectedMotion,
    "following": Following,
    "joint_jerk": JointJerk,
    "joint_effort": JointEffort,
    "contact_pressure": ContactPressure,
    "keep_out": KeepOut,
    "tool_orientation": ToolOrientation,
    "link_health": LinkHealth,
    "position_quality": PositionQuality,
    "enabling_device": EnablingDevice,
    "battery": Battery,
    "payload": Payload,
    "vacuum_margin": VacuumMargin,
    "falling_load": FallingLoad,
    "blocked_exit": BlockedExit,
    "bumper": Bumper,
    "response": Response,
    "extra_above": ExtraAbove,
    "extra_below": ExtraBelow,
    "extra_age": ExtraAge,
}
