"""What memory ran out for, and the settings that need less of it."""

from collections.abc import Iterator
from contextlib import contextmanager

from seq2seq.errors import ResourceError

HINT = (
    "lower training.batch_tokens, and raise training.accumulate in proportion to keep what an "
    "update learns from; or lower the model's sizes"
)


def is_out_of_memory(error: BaseException) -> bool:
    """torch has a class for it on a GPU, and on a CPU only words."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    words = ("can't allocate memory", "not enough memory")
    return isinstance(error, RuntimeError) and any(each in str(error) for each in words)


@contextmanager
def memory_for(what: str, *, hint: str = HINT) -> Iterator[None]:
    """Raises ResourceError, which names what was at work, where memory runs out."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ResourceError(f"out of memory for {what}", hint=hint) from error
