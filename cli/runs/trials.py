"""What a search and a comparison share: a folder of trials, and trials that fail by themselves."""

from pathlib import Path
from typing import Literal

from seq2seq.errors import DivergenceError, ResourceError
from seq2seq.system.out_of_memory import is_out_of_memory

Failure = Literal["diverged", "out of memory"]


def create_trials_folder(path: Path) -> None:
    """Raises ResourceError where it cannot be created."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(
            f"{path} cannot be created: {error.strerror}",
            hint="choose a folder that you may write to",
        ) from error


def failure_of(error: DivergenceError | ResourceError) -> Failure | None:
    """How a trial failed by its own settings; None where the cause lies elsewhere."""
    if isinstance(error, DivergenceError):
        return "diverged"
    cause = error.__cause__
    return "out of memory" if cause is not None and is_out_of_memory(cause) else None
