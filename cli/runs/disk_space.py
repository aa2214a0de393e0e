"""Disk space for the checkpoints of a run: checked before training, explained when it runs out."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from cli.runs.directory import RunDirectory
from seq2seq.checkpoints.checkpoint import size_of
from seq2seq.checkpoints.folder import MIN_KEPT, checkpoints_in, most_kept
from seq2seq.errors import ResourceError
from seq2seq.model import EncoderDecoder
from seq2seq.system.figures import megabytes


def check_disk_space(run: RunDirectory, model: EncoderDecoder) -> list[str]:
    """Disk space for the checkpoints of a run, as lines for the log, perhaps with a warning.

    A run that has checkpoints already needs space for one more, beside those that it replaces.
    Raises ResourceError where there is no space for the first ones.
    """
    config = run.config.training
    kept = most_kept(
        keep_best=config.keep_best,
        keep_last=config.keep_last,
        averaged=config.average != "none",
    )
    size = size_of(model, average=bool(config.ema))
    present = len(checkpoints_in(run.checkpoints))
    free = shutil.disk_usage(run.checkpoints).free
    least, most = (max(1, count - present) * size for count in (MIN_KEPT, kept + 1))
    available = f"{megabytes(free)} are free at {run.checkpoints}"
    if free < least:
        raise ResourceError(
            f"{available}, and the first checkpoints need {megabytes(least)}",
            hint="free space, or use another disk or a smaller model",
        )
    lines = [f"checkpoints: up to {kept} kept, about {megabytes(size)} each"]
    if free < most:
        lines.append(
            f"warning: {available}, and all checkpoints need {megabytes(most)}: free space, or "
            "lower training.keep_best or training.keep_last"
        )
    return lines


@contextmanager
def explain_write_errors(run: RunDirectory, *, continued_by: str) -> Iterator[None]:
    """Turn an OSError into a ResourceError that says how much space is left and how to go on.

    continued_by: how to train on, such as "with --resume"
    """
    try:
        yield
    except OSError as error:
        free = megabytes(shutil.disk_usage(run.path).free)
        raise ResourceError(
            f"{error.filename or run.metrics}: {error.strerror or error}; {free} are free",
            hint="the last checkpoint is whole: free space or correct permissions, then continue "
            f"{continued_by}",
        ) from error
