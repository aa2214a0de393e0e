"""For searches and comparisons: the folder of trials, and errors that are the result of a trial."""

from pathlib import Path
from typing import Literal

from seq2seq.errors import DivergenceError, ResourceError, UserError
from seq2seq.system.out_of_memory import is_out_of_memory

Failure = Literal["diverged", "out of memory"]
SAME_COMMAND = "with the same command"
"""How a search or a comparison is continued, for the hints of errors."""


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


def user_error_of(error: Exception) -> UserError | None:
    """The error to report for one that ends all trials; None for a bug in the program."""
    if isinstance(error, UserError):
        return error
    if is_out_of_memory(error):
        return ResourceError("out of memory", hint=f"go on {SAME_COMMAND} and fewer --jobs")
    if isinstance(error, OSError):
        return ResourceError(
            f"{error.filename or 'writing failed'}: {error.strerror or error}",
            hint=f"check free space, permissions and the path, and go on {SAME_COMMAND}",
        )
    return None
