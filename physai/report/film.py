"""Episodes as pictures and videos: the scene, the guard's words, the margins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from physai.plant.picture import Image, Picture
from physai.plant.scene import Outline
from physai.record.episode import StepRecord
from physai.tasks.cycle import Cycle
from physai.types import Action, Array

__all__ = ["Film", "draw_step"]


class Film:
    """A video of an episode: scene, smallest margins and the guard's words.

    Args:
        cycle: The cycle that is filmed.
        file: An ``.mp4``.
        every: Take every so many steps.

    Raises:
        MissingExtraError: Without OpenCV.
    """

    def __init__(self, cycle: Cycle, file: Path, every: int = 2) -> None:
        from physai.record.video import VideoWriter

        self.cycle, self.every = cycle, every
        self.picture = Picture(cycle.environment.plant, cycle.task.robot, 640, 480)
        self.writer = VideoWriter(file, cycle.environment.control_hz / every)
        self._count = 0

    def take(self, record: StepRecord) -> None:
        """Add a step."""
        self._count += 1
        if self._count % self.every == 0:
            self.writer.write(draw_step(self.picture, self.cycle, record))

    def close(self) -> None:
        """Write the file."""
        self.writer.close()
        self.picture.close()


def draw_step(
    picture: Picture, cycle: Cycle, record: StepRecord, camera: str = ""
) -> Image:
    """Return a picture of a step with the guard's state drawn over it.

    Args:
        picture: Where to draw.
        cycle: Gives the names of the rules.
        record: The step.
        camera: Name of a camera of the scene.
    """
    state = record.state if record.truth is None else record.truth.state
    names = cycle.environment.extras
    eats = names[:1] == ("mouth_x_in_world_m",)
    mouth = state.extras[:3] if eats else None
    food = state.extras[names.index("food_on_spoon")] if "food_on_spoon" in names else 0
    look = getattr(cycle.plant, "surface", None)
    surface = None if look is None else look()
    others = getattr(cycle.plant, "boxes", None)
    boxes = None if others is None else others()
    image = picture.draw(state, camera, mouth, float(food), surface, boxes)
    _draw_outlines(image, picture, cycle, camera)
    _draw_decision(image, record)
    if record.truth_margins is not None:
        _draw_margins(image, cycle, record.truth_margins)
    return image


_AREAS = {"unmanned": (200, 40, 40), "restricted": (230, 140, 20)}


def _draw_outlines(image: Image, picture: Picture, cycle: Cycle, camera: str) -> None:
    """Draw what a process marks, and the areas of the specification on the ground."""
    import cv2

    look = getattr(cycle.plant, "outlines", None)
    lines: list[Outline] = [] if look is None else look()
    for area in cycle.spec.config.sections.get("areas", {}).get("areas", ()):
        color = _AREAS.get(area["kind"], (90, 110, 200))
        points = _drape(np.array(area["polygon_m"]), cycle)
        lines.append(Outline(points, color, True))
    for line in lines:
        for pixels in picture.trace(line, camera):
            cv2.polylines(image, [pixels], False, line.color, 1, cv2.LINE_AA, shift=4)


def _drape(corners: Array, cycle: Cycle) -> Array:
    """Lay a closed line through (k, 2) corners on the ground."""
    height = getattr(cycle.plant, "height", None)
    if height is None:
        return np.concatenate([corners, np.zeros((len(corners), 1))], axis=1)
    share = np.linspace(0.0, 1.0, 12, endpoint=False)[:, None]
    ahead = np.roll(corners, -1, axis=0)
    flat = np.concatenate(
        [a + share * (b - a) for a, b in zip(corners, ahead, strict=True)]
    )
    return np.array([[x, y, height(x, y)] for x, y in flat.tolist()])


_GREEN, _AMBER, _RED = (40, 130, 70), (200, 120, 20), (190, 40, 40)
_WORDS = {
    Action.NONE: ("the command passes", _GREEN),
    Action.SLOW: ("slows down", _AMBER),
    Action.LIMIT: ("limits the motion", _AMBER),
}


def _draw_decision(image: Image, record: StepRecord) -> None:
    """Write the guard's decision into a bar at the top."""
    import cv2

    width = image.shape[1]
    unit = width / 640.0
    words, color = _WORDS.get(record.decision.action, ("stops", _RED))
    bar = round(56 * unit)
    cv2.rectangle(image, (0, 0), (width, bar), (250, 250, 250), -1)
    cv2.rectangle(image, (0, 0), (round(10 * unit), bar), color, -1)
    _write(image, f"{record.time_s:4.1f} s   guard: {words}", (20, 24), 0.62, color)
    said = record.decision.sentence.split(" [")[0]
    _write(image, said[:78], (20, 46), 0.46, (60, 70, 80))


def _draw_margins(image: Image, cycle: Cycle, margins: Any, count: int = 4) -> None:
    """Draw the smallest true margins on a light panel at the lower left."""
    import cv2

    unit = image.shape[1] / 640.0
    low, right = image.shape[0] - round((24 * count + 30) * unit), round(330 * unit)
    panel = image[low:, :right]
    panel[:] = (0.25 * panel + 0.75 * 255).astype(np.uint8)
    _write(
        image,
        "smallest true margins (0: limit)",
        (10, low / unit + 18),
        0.42,
        (60, 70, 80),
    )
    order = np.argsort(np.nan_to_num(margins, nan=-9.0))[:count]
    for row, index in enumerate(order):
        y = low / unit + 30 + 24 * row
        title = cycle.spec.config.rules[index].title.en
        _write(image, title[:27], (10, y + 13), 0.44, (30, 40, 50))
        good = margins[index] >= 0.0
        share = float(np.clip(np.nan_to_num(margins[index], nan=-1.0), 0.0, 1.0))
        left, length = 225 * unit, (95 * share if good else 95) * unit
        cv2.rectangle(
            image,
            (round(left), round((y + 3) * unit)),
            (round(left + max(3.0, length)), round((y + 13) * unit)),
            _GREEN if good else _RED,
            -1,
        )


def _write(
    image: Image,
    text: str,
    place: tuple[float, float],
    size: float,
    color: tuple[int, int, int],
) -> None:
    """Write a line; place and size are for a picture 640 pixels wide."""
    import cv2

    unit = image.shape[1] / 640.0
    cv2.putText(
        image,
        text,
        (round(place[0] * unit), round(place[1] * unit)),
        cv2.FONT_HERSHEY_SIMPLEX,
        size * unit,
        color,
        max(1, round(unit)),
        cv2.LINE_AA,
    )
