"""What TensorBoard is told, over every start of a run."""

from __future__ import annotations

from pathlib import Path

from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat
from torch.utils.tensorboard.writer import SummaryWriter

__all__ = ["open_board"]


class _Board(TensorBoardOutputFormat):
    """TensorBoard's files, with one line for a run that was killed and went on.

    Args:
        folder: Where the files are.
        steps: What has been written for later steps is from a start that was lost.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        self.writer = SummaryWriter(log_dir=str(folder), purge_step=steps + 1)
        self._is_closed = False


def open_board(folder: Path, steps: int) -> Logger:
    """Return a logger of Stable-Baselines3 that writes for TensorBoard.

    Args:
        folder: The run's ``tensorboard/``.
        steps: Steps of the checkpoint that the run goes on from; 0 at the beginning.
    """
    return Logger(str(folder), [_Board(folder / "run_0", steps)])
