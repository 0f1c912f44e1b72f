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

from stable_baselines3.common.vec_env import DummyVecEnv

from physai.errors import ConfigError, ContractError
from physai.policy.adapters import observation_of
from physai.policy.bundle import read_bundle
from physai.policy.policy import ImageEntry
from physai.tasks import registry
from physai.training.demonstration import Demonstrations
from physai.training.keypoints import KeypointExtractor
from physai.training.normalization import normalized
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
    """Shows whatever is in the middle of its space, and a little of each side."""

    observation_space = SPACE
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._look(), {}

    def step(self, action):
        return self._look(), 0.0, False, False, {}

    def _look(self):
        return self.np_random.uniform(0.4 * HIGH, 0.6 * HIGH).astype(np.float32)


def test_pixels_are_scaled_by_bounds_and_entries_by_statistics() -> None:
    vector = normalized(DummyVecEnv([Shown]), NAMED, gamma=0.9)
    vector.seed(0)
    vector.reset()
    for _ in range(300):
        seen, *_ = vector.step(np.zeros((1, 1)))
    raw = vector.get_original_obs()
    np.testing.assert_allclose(
        seen[0, NAMED:], raw[0, NAMED:] / HIGH[NAMED:], atol=1e-5
    )
    assert vector.obs_rms.mean[:NAMED] == pytest.approx(2.5, abs=0.1)
    assert abs(seen[0, 0]) < 2.0 < raw[0, 0]


def test_demonstrations_keep_pixels_in_bytes() -> None:
    data = Demonstrations(NAMED, IMAGES)
    rng = np.random.default_rng(0)
    flat = np.floor(rng.uniform(0.0, 1.0, (6, HIGH.size)) * HIGH).astype(np.float32)
    flat[:, -(SIDE**2) :] += 0.123
    for part in (flat[:4], flat[4:]):
        data.add(list(part), list(np.zeros((len(part), 1), np.float32)), True)
    named, pixels, actions = data.arrays()
    assert [p.dtype for p in pixels] == [np.uint8, np.float16]
    again = np.concatenate([named, *pixels], axis=1)
    np.testing.assert_allclose(again, flat, rtol=1e-3)
    np.testing.assert_array_equal(again[:, : -(SIDE**2)], flat[:, : -(SIDE**2)])
    assert len(data) == len(actions) == 6 and data.successes == [True, True]
    # Once a sight is learned, what it tells is kept: of what is there and what comes.
    scaled = data.pixels(np.arange(6))
    assert scaled.dtype == np.float32 and 0.0 <= scaled.min() <= scaled.max() <= 1.0
    data.replace_images(lambda pixels: pixels[:, :3])
    data.add(list(flat[:1]), [np.zeros(1, np.float32)], False)
    _, (told,), _ = data.arrays()
    np.testing.assert_allclose(told[:6], scaled[:, :3], atol=1e-6)
    np.testing.assert_allclose(told[6], told[0], atol=1e-6)


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
            np.exp(-0.5 * square).reshape(count, -1), 3, axis=1
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
    assert net(x).shape == (256, NAMED + 16) and off < 0.5


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("normalize_observation=false", "needs normalize_observation"),
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
    assert training["held_out_blank"]["episodes"] == 1
    errors = training["demonstration"]["sight_errors"]
    assert errors["mouth_x_in_world_m"] < 0.5 and len(errors) == 6
    assert "With every pixel 0" in bundle.card
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
