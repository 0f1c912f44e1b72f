"""Experiment trackers: a run is reported to Weights & Biases or MLflow as to TensorBoard.

The section ``tracking`` of a training config asks for it. A tracker gets the scalars of
TensorBoard from Stable-Baselines3's own logger, the config at the beginning, and
``curves.svg``, the held-out figures and the digest of the bundle at the end. The id of
the tracked run lies in ``tracking.json`` of the run folder, so that a run that goes on
goes on there too. Neither names nor paths of the machine are sent.
"""

from __future__ import annotations

import importlib.util
import json
import numbers
import os
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter

from physai.errors import MissingExtraError, PhysaiError
from physai.policy.bundle import read_bundle
from physai.training.config import MlflowConfig, TrainConfig, WandbConfig

__all__ = ["Tracking", "check_tracking", "open_tracking"]

_LIBRARIES = {
    "wandb": ("wandb", "tracking by Weights & Biases"),
    "mlflow": ("mlflow", "tracking by MLflow"),
}


def check_tracking(config: TrainConfig) -> None:
    """Check that what the config asks for is installed.

    Raises:
        MissingExtraError: If a library is not.
    """
    for name, (module, purpose) in _LIBRARIES.items():
        asked = getattr(config.tracking, name) is not None
        if asked and importlib.util.find_spec(module) is None:
            raise MissingExtraError(name, purpose)


@contextmanager
def open_tracking(config: TrainConfig, folder: Path) -> Iterator[Tracking]:
    """Give the trackers of a run; at the end they are told how it ended.

    Args:
        config: The run's config.
        folder: The run folder.
    """
    tracking = Tracking(config, folder)
    try:
        yield tracking
    except BaseException:
        tracking.close(failed=True)
        raise
    tracking.close()


class _Tracker(Protocol):
    """One service."""

    def begin(
        self, name: str, config: dict[str, Any], folder: Path, run: str | None
    ) -> str:
        """Begin a run or go on with one; returns its id."""

    def write(self, values: Mapping[str, float], steps: int) -> None:
        """Add scalars."""

    def add(self, figures: Mapping[str, Any], files: list[Path]) -> None:
        """Add what is known at the end."""

    def close(self, *, failed: bool) -> None:
        """End the run."""


class Tracking:
    """The trackers of one run; none does nothing.

    A service that fails while the run goes on is told of once and does not end the run.

    Args:
        config: The run's config.
        folder: The run folder.
    """

    def __init__(self, config: TrainConfig, folder: Path) -> None:
        self.config, self.folder = config, folder
        self._trackers: dict[str, _Tracker] = {}
        self._failed: set[str] = set()

    def begin(self) -> None:
        """Begin to track, or go on with what the folder names.

        Raises:
            PhysaiError: If a service cannot be reached or refuses.
        """
        asked = self.config.tracking
        made: dict[str, _Tracker] = {}
        if asked.wandb is not None:
            made["wandb"] = _Wandb(asked.wandb)
        if asked.mlflow is not None:
            made["mlflow"] = _Mlflow(asked.mlflow)
        file = self.folder / "tracking.json"
        runs = json.loads(file.read_text()) if file.is_file() else {}
        config = self.config.model_dump(mode="json", exclude={"tracking"})
        for name, tracker in made.items():
            try:
                run = tracker.begin(
                    self.folder.name, config, self.folder, runs.get(name)
                )
            except Exception as error:
                # Each library has errors of its own; all mean that it is not to be had.
                raise PhysaiError(
                    f"tracking.{name}: cannot begin: {_first_line(error)}"
                ) from None
            self._trackers[name] = tracker
            runs[name] = run
        if made:
            draft = file.with_suffix(".part")
            draft.write_text(json.dumps(runs, indent=1) + "\n")
            draft.replace(file)

    def callback(self) -> BaseCallback:
        """Return what joins the trackers to a learner's logger."""
        return _Joins(self)

    def write(self, values: Mapping[str, float], steps: int) -> None:
        """Add scalars to every tracker.

        Args:
            values: By name.
            steps: Environment steps so far.
        """
        self._each("write", values, steps)

    def finish(self, figures: Mapping[str, Any]) -> None:
        """Add what is known at the end of a run.

        Args:
            figures: Those of the held-out evaluation.
        """
        if not self._trackers:
            return
        bundle = read_bundle(self.folder / "bundle", require_signature=False)
        known = {
            "bundle_digest": bundle.policy_digest,
            "held_out": {
                key: figures[key]
                for key in ("safe_success", "episodes", "mean_cost", "mean_time_s")
            },
        }
        files = [
            self.folder / "curves.svg",
            self.folder / "evaluation" / "held_out.json",
        ]
        self._each("add", known, files)

    def close(self, *, failed: bool = False) -> None:
        """End the tracked runs.

        Args:
            failed: Whether the training did not come to its end.
        """
        self._each("close", failed=failed)
        self._trackers.clear()

    def _each(self, method: str, *values: Any, **named: Any) -> None:
        for name, tracker in self._trackers.items():
            try:
                getattr(tracker, method)(*values, **named)
            except Exception as error:
                if name not in self._failed:
                    self._failed.add(name)
                    warnings.warn(
                        f"tracking.{name}: {_first_line(error)}; the run goes on",
                        RuntimeWarning,
                        stacklevel=2,
                    )


class _Joins(BaseCallback):
    """Adds the trackers to the outputs of the learner's logger."""

    def __init__(self, tracking: Tracking) -> None:
        super().__init__()
        self.tracking = tracking

    def _on_training_start(self) -> None:
        self.logger.output_formats.append(_Output(self.tracking))

    def _on_step(self) -> bool:
        return True


class _Output(KVWriter):
    """An output of Stable-Baselines3's logger; takes what TensorBoard takes."""

    def __init__(self, tracking: Tracking) -> None:
        self.tracking = tracking

    def write(
        self,
        key_values: dict[str, Any],
        key_excluded: dict[str, tuple[str, ...]],
        step: int = 0,
    ) -> None:
        values = {
            key: float(value)
            for key, value in key_values.items()
            if "tensorboard" not in (key_excluded.get(key) or ())
            and isinstance(value, numbers.Real)
        }
        self.tracking.write(values, step)

    def close(self) -> None:
        """Leave the trackers open: the run has an end of its own."""


class _Wandb:
    """Weights & Biases. The step is a value: a run that goes on steps back."""

    def __init__(self, config: WandbConfig) -> None:
        self.config = config
        self._run: Any = None

    def begin(
        self, name: str, config: dict[str, Any], folder: Path, run: str | None
    ) -> str:
        import wandb

        self._run = wandb.init(
            project=self.config.project,
            entity=self.config.entity,
            name=name,
            id=run,
            resume="allow",
            mode=self.config.mode,
            dir=str(folder),
            config=config,
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                disable_code=True,
                save_code=False,
                x_disable_meta=True,
                x_disable_machine_info=True,
                x_disable_stats=True,
            ),
        )
        self._run.define_metric("steps")
        self._run.define_metric("*", step_metric="steps")
        return str(self._run.id)

    def write(self, values: Mapping[str, float], steps: int) -> None:
        self._run.log({**values, "steps": steps})

    def add(self, figures: Mapping[str, Any], files: list[Path]) -> None:
        self._run.summary.update(figures)
        for file in files:
            # What lies in the run's own folder is sent when it ends.
            shutil.copy(file, self._run.dir)

    def close(self, *, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))


class _Mlflow:
    """MLflow, by its client, which keeps no state of the process."""

    def __init__(self, config: MlflowConfig) -> None:
        self.config = config
        self._client: Any = None
        self._run = ""

    def begin(
        self, name: str, config: dict[str, Any], folder: Path, run: str | None
    ) -> str:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        # A server that is away is told of after seconds, not after many minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        from mlflow import MlflowClient

        self._client = client = MlflowClient(tracking_uri=self.config.uri)
        if run is None:
            found = client.get_experiment_by_name(self.config.experiment)
            experiment = (
                client.create_experiment(self.config.experiment)
                if found is None
                else found.experiment_id
            )
            run = str(client.create_run(experiment, run_name=name).info.run_id)
            for key, value in _flat(config).items():
                client.log_param(run, key, value)
            client.log_dict(run, config, "config.json")
        else:
            client.update_run(run, status="RUNNING")
        self._run = run
        return run

    def write(self, values: Mapping[str, float], steps: int) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self._client.log_batch(
            self._run, [Metric(key, value, now, steps) for key, value in values.items()]
        )

    def add(self, figures: Mapping[str, Any], files: list[Path]) -> None:
        for key, value in _flat(figures).items():
            if isinstance(value, str):
                self._client.set_tag(self._run, key, value)
            else:
                self._client.log_metric(self._run, key, float(value))
        for file in files:
            self._client.log_artifact(self._run, str(file))

    def close(self, *, failed: bool) -> None:
        self._client.set_terminated(self._run, "FAILED" if failed else "FINISHED")


def _flat(value: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested values under dotted keys."""
    found: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            found.update(_flat(item, f"{before}{key}."))
        else:
            found[f"{before}{key}"] = item
    return found


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
