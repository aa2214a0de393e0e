"""Joins the ranks of a training, and ends them together when one of them fails.

torchrun, or `launch` of cli/runs/launching.py, starts the processes and names them in the
environment. A rank that fails reports it and says so in the store that all of them share; the
others lose the connection to it, find the reason there, and end with its exit code and no message
of their own. Where no reason is found, a rank was killed or hangs: whoever notices it first asks
all to answer, and names those that do not.
"""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cli.runs.interruption import Interrupted, Terminated, signal_number_of
from cli.runs.launching import PARENT
from seq2seq import errors
from seq2seq.errors import ConfigError, DivergenceError, ResourceError, UserError
from seq2seq.system.figures import counted, plural
from seq2seq.system.out_of_memory import is_out_of_memory

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

    from seq2seq.training.ranks import Ranks

Value = TypeVar("Value")

JOIN_SECONDS = 300
"""Within which all ranks must have started."""
PREPARATION_SECONDS = 3600
"""Within which the first rank must have prepared the training: it learns links for minutes."""
ANSWER_SECONDS = 5
"""Within which every rank that still runs answers, once another one has failed."""


class ReportedElsewhere(Exception):  # noqa: N818 - nothing more to report
    """This rank ends because of an error that another one reports."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


def launched_size() -> int:
    """How many ranks were started together with this process; 1 if it was started alone."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def launched_rank() -> int:
    return int(os.environ.get("RANK", "0"))


def threads_of_rank(threads: int | None) -> int | None:
    """The number that was given; else, for one of several ranks on this machine, its part of the
    cores (torchrun sets one thread where nothing is said)."""
    from seq2seq.system.cores import usable_cores

    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if threads is not None or launched_size() == 1:
        return threads
    return max(1, usable_cores() // beside)


def device_of_rank(device: str) -> str:
    """The GPU of this rank, where there are GPUs and none was named.

    Raises ResourceError where a machine has more ranks than GPUs.
    """
    if launched_size() == 1 or device not in ("auto", "cuda"):
        return device
    import torch

    if not torch.cuda.is_available():
        return device
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if local >= (count := torch.cuda.device_count()):
        raise ResourceError(
            f"this machine has {counted(count, 'GPU')}, and rank {launched_rank()} needs another",
            hint=f"start {count} {plural(count, 'process', 'processes')} on it, or add "
            "--device cpu",
        )
    return f"cuda:{local}"


def is_begun(run: Path) -> bool:
    """Whether an earlier attempt of this torchrun has begun a run, which is then resumed.

    torchrun restarts all processes when one has failed, and when machines come or go.
    """
    from seq2seq.system.files import read_json

    if not (run / "config.toml").is_file():
        return False
    if int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")):
        return True
    own = os.environ.get("TORCHELASTIC_RUN_ID", "none")  # none: no --rdzv-id was given
    with suppress(OSError, ValueError, AttributeError):
        return own != "none" and read_json(run / "provenance.json").get("torchrun_id") == own
    return False


@contextmanager
def joined_ranks(*, device: str = "cpu") -> Iterator["Ranks"]:
    """The ranks of this training, connected inside the `with` block.

    Inside, raises ResourceError, with the names of the ranks that are lost, or ReportedElsewhere
    where another rank reports the error.
    """
    from seq2seq.training.ranks import ONE_RANK, ConnectedRanks, RankLost

    if launched_size() == 1:
        yield ONE_RANK
        return
    if PARENT in os.environ:
        _end_with(int(os.environ[PARENT]))
    store, names = _interruptibly(lambda: _connect(device))
    ending = _Ending(store, names)
    try:
        yield ConnectedRanks(launched_rank(), launched_size())
    except RankLost:
        error = ending.after_loss()
    except (Interrupted, DivergenceError) as own:  # on all ranks after the same update
        if launched_rank() == 0:
            raise
        raise ReportedElsewhere(own) from own
    except BaseException as own:
        if ending.is_reporter(own):
            raise
        error = ReportedElsewhere(_from_json(_as_json(own)))
    else:
        _disconnect()
        return
    raise error


def _connect(device: str) -> tuple["Store", list[str]]:
    """The store that the ranks share, and the name of each."""
    from torch import distributed
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    from seq2seq.training.ranks import ConnectedRanks, RankLost

    cuda, timeout = device.startswith("cuda"), timedelta(seconds=JOIN_SECONDS)
    try:
        store, rank, size = next(rendezvous("env://", timeout=timeout))
        # torchrun keeps its store when it restarts, with the addresses of processes that are gone
        store = PrefixStore(f"{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{size}", store)
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if cuda else "gloo",
            store=store,
            rank=rank,
            world_size=size,
            timeout=timeout,
        )
        name = f"rank {rank} (process {os.getpid()} on {socket.gethostname()})"
        ranks = ConnectedRanks(rank, size)
        names = ranks.gather(name)
        ranks.set_timeout(PREPARATION_SECONDS)
        return PrefixStore("ending", store), names
    except ValueError as error:
        raise ConfigError(
            f"the processes cannot be connected: {error}", hint="start them by torchrun"
        ) from error
    except (RuntimeError, RankLost) as error:  # those of torch.distributed are RuntimeErrors
        raise ResourceError(
            f"rank {launched_rank()} cannot connect to the others: {_first_line(error)}",
            hint="see why they did not start, and whether machines may connect to each other; "
            "GLOO_SOCKET_IFNAME names the network interface",
        ) from error


def _interruptibly(operation: Callable[[], Value]) -> Value:
    """Call an operation that waits outside Python, where no signal is handled, in a thread."""
    found = Future[Value]()

    def call() -> None:
        try:
            found.set_result(operation())
        except BaseException as error:
            found.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return found.result()


def _end_with(launcher: int) -> None:
    """Stop, as after SIGTERM, when the process that started this rank was killed."""

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _disconnect() -> None:
    from torch import distributed

    with suppress(RuntimeError, AssertionError, ValueError):
        distributed.destroy_process_group()


class _Ending:
    """The end of a rank when it, or another one, has failed."""

    def __init__(self, store: "Store", names: list[str]) -> None:
        self._store, self._names = store, names
        self._rank = launched_rank()
        # rank 0 has the store, unless torchrun's agent has it
        self._owns_store = (
            self._rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
        )

    def is_reporter(self, error: BaseException) -> bool:
        """Give the other ranks the reason; whether this is the rank that reports an error."""
        first = False
        with suppress(RuntimeError):
            first = self._leave()
            if first:
                self._store.set("reason", json.dumps(self._reason(error)))
        _try_for_a_while(_disconnect)
        self._outlive_others()
        return first

    def after_loss(self) -> Exception:
        """The error to end with when the connection to a rank is lost."""
        _try_for_a_while(_disconnect)  # so that others, which wait for this rank, notice it too
        try:
            if self._leave():
                missing = self._missing()
                error: UserError = self._lost(missing)
                self._store.set("reason", json.dumps(self._reason(error)))
                self._outlive_others(missing=len(missing))
                return error
            self._store.wait(["reason"], timedelta(seconds=2 * ANSWER_SECONDS))
            reason = json.loads(self._store.get("reason"))
            self._outlive_others()
            return _error_of_another(reason)
        except RuntimeError:  # the store is gone, and with it the rank that had it
            error = self._lost([0])
            return error if self._rank == 1 else ReportedElsewhere(error)

    def _leave(self) -> bool:
        """Answer the ranks that ask which are left; returns whether this one answers first.

        Raises RuntimeError where the store does not answer, which its own timeout does not notice.
        """
        answers: list[bool] = []

        def leave() -> None:
            with suppress(RuntimeError):
                self._store.set(f"left/{self._rank}", "")
                answers.append(self._store.add("leaving", 1) == 1)

        _try_for_a_while(leave)
        if not answers:
            raise RuntimeError("the store does not answer")
        return answers[0]

    def _missing(self) -> list[int]:
        """The ranks that do not leave within ANSWER_SECONDS."""
        waiting, until = {*range(len(self._names))} - {self._rank}, _deadline()
        if len(waiting) == 1:
            return [*waiting]
        while waiting and time.monotonic() < until:
            waiting -= {rank for rank in waiting if self._store.check([f"left/{rank}"])}
            time.sleep(0.02)
        return sorted(waiting)

    def _outlive_others(self, *, missing: int = 0) -> None:
        """Let every other rank that still runs read the reason, where this one has the store."""
        with suppress(RuntimeError):
            read, until, others = (
                self._store.add("read", 1),
                _deadline(),
                len(self._names) - missing,
            )
            while self._owns_store and read < others and time.monotonic() < until:
                time.sleep(0.02)
                read = self._store.add("read", 0)

    def _reason(self, error: BaseException) -> dict[str, Any]:
        return {"host": socket.gethostname(), "rank": self._names[self._rank]} | _as_json(error)

    def _lost(self, ranks: list[int]) -> ResourceError:
        names = ", ".join(self._names[rank] for rank in ranks) or "the connection to a rank"
        return ResourceError(
            f"lost {names}: it was killed or hangs",
            hint="nothing after the last checkpoint is kept; go on with --resume",
        )


def _try_for_a_while(operation: Callable[[], None]) -> None:
    """Wait ANSWER_SECONDS for an operation that may wait for a lost rank without end."""
    thread = threading.Thread(target=operation, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)


def _deadline() -> float:
    return time.monotonic() + ANSWER_SECONDS


def _as_json(error: BaseException) -> dict[str, Any]:
    if isinstance(error, Interrupted | Terminated | KeyboardInterrupt):
        return {"signal": signal_number_of(error)}
    return {"error": _kind(error), "message": str(error)}


def _kind(error: BaseException) -> str:
    """The class of `seq2seq.errors` that has the exit code of an error; "" for a bug."""
    if isinstance(error, OSError) or is_out_of_memory(error):
        return ResourceError.__name__
    kinds = (kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
    return next(kinds, "")


def _from_json(reason: dict[str, Any]) -> Exception:
    if "signal" in reason:
        return Interrupted(reason["signal"])
    kind: type[Exception] = getattr(errors, reason["error"], RuntimeError)
    return kind(reason["message"])


def _error_of_another(reason: dict[str, Any]) -> Exception:
    """The error to end with where another rank has given the reason.

    One rank of each other machine reports it there too: what a machine prints may be all that
    somebody sees.
    """
    error = _from_json(reason)
    elsewhere = reason["host"] != socket.gethostname() and os.environ.get("LOCAL_RANK") == "0"
    if elsewhere and isinstance(error, UserError):
        return type(error)(f"{reason['rank']} has ended the training: {error.message}")
    return ReportedElsewhere(error)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
