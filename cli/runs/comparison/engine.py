"""Trials in processes of their own, a few at a time; no signal loses more than an update."""

import json
import os
import signal
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

import seq2seq.errors
from cli.runs.comparison.trial import Task, measure
from cli.runs.interruption import Interrupted, Terminated, install_signal_handlers, stop_requests
from cli.runs.trials import user_error_of
from seq2seq.errors import ResourceError, UserError
from seq2seq.system.workers import exit_with_parent, signals_blocked, unblock_signals

TICK = 0.25  # seconds

Notify = Callable[[Task, dict[str, Any]], None]
"""Is given each event of a trial: begin, update, validation, translating, done."""


@dataclass(frozen=True)
class _Running:
    task: Task
    process: SpawnProcess


def run_tasks(
    tasks: Sequence[Task], *, jobs: int, notify: Notify, tick: Callable[[], None]
) -> None:
    """Do all tasks, at most `jobs` at the same time.

    tick: is called a few times a second

    After a signal every process saves its training, and Interrupted is raised. An error of a trial
    that is not due to its settings, such as a full disk, ends the others too, and is raised.
    """
    waiting, running = deque(tasks), dict[Connection, _Running]()
    with stop_requests() as stop:
        try:
            while waiting or running:
                stop.raise_if_requested()
                while waiting and len(running) < jobs:
                    task = waiting.popleft()
                    connection, process = _start(task)
                    running[connection] = _Running(task, process)
                    notify(task, {"event": "begin"})
                for ready in wait(list(running), timeout=TICK):
                    assert isinstance(ready, Connection)
                    _receive(ready, running, notify)
                tick()
        finally:
            _stop(running)


def _start(task: Task) -> tuple[Connection, SpawnProcess]:
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(task, theirs), daemon=False)
    with signals_blocked():
        process.start()
    theirs.close()  # so that ours ends when the process does
    return ours, process


def _receive(connection: Connection, running: dict[Connection, _Running], notify: Notify) -> None:
    """Handle the next event of a trial; raises the error that ended its process, if one did."""
    task, process = running[connection].task, running[connection].process
    try:
        event = json.loads(connection.recv_bytes())
    except EOFError:
        process.join()
        del running[connection]
        connection.close()
        if not task.result.is_file():
            raise _died(task, process.exitcode) from None
        notify(task, {"event": "done"})
        return
    match event:
        case {"event": "error", "type": name, "message": message, "hint": hint}:
            error: type[UserError] = getattr(seq2seq.errors, name, ResourceError)
            raise error(f"trial {task.name}: {message}", hint=hint)
        case {"event": "bug", "traceback": text}:
            raise RuntimeError(f"trial {task.name} failed:\n{text}")
    notify(task, event)


def _died(task: Task, exit_code: int | None) -> ResourceError:
    message = f"the process of trial {task.name} ended without a result (exit code {exit_code})"
    if exit_code == -signal.SIGKILL:
        message = (
            f"the process of trial {task.name} was killed; the system does so when memory runs out"
        )
    return ResourceError(message, hint="go on with the same command, perhaps with fewer --jobs")


def _stop(running: dict[Connection, _Running]) -> None:
    """Ask every process to save and end, and wait for that; a further signal kills them."""
    processes = [each.process for each in running.values()]
    try:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
    except BaseException:
        for process in processes:
            process.kill()
        raise


def _work(task: Task, connection: Connection) -> None:
    """The process of one trial."""
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C reaches the main process alone, which decides
    install_signal_handlers()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    unblock_signals()
    exit_with_parent()

    def send(event: dict[str, Any]) -> None:
        with suppress(OSError):  # the main process waits for the end only
            connection.send_bytes(json.dumps(event).encode())

    try:
        measure(task, send)
    except (Interrupted, Terminated):
        pass
    except Exception as error:
        if reason := user_error_of(error):
            name = type(reason).__name__
            send({"event": "error", "type": name, "message": reason.message, "hint": reason.hint})
        else:
            send({"event": "bug", "traceback": traceback.format_exc()})
