"""A task, a plant and a guard as a Gymnasium environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.utils import EzPickle

from physai.config import parse
from physai.errors import ContractError, MissingExtraError, suggest
from physai.plant.scenario import Scenario
from physai.plant.seating import pictured_boxes, pictured_ground
from physai.tasks import registry

if TYPE_CHECKING:
    from physai.plant.plant import Plant
    from physai.plant.scenario import PlantConfig
    from physai.policy.policy import ImageEntry, Policy
    from physai.record.episode import StepRecord
    from physai.robot.description import Robot
    from physai.tasks.cycle import Cycle

__all__ = ["PhysaiEnv"]

FloatArray = npt.NDArray[np.float32]


class PhysaiEnv(EzPickle, gymnasium.Env[FloatArray, FloatArray]):
    """One person, one robot, one task.

    ``info`` always has ``cost`` (>= 0, of this step), ``episode_cost`` (so far),
    ``margins`` (the guard's view, order of :attr:`rule_names`; the scorer's where the
    guard is off), ``intervened`` and ``is_success``; the last step of an episode also
    has every figure that the environment reports. A latched stop ends the episode and
    is charged the cost of the steps that were left. What comes out of a pickle is a new
    environment of the same arguments, which has to be reset.

    Args:
        environment: An id, a name below ``envs/`` or a YAML file.
        plant: Name of a plant, or a plant.
        guard: ``on``, ``observe`` or ``off``.
        observation: ``state``; or ``rgbd``, images of the plant's cameras in place of
            what trackers give (:mod:`physai.tasks.image_observation`); or ``tags``, as
            ``state`` with the poses of objects from tags that cameras see
            (:mod:`physai.plant.tag_vision`). All are flat; pixels follow the named
            entries, and :attr:`images` says whose.
        render_mode: ``rgb_array``, ``human`` or None.
        scenario: Every episode is this one; None samples one per reset.
        distribution: Ranges that scenarios are sampled from: ``train``, ``test`` or
            ``wide``. Their seeds never meet.

    Raises:
        ContentError: If there is no such environment or plant.
        ContractError: If an argument has no such choice.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium declares it so
        "render_modes": ["rgb_array", "human"]
    }

    def __init__(
        self,
        environment: str = "physai/CareFeeding-v0",
        plant: str | Plant = "bullet",
        guard: str = "on",
        observation: str = "state",
        render_mode: str | None = None,
        scenario: Scenario | Mapping[str, Any] | None = None,
        distribution: str = "train",
    ) -> None:
        super().__init__(
            environment, plant, guard, observation, render_mode, scenario, distribution
        )
        modes = self.metadata["render_modes"]
        if render_mode is not None:
            _choice("render mode", render_mode, modes)
        self.environment = registry.load_environment(environment)
        _choice("distribution", distribution, self.environment.distributions)
        self.cycle: Cycle = registry.make_cycle(
            self.environment, plant, guard, observation=observation
        )
        self.render_mode = render_mode
        self.metadata = {
            "render_modes": modes,
            "render_fps": int(self.environment.control_hz),
        }
        self.distribution = distribution
        self._fixed = None if scenario is None else _scenario(scenario)
        self._sampled = self.cycle.task
        self._picture: Any = None
        self._closed = False
        given = self.cycle.spaces
        self.observation_space = spaces.Box(
            given.observation_low, given.observation_high, dtype=np.float32
        )
        self.action_space = spaces.Box(
            -1.0, 1.0, (len(given.action_names),), dtype=np.float32
        )

    @property
    def observation_names(self) -> tuple[str, ...]:
        """Name of every entry of the observation but pixels, with unit and frame."""
        return self.cycle.spaces.observation_names

    @property
    def images(self) -> tuple[ImageEntry, ...]:
        """Images whose pixels follow the named entries, in order."""
        return self.cycle.spaces.images

    @property
    def action_names(self) -> tuple[str, ...]:
        """Name of every entry of the action, with unit, frame and scale."""
        return self.cycle.spaces.action_names

    @property
    def rule_names(self) -> tuple[str, ...]:
        """Ids of the safety rules, the order of ``info["margins"]``."""
        return self.cycle.spec.rule_names

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Chooses the scenario of this episode and, by the generator that it
                starts, of all that follow without a seed.
            options: ``{"scenario": ...}`` for a scenario of one's own.

        Returns:
            Observation and info.
        """
        super().reset(seed=seed)
        scenario = self._choose(seed, options or {})
        self.cycle.reset(scenario)
        if self.render_mode == "human":
            self.render()
        return self.cycle.observation, {
            "cost": 0.0,
            "episode_cost": 0.0,
            "margins": np.ones(len(self.rule_names)),
            "intervened": False,
            "is_success": False,
        }

    def step(
        self, action: FloatArray
    ) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """Do one control step.

        Returns:
            Observation, reward, terminated, truncated and info.

        Raises:
            ContractError: See :meth:`physai.tasks.cycle.Cycle.step`.
        """
        record = self.cycle.step(action)
        figures = self.cycle.figures
        info: dict[str, Any] = {
            "cost": record.cost,
            "episode_cost": figures.cost,
            "margins": record.decision.margins.copy(),
            "intervened": record.decision.intervened,
            "is_success": record.success,
        }
        if record.terminated or record.truncated:
            self._finish(record, info)
        if self.render_mode == "human":
            self.render()
        return (
            self.cycle.observation,
            record.reward,
            record.terminated,
            record.truncated,
            info,
        )

    def narrow(self, spread: float, kinds: Collection[str]) -> None:
        """Draw easier scenarios from the next reset on, for a curriculum.

        Args:
            spread: From 0 to 1: so much of every named range is left around its middle.
            kinds: Kinds of templates that are left.

        Raises:
            ConfigError: See :meth:`EnvironmentConfig.narrowed`.
        """
        self._sampled = registry.make_task(self.environment.narrowed(spread, kinds))

    def scripted_policy(self, name: str, seed: int = 0) -> Policy:
        """Return ``expert``, ``random``, ``random_white``, ``zero`` or ``adversary``.

        Args:
            name: Which one.
            seed: Of its own random numbers.

        Raises:
            ContractError: If there is none of that name.
        """
        return self.cycle.scripted_policy(name, seed)

    def render(self) -> Any:
        """Return a picture of the scene as it is, or show it in a window.

        Returns:
            (height, width, 3) uint8 in mode ``rgb_array``; None in mode ``human``.

        Raises:
            ContractError: Without a render mode, before the first reset, or where
                there is no display.
            MissingExtraError: Without the extra ``sim``.
        """
        if self.render_mode is None:
            raise ContractError(
                'pictures need a render mode: make(..., render_mode="rgb_array")'
            )
        if self.cycle.scenario is None:
            raise ContractError("there is nothing to see yet: call reset first")
        if self._picture is None:
            self._picture = _picture(self.environment.plant, self.cycle.task.robot)
        truth = self.cycle.truth
        state = self.cycle.state if truth is None else truth.state
        place = _mouth(self.environment.extras)
        scene = self.environment.plant.scene
        image = self._picture.draw(
            state,
            mouth=None if place is None else state.extras[place],
            surface=pictured_ground(self.cycle.plant),
            objects=pictured_boxes(self.cycle.plant, self.cycle.scenario, scene),
        )
        if self.render_mode == "rgb_array":
            return image
        _show(self.environment.title.en, image)
        return None

    def close(self) -> None:
        """Release plant and pictures; twice does no harm."""
        if self._closed:
            return
        self._closed = True
        if self._picture is not None:
            self._picture.close()
        self.cycle.close()

    def _choose(self, seed: int | None, options: Mapping[str, Any]) -> Scenario:
        unknown = [key for key in options if key != "scenario"]
        if unknown:
            raise ContractError(
                f'unknown reset option "{unknown[0]}"; '
                f"{suggest(unknown[0], ['scenario'])}"
            )
        if options.get("scenario") is not None:
            return _scenario(options["scenario"])
        if self._fixed is not None:
            return self._fixed
        seeds = self.environment.distributions[self.distribution].seeds
        place = int(self.np_random.integers(seeds.count)) if seed is None else seed
        return self._sampled.sample_scenario(
            seeds.first + place % seeds.count, self.distribution
        )

    def _finish(self, record: StepRecord, info: dict[str, Any]) -> None:
        info.update(self.cycle.figures.values())
        info["time_s"] = record.time_s
        info["latched"] = record.decision.latched


def _picture(plant: PlantConfig, robot: Robot) -> Any:
    try:
        from physai.plant.picture import Picture
    except ModuleNotFoundError:
        raise MissingExtraError("sim", "a picture of the scene") from None
    return Picture(plant, robot)


def _mouth(extras: tuple[str, ...]) -> slice | None:
    name = "mouth_x_in_world_m"
    if name not in extras:
        return None
    return slice(extras.index(name), extras.index(name) + 3)


def _show(title: str, image: Any) -> None:
    if sys.platform == "linux" and not os.environ.keys() & {
        "DISPLAY",
        "WAYLAND_DISPLAY",
    }:
        raise ContractError(
            'there is no display here: use render_mode="rgb_array" or --video FILE'
        )
    try:
        import cv2
    except ModuleNotFoundError:
        raise MissingExtraError("sim", "a window with the scene") from None
    cv2.imshow(title, image[:, :, ::-1])
    cv2.waitKey(1)


def _scenario(value: Scenario | Mapping[str, Any]) -> Scenario:
    if isinstance(value, Scenario):
        return value
    if isinstance(value, Mapping):
        return parse(Scenario, dict(value), "scenario")
    raise ContractError("a scenario is a Scenario or a mapping of its fields")


def _choice(what: str, given: str, valid: Any) -> None:
    if given not in valid:
        raise ContractError(f'no {what} "{given}": {suggest(str(given), valid)}')
