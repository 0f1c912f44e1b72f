"""A small network that finds points in images, for policies from ``rgbd``.

Two convolutions make a few maps of each image; the softmax of a map is where its feature
is, and its mean place in the picture is a point with a precision below one pixel, which a
grid of features of the same size has not (Levine, Finn, Darrell and Abbeel 2016; Finn et
al. 2016). How strong and how far away the feature is comes from a second set of maps,
averaged over the first.

Named entries pass as :class:`physai.training.features.MultiScaleFeatures` shows them, pixels
are scaled by their bounds: running statistics of a pixel are those of a background, so that
what moves through it would be cut off as an outlier.

With targets, a further layer tells from the points what trackers would say
(:mod:`physai.training.sight`), and that is all that the policy gets of the images.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from physai.policy.policy import ImageEntry
from physai.training.features import MultiScaleFeatures

__all__ = ["KeypointExtractor"]


class KeypointExtractor(BaseFeaturesExtractor):
    """Named entries coarse and fine, and points of interest of every camera.

    Args:
        observation_space: Flat, pixels after the named entries.
        named: Entries before the pixels.
        images: Whose pixels follow: colours and depth of each camera, in that order.
        channels: Maps of the first and of the second convolution.
        keypoints: Points per camera.
        depth_far_m: What is farther away counts as so far.
        targets: What is told from the points; 0 gives the policy the points.
    """

    def __init__(
        self,
        observation_space: spaces.Box,
        named: int,
        images: Sequence[ImageEntry],
        channels: tuple[int, int] = (12, 24),
        keypoints: int = 16,
        depth_far_m: float = 2.0,
        targets: int = 0,
    ) -> None:
        cameras = len(images) // 2
        points = 4 * keypoints * cameras
        own = spaces.Box(observation_space.low[:named], observation_space.high[:named])
        super().__init__(observation_space, 2 * named + (targets or points))
        self.named, self.images = named, tuple(images)
        self.told = targets or points
        self.own = MultiScaleFeatures(own)
        self.taught = targets > 0
        self.depth_far_m = depth_far_m
        self.eyes = torch.nn.ModuleList(
            _Eye(images[2 * k], channels, keypoints) for k in range(cameras)
        )
        self.tell: torch.nn.Module = torch.nn.Identity()
        if targets:
            self.tell = torch.nn.Sequential(
                torch.nn.Linear(points, 64),
                torch.nn.Tanh(),
                torch.nn.Linear(64, targets),
            )

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Return (b, f) features of (b, o) observations.

        In place of the pixels may stand what :meth:`see` tells of them, since a sight
        that has been learned is asked once per image (:mod:`physai.training.sight`).
        """
        own, seen = observations[:, : self.named], observations[:, self.named :]
        if seen.shape[1] != self.told:
            seen = self.see(seen)
        if self.taught:
            # No reward and no imitation teaches it anything else.
            seen = seen.detach()
        return torch.cat([self.own(own), seen], dim=1)

    def see(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return (b, t) what is told of (b, o - named) pixels."""
        start, pictures = 0, []
        for image in self.images:
            flat = pixels[:, start : start + image.size]
            rows = flat.reshape(-1, image.height, image.width, image.channels)
            picture = rows.permute(0, 3, 1, 2)
            far = self.depth_far_m if image.unit == "m" else image.high
            pictures.append((picture / far).clamp(max=1.0))
            start += image.size
        points = [
            eye(torch.cat(pictures[2 * k : 2 * k + 2], dim=1))
            for k, eye in enumerate(self.eyes)
        ]
        told: torch.Tensor = self.tell(torch.cat(points, dim=1))
        return told


class _Eye(torch.nn.Module):
    """Points of one camera's image.

    Args:
        image: Gives its sides.
        channels: As above.
        keypoints: As above.
    """

    place: torch.Tensor

    def __init__(
        self, image: ImageEntry, channels: tuple[int, int], keypoints: int
    ) -> None:
        super().__init__()
        first, second = channels
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(4, first, 5, stride=2, padding=2),
            torch.nn.ReLU(),
            torch.nn.Conv2d(first, second, 3, padding=1),
            torch.nn.ReLU(),
        )
        self.where = torch.nn.Conv2d(second, keypoints, 1)
        self.what = torch.nn.Conv2d(second, 2 * keypoints, 1)
        self.keypoints = keypoints
        height, width = (image.height + 1) // 2, (image.width + 1) // 2
        rows = torch.linspace(-1.0, 1.0, height)[:, None].expand(height, width)
        columns = torch.linspace(-1.0, 1.0, width)[None, :].expand(height, width)
        self.register_buffer("place", torch.stack([rows, columns]).reshape(2, -1))

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Return (b, 4 k): row, column and two values of every point."""
        maps = self.layers(picture)
        share = torch.softmax(self.where(maps).flatten(2), dim=2)
        points = share @ self.place.T
        values = self.what(maps).flatten(2).unflatten(1, (self.keypoints, 2))
        found = (values * share[:, :, None, :]).sum(dim=3)
        return torch.cat([points, found], dim=2).flatten(1)
