"""What a training run is: ``configs/train/<name>.yaml``.

A file may build on another with ``extends: NAME``: it says only what is different. A file
that changes the algorithm starts its ``hyperparameters`` and ``policy_kwargs`` anew, since
those of one algorithm are none of another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from physai import content
from physai.config import Config
from physai.errors import ConfigError, suggest

__all__ = [
    "ConstraintConfig",
    "CurriculumConfig",
    "DemonstrationConfig",
    "EvaluationConfig",
    "MlflowConfig",
    "ResidualConfig",
    "Schedule",
    "SightConfig",
    "StageConfig",
    "TrackingConfig",
    "TrainConfig",
    "VectorConfig",
    "WandbConfig",
    "read_training",
    "with_schedules",
]

Count = Annotated[int, Field(ge=1)]
Gain = Annotated[float, Field(ge=0.0)]
Name = Annotated[str, Field(min_length=1)]


class VectorConfig(Config):
    """How many environments collect experience, and where they run."""

    environments: Count = 2
    kind: Literal["shared", "subprocess", "dummy"] = "shared"
    """``shared``: a few processes with several environments each, memory shared with the
    learner; ``subprocess`` and ``dummy`` are Stable-Baselines3's own: a process per
    environment, and a plain loop."""
    processes: Annotated[int, Field(ge=0)] | None = None
    """Of the kind ``shared``, beside the learner's: one per core if not given."""
    share_here: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Of the kind ``shared``: share of the environments that the learner's own process
    steps instead of waiting."""
    overlap: bool = False
    """Update while the environments step; on-policy in a thread, from the rollout before.
    What acts is then one update behind, always; the same seed still gives the same
    curve."""


class SightConfig(Config):
    """Section ``demonstrations.sight``: a features extractor learns to see first.

    It is taught to tell, from pixels alone, what trackers say (extras of the state), and
    then stays as it is: everything after it is learned on a few numbers instead of
    images, which is faster by two orders of magnitude.
    """

    targets: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of extras of the environment."""
    scenarios: Count = 500
    """So many first images of scenarios, beside those of the expert's episodes: a person
    moves little in an episode, and no two scenarios have the same person."""
    share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.25
    """Of the images of the expert's episodes."""
    epochs: Count = 30
    batch_size: Count = 64
    learning_rate: Annotated[float, Field(gt=0.0)] = 2e-3


class DemonstrationConfig(Config):
    """Warm start: the expert shows, the policy imitates, the expert corrects.

    Behaviour cloning on the expert's episodes, then rounds of DAgger (Ross et al.
    2011): the policy drives, the expert labels what it saw.
    """

    episodes: Annotated[int, Field(ge=0)] = 0
    """Expert episodes before the first fit; 0 switches demonstrations off."""
    dagger_rounds: Annotated[int, Field(ge=0)] = 0
    dagger_episodes: Count = 20
    epochs: Count = 10
    batch_size: Count = 256
    learning_rate: Annotated[float, Field(gt=0.0)] = 1e-3
    action_noise: Annotated[float, Field(ge=0.0)] = 0.1
    """Standard deviation of the noise on the driver's action (labels stay clean)."""
    into_replay: bool = False
    """Off-policy: the episodes also begin the replay buffer, with their rewards and costs
    (SAC from demonstrations)."""
    processes: Count | None = None
    """Episodes at once; one per core if not given. The data does not depend on it."""
    keep_every: Count = 1
    """Of so many steps one is kept; images of neighbouring steps are nearly equal."""
    sight: SightConfig | None = None
    """None learns images together with actions."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of imitation. With ``bfloat16`` weights stay in float32 and products are
    rounded to 8 bits; what acts and what is exported is in float32. It helps wide layers,
    large batches and memory (``benchmarks/precision.py``). Reinforcement learning stays in
    float32: PPO compares probabilities with those of the rollout, and the rounding of a
    mean is as large as the changes that its clipping permits."""


class EvaluationConfig(Config):
    """Deterministic episodes on held-out seeds, during and after training."""

    every_steps: Count = 25_000
    episodes: Count = 20
    final_episodes: Count = 200
    """Of the finished policy, on the test distribution."""
    compared_episodes: Annotated[int, Field(ge=0)] = 0
    """Of each arm that the card sets beside it: the wide distribution, the expert on
    both, the policy without the guard."""
    processes: Count | None = None
    """At the end; one per core if not given. The result does not depend on it."""
    blank_episodes: Annotated[int, Field(ge=0)] = 0
    """Of observation ``rgbd``: episodes with every pixel 0, which shows what the images
    are worth."""
    suite: str = ""
    """Suite to judge the final bundle with; empty for none."""
    video: Annotated[int, Field(ge=0)] = 0
    """Held-out episodes to film at the end, the first ones; ``true`` is 1."""


class WandbConfig(Config):
    """Weights & Biases; its key stays in its own environment variable or login."""

    project: Name
    entity: str | None = None
    mode: Literal["offline", "online"] = "offline"
    """``offline`` sends nothing; ``wandb sync`` does so later."""


class MlflowConfig(Config):
    """MLflow; passwords of a server stay in its own environment variables."""

    experiment: Name
    uri: str | None = None
    """Of the tracking server or store, such as ``http://host:5000`` or
    ``sqlite:///mlflow.db``; MLflow's own default if not given."""


class TrackingConfig(Config):
    """Where a run is reported beside TensorBoard; it changes nothing of the run."""

    wandb: WandbConfig | None = None
    mlflow: MlflowConfig | None = None


class ConstraintConfig(Config):
    """Section ``constraint`` of a training."""

    budget: Annotated[float, Field(ge=0.0)]
    """Mean cost of an episode that is permitted."""
    proportional: Gain = 0.1
    """Gain on the smoothed excess, per unit of cost."""
    integral: Gain = 0.01
    """Gain on the summed excess. With it alone the multiplier is that of plain gradient
    ascent, and this is its learning rate."""
    derivative: Gain = 0.01
    """Gain on how much the smoothed cost has risen over ``delay`` updates."""
    smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.95
    """Weight of the past in the exponential averages."""
    delay: Count = 10
    start: Gain = 0.0
    """The multiplier before the first update."""
    maximum: Annotated[float, Field(gt=0.0)] = 100.0
    critic_layers: tuple[Count, ...] = (64, 64)
    """Of the cost critic, on-policy."""
    critic_learning_rate: Annotated[float, Field(gt=0.0)] = 1e-3
    critic_epochs: Count = 10
    critic_batch_size: Count = 256
    discount: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """Of the cost in its critic; the algorithm's gamma if not given."""
    episodes_per_update: Count = 10
    """Off-policy: the multiplier moves after so many episodes."""


class ResidualConfig(Config):
    """Section ``residual``: what is learned corrects the environment's expert."""

    scale: Annotated[float, Field(gt=0.0, le=1.0)] = 0.3
    """What an action of 1.0 adds to the expert's."""


class StageConfig(Config):
    """One stage of a curriculum."""

    spread: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    """So much of every named range of the environment is left around its middle."""
    kinds: Annotated[
        tuple[Literal["nominal", "boundary", "fault", "misuse"], ...],
        Field(min_length=1),
    ] = ("nominal", "boundary", "fault", "misuse")
    """Kinds of scenarios that are drawn."""


class CurriculumConfig(Config):
    """Easier scenarios first; evaluations always take all of them."""

    stages: Annotated[tuple[StageConfig, ...], Field(min_length=1)]
    success: Annotated[float, Field(ge=0.0, le=1.0)] = 0.8
    """Share of successes in the last 100 episodes with which the next stage begins."""
    most_steps: Count = 100_000
    """Steps after which the next stage begins in any case."""


def _may_extend(schema: dict[str, Any]) -> None:
    """Tell editors of ``extends``, with which nothing else is required."""
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "Name or path of the training config that this one builds on.",
    }
    schema["anyOf"] = [
        {"required": schema.pop("required")},
        {"required": ["extends"]},
    ]


class TrainConfig(Config):
    """A training run; names of hyper-parameters are Stable-Baselines3's own."""

    model_config = ConfigDict(json_schema_extra=_may_extend)

    environment: str
    observation: Literal["state", "rgbd"] = "state"
    """``rgbd``: camera images in place of what trackers of people and things give."""
    guard: Literal["on", "observe", "off"] = "on"
    algorithm: str
    """Any algorithm of Stable-Baselines3 or sb3-contrib, by class name."""
    policy: str = "MlpPolicy"
    total_steps: Annotated[int, Field(ge=0)]
    """Of reinforcement learning; 0 leaves it at what the demonstrations taught."""
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    """Where Stable-Baselines3 takes a schedule, ``{linear: [from, to]}`` and
    ``{cosine: [from, to]}`` are schedules over the run."""
    policy_kwargs: dict[str, Any] = Field(default_factory=dict)
    normalize_observation: bool = True
    normalize_reward: bool = True
    vector: VectorConfig = VectorConfig()
    distribution: str = "train"
    """Ranges that scenarios are drawn from: ``train``, or ``wide`` for more
    randomisation. Their seeds are never those of the evaluation."""
    curriculum: CurriculumConfig | None = None
    """Easier scenarios first; none takes all from the beginning."""
    constraint: ConstraintConfig | None = None
    """A budget for the mean cost of an episode; none leaves cost to the reward."""
    demonstrations: DemonstrationConfig = DemonstrationConfig()
    residual: ResidualConfig | None = None
    """None learns the whole action."""
    evaluation: EvaluationConfig = EvaluationConfig()
    tracking: TrackingConfig = TrackingConfig()
    checkpoint_every_steps: Count = 20_000
    seed: Annotated[int, Field(ge=0)] = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    torch_threads: Count = 1
    """One thread leaves the other core to the environments; a second one gained
    0-40 % on updates for twice the processor time where it was measured."""

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        plan = self.demonstrations
        if self.total_steps == 0 and plan.episodes == 0:
            raise ValueError(
                "total_steps is 0 and demonstrations.episodes too: nothing would be "
                "learned"
            )
        if self.residual is not None and plan.episodes:
            raise ValueError(
                "residual: the expert acts already, its labels teach no correction; set "
                "demonstrations.episodes to 0"
            )
        if plan.into_replay and plan.keep_every > 1:
            raise ValueError(
                "demonstrations.into_replay needs every step: demonstrations.keep_every "
                "must be 1"
            )
        if self.observation == "rgbd":
            self._check_images()
        elif plan.sight is not None:
            raise ValueError("demonstrations.sight needs observation: rgbd")
        return self

    def _check_images(self) -> None:
        if self.policy_kwargs.get("features_extractor_class") != "KeypointExtractor":
            raise ValueError(
                "observation rgbd needs policy_kwargs.features_extractor_class: "
                "KeypointExtractor"
            )
        if self.normalize_observation:
            raise ValueError(
                "observation rgbd needs normalize_observation: false: running statistics "
                "of a pixel are those of a background, the extractor scales by bounds"
            )
        if self.demonstrations.into_replay:
            raise ValueError(
                "demonstrations.into_replay takes no images: leave it out, or take "
                "observation: state"
            )

    def distinctive(self) -> dict[str, Any]:
        """Return every value that differs from its default and can change the policy.

        Tracking and videos change nothing of the result.
        """
        evaluation = self.evaluation.model_copy(update={"video": 0})
        plain = {"tracking": TrackingConfig(), "evaluation": evaluation}
        return super(TrainConfig, self.model_copy(update=plain)).distinctive()


def read_training(path: Path) -> dict[str, Any]:
    """Read a training config with everything that it builds on.

    Args:
        path: The file.

    Returns:
        Values without ``extends``, not checked yet.

    Raises:
        ContentError: If a file is not there or cannot be read.
        ConfigError: If a file is no mapping, or builds on itself.
    """
    return _read(path.resolve(), ())


def _read(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    if path in above:
        raise ConfigError(
            f"{above[-1]}: extends: {path.name} builds on this file itself; one of them "
            "must stand alone"
        )
    value = content.load_yaml(path)
    base = value.pop("extends", None)
    if base is None:
        return value
    if not isinstance(base, str):
        raise ConfigError(f"{path}: extends: must be the name of one training config")
    beside = path.parent / base
    found = beside if beside.is_file() else content.find("train", base)
    below = _read(Path(found).resolve(), (*above, path))
    if value.get("algorithm", below.get("algorithm")) != below.get("algorithm"):
        below = {k: v for k, v in below.items() if k not in _OF_ALGORITHM}
    return _merged(below, value)


_OF_ALGORITHM = ("hyperparameters", "policy_kwargs")


def _merged(below: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``below`` with what ``value`` says differently, section by section."""
    result = dict(below)
    for key, new in value.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            new = _merged(old, new)
        result[key] = new
    return result


class Schedule:
    """A hyper-parameter over a run.

    Args:
        shape: ``linear`` or ``cosine``.
        start: Value at the beginning.
        end: Value at the end.
    """

    def __init__(self, shape: str, start: float, end: float) -> None:
        self.shape, self.start, self.end = shape, start, end

    def __call__(self, remaining: float) -> float:
        """Return the value.

        Args:
            remaining: Share of the run that is left, from 1 to 0.
        """
        share = remaining
        if self.shape == "cosine":
            share = 0.5 - 0.5 * math.cos(math.pi * remaining)
        return self.end + (self.start - self.end) * share


_SHAPES = ("linear", "cosine")
_SCHEDULED = ("learning_rate", "clip_range", "clip_range_vf")


def with_schedules(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return hyper-parameters with schedules in place of their descriptions.

    Raises:
        ConfigError: If a schedule is described wrongly, or stands where none can.
    """
    result = dict(hyperparameters)
    for name, value in hyperparameters.items():
        if not isinstance(value, Mapping) or name not in _SCHEDULED:
            continue
        where = f"hyperparameters.{name}"
        if len(value) != 1:
            raise ConfigError(f"{where}: a schedule is written {{linear: [from, to]}}")
        ((shape, ends),) = value.items()
        if shape not in _SHAPES:
            raise ConfigError(
                f'{where}: unknown schedule "{shape}"; {suggest(shape, _SHAPES)}'
            )
        numbers = isinstance(ends, list | tuple) and len(ends) == 2
        if not (numbers and all(isinstance(e, int | float) for e in ends)):
            raise ConfigError(f"{where}: {shape} takes two numbers, [from, to]")
        result[name] = Schedule(shape, float(ends[0]), float(ends[1]))
    return result
