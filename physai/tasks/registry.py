"""The table of environments, and how to get one by its id.

Registering is cheap and imports nothing but Gymnasium: an environment's modules are
imported when it is made. Task classes and plants of other packages come through the
entry points ``physai.tasks`` and ``physai.plants`` and are looked up only when a name
is not in the tables here.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from physai.errors import ContentError, ContractError, MissingExtraError, suggest

if TYPE_CHECKING:
    import gymnasium

    from physai.plant.plant import Plant
    from physai.tasks.cycle import Cycle
    from physai.tasks.environment import EnvironmentConfig
    from physai.tasks.image_observation import ImageObservation
    from physai.tasks.task import Spaces, Task

__all__ = [
    "ENVIRONMENTS",
    "OBSERVATIONS",
    "PLANTS",
    "TASKS",
    "ids",
    "load_environment",
    "make",
    "make_cycle",
    "make_sight",
    "make_task",
    "observed_spaces",
    "register_all",
    "resolve",
]

ENVIRONMENTS: Mapping[str, str] = MappingProxyType(
    {
        "physai/CareFeeding-v0": "care/feeding",
        "physai/CareNightRound-v0": "care/night_round",
        "physai/ConstructionHaul-v0": "construction/haul",
        "physai/LogisticsCrossing-v0": "logistics/crossing",
        "physai/LogisticsPalletize-v0": "logistics/palletize",
        "physai/ConstructionTrench-v0": "construction/trench",
    }
)
"""Gymnasium id to the name of its YAML below ``envs/``."""

TASKS: Mapping[str, str] = MappingProxyType(
    {
        "care.feeding": "physai.tasks.care.feeding:CareFeeding",
        "care.night_round": "physai.tasks.care.night_round:CareNightRound",
        "construction.haul": "physai.tasks.construction.haul:ConstructionHaul",
        "logistics.crossing": "physai.tasks.logistics.crossing:LogisticsCrossing",
        "logistics.palletize": "physai.tasks.logistics.palletize:LogisticsPalletize",
        "construction.trench": "physai.tasks.construction.trench:ConstructionTrench",
    }
)
"""Task name, as in an environment's YAML, to its class."""

PLANTS: Mapping[str, str] = MappingProxyType(
    {
        "bullet": "physai.plant.bullet:BulletPlant",
        "mujoco": "physai.plant.mujoco:MujocoPlant",
        "ros": "physai.plant.ros:RosPlant",
        "replay": "physai.plant.replay:ReplayPlant",
    }
)
"""Plant name to its class."""

OBSERVATIONS = ("state", "rgbd", "tags")
"""What a policy may be shown; see :class:`physai.tasks.env.PhysaiEnv`."""

_EXTRAS = {"pybullet": "sim", "cv2": "sim", "mujoco": "twin"}


def register_all() -> None:
    """Register every environment id with Gymnasium; twice does no harm."""
    from gymnasium.envs.registration import register, registry

    for environment_id in ENVIRONMENTS:
        if environment_id not in registry:
            register(
                id=environment_id,
                entry_point="physai.tasks.env:PhysaiEnv",
                kwargs={"environment": environment_id},
                # The time limit is the scenario's, so that the loop on a robot,
                # which has no Gymnasium wrapper, ends at the same step.
                max_episode_steps=None,
                # Its contract is a test over every id, not a cost of every step.
                disable_env_checker=True,
            )


def ids() -> tuple[str, ...]:
    """Return the ids of all environments, in the order of the table."""
    return tuple(ENVIRONMENTS)


def load_environment(environment_id: str) -> EnvironmentConfig:
    """Load an environment's YAML.

    Args:
        environment_id: A Gymnasium id, a name below ``envs/`` or a YAML file.

    Raises:
        ContentError: If there is none, with the nearest and all valid ids.
        ConfigError: If the file is wrong, in one sentence.
    """
    from physai import content
    from physai.tasks.environment import read_environment

    name = ENVIRONMENTS.get(environment_id)
    if name is None:
        known = content.names("envs")
        if environment_id.removesuffix(".yaml") in known:
            return read_environment(known[environment_id.removesuffix(".yaml")])
        if environment_id.endswith(".yaml") and Path(environment_id).is_file():
            return read_environment(Path(environment_id))
        for path in known.values():
            if content.load_yaml(path).get("id") == environment_id:
                return read_environment(path)
        raise ContentError(
            f'no environment "{environment_id}": {suggest(environment_id, ids())}'
        )
    return read_environment(content.find("envs", name))


def make(environment_id: str, **arguments: Any) -> gymnasium.Env[Any, Any]:
    """Make an environment by id, name or YAML file.

    Args:
        environment_id: As in :func:`load_environment`.
        **arguments: Of :class:`physai.tasks.env.PhysaiEnv`.

    Raises:
        ContentError: If there is no such environment.
    """
    import gymnasium

    if environment_id in ENVIRONMENTS:
        return gymnasium.make(environment_id, **arguments)
    from physai.tasks.env import PhysaiEnv

    return PhysaiEnv(environment=environment_id, **arguments)


def make_task(environment: EnvironmentConfig) -> Task:
    """Make the task of an environment, with its robot."""
    from physai.robot.description import load_robot

    task: Task = resolve("task", environment.task, TASKS)(
        environment, load_robot(environment.robot.name)
    )
    return task


def make_cycle(
    environment_id: str | EnvironmentConfig,
    plant: str | Plant = "bullet",
    guard: str = "on",
    observation: str = "state",
    **plant_arguments: Any,
) -> Cycle:
    """Make the one order of a step over an environment and a plant.

    Args:
        environment_id: An id, a name, a YAML file, or a loaded environment.
        plant: ``bullet``, ``mujoco``, ``ros``, ``replay``, the name of an entry point in
            ``physai.plants``, or a plant.
        guard: ``on``, ``observe`` or ``off``.
        observation: ``state``; ``tags``, with object poses from tags in images; or
            ``rgbd``, images in place of what trackers give.
        **plant_arguments: Handed to the plant's class, such as ``url``.

    Raises:
        ContentError: If there is no such environment or plant.
        ContractError: If poses are to come from tags, or images are to be seen, and
            there are none.
        MissingExtraError: If the plant's extra is not installed.
    """
    from physai.tasks.cycle import Cycle, GuardMode

    mode = GuardMode.parse(guard)
    environment = (
        load_environment(environment_id)
        if isinstance(environment_id, str)
        else environment_id
    )
    if observation not in OBSERVATIONS:
        valid = suggest(observation, OBSERVATIONS)
        raise ContractError(f'no observation "{observation}": {valid}')
    tagged = observation == "tags"
    if tagged and not (environment.plant.process or {}).get("tags"):
        raise ContractError(_no_tags(environment))
    task = make_task(environment)
    sight = make_sight(environment, task) if observation == "rgbd" else None
    made: Any = plant
    if isinstance(plant, str):
        maker = resolve("plant", plant, PLANTS)
        if tagged and not hasattr(maker, "see_tags"):
            raise ContractError(_no_tags(environment))
        if sight is not None and not hasattr(maker, "watch"):
            raise ContractError(_no_camera(environment, plant))
        made = maker(environment.plant, task.robot, **plant_arguments)
    if tagged:
        if not hasattr(made, "see_tags"):
            raise ContractError(_no_tags(environment))
        made.see_tags()
    if sight is not None:
        if not hasattr(made, "watch"):
            raise ContractError(_no_camera(environment))
        made.watch()
    return Cycle(made, task, mode, sight)


def make_sight(environment: EnvironmentConfig, task: Task) -> ImageObservation:
    """Make the observation of an environment's images.

    Args:
        environment: Gives the cameras.
        task: Gives the entries beside the pixels.

    Raises:
        ContractError: If there is no camera.
    """
    from physai.tasks.image_observation import ImageObservation

    if not environment.plant.cameras:
        raise ContractError(_no_camera(environment))
    return ImageObservation(task.spaces(), environment.plant.cameras)


def _no_tags(environment: EnvironmentConfig) -> str:
    return f'{environment.id} has no tags on this plant; use observation="state"'


def observed_spaces(env_id: str, observation: str = "state") -> Spaces:
    """Return the spaces of an environment without making its plant.

    Args:
        env_id: Environment id.
        observation: As for :func:`make_cycle`.

    Raises:
        ContentError: If there is no such environment.
        ContractError: If images are to be seen, and there is no camera.
    """
    environment = load_environment(env_id)
    task = make_task(environment)
    if observation != "rgbd":
        return task.spaces()
    return make_sight(environment, task).spaces


def _no_camera(environment: EnvironmentConfig, plant: str = "") -> str:
    where = f"the plant {plant}" if plant else "this plant"
    return (
        f"{environment.id} has no camera images on {where}; use a policy and an "
        'observation of the mode "state"'
    )


def resolve(kind: str, name: str, table: Mapping[str, str]) -> Any:
    """Return the class behind a name of a table or of the entry points.

    Args:
        kind: ``task`` or ``plant``.
        name: What to look for.
        table: Name to ``module:Class``.

    Raises:
        ContentError: If neither knows it, with the valid names.
        MissingExtraError: If the module needs an extra that is not installed.
    """
    target = table.get(name)
    if target is None:
        from importlib.metadata import entry_points

        others = {point.name: point for point in entry_points(group=f"physai.{kind}s")}
        if name not in others:
            raise ContentError(
                f'no {kind} "{name}": {suggest(name, [*table, *others])}'
            )
        return others[name].load()
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(error.name or "")
        if extra is None:
            raise
        raise MissingExtraError(extra, f"the {kind} {name}") from None
