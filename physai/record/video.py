"""Write a video of an episode: RGB frames in, an mp4 file out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from physai.errors import ContractError, MissingExtraError, RecordError
from physai.record.privacy import check_image, mask_circle

__all__ = ["MASKED", "Image", "VideoWriter", "write_text"]

Image: TypeAlias = npt.NDArray[np.uint8]

MASKED: tuple[tuple[float, float, float], ...] = ()
"""For frames whose faces were painted over when they were drawn."""

# VP9 plays in every browser; OpenCV's wheels bring no H.264.
_CODES = ("vp09", "mp4v")


class VideoWriter:
    """Writes frames; the file appears when closed.

    Args:
        path: Ends with ``.mp4``.
        frames_per_s: As many as control steps in a second show it in real time.
        overlay: Draws on a copy of the frame, after faces were masked.

    Raises:
        MissingExtraError: If OpenCV is not installed.
        RecordError: If the file cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        frames_per_s: float = 20.0,
        overlay: Callable[[Image], None] | None = None,
    ) -> None:
        _opencv()
        self.path = Path(path)
        if self.path.suffix != ".mp4":
            raise RecordError(f"{self.path}: a video's name must end with .mp4")
        self.frames = 0
        self._rate = frames_per_s
        self._overlay = overlay
        self._writer: Any = None
        self._shape: tuple[int, ...] = ()
        self._partial = self.path.with_name(f".{self.path.stem}.{os.getpid()}.mp4")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordError(
                f"{self.path.parent}: cannot be made ({error.strerror})"
            ) from None

    def write(self, frame: Image, faces: Iterable[tuple[float, float, float]]) -> None:
        """Add a frame.

        Args:
            frame: (height, width, 3) RGB; it is not changed.
            faces: Circles (column, row, radius) [px] to paint over, see
                :func:`physai.record.privacy.project_sphere`. There is no default, so
                that nobody forgets them; empty for a picture that shows nobody or was
                masked when it was drawn (:data:`MASKED`).

        Raises:
            ContractError: If it is not such an image, or of another size than the
                first.
            RecordError: If the file cannot be written.
        """
        check_image(frame)
        if self._writer is None:
            self._open(frame)
        if frame.shape != self._shape:
            raise ContractError(
                f"a frame of {frame.shape[1]} x {frame.shape[0]} follows one of "
                f"{self._shape[1]} x {self._shape[0]}"
            )
        picture = frame.copy()
        for column, row, radius in faces:
            mask_circle(picture, column, row, radius)
        if self._overlay is not None:
            self._overlay(picture)
        # Codecs want an even size; OpenCV wants blue first.
        height, width = (side - side % 2 for side in picture.shape[:2])
        self._writer.write(np.ascontiguousarray(picture[:height, :width, ::-1]))
        self.frames += 1

    def close(self) -> Path | None:
        """Finish the file and return its path; None if there was no frame.

        Raises:
            RecordError: If it cannot be written.
        """
        if self._writer is None:
            return self.path if self.frames else None
        self._writer.release()
        self._writer = None
        try:
            self._partial.replace(self.path)
        except OSError as error:
            raise RecordError(
                f"{self.path}: cannot be written ({error.strerror})"
            ) from None
        return self.path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self, frame: Image) -> None:
        cv2 = _opencv()
        height, width = (side - side % 2 for side in frame.shape[:2])
        for code in _CODES:
            fourcc = cv2.VideoWriter_fourcc(*code)
            writer = cv2.VideoWriter(
                str(self._partial), fourcc, self._rate, (width, height)
            )
            if writer.isOpened():
                self._writer, self._shape = writer, frame.shape
                return
            writer.release()
        with contextlib.suppress(OSError):
            self._partial.unlink(missing_ok=True)
        raise RecordError(f"{self.path}: the video cannot be written there")


def write_text(
    image: Image,
    lines: Iterable[str],
    colour: tuple[int, int, int] = (255, 255, 255),
) -> None:
    """Write lines of ASCII text into the upper left corner, for overlays.

    Args:
        image: (height, width, 3) RGB, changed in place.
        lines: The text.
        colour: RGB.
    """
    cv2 = _opencv()
    scale = max(image.shape[0] / 720.0, 0.4)
    step = int(28 * scale)
    for place, line in enumerate(lines, start=1):
        where = (int(10 * scale), place * step)
        for thickness, ink in ((3, (0, 0, 0)), (1, colour)):
            cv2.putText(
                image,
                line,
                where,
                cv2.FONT_HERSHEY_SIMPLEX,
                0.8 * scale,
                ink,
                thickness,
                cv2.LINE_AA,
            )


def _opencv() -> Any:
    try:
        import cv2
    except ImportError:
        raise MissingExtraError("sim", "a video") from None
    return cv2
