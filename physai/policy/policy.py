"""What a policy is, what it promises, and the check around every action.

A policy knows nothing of plant, guard or loop: a flat float32 observation goes in, a
flat float32 action in [-1, 1] comes out. Its contract names every entry with unit
and scale, the rate, and the digests of what it was trained for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from physai.errors import ContractError

__all__ = [
    "CONTRACT_SCHEMA",
    "CheckedPolicy",
    "FloatArray",
    "FunctionPolicy",
    "ImageEntry",
    "Policy",
    "PolicyContract",
    "check_fits",
]

FloatArray: TypeAlias = npt.NDArray[np.float32]

CONTRACT_SCHEMA = "physai/policy-contract/1"

_MODES = ("state", "rgbd")


@runtime_checkable
class Policy(Protocol):
    """Two methods: forget the last episode, and act."""

    def reset(self) -> None:
        """Forget everything about the last episode."""

    def act(self, observation: FloatArray) -> FloatArray:
        """Return the action for one observation.

        Args:
            observation: (o,) float32, in the order and units of the contract.

        Returns:
            (a,) float32, each entry in [-1, 1].
        """
        ...


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """A block of pixels in a flat observation, row by row, channels last.

    Attributes:
        name: Camera and kind, such as ``side.rgb``.
        height: Rows.
        width: Columns.
        channels: Values of a pixel.
        unit: Of a value: ``1`` for colours from 0 to 255, ``m`` for depth (0 where none
            was measured).
        high: Largest value; the least is 0.
    """

    name: str
    height: int
    width: int
    channels: int
    unit: str
    high: float

    @property
    def size(self) -> int:
        """Entries of the flat observation that it takes."""
        return self.height * self.width * self.channels


@dataclass(frozen=True, slots=True)
class PolicyContract:
    """What a policy was made for; part of a bundle's manifest.

    The policy takes observation entries and gives action entries as the environment
    does; unit and scale say what they mean: entry times scale is the value in the unit.
    In the mode ``rgbd`` the named entries are followed by the pixels of the images, in
    their order.

    Attributes:
        environment: Environment id, such as ``physai/CareFeeding-v0``.
        observation_names: Every entry with its unit and frame in the name, in order.
        action_names: Every entry of the action, in order.
        control_hz: Rate at which it was trained to act [Hz].
        digests: SHA-256 of ``environment``, ``robot`` and ``safety`` content.
        observation_units: Unit of every entry; left out, all are plain numbers, "1".
        observation_scale: What one stands for in that unit; left out, all are 1.
        action_units: As for the observation.
        action_scale: As for the observation.
        observation: Mode of the environment's observation: ``state`` or ``rgbd``.
        images: Of the mode ``rgbd``, what follows the named entries.
        residual_scale: What an action of 1.0 adds to that of the environment's expert; 0
            for a policy that acts alone.
    """

    environment: str
    observation_names: tuple[str, ...]
    action_names: tuple[str, ...]
    control_hz: float
    digests: Mapping[str, str] = field(default_factory=dict)
    observation_units: tuple[str, ...] = ()
    observation_scale: tuple[float, ...] = ()
    action_units: tuple[str, ...] = ()
    action_scale: tuple[float, ...] = ()
    observation: str = "state"
    images: tuple[ImageEntry, ...] = ()
    residual_scale: float = 0.0

    def __post_init__(self) -> None:
        if self.observation not in _MODES or (self.observation == "rgbd") != bool(
            self.images
        ):
            raise ContractError(
                f'contract: the observation is "{self.observation}" with '
                f'{len(self.images)} images; valid: "state" without, "rgbd" with some'
            )
        for kind in ("observation", "action"):
            size = len(getattr(self, f"{kind}_names"))
            if not size:
                raise ContractError(f"contract: {kind}_names must name an entry")
            for part, missing in (("units", "1"), ("scale", 1.0)):
                name = f"{kind}_{part}"
                given = getattr(self, name) or (missing,) * size
                object.__setattr__(self, name, tuple(given))
                if len(given) != size:
                    raise ContractError(
                        f"contract: {name} has {len(given)} entries for {size} "
                        f"{kind}_names"
                    )
            scale = np.asarray(getattr(self, f"{kind}_scale"), dtype=np.float64)
            if not (np.isfinite(scale).all() and (scale > 0).all()):
                raise ContractError(f"contract: every {kind}_scale must be above 0")
        if not 0.0 <= self.residual_scale <= 1.0:
            raise ContractError("contract: residual_scale must be from 0 to 1")
        if not (np.isfinite(self.control_hz) and self.control_hz > 0):
            raise ContractError("contract: control_hz must be a number above 0")

    @property
    def observation_size(self) -> int:
        """Numbers in the flat observation: named entries and pixels."""
        return len(self.observation_names) + sum(i.size for i in self.images)

    def to_json(self) -> dict[str, Any]:
        """Return the contract as JSON values.

        Mode, images and scale of a correction are written where there are any, so that
        contracts without keep the digest that they had before.
        """
        value = asdict(self)
        if not self.images:
            del value["observation"], value["images"]
        if not self.residual_scale:
            del value["residual_scale"]
        value = {k: list(v) if isinstance(v, tuple) else v for k, v in value.items()}
        return {"schema": CONTRACT_SCHEMA, **value, "digests": dict(self.digests)}

    @classmethod
    def from_json(cls, value: Any, origin: str = "contract") -> PolicyContract:
        """Read a contract from JSON values.

        Raises:
            ContractError: If a key is missing, unknown or of the wrong type.
        """
        if not isinstance(value, Mapping):
            raise ContractError(f"{origin}: a contract is a mapping of keys to values")
        given = dict(value)
        schema = given.pop("schema", None)
        if schema != CONTRACT_SCHEMA:
            raise ContractError(
                f'{origin}: the contract has the schema "{schema}", this version '
                f'reads "{CONTRACT_SCHEMA}"'
            )
        given.setdefault("observation", "state")
        given.setdefault("images", ())
        given.setdefault("residual_scale", 0.0)
        names = {each.name for each in fields(cls)}
        if set(given) != names:
            wrong = sorted(set(given) ^ names)
            raise ContractError(f"{origin}: missing or unknown keys: {wrong}")
        try:
            given["observation"] = _text(given["observation"])
            given["images"] = tuple(map(_image, given["images"]))
            for name in names:
                if name.endswith(("_names", "_units")):
                    given[name] = tuple(map(_text, given[name]))
                elif name == "residual_scale":
                    given[name] = float(given[name])
                elif name.endswith("_scale"):
                    given[name] = tuple(map(float, given[name]))
            pairs = dict(given["digests"]).items()
            given["digests"] = {_text(key): _text(digest) for key, digest in pairs}
            given["control_hz"] = float(given["control_hz"])
            given["environment"] = _text(given["environment"])
            return cls(**given)
        except (TypeError, ValueError) as error:
            raise ContractError(
                f"{origin}: the contract is malformed ({error})"
            ) from None


def check_fits(
    contract: PolicyContract,
    *,
    observation_names: tuple[str, ...],
    action_names: tuple[str, ...],
    control_hz: float,
    images: tuple[ImageEntry, ...] = (),
    digests: Mapping[str, str] | None = None,
    origin: str = "the policy",
) -> None:
    """Check that a policy was made for what it is about to be used with.

    Args:
        contract: The policy's contract.
        observation_names: The environment's, in order.
        action_names: The environment's, in order.
        control_hz: The rate of the loop [Hz].
        images: The environment's, in order.
        digests: Digests that must agree where both sides name them; None checks
            none of them.
        origin: The policy, for the sentence.

    Raises:
        ContractError: Naming the first difference.
    """
    if bool(contract.images) != bool(images):
        here = "rgbd" if images else "state"
        raise ContractError(
            f'{origin}: was made for the observation "{contract.observation}", here it '
            f'is "{here}"; use observation="{contract.observation}"'
        )
    for own, given in zip(contract.images, images, strict=False):
        if own != given:
            raise ContractError(
                f"{origin}: {_image_text(own)} in its contract, {_image_text(given)} in "
                "the environment"
            )
    if len(contract.images) != len(images):
        raise ContractError(
            f"{origin}: was made for {len(contract.images)} images, the environment has "
            f"{len(images)}"
        )
    for kind, ours, theirs in (
        ("observation", contract.observation_names, observation_names),
        ("action", contract.action_names, action_names),
    ):
        if tuple(ours) != tuple(theirs):
            raise ContractError(f"{origin}: {_first_difference(kind, ours, theirs)}")
    if abs(contract.control_hz - control_hz) > 1e-9 * control_hz:
        raise ContractError(
            f"{origin}: acts at {contract.control_hz:g} Hz, the loop runs at "
            f"{control_hz:g} Hz"
        )
    for name, digest in (digests or {}).items():
        made_for = contract.digests.get(name)
        if made_for is not None and made_for != digest:
            raise ContractError(
                f"{origin}: was made for another version of the {name} (digest "
                f"{made_for[:12]}, in use is {digest[:12]}); train or evaluate it again"
            )


class CheckedPolicy:
    """Checks every observation and action of a policy.

    A wrong shape or type raises, because the policy does not fit. A value that is
    not finite or out of range is counted and passed on as it is: what to do about it
    is the guard's decision, not the policy's.

    Args:
        policy: The policy.
        observation_size: Entries of the observation; None does not check.
        action_size: Entries of the action; None takes the first action's.
        name: For the sentences.
    """

    def __init__(
        self,
        policy: Policy,
        observation_size: int | None = None,
        action_size: int | None = None,
        name: str = "policy",
    ) -> None:
        self.policy = policy
        self.name = name
        self.not_finite = 0
        self.out_of_range = 0
        self._observation_size = observation_size
        self._action_size = action_size

    @property
    def contract(self) -> PolicyContract | None:
        """The contract of the policy inside, if it has one."""
        return getattr(self.policy, "contract", None)

    def reset(self) -> None:
        """Start an episode; the counts go on."""
        self.policy.reset()

    def act(self, observation: FloatArray) -> FloatArray:
        """Return the policy's action, checked.

        Raises:
            ContractError: If the shape of observation or action is wrong, or the
                action is not made of numbers.
        """
        wanted = self._observation_size
        if observation.ndim != 1 or wanted not in (None, observation.shape[0]):
            raise ContractError(
                f"{self.name}: the observation has the shape {observation.shape}, "
                f"expected ({wanted if wanted is not None else 'o'},)"
            )
        given = self.policy.act(observation)
        try:
            action = np.asarray(given, dtype=np.float32)
        except (TypeError, ValueError):
            raise ContractError(
                f"{self.name}: the action is not an array of numbers"
            ) from None
        if self._action_size is None and action.ndim == 1:
            self._action_size = action.shape[0]
        if action.shape != (self._action_size,):
            raise ContractError(
                f"{self.name}: the action has the shape {action.shape}, expected "
                f"({self._action_size},)"
            )
        # One comparison on the fast path: it is false for NaN too.
        if not (np.abs(action) <= 1.0).all():
            finite = bool(np.isfinite(action).all())
            self.not_finite += not finite
            self.out_of_range += finite
        return action


class FunctionPolicy:
    """A policy from a function of the observation.

    Args:
        function: Returns the action.
        on_reset: Called at the start of every episode.
    """

    def __init__(
        self,
        function: Callable[[FloatArray], FloatArray],
        on_reset: Callable[[], None] | None = None,
    ) -> None:
        self._function = function
        self._on_reset = on_reset

    def reset(self) -> None:
        """Call the function given for it."""
        if self._on_reset is not None:
            self._on_reset()

    def act(self, observation: FloatArray) -> FloatArray:
        """Return the function's action."""
        return self._function(observation)


def _first_difference(kind: str, ours: tuple[str, ...], theirs: tuple[str, ...]) -> str:
    if len(ours) != len(theirs):
        return (
            f"was made for {len(ours)} {kind} entries, the environment has "
            f"{len(theirs)}"
        )
    place = next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
    return (
        f'{kind} entry {place} is "{ours[place]}" in its contract and '
        f'"{theirs[place]}" in the environment'
    )


def _image(value: Any) -> ImageEntry:
    """Read an image of a contract; TypeError or ValueError if it is none."""
    image = ImageEntry(**dict(value))
    sides = (image.height, image.width, image.channels)
    if not all(isinstance(side, int) and side > 0 for side in sides):
        raise ValueError(f"{image.name}: sides and channels must be whole numbers")
    if not (np.isfinite(float(image.high)) and image.high > 0):
        raise ValueError(f"{image.name}: high must be above 0")
    _text(image.name), _text(image.unit)
    return image


def _image_text(image: ImageEntry) -> str:
    return (
        f"{image.name} of {image.height} x {image.width} x {image.channels} up to "
        f"{image.high:g}"
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value
