"""The base of a robot that drives: wheels, drive and ground friction as content.

Section ``base`` of ``robot.yaml``. Its frame is the URDF's root link: x forward, y left,
z up, the origin on the ground below the point that turns on the spot or moves along x
alone (middle of the driven axle; middle of the tracks).
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from physai.config import Config

__all__ = [
    "BASE_ACTUATORS",
    "AngularLimitsConfig",
    "BaseConfig",
    "DriveConfig",
    "FrictionConfig",
    "LinearLimitsConfig",
    "PayloadConfig",
    "SteeringConfig",
    "WheelConfig",
]

BASE_ACTUATORS = ("base_linear", "base_angular")
"""The first two actuators of a robot with a base: forward speed [m/s] along the base's
x and yaw rate [rad/s] about its z. Their positions are odometry: travelled length [m]
and yaw [rad] since the reset."""

Positive = Annotated[float, Field(gt=0.0)]


class LinearLimitsConfig(Config):
    """Limits along the base's x."""

    velocity_max_m_s: Positive
    acceleration_max_m_s2: Positive
    braking_max_m_s2: Positive
    """Deceleration of ordinary driving."""
    emergency_braking_max_m_s2: Positive
    """Deceleration that the drive asks of the brakes in a stop of category 0."""
    jerk_max_m_s3: Positive
    source: str


class AngularLimitsConfig(Config):
    """Limits about the base's z."""

    velocity_max_rad_s: Positive
    acceleration_max_rad_s2: Positive
    braking_max_rad_s2: Positive
    emergency_braking_max_rad_s2: Positive
    jerk_max_rad_s3: Positive
    source: str


class WheelConfig(Config):
    """One wheel or road wheel of a track.

    The tyre (or the ground under a track) is a spring with a damper along the ground's
    normal.
    """

    name: str
    role: Literal["driven", "steered", "caster"]
    """Driven wheels roll at the drive's speed; a steered one rolls freely in its own
    direction; a caster swivels and resists by rolling only."""
    position_m: tuple[float, float]
    """x and y of its contact in the base frame."""
    radius_m: Positive
    stiffness_n_per_m: Positive
    damping_n_s_per_m: Positive


class DriveConfig(Config):
    """What all driven wheels of the base can do together, at the ground."""

    force_max_n: Positive
    brake_force_max_n: Positive
    holding_force_max_n: Positive
    """Of the parking brake: while it stands and is told to stand."""
    yaw_slip: Annotated[float, Field(ge=1.0)] = 1.0
    """Difference of the sides' speeds over that of pure rolling at the same yaw rate:
    above 1 for tracks, which must slip to turn."""
    source: str


class SteeringConfig(Config):
    """The steered axle."""

    angle_max_rad: Annotated[float, Field(gt=0.0, lt=0.5 * math.pi)]
    rate_max_rad_s: Positive
    minimum_turning_radius_m: Positive
    """Of the base's origin."""
    source: str


class FrictionConfig(Config):
    """Wheel on one kind of ground."""

    ground: str
    longitudinal: Positive
    """Friction coefficient along the wheel's rolling direction."""
    lateral: Positive
    """Across it."""
    rolling: Annotated[float, Field(ge=0.0)]
    """Rolling resistance of wheels that are not driven, as a share of their load."""
    source: str


class PayloadConfig(Config):
    """A load carried rigidly by one link: a solid box, 0 kg unless a scenario says so."""

    link: str
    mass_max_kg: Positive
    size_m: tuple[Positive, Positive, Positive]
    source: str


class BaseConfig(Config):
    """Section ``base`` of robot.yaml."""

    kind: Literal["differential", "tracked", "steered"]
    linear: LinearLimitsConfig
    angular: AngularLimitsConfig
    drive: DriveConfig
    steering: SteeringConfig | None = None
    wheels: Annotated[tuple[WheelConfig, ...], Field(min_length=3)]
    wheels_source: str
    friction: Annotated[tuple[FrictionConfig, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _fits(self) -> BaseConfig:
        driven = [w for w in self.wheels if w.role == "driven"]
        if not any(w.position_m[1] > 0.0 for w in driven) or not any(
            w.position_m[1] < 0.0 for w in driven
        ):
            raise ValueError("wheels: there must be driven wheels left and right")
        steered = [w for w in self.wheels if w.role == "steered"]
        if (self.kind == "steered") != bool(steered) or (
            (self.kind == "steered") != (self.steering is not None)
        ):
            raise ValueError(
                "steering and steered wheels belong to the kind steered, and to it alone"
            )
        if self.steering is not None:
            tightest = self.wheelbase_m / math.tan(self.steering.angle_max_rad)
            if self.steering.minimum_turning_radius_m < tightest - 1e-3:
                raise ValueError(
                    "steering.minimum_turning_radius_m: the steering angle permits no "
                    f"less than {tightest:.3f} m"
                )
        names = [f.ground for f in self.friction]
        if len(set(names)) != len(names):
            raise ValueError("friction: a ground is named twice")
        return self

    @property
    def wheelbase_m(self) -> float:
        """Distance of the steered axle behind the base's origin [m]; 0 without one."""
        places = [-w.position_m[0] for w in self.wheels if w.role == "steered"]
        return places[0] if places else 0.0

    @property
    def grounds(self) -> tuple[str, ...]:
        """The kinds of ground whose friction is known."""
        return tuple(f.ground for f in self.friction)
