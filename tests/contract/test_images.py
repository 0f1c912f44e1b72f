"""Every registered environment has images: state, colour, depth and segmentation."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from physai.tasks import registry

STEPS = 12


def images(environment_id: str, seed: int) -> list[dict[str, np.ndarray]]:
    """Observations of a few steps, each within the space that was promised."""
    made = gymnasium.make(environment_id, observation="rgbd")
    rng = np.random.default_rng(seed)
    observation, _ = made.reset(seed=seed)
    seen = [observation]
    for _ in range(STEPS):
        action = rng.uniform(-0.3, 0.3, made.action_space.shape).astype(np.float32)
        observation, *_ = made.step(action)
        seen.append(observation)
    for observation in seen:
        assert made.observation_space.contains(observation)
    made.close()
    return seen


@pytest.mark.parametrize("environment_id", registry.ids())
def test_images_show_something_and_follow_from_the_seed(environment_id: str) -> None:
    seen = images(environment_id, 3)
    cameras = [name[:-4] for name in seen[0] if name.endswith(".rgb")]
    assert cameras and set(seen[0]) == {"state"} | {
        f"{camera}.{kind}"
        for camera in cameras
        for kind in ("rgb", "depth", "segmentation")
    }
    for camera in cameras:
        rgb, depth = seen[-1][f"{camera}.rgb"], seen[-1][f"{camera}.depth"]
        # Noise alone has a standard deviation of 2.
        assert rgb.std() > 10.0
        assert (depth > 0.0).mean() > 0.2 and depth[depth > 0.0].std() > 0.01
        labels = np.concatenate([o[f"{camera}.segmentation"].ravel() for o in seen])
        assert len(np.unique(labels)) > 1
    again = images(environment_id, 3)
    for one, two in zip(seen, again, strict=True):
        for name, value in one.items():
            np.testing.assert_array_equal(value, two[name])
    other = images(environment_id, 4)
    name = f"{cameras[0]}.rgb"
    assert (seen[-1][name] != other[-1][name]).any()
