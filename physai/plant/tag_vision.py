"""Where cases are, from tags in the images of cameras that stand in the cell.

Nothing here is told the truth: the scene is rendered, tags are drawn into the picture
where nothing stands before them, noise is added, OpenCV finds what it finds, and the
poses follow from where the cameras are supposed to stand, which is not quite where they
stand. What was not found keeps its last pose, and ages.

A case that hangs on the cups has the pose that the tool gives it: as it was seen when it
was drawn, moved with the tool's kinematics. The cups, the wrist and the arm cover most of
its top, every pose from an image is a latency old while the case moves at up to 0.8 m/s
(0.1 s are 80 mm), and images of moving cases would be blurred, which is not modelled; the
encoders are exact to a tenth of a millimetre. Tags on the side faces are for the case
that still waits: without them the pose would age while the gripper comes down over the
top, and the guard would hold the arm right there, where it covers the tag for good.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from physai.body.people import AnyPerson
from physai.body.person import SEGMENT_COUNT
from physai.errors import PhysaiError
from physai.plant.camera import Camera
from physai.plant.camera_world import CameraWorld
from physai.plant.dynamics import ObjectWorld
from physai.plant.fiducial import TagDetector, TagTracker
from physai.plant.handling_kernel import top_of
from physai.plant.scene import SceneConfig
from physai.plant.tag_drawing import load_opencv
from physai.plant.tag_settings import TagVisionConfig
from physai.randomness import generator
from physai.robot.description import rotation_from_rpy
from physai.robot.kinematics import (
    Kinematics,
    quaternion_from_rotation,
    rotation_from_quaternion,
)
from physai.types import Array

__all__ = ["TagVision"]

_UNSEEN_S = 10.0
"""Age of a pose that was never seen, at the start: more than any rule accepts. An
infinite age would be a missing input, which stops an episode for good."""

_ERROR_MAX_PX = 0.25
"""Corners of a tag in full view fit to 0.1 px; one whose corner is covered still decodes,
and mostly misses by 0.3 px and more, with poses up to 0.15 m off (found by looking at the
outliers of scenarios 10000000 and 10000003 of ``benchmarks/vision.py``)."""

_GREY_SHARE = float(np.linalg.norm([0.299, 0.587, 0.114]))
"""Standard deviation of a grey value over that of its three colours (ITU-R BT.601)."""


class _Frame(NamedTuple):
    stamp_s: float
    found: tuple[int, ...]
    poses: Array


class _Station:
    """One camera with its detector, its calibration and what is under way from it."""

    def __init__(self, camera: Camera, tracker: TagTracker, sigma: Array) -> None:
        self.camera, self.tracker, self._sigma = camera, tracker, sigma
        self.latency_s = camera.config.latency_s
        self.reset(0, 0.0)

    def reset(self, seed: int, miss_rate: float) -> None:
        name = self.camera.name
        self.camera.reset(seed)
        self.tracker.reset()
        self._seed, self._miss_rate, self._next = seed, miss_rate, 0
        rng = generator(seed, f"sensor.{name}.calibration")
        error = np.clip(rng.standard_normal(6), -3.0, 3.0) * self._sigma
        self._shift = error[:3]
        self._turn = rotation_from_rpy(*error[3:])
        self.queue: deque[_Frame] = deque()

    def look(
        self, time_s: float, kinematics: Kinematics, people: Array, boxes: Array
    ) -> tuple[int, ...] | None:
        """Take an image if one is due; return whom it shows, None where none is taken."""
        rate, camera = self.camera.config.rate_hz, self.camera
        if time_s * rate < self._next - 1e-9:
            return None
        frame, self._next = self._next, int(time_s * rate + 1e-9) + 1
        rng = generator(self._seed, f"sensor.{camera.name}.noise", frame)
        if rng.random() < self._miss_rate and frame > 0:
            return ()
        image = self._grain(camera.shoot(kinematics, people, boxes).rgb, rng)
        found = self.tracker.observe(
            time_s,
            image,
            camera.position + self._shift,
            self._turn @ camera.rotation,
        )
        self.queue.append(_Frame(time_s, tuple(found), self.tracker.poses))
        return tuple(found)

    def _grain(
        self, rgb: npt.NDArray[np.uint8], rng: np.random.Generator
    ) -> npt.NDArray[np.uint8]:
        """Return the (H, W) grey image with what is left of the colours' noise."""
        cv2 = load_opencv()
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        noisy = rng.standard_normal(grey.shape, dtype=np.float32)
        noisy *= _GREY_SHARE * self.camera.config.rgb_sigma
        noisy += grey
        found: npt.NDArray[np.uint8] = cv2.convertScaleAbs(np.maximum(noisy, 0.0))
        return found


class TagVision:
    """Measures the poses of cases by their tags, over the episodes of one plant.

    It stands in for :class:`physai.plant.case_tracker.CaseTracker`.

    Args:
        config: Cameras, tags, errors.
        scene: Furniture, which can stand in the way.
        kinematics: Of the robot, which can too, as the plant keeps it: where it is at
            every look.
        sizes: (K, 3) of the objects [m].

    Raises:
        ConfigError: If a camera hides a shape that the robot does not have.
        ContractError: If a tag does not fit on its face, or its object is not there.
        MissingExtraError: Without OpenCV.

    Attributes:
        poses: (K, 7) as last delivered; a new array with every delivery.
        found: (K,) whether each object was found in an image taken in the last look.
        looked: Whether an image was taken in the last look.
    """

    def __init__(
        self,
        config: TagVisionConfig,
        scene: SceneConfig,
        kinematics: Kinematics,
        sizes: Array,
    ) -> None:
        self.config, self._sizes, self._kinematics = config, sizes, kinematics
        self._world = CameraWorld(scene, floor_z_m=-0.003)
        sigma = np.repeat([config.calibration_sigma_m, config.calibration_sigma_rad], 3)
        self._stations = []
        try:
            for name, given in config.cameras.items():
                own = given.model_copy(update={"tags": config.tags})
                camera = Camera(own, kinematics.robot, self._world, name)
                detector = TagDetector(config.tags, camera.intrinsics, _ERROR_MAX_PX)
                tracker = TagTracker(detector, config.tags, sizes)
                self._stations.append(_Station(camera, tracker, sigma))
        except PhysaiError:
            self._world.close()
            raise
        self.reset(0, (0.0, 0.0, 0.0))

    @property
    def cameras(self) -> dict[str, Camera]:
        """The cameras by name."""
        return {s.camera.name: s.camera for s in self._stations}

    def reset(self, seed: int, entry_m: tuple[float, float, float]) -> None:
        """Start an episode: nothing was seen yet.

        Args:
            seed: Of the episode.
            entry_m: A case that was not seen yet is taken to stand there, world.
        """
        for station in self._stations:
            station.reset(seed, self.config.miss_rate)
        count = len(self._sizes)
        self.poses: Array = np.zeros((count, 7))
        self.poses[:, :3], self.poses[:, 6] = entry_m, 1.0
        self.poses[:, 2] += 0.5 * self._sizes[:, 2]
        self._stamp = np.full(count, -_UNSEEN_S)
        self._held = -1
        self._grasp = np.zeros(3), np.eye(3)
        self.found: npt.NDArray[np.bool_] = np.zeros(count, dtype=np.bool_)
        self.looked = False
        self._first = True

    def look(
        self, time_s: float, step: int, world: ObjectWorld, people: Sequence[AnyPerson]
    ) -> None:
        """Take images that are due, and deliver what has arrived.

        Args:
            time_s: Plant clock [s].
            step: Control step.
            world: What is to be seen, and which case the gripper reports as held.
            people: Who may stand in the way.
        """
        capsules = np.zeros((len(people), SEGMENT_COUNT, 7))
        for row, person in zip(capsules, people, strict=True):
            row[:] = person.capsules
        boxes = np.concatenate([world.pose, self._sizes], axis=1)
        self.found, self.looked = np.zeros(len(boxes), dtype=np.bool_), False
        for station in self._stations:
            found = station.look(time_s, self._kinematics, capsules, boxes)
            if found is not None:
                self.looked = True
                self.found[list(found)] = True
        self._deliver(time_s)
        self._held = world.attached
        if self._held >= 0:
            self.poses = self.poses.copy()
            self._carry(self.poses[self._held])
            self._stamp[self._held] = time_s

    def grasp(self, index: int, pose: Array) -> None:
        """Keep how a case was seen in the tool's frame when the cups drew it.

        Args:
            index: Which.
            pose: (7,) where it really is; not looked at.
        """
        k, turn = self._kinematics, np.empty((3, 3))
        rotation_from_quaternion(self.poses[index, 3:], turn)
        tool = k.tool_rotation
        shift = tool.T @ (self.poses[index, :3] - k.tool_position)
        self._grasp, self._held = (shift, tool.T @ turn), index

    def describe(self, index: int, held: bool, out: Array) -> None:
        """Write the middle of the upper face [m] and the yaw [rad] of a case.

        Args:
            index: Which.
            held: Whether it hangs on the cups.
            out: (4,).
        """
        top_of(self.poses[index], self._sizes[index], out)

    def ages(self, time_s: float) -> Array:
        """Return the (K,) ages of the poses [s]."""
        ages: Array = time_s - self._stamp
        return ages

    def close(self) -> None:
        """Release the world that is looked at; twice does no harm."""
        self._world.close()

    def _deliver(self, time_s: float) -> None:
        fresh = self.poses.copy()
        for station in self._stations:
            queue = station.queue
            while queue and (
                self._first or time_s - queue[0].stamp_s >= station.latency_s - 1e-9
            ):
                frame = queue.popleft()
                for k in frame.found:
                    # While it hangs, and in images from before it was let go, the
                    # tool knows better.
                    if k != self._held and frame.stamp_s > self._stamp[k]:
                        fresh[k], self._stamp[k] = frame.poses[k], frame.stamp_s
        self._first = False
        self.poses = fresh

    def _carry(self, out: Array) -> None:
        """Write the (7,) pose of the held case."""
        k, (shift, turn) = self._kinematics, self._grasp
        out[:3] = k.tool_position + k.tool_rotation @ shift
        quaternion_from_rotation(k.tool_rotation @ turn, out[3:])
