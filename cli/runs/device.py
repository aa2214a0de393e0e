"""The device and the number of threads that torch uses."""

from seq2seq.errors import ConfigError, ResourceError
from seq2seq.system.allocation import keep_freed_memory

SPINS = "10000"
"""How often a thread of OpenMP checks for work before it sleeps (GOMP_SPINCOUNT).

A sleeping thread takes 50 microseconds to wake up, as long as the small matrix products of a step
take: with 1,000 checks training on two idle cores was a third slower. A thread that keeps checking
blocks a core that other programs need: with the default of 300,000, training beside busy programs
was up to 40 times slower."""


def choose_device(name: str, threads: int | None = None) -> str:
    """Configure torch; returns the name of the device, for "auto" the one that is available.

    Raises ConfigError for an unknown name, and ResourceError where there is no such device.
    """
    import torch

    keep_freed_memory()
    # Denormal numbers, below 1e-38, become 0: processors take a hundred times as long for them,
    # and sharp attention produces many. Threads that torch starts later do the same.
    torch.set_flush_denormal(True)
    # Keep float32 exact: on a GPU cuDNN would round the inputs of recurrent layers to ten bits.
    torch.backends.cudnn.allow_tf32 = False
    if threads is not None:
        torch.set_num_threads(threads)
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return name
    if name.partition(":")[0] != "cuda":
        raise ConfigError(f"there is no device {name!r}", hint="use auto, cpu or cuda")
    if not torch.cuda.is_available():
        raise ResourceError("torch sees no CUDA device", hint="use --device cpu")
    if ":" in name:
        torch.cuda.set_device(name)  # where CUDA graphs are recorded
    return name
