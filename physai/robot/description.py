"""Read ``robots/<name>/robot.yaml`` and its URDF into one frozen :class:`Robot`.

The YAML carries what a URDF cannot: sources, acceleration and jerk limits, the
collision capsules with the edges that a person would feel, and what "safe" means
for the tool. Where both carry a number (joint limits), they must agree.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
from pydantic import Field

from physai import content
from physai.config import Config, load
from physai.errors import ConfigError, ContentError, suggest
from physai.robot.base import BASE_ACTUATORS, BaseConfig, PayloadConfig
from physai.types import Array

__all__ = [
    "ActuatorConfig",
    "LidarMountConfig",
    "Robot",
    "RobotConfig",
    "ShapeConfig",
    "ShapeTable",
    "ToolConfig",
    "Tree",
    "load_robot",
    "rotation_from_rpy",
]

Positive = Annotated[float, Field(gt=0.0)]
Point = tuple[float, float, float]


class ActuatorConfig(Config):
    """Limits of one joint, in rad (or m for a prismatic joint)."""

    joint: str
    position_min_rad: float
    position_max_rad: float
    velocity_max_rad_s: Positive
    acceleration_max_rad_s2: Positive
    jerk_max_rad_s3: Positive
    torque_max_n_m: Positive


class ToolConfig(Config):
    """The tool and what "safe" means for it while the robot is stopped."""

    name: str
    link: str
    """URDF link that carries the tool's mass."""
    frame: str
    """URDF link whose frame is the tool centre point (TCP)."""
    safe_state: Literal["withdraw", "hold", "release", "keep_on"]
    mass_kg: Annotated[float, Field(ge=0.0)]
    stiffness_n_per_m: Positive | None = None
    """Compliance of the tool in series with a person's; None for a rigid tool."""
    stiffness_source: str = ""


class ShapeConfig(Config):
    """One collision capsule in its link's frame."""

    name: str
    link: str
    from_m: Point
    to_m: Point
    radius_m: Positive
    edge_radius_m: Positive
    """Radius of the edge that a person would feel (the capsule hides edges)."""
    minimum_area_cm2: Positive
    utensil: bool = False
    """Whether it belongs to the utensil that may enter an open mouth."""


class LidarMountConfig(Config):
    """A planar lidar on the base: where it looks; its errors are the environment's."""

    position_m: Point
    """In the base frame."""
    yaw_rad: float = 0.0
    rays: Annotated[int, Field(ge=8, le=4096)]
    field_of_view_rad: Annotated[float, Field(gt=0.0, le=2.0 * math.pi + 1e-9)]
    """Symmetric about its forward axis."""
    range_min_m: Annotated[float, Field(ge=0.0)] = 0.0
    range_max_m: Positive
    source: str

    @property
    def angles_rad(self) -> Array:
        """(rays,) directions in the lidar's frame, counter-clockwise."""
        half = 0.5 * self.field_of_view_rad
        whole = self.field_of_view_rad > 2.0 * math.pi - 1e-6
        return np.linspace(-half, half, self.rays, endpoint=not whole)


class BrakeConfig(Config):
    """Holding brakes."""

    kind: Literal["power_off", "none"]
    note: str = ""


class RobotConfig(Config):
    """``robot.yaml``."""

    name: str
    title: str
    kind: Literal["arm", "mobile_manipulator", "excavator", "tracked", "truck"]
    urdf: str
    licence: str
    limits_source: str
    actuators: Annotated[tuple[ActuatorConfig, ...], Field(min_length=1)]
    """Joints; the actuators of a base come before them and are not listed."""
    base: BaseConfig | None = None
    payload: PayloadConfig | None = None
    lidar: LidarMountConfig | None = None
    home_position_rad: tuple[float, ...]
    tool_channels: tuple[str, ...] = ()
    brakes: BrakeConfig
    tool: ToolConfig
    shapes: Annotated[tuple[ShapeConfig, ...], Field(min_length=1)]


@dataclass(frozen=True, eq=False)
class Tree:
    """The kinematic tree as arrays; links are ordered parents first.

    Attributes:
        link_names: (L,) link names; link 0 is the base.
        parent: (L,) index of the parent link, -1 for the base.
        actuator: (L,) index of the actuator that moves the link, -1 if fixed. For the
            base it is 0 where the base drives (``base_linear``; ``base_angular``
            follows it).
        prismatic: (L,) whether that joint slides.
        rotation: (L, 3, 3) joint frame in the parent's frame.
        translation: (L, 3) the same [m].
        axis: (L, 3) joint axis in the link's frame.
        mass: (L,) [kg].
        center_of_mass: (L, 3) in the link's frame [m].
        inertia: (L, 3, 3) about the centre of mass, link axes [kg m2].
    """

    link_names: tuple[str, ...]
    parent: npt.NDArray[np.int64]
    actuator: npt.NDArray[np.int64]
    prismatic: npt.NDArray[np.bool_]
    rotation: Array
    translation: Array
    axis: Array
    mass: Array
    center_of_mass: Array
    inertia: Array


@dataclass(frozen=True, eq=False)
class ShapeTable:
    """Collision capsules of the robot.

    Attributes:
        names: (R,) names.
        link: (R,) link index in the tree.
        local: (R, 7) capsules in link frames [m].
        utensil: (R,) whether the shape may enter an open mouth.
        edge_radius_m: (R,) radius of the edge that a person would feel [m].
        minimum_area_cm2: (R,) smallest contact patch [cm2].
        stiffness_n_per_m: (R,) stiffness in series with the person's [N/m];
            infinity for a rigid link.
    """

    names: tuple[str, ...]
    link: npt.NDArray[np.int64]
    local: Array
    utensil: npt.NDArray[np.bool_]
    edge_radius_m: Array
    minimum_area_cm2: Array
    stiffness_n_per_m: Array


@dataclass(frozen=True, eq=False)
class Robot:
    """A robot: limits in actuator order, shapes, kinematic tree, tool.

    Attributes:
        config: The parsed robot.yaml.
        folder: Where it was read from.
        digest: SHA-256 over robot.yaml and the URDF.
        position_min: (n,) [rad or m]; the same for the other limits. A base has no
            end of its range: infinite.
        acceleration_max: (n,) [rad/s2 or m/s2].
        braking_max: (n,) deceleration [rad/s2 or m/s2]; differs from the acceleration
            for a base only.
        home_position: (n,) a comfortable posture [rad or m].
        tool_link: Index of the TCP frame in the tree.
    """

    config: RobotConfig
    folder: Path
    digest: str
    actuator_names: tuple[str, ...]
    position_min: Array
    position_max: Array
    velocity_max: Array
    acceleration_max: Array
    braking_max: Array
    jerk_max: Array
    effort_max: Array
    home_position: Array
    shapes: ShapeTable
    tree: Tree
    tool_link: int

    @property
    def name(self) -> str:
        """The robot's name."""
        return self.config.name

    @property
    def base(self) -> BaseConfig | None:
        """The base that drives; None for a robot that is bolted down."""
        return self.config.base

    @property
    def payload(self) -> PayloadConfig | None:
        """The load that one link carries; None for a robot without."""
        return self.config.payload

    @property
    def lidar(self) -> LidarMountConfig | None:
        """The lidar; None for a robot without."""
        return self.config.lidar

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the joints: the actuators without those of the base."""
        return tuple(a.joint for a in self.config.actuators)

    @property
    def tool(self) -> ToolConfig:
        """The tool."""
        return self.config.tool

    @property
    def tool_channels(self) -> tuple[str, ...]:
        """Names of the tool channels of a command (grip, vacuum, ...)."""
        return self.config.tool_channels

    @property
    def urdf(self) -> Path:
        """The URDF file."""
        return self.folder / self.config.urdf

    @property
    def moving_mass_kg(self) -> float:
        """M of ISO/TS 15066 A.3: mass of all moving links [kg]."""
        moving = self.tree.actuator >= 0
        for link in range(1, len(moving)):
            moving[link] = moving[link] or moving[self.tree.parent[link]]
        return float(self.tree.mass[moving].sum())

    def urdf_text(self, packages: dict[str, str], visuals: bool) -> str:
        """Return the URDF with ``package://NAME/`` resolved.

        Args:
            packages: Folder of each package name.
            visuals: Keep the visual shapes (a physics world does not need them).

        Raises:
            ContentError: If a package is not among those given.
        """
        text = self.urdf.read_text(encoding="utf-8")
        if not visuals:
            return re.sub(r"<visual>.*?</visual>", "", text, flags=re.DOTALL)

        def folder_of(match: re.Match[str]) -> str:
            name = match.group(1)
            if name not in packages:
                raise ContentError(
                    f'{self.urdf}: package "{name}" is unknown; {suggest(name, packages)}'
                )
            return packages[name].rstrip("/") + "/"

        return re.sub(r"package://([^/\"]+)/", folder_of, text)


@lru_cache(maxsize=32)
def _load(folder: Path) -> Robot:
    config = load(RobotConfig, folder / "robot.yaml")
    origin = folder / "robot.yaml"
    urdf = folder / config.urdf
    bases = BASE_ACTUATORS if config.base is not None else ()
    tree = _read_tree(urdf, [a.joint for a in config.actuators], len(bases), origin)
    _check_limits(urdf, config, origin)
    count = len(config.actuators)
    if len(config.home_position_rad) != count:
        raise ConfigError(
            f"{origin}: home_position_rad: {len(config.home_position_rad)} numbers "
            f"for {count} actuators"
        )
    links = {name: index for index, name in enumerate(tree.link_names)}
    payload = config.payload
    for where, link in [
        ("tool.link", config.tool.link),
        ("tool.frame", config.tool.frame),
        *([("payload.link", payload.link)] if payload is not None else []),
        *((f"shapes.{s.name}.link", s.link) for s in config.shapes),
    ]:
        if link not in links:
            raise ConfigError(
                f'{origin}: {where}: no link "{link}" in {config.urdf}; '
                f"{suggest(link, links)}"
            )

    return Robot(
        config=config,
        folder=folder,
        digest=content.digest_value(
            [content.digest_file(origin), content.digest_file(urdf)]
        ),
        actuator_names=(*bases, *(a.joint for a in config.actuators)),
        **_limits(config),
        home_position=_frozen([*(0.0 for _ in bases), *config.home_position_rad]),
        shapes=_shape_table(config, links),
        tree=tree,
        tool_link=links[config.tool.frame],
    )


def _limits(config: RobotConfig) -> dict[str, Array]:
    """Limits in actuator order: base, then joints."""
    linear, angular = _base_limits(config.base)

    def column(name: str, place: int) -> Array:
        joints = [getattr(a, name) for a in config.actuators]
        return _frozen(
            [*linear[place : place + 1], *angular[place : place + 1], *joints]
        )

    return {
        "position_min": column("position_min_rad", 0),
        "position_max": column("position_max_rad", 1),
        "velocity_max": column("velocity_max_rad_s", 2),
        "acceleration_max": column("acceleration_max_rad_s2", 3),
        "braking_max": column("acceleration_max_rad_s2", 4),
        "jerk_max": column("jerk_max_rad_s3", 5),
        "effort_max": column("torque_max_n_m", 6),
    }


def _base_limits(base: BaseConfig | None) -> tuple[list[float], list[float]]:
    """Limits of the two base actuators in the order of :func:`_limits`, or nothing."""
    if base is None:
        return [], []
    a, b = base.linear, base.angular
    force = max(base.drive.force_max_n, base.drive.brake_force_max_n)
    linear = [
        -math.inf,
        math.inf,
        a.velocity_max_m_s,
        a.acceleration_max_m_s2,
        a.braking_max_m_s2,
        a.jerk_max_m_s3,
        force,
    ]
    angular = [
        -math.inf,
        math.inf,
        b.velocity_max_rad_s,
        b.acceleration_max_rad_s2,
        b.braking_max_rad_s2,
        b.jerk_max_rad_s3,
        force * max(abs(w.position_m[1]) for w in base.wheels),
    ]
    return linear, angular


def load_robot(name: str) -> Robot:
    """Load a robot by name (a folder of ``robots/``) or by its folder's path.

    Raises:
        ContentError: If there is no such robot.
        ConfigError: If robot.yaml or the URDF is wrong, in one sentence.
    """
    folder = content.find("robots", name)
    if folder.is_file():
        folder = folder.parent
    return _load(folder.resolve())


def rotation_from_rpy(roll: float, pitch: float, yaw: float) -> Array:
    """Return the 3x3 rotation of URDF roll, pitch, yaw [rad] (fixed axes x, y, z)."""
    cr, sr = math.cos(roll), math.sin(roll)
    cp, sp = math.cos(pitch), math.sin(pitch)
    cy, sy = math.cos(yaw), math.sin(yaw)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def _frozen(values: object) -> Array:
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


def _shape_table(config: RobotConfig, links: dict[str, int]) -> ShapeTable:
    tool = config.tool.stiffness_n_per_m or math.inf
    return ShapeTable(
        names=tuple(s.name for s in config.shapes),
        link=np.array([links[s.link] for s in config.shapes], dtype=np.int64),
        local=_frozen([[*s.from_m, *s.to_m, s.radius_m] for s in config.shapes]),
        utensil=np.array([s.utensil for s in config.shapes], dtype=np.bool_),
        edge_radius_m=_frozen([s.edge_radius_m for s in config.shapes]),
        minimum_area_cm2=_frozen([s.minimum_area_cm2 for s in config.shapes]),
        stiffness_n_per_m=_frozen(
            [tool if s.link == config.tool.link else math.inf for s in config.shapes]
        ),
    )


def _numbers(
    element: ElementTree.Element | None, key: str, default: str
) -> list[float]:
    text = default if element is None else element.get(key, default)
    return [float(part) for part in text.split()]


def _parse(urdf: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(urdf).getroot()
    except OSError as error:
        raise ContentError(f"{urdf}: cannot be read ({error.strerror})") from None
    except ElementTree.ParseError as error:
        raise ConfigError(f"{urdf}: is not valid XML ({error})") from None


def _read_tree(urdf: Path, actuated: list[str], first_joint: int, origin: Path) -> Tree:
    root = _parse(urdf)
    links = {str(link.get("name")): link for link in root.findall("link")}
    joints = {str(j.get("name")): j for j in root.findall("joint")}
    for name in actuated:
        if name not in joints:
            raise ConfigError(
                f'{origin}: actuators: no joint "{name}" in {urdf.name}; '
                f"{suggest(name, joints)}"
            )
    children: dict[str, list[ElementTree.Element]] = {}
    for joint in joints.values():
        children.setdefault(str(joint.find("parent").get("link")), []).append(joint)  # type: ignore[union-attr]
    child_names = {str(j.find("child").get("link")) for j in joints.values()}  # type: ignore[union-attr]
    order: list[tuple[str, int, ElementTree.Element | None]] = []
    stack: list[tuple[str, int, ElementTree.Element | None]] = [
        (name, -1, None) for name in links if name not in child_names
    ]
    while stack:
        name, parent, via = stack.pop(0)
        order.append((name, parent, via))
        stack.extend(
            (str(j.find("child").get("link")), len(order) - 1, j)  # type: ignore[union-attr]
            for j in children.get(name, [])
        )
    count = len(order)
    rotation = np.tile(np.eye(3), (count, 1, 1))
    translation, axis = np.zeros((count, 3)), np.zeros((count, 3))
    mass, com, inertia = np.zeros(count), np.zeros((count, 3)), np.zeros((count, 3, 3))
    actuator = np.full(count, -1, dtype=np.int64)
    if first_joint > 0:
        actuator[0] = 0
    prismatic = np.zeros(count, dtype=np.bool_)
    for index, (name, _, via) in enumerate(order):
        if via is not None:
            place = via.find("origin")
            translation[index] = _numbers(place, "xyz", "0 0 0")
            rotation[index] = rotation_from_rpy(*_numbers(place, "rpy", "0 0 0"))
            axis[index] = _numbers(via.find("axis"), "xyz", "1 0 0")
            prismatic[index] = via.get("type") == "prismatic"
            if via.get("name") in actuated:
                actuator[index] = first_joint + actuated.index(str(via.get("name")))
            elif via.get("type") != "fixed":
                raise ConfigError(
                    f'{origin}: the moving joint "{via.get("name")}" of '
                    f"{urdf.name} is not among the actuators"
                )
        inertial = links[name].find("inertial")
        if inertial is not None:
            com[index] = _numbers(inertial.find("origin"), "xyz", "0 0 0")
            mass[index] = _numbers(inertial.find("mass"), "value", "0")[0]
            t = inertial.find("inertia")
            xx, yy, zz, xy, xz, yz = (
                _numbers(t, key, "0")[0]
                for key in ("ixx", "iyy", "izz", "ixy", "ixz", "iyz")
            )
            inertia[index] = [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]
    return Tree(
        link_names=tuple(name for name, _, _ in order),
        parent=np.array([parent for _, parent, _ in order], dtype=np.int64),
        actuator=actuator,
        prismatic=prismatic,
        rotation=_frozen(rotation),
        translation=_frozen(translation),
        axis=_frozen(axis),
        mass=_frozen(mass),
        center_of_mass=_frozen(com),
        inertia=_frozen(inertia),
    )


def _check_limits(urdf: Path, config: RobotConfig, origin: Path) -> None:
    joints = {j.get("name"): j for j in _parse(urdf).findall("joint")}
    for a in config.actuators:
        limit = joints[a.joint].find("limit")
        if limit is None:
            continue
        for key, ours, name in (
            ("lower", a.position_min_rad, "position_min_rad"),
            ("upper", a.position_max_rad, "position_max_rad"),
            ("velocity", a.velocity_max_rad_s, "velocity_max_rad_s"),
            ("effort", a.torque_max_n_m, "torque_max_n_m"),
        ):
            theirs = limit.get(key)
            if theirs is not None and abs(float(theirs) - ours) > 1e-6:
                raise ConfigError(
                    f"{origin}: actuators.{a.joint}.{name}: {ours} differs "
                    f"from {theirs} in {urdf.name}"
                )
        if not a.position_min_rad < a.position_max_rad:
            raise ConfigError(
                f"{origin}: actuators.{a.joint}: position_min_rad must be "
                "below position_max_rad"
            )
