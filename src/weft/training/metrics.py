"""What a run measures of itself: `metrics.jsonl` always, TensorBoard where it is asked for."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from weft.errors import UserError
from weft.runs.log import Log

__all__ = ["METRICS", "Metrics"]

METRICS = "metrics.jsonl"
TENSORBOARD = "tensorboard"
EVERY = 10  # steps to a line


class Metrics:
    """Records of a run from a step on; those that an earlier process wrote after it are gone.

    A step's record has its loss, a validation's has "validation_loss" and the task's scores, the last has "finished".
    """

    def __init__(self, folder: Path, *, step: int, tensorboard: bool) -> None:
        self._stack = ExitStack()
        self._board = _open_board(folder / TENSORBOARD, step=step) if tensorboard else None
        self._log = self._stack.enter_context(Log(folder / METRICS, step=step))

    def step(self, step: int, **values: float) -> None:
        """What a step showed, where it is one of those that are kept."""
        if step % EVERY == 0:
            self._write(step, values)

    def validation(self, step: int, **values: float) -> None:
        """What a validation showed."""
        self._write(step, values)

    def finish(self, step: int, result: Mapping[str, Any]) -> None:
        """How the run ended."""
        self._log.write({"step": step, "finished": True, **result})

    def _write(self, step: int, values: Mapping[str, float]) -> None:
        self._log.write({"step": step, **values})
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._board is not None:
            self._board.close()
        self._stack.close()


def _open_board(folder: Path, *, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError("train.tensorboard needs tensorboard: pip install tensorboard") from error
    return SummaryWriter(str(folder), purge_step=step or None)
