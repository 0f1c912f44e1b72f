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

__all__ = ["Deployed", "check_parity", "export_onnx"]

_PARITY = 1e-4


class Deployed(torch.nn.Module):
    """Deterministic action of a policy from a raw observation."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, model: BaseAlgorithm, normalizer: VecNormalize | None) -> None:
        super().__init__()
        size = int(np.prod(model.observation_space.shape or (0,)))
        mean, scale, clip = np.zeros(size), np.ones(size), np.inf
        if normalizer is not None:
            statistics: Any = normalizer.obs_rms
            mean = statistics.mean
            scale = 1.0 / np.sqrt(statistics.var + normalizer.epsilon)
            clip = normalizer.clip_obs
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float32))
        self.clip = float(clip)
        self.policy = model.policy

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Return the (1, a) action of a (1, d) observation."""
        x = (observation - self.mean) * self.scale
        if np.isfinite(self.clip):
            x = torch.clamp(x, -self.clip, self.clip)
        policy: Any = self.policy
        if hasattr(getattr(policy, "actor", None), "get_action_dist_params"):
            # The middle of a squashed Gaussian; the distribution itself cannot be traced.
            action = torch.tanh(policy.actor.get_action_dist_params(x)[0])
        elif hasattr(policy, "actor"):
            action = policy.actor(x)
        else:
            features = policy.extract_features(x, policy.pi_features_extractor)
            action = policy.action_net(policy.mlp_extractor.forward_actor(features))
        return torch.clamp(action, -1.0, 1.0)


def export_onnx(
    model: BaseAlgorithm, normalizer: VecNormalize | None, file: Path
) -> None:
    """Write the deterministic policy as ONNX.

    The graph takes ``observation`` (1, d) float32 and gives ``action`` (1, a) float32
    in [-1, 1].

    Args:
        model: The trained model (an actor on flat observations).
        normalizer: The normalisation that it was trained with, if any.
        file: Where to write it.
    """
    module = Deployed(model, normalizer).to("cpu").eval()
    device = model.device
    model.policy.to("cpu")
    size = int(np.prod(model.observation_space.shape or (0,)))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.zeros(1, size),),
            str(file),
            input_names=["observation"],
            output_names=["action"],
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
        observations: (m, d) recorded observations, not normalised.

    Returns:
        Largest difference of an action.

    Raises:
        ContractError: If it exceeds 1e-4.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(file), providers=["CPUExecutionProvider"]
    )
    worst = 0.0
    for observation in observations:
        seen = (
            observation if normalizer is None else normalizer.normalize_obs(observation)
        )
        expected, _ = model.predict(
            np.asarray(seen, dtype=np.float32), deterministic=True
        )
        given = session.run(
            None, {"observation": observation[None].astype(np.float32)}
        )[0][0]
        worst = max(worst, float(np.abs(np.clip(expected, -1, 1) - given).max()))
    if not worst <= _PARITY:
        raise ContractError(
            f"{file.name} differs from the trained model by {worst:.2e} on "
            f"recorded observations (at most {_PARITY:g} is allowed)"
        )
    return worst
