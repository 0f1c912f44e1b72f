"""What a training run is: ``configs/train/<name>.yaml``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from physai.config import Config

__all__ = ["DemonstrationConfig", "EvaluationConfig", "TrainConfig", "VectorConfig"]

Count = Annotated[int, Field(ge=1)]


class VectorConfig(Config):
    """How many environments collect experience, and where they run."""

    environments: Count = 2
    kind: Literal["dummy", "subprocess"] = "subprocess"


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
    demonstrations: DemonstrationConfig = DemonstrationConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    checkpoint_every_steps: Count = 20_000
    seed: Annotated[int, Field(ge=0)] = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    torch_threads: Count = 1
    """One thread leaves the other core to the environments; a second one gained
    0-40 % on updates for twice the processor time where it was measured."""
