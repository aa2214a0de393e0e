"""Recognising that memory ran out, and saying during which work and which settings need less."""

from collections.abc import Iterator
from contextlib import contextmanager

from seq2seq.errors import ResourceError

TRAINING_HINT = (
    "lower training.batch_tokens, and raise training.accumulate in proportion to keep what an "
    "update learns from; or lower the model's sizes"
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the CPU's or the GPU's memory ran out.

    torch raises a class of its own for a GPU; for a CPU it raises a plain RuntimeError, which only
    its message tells apart.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    messages = ("can't allocate memory", "not enough memory")
    return isinstance(error, RuntimeError) and any(each in str(error) for each in messages)


@contextmanager
def explain_out_of_memory(task: str, *, hint: str = TRAINING_HINT) -> Iterator[None]:
    """Raise ResourceError, which names the task, when memory runs out inside the `with` block."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ResourceError(f"out of memory for {task}", hint=hint) from error
