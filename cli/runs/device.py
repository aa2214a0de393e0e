"""Which device and how many threads torch uses."""

from seq2seq.errors import ConfigError, ResourceError

# How often a thread looks for work before it sleeps. A sleeping one takes 50 microseconds to wake,
# as long as a step's small products: 1,000 cost a third of the speed on two quiet cores. One that
# never sleeps holds the core that another program needs: the library's own 300,000 made training
# beside busy programs up to 40 times slower.
SPINS = "10000"


def choose_device(name: str, threads: int | None = None) -> str:
    """ "cpu" or "cuda" for auto, or the device asked for; sets up torch, too."""
    import torch

    # Numbers under 1e-38 count as 0: processors take a hundred times as long for them, and a model
    # that learns to look sharply is full of them. Threads that torch starts later do the same.
    torch.set_flush_denormal(True)
    # float32 is float32: on a GPU recurrent layers would round what they read to ten bits.
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
    return name
