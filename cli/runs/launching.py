"""`train --processes N`: starts the ranks of a training on one machine, and waits for them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from seq2seq.system.signals import ENDING_SIGNALS

GRACE_SECONDS = 15
"""After which ranks that do not end by themselves, once another one has failed, are killed."""
IMPATIENCE_SECONDS = 3
"""After which ranks that do not end by themselves, once a second signal has come, are killed."""
INTERRUPTED = 128
"""Exit codes from here on are those of a signal: then rank 0 saves, and may take longer."""
POLL_SECONDS = 0.05
LOST_RANK = 6  # the exit code where every rank was killed
PARENT = "SEQ2SEQ_LAUNCHER"
"""Names the process that started a rank, in its environment."""


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Run the program with these arguments as so many ranks; returns the exit code.

    It is that of the first rank that ends with one. Signals go to all ranks: those of a terminal
    reach none of them directly, because each has a session of its own.
    """
    command = [sys.executable, "-P", "-m", "cli.app", *arguments]
    ranks: list[subprocess.Popen[bytes]] = []
    with _signals_forwarded(ranks) as received:
        try:
            for rank, environment in enumerate(rank_environments(processes)):
                ranks.append(
                    subprocess.Popen(
                        command,
                        env=os.environ | environment,
                        # rank 0 alone reads a recipe, which may be standard input or a pipe
                        stdin=subprocess.DEVNULL if rank else None,
                        close_fds=rank > 0,
                        start_new_session=True,
                    )
                )
                if received:  # while this rank was started, which may have missed it
                    return INTERRUPTED + received[0]
            return _wait(ranks, received)
        finally:
            for process in ranks:
                process.kill()
                process.wait()


def rank_environments(processes: int) -> list[dict[str, str]]:
    """The variables that tell each rank which one it is, as torchrun sets them."""
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", loopback),
        PARENT: str(os.getpid()),
    }
    return [shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]


def _wait(ranks: Sequence[subprocess.Popen[bytes]], received: Sequence[int]) -> int:
    """Wait until all have ended, but for no longer than GRACE_SECONDS once one has failed.

    received: the signals that were forwarded; with a second one it is IMPATIENCE_SECONDS
    """
    codes: dict[int, int] = {}  # in the order in which they end
    until = float("inf")
    while len(codes) < len(ranks) and time.monotonic() < until:
        if len(received) > 1:
            until = min(until, time.monotonic() + IMPATIENCE_SECONDS)
        for rank, process in enumerate(ranks):
            if rank not in codes and (code := process.poll()) is not None:
                codes[rank] = code
                if code and code < INTERRUPTED:
                    until = min(until, time.monotonic() + GRACE_SECONDS)
                if code < 0 and not received:
                    name = signal.Signals(-code).name
                    sys.stderr.write(f"rank {rank} (process {process.pid}) ended by {name}\n")
        time.sleep(POLL_SECONDS)
    killed = INTERRUPTED + received[0] if received else LOST_RANK
    unharmed = len(codes) == len(ranks) and not any(codes.values())
    return next((code for code in codes.values() if code > 0), 0 if unharmed else killed)


@contextmanager
def _signals_forwarded(ranks: Sequence[subprocess.Popen[bytes]]) -> Iterator[list[int]]:
    """Inside the `with` block, a signal that would end this process goes to all ranks instead.

    Yields the signals that were received.
    """
    received = list[int]()

    def forward(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for process in ranks:
            if process.poll() is None:
                process.send_signal(number)

    before = {
        number: signal.signal(number, forward)
        for number in ENDING_SIGNALS
        if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
