"""From a Stable-Baselines3 model to ONNX, with a parity check.

The graph holds the normalisation of the observation, the network and the clipping of
the action, so that nothing of the training is needed to run it.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from physai.errors import ContractError
from physai.policy.network import NEXT, OnnxPolicy

__all__ = ["DeployedPolicy", "check_parity", "export_onnx", "has_memory"]

_PARITY = 1e-4


def has_memory(policy: Any) -> bool:
    """Return whether a policy of Stable-Baselines3 is a recurrent one."""
    return hasattr(policy, "lstm_actor")


class DeployedPolicy(torch.nn.Module):
    """Deterministic action of a policy from a raw observation.

    A recurrent policy takes its memory beside the observation, and gives it back.

    Args:
        model: The trained model (an actor on flat observations).
        normalizer: The normalisation that it was trained with, if any.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, model: BaseAlgorithm, normalizer: VecNormalize | None) -> None:
        super().__init__()
        size = int(np.prod(model.observation_space.shape or (0,)))
        mean, scale, clip = np.zeros(size), np.ones(size), np.inf
        if normalizer is not None and normalizer.norm_obs:
            statistics: Any = normalizer.obs_rms
            mean = statistics.mean
            scale = 1.0 / np.sqrt(statistics.var + normalizer.epsilon)
            clip = normalizer.clip_obs
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float32))
        self.clip = float(clip)
        self.policy = model.policy

    def memory(self) -> dict[str, torch.Tensor]:
        """Return the memory at the start of an episode by name; most have none."""
        if not has_memory(self.policy):
            return {}
        lstm: Any = self.policy.lstm_actor
        shape = (lstm.num_layers, 1, lstm.hidden_size)
        return {name: torch.zeros(shape) for name in ("hidden", "cell")}

    def forward(
        self, observation: torch.Tensor, *memory: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Return the (1, a) action of a (1, d) observation, and the memory after it."""
        x = (observation - self.mean) * self.scale
        if np.isfinite(self.clip):
            x = torch.clamp(x, -self.clip, self.clip)
        policy: Any = self.policy
        after: tuple[torch.Tensor, ...] = ()
        if hasattr(getattr(policy, "actor", None), "get_action_dist_params"):
            # The middle of a squashed Gaussian; the distribution itself cannot be traced.
            action = torch.tanh(policy.actor.get_action_dist_params(x)[0])
        elif hasattr(policy, "actor"):
            action = policy.actor(x)
        elif not hasattr(policy, "mlp_extractor"):
            action = policy(x)
        else:
            extract = policy.pi_features_extractor
            if memory:
                # The recurrent policy's own method wants no extractor.
                features = extract(x)
                found, after = policy.lstm_actor(features[None], memory)
                features = found[0]
            else:
                features = policy.extract_features(x, extract)
            action = policy.action_net(policy.mlp_extractor.forward_actor(features))
        return (torch.clamp(action, -1.0, 1.0), *after)


def export_onnx(
    model: BaseAlgorithm, normalizer: VecNormalize | None, file: Path
) -> None:
    """Write the deterministic policy as ONNX.

    The graph takes ``observation`` (1, d) float32 and gives ``action`` (1, a) float32
    in [-1, 1]; a recurrent one has memory as :class:`physai.policy.network.OnnxPolicy`
    says.

    Args:
        model: The trained model (an actor on flat observations).
        normalizer: The normalisation that it was trained with, if any.
        file: Where to write it.
    """
    module = DeployedPolicy(model, normalizer).to("cpu").eval()
    device = model.device
    model.policy.to("cpu")
    size = int(np.prod(model.observation_space.shape or (0,)))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.zeros(1, size), *module.memory().values()),
            str(file),
            input_names=["observation", *module.memory()],
            output_names=["action", *(f"{NEXT}{name}" for name in module.memory())],
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    model.policy.to(device)
    _forget_where(file)


def _forget_where(file: Path) -> None:
    """Take out of an ONNX file what the exporter notes of the machine: paths, sources."""
    import onnx

    model = onnx.load(str(file))
    graph = model.graph
    del model.metadata_props[:], graph.metadata_props[:]
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info):
        del part.metadata_props[:]
        part.doc_string = ""
    for tensor in graph.initializer:
        del tensor.metadata_props[:]
        tensor.doc_string = ""
    onnx.save(model, str(file))


def check_parity(
    model: BaseAlgorithm,
    normalizer: VecNormalize | None,
    file: Path,
    observations: npt.NDArray[np.float32],
) -> float:
    """Compare ONNX and model on recorded observations.

    Args:
        model: The trained model.
        normalizer: Its normalisation, if any.
        file: The exported graph.
        observations: (m, d) recorded observations, not normalised; to a policy with
            memory they are one episode.

    Returns:
        Largest difference of an action.

    Raises:
        ContractError: If it exceeds 1e-4.
    """
    deployed = OnnxPolicy(file.read_bytes(), origin=str(file))
    worst, state, start = 0.0, None, np.ones(1, dtype=np.bool_)
    for observation in observations:
        seen = (
            observation if normalizer is None else normalizer.normalize_obs(observation)
        )
        expected, state = model.predict(
            np.asarray(seen, dtype=np.float32)[None], state, start, deterministic=True
        )
        start = np.zeros(1, dtype=np.bool_)
        given = deployed.act(observation)
        worst = max(worst, float(np.abs(np.clip(expected, -1, 1) - given).max()))
    if not worst <= _PARITY:
        raise ContractError(
            f"{file.name} differs from the trained model by {worst:.2e} on "
            f"recorded observations (at most {_PARITY:g} is allowed)"
        )
    return worst
