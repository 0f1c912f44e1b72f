"""Every registered environment has images, in one flat vector with what is its own."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from physai.tasks import registry

STEPS = 12


def images(
    environment_id: str, seed: int
) -> tuple[Any, list[np.ndarray], list[dict[str, np.ndarray]]]:
    """The environment, observations of a few steps within the space that was promised,
    and the images of the plant's states."""
    made = gymnasium.make(environment_id, observation="rgbd")
    rng = np.random.default_rng(seed)
    observation, _ = made.reset(seed=seed)
    world = made.unwrapped
    seen, given = [observation], [dict(world.cycle.state.images)]
    for _ in range(STEPS):
        action = rng.uniform(-0.3, 0.3, made.action_space.shape).astype(np.float32)
        observation, *_ = made.step(action)
        seen.append(observation)
        given.append(dict(world.cycle.state.images))
    for observation in seen:
        assert made.observation_space.contains(observation)
    made.close()
    return world, seen, given


@pytest.mark.parametrize("environment_id", registry.ids())
def test_images_show_something_and_follow_from_the_seed(environment_id: str) -> None:
    world, seen, given = images(environment_id, 3)
    names, start = world.observation_names, len(world.observation_names)
    tracked = world.cycle.task.spaces().tracked_names
    assert tracked and len(set(names)) == len(names)
    assert not tracked & set(names) and "tool_x_in_base_m" in names
    assert world.images and world.observation_space.dtype == np.float32
    for image in world.images:
        block = seen[-1][start : start + image.size]
        np.testing.assert_array_equal(block, given[-1][image.name].ravel())
        start += image.size
        if image.unit == "m":
            assert (block > 0.0).mean() > 0.2 and block[block > 0.0].std() > 0.01
        else:
            # Noise alone has a standard deviation of 2.
            assert block.std() > 10.0
    assert start == seen[-1].size == world.observation_space.shape[0]
    for camera in {image.name.rpartition(".")[0] for image in world.images}:
        labels = np.concatenate([g[f"{camera}.segmentation"].ravel() for g in given])
        assert len(np.unique(labels)) > 1
    _, again, _ = images(environment_id, 3)
    np.testing.assert_array_equal(seen, again)
    _, other, _ = images(environment_id, 4)
    assert (seen[-1][len(names) :] != other[-1][len(names) :]).any()
