"""A policy from images: a tiny run through the command, its bundle, what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

pytest.importorskip("stable_baselines3")

from physai.errors import ConfigError, ContractError
from physai.policy.adapters import observation_of
from physai.policy.bundle import read_bundle
from physai.policy.policy import FunctionPolicy, ImageEntry
from physai.tasks import registry
from physai.training.demonstration import Collector, Demonstrations, Recording
from physai.training.keypoints import KeypointExtractor
from physai.training.train import load_config

SIDE = 16
IMAGES = (
    ImageEntry("eye.rgb", SIDE, SIDE, 3, "1", 255.0),
    ImageEntry("eye.depth", SIDE, SIDE, 1, "m", 10.0),
)
NAMED = 2
HIGH = np.array([5.0, 5.0] + [255.0] * (3 * SIDE**2) + [10.0] * SIDE**2, np.float32)
SPACE = gymnasium.spaces.Box(np.minimum(-HIGH, 0.0) * (HIGH == 5.0), HIGH)


class Shown(gymnasium.Env):
    """Shows ever other pixels for four steps; its expert always says the same."""

    observation_space = SPACE
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._step = 0
        return self._look(), {}

    def step(self, action):
        self._step += 1
        return self._look(), 1.0, self._step == 4, False, {"is_success": True}

    def scripted_policy(self, name):
        return FunctionPolicy(lambda seen: np.array([0.5], np.float32))

    def _look(self):
        flat = np.floor(self.np_random.uniform(0.0, 1.0, HIGH.size) * HIGH)
        flat[-(SIDE**2) :] += 0.123
        return flat.astype(np.float32)


def test_demonstrations_keep_pixels_small_and_come_back(tmp_path: Path) -> None:
    seen = []
    env = Shown()
    look = env._look
    env._look = lambda: seen.append(look()) or seen[-1]
    collector = Collector(lambda: env, 1, Recording(2, IMAGES))
    data = Demonstrations([*collector.collect(2, 0, 0.1)])
    # Of steps 0 to 3 two are kept, and what was seen last.
    flat = np.stack(seen).reshape(2, 5, -1)[:, [0, 2]].reshape(4, -1)
    assert [block.dtype for block in data.pixels] == [np.uint8, np.float16]
    again = np.concatenate([data.observations, *data.pixels], axis=1)
    np.testing.assert_allclose(again, flat, rtol=1e-3)
    np.testing.assert_array_equal(again[:, : -(SIDE**2)], flat[:, : -(SIDE**2)])
    assert len(data) == len(data.labels) == 4 and data.success(0) == 1.0
    np.testing.assert_array_equal(
        data.episodes[1].observations[-1], seen[-1][:NAMED].astype(np.float32)
    )
    data.save(tmp_path / "kept.npz")
    found = Demonstrations.load(tmp_path / "kept.npz")
    for one, other in zip(found.episodes, data.episodes, strict=True):
        np.testing.assert_equal(vars(one), vars(other))


def test_what_is_told_of_pixels_can_stand_in_their_place() -> None:
    torch.manual_seed(1)
    net = KeypointExtractor(SPACE, NAMED, IMAGES, (4, 4), 2, targets=3)
    flat = torch.as_tensor(np.random.default_rng(2).uniform(0.0, HIGH, (5, HIGH.size)))
    flat = flat.float()
    told = torch.cat([flat[:, :NAMED], net.see(flat[:, NAMED:])], dim=1)
    torch.testing.assert_close(net(flat), net(told))
    assert net(flat).shape == (5, 2 * NAMED + 3)


def test_a_keypoint_follows_a_bright_spot() -> None:
    """Its place is a mean over the picture: it moves by less than a pixel too."""
    torch.manual_seed(0)
    net = KeypointExtractor(SPACE, NAMED, IMAGES, (8, 8), 4)
    rng = np.random.default_rng(1)

    def spots(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        place = rng.uniform(3.0, SIDE - 4.0, (count, 2))
        rows, columns = np.mgrid[:SIDE, :SIDE]
        square = (rows - place[:, :1, None]) ** 2 + (columns - place[:, 1:, None]) ** 2
        flat = np.zeros((count, HIGH.size), np.float32)
        flat[:, NAMED : NAMED + 3 * SIDE**2] = np.repeat(
            255.0 * np.exp(-0.5 * square).reshape(count, -1), 3, axis=1
        )
        return torch.as_tensor(flat), torch.as_tensor(place, dtype=torch.float32)

    head = torch.nn.Linear(net.features_dim, 2)
    optimizer = torch.optim.Adam([*net.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(250):
        x, y = spots(64)
        loss = torch.nn.functional.mse_loss(head(net(x)), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x, y = spots(256)
    with torch.no_grad():
        off = (head(net(x)) - y).abs().mean()
    assert net(x).shape == (256, 2 * NAMED + 16) and off < 0.5


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("normalize_observation=true", "needs normalize_observation: false"),
        (
            "policy_kwargs.features_extractor_class=MultiScaleFeatures",
            "KeypointExtractor",
        ),
        ("observation=state", "needs observation: rgbd"),
        ("demonstrations.into_replay=true", "must be 1"),
        ("demonstrations.sight.targets=[mouth]", 'no extra "mouth"'),
        ("demonstrations.episodes=0", "nothing would be learned"),
        ("observation=smell", "observation"),
        ("demonstrations.sight.targets=[]", "targets"),
    ],
)
def test_a_config_that_cannot_be(setting: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config("care_feeding_rgbd", [setting])


def test_plants_without_a_camera_are_refused_before_they_are_made() -> None:
    for plant in ("ros", "replay"):
        with pytest.raises(ContractError, match="no camera images on the plant"):
            registry.make_cycle("physai/CareFeeding-v0", plant, observation="rgbd")


TINY = {
    "demonstrations.episodes": 1,
    "demonstrations.dagger_rounds": 0,
    "demonstrations.epochs": 1,
    "demonstrations.sight.scenarios": 6,
    "demonstrations.sight.epochs": 2,
    "hyperparameters.n_steps": 64,
    "hyperparameters.batch_size": 32,
    "hyperparameters.n_epochs": 1,
    "total_steps": 64,
    "evaluation": "{episodes: 1, final_episodes: 1, blank_episodes: 1}",
}


@pytest.mark.slow
def test_a_tiny_run_and_its_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = {**os.environ, "PHYSAI_KEYS": str(tmp_path / "keys")}
    monkeypatch.setenv("PHYSAI_KEYS", str(tmp_path / "keys"))

    def physai(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "physai", *arguments],
            env=home,
            capture_output=True,
            text=True,
            timeout=240,
            cwd=tmp_path,
        )
        assert done.returncode == code, done.stderr
        return done

    settings = [f"--set={k}={v}" for k, v in TINY.items()]
    physai("train", "care_feeding_rgbd", "--out", "run", *settings)
    bundle = read_bundle(tmp_path / "run" / "bundle")
    contract = bundle.contract
    assert bundle.name == "care_feeding_rgbd"
    assert observation_of(tmp_path / "run") == contract.observation == "rgbd"
    assert [image.name for image in contract.images] == ["side.rgb", "side.depth"]
    assert not [
        n for n in contract.observation_names if n.startswith("tool_x_in_mouth")
    ]
    training = bundle.manifest.training
    assert training["parity"] < 1e-4 and training["steps"] == 64
    assert training["held_out"]["beside"]["every pixel 0"]["episodes"] == 1
    errors = training["demonstration"]["sight_errors"]
    assert errors["mouth_x_in_world_m"] < 0.5 and len(errors) == 6
    assert "| every pixel 0 | 1 |" in bundle.card
    assert "mouth_z_in_world_m" in bundle.card
    assert len(bundle.files["policy.onnx"]) < 2_000_000

    # The mode is the contract's; another one, or a plant without a camera, is refused.
    task = "physai/CareFeeding-v0"
    ran = physai("run", task, "--policy", "run", "--json", "--log", "log")
    assert json.loads(ran.stdout)[0]["time_s"] > 0.0
    wrong = physai("run", task, "--policy", "run", "--observation", "state", code=2)
    assert 'was made for the observation "rgbd"' in wrong.stderr
    assert len(wrong.stderr.strip().splitlines()) == 1
    stage = ["--stage", "shadow", "--out", "deployed"]
    wrong = physai("deploy", "run", "--hardware", "franka", *stage, code=2)
    assert "no camera images on the plant ros" in wrong.stderr
    assert len(wrong.stderr.strip().splitlines()) == 1

    # What is stored of an episode has no pixels.
    from physai.record.episode import Episode

    episode = Episode.load(next((tmp_path / "log").glob("*.parquet")))
    assert episode.header["observation"] == "rgbd"
    shown = episode.column("observation")
    assert shown.shape[1] == len(contract.observation_names)
