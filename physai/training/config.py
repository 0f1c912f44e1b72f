"""What a training run is: ``configs/train/<name>.yaml``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from physai.config import Config

__all__ = [
    "ConstraintConfig",
    "DemonstrationConfig",
    "EvaluationConfig",
    "TrainConfig",
    "VectorConfig",
]

Count = Annotated[int, Field(ge=1)]
Gain = Annotated[float, Field(ge=0.0)]


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


class EvaluationConfig(Config):
    """Deterministic episodes on held-out seeds, during and after training."""

    every_steps: Count = 25_000
    episodes: Count = 20
    final_episodes: Count = 200
    suite: str = ""
    """Suite to judge the final bundle with; empty for none."""


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


class TrainConfig(Config):
    """A training run; names of hyper-parameters are Stable-Baselines3's own."""

    environment: str
    guard: Literal["on", "observe", "off"] = "on"
    algorithm: str
    """Any algorithm of Stable-Baselines3 or sb3-contrib, by class name."""
    policy: str = "MlpPolicy"
    total_steps: Count
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    policy_kwargs: dict[str, Any] = Field(default_factory=dict)
    normalize_observation: bool = True
    normalize_reward: bool = True
    vector: VectorConfig = VectorConfig()
    constraint: ConstraintConfig | None = None
    """A budget for the mean cost of an episode; none leaves cost to the reward."""
    demonstrations: DemonstrationConfig = DemonstrationConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    checkpoint_every_steps: Count = 20_000
    seed: Annotated[int, Field(ge=0)] = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    torch_threads: Count = 1
    """One thread leaves the other core to the environments; a second one gained
    0-40 % on updates for twice the processor time where it was measured."""
