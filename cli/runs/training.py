"""Training into a run directory: what `fit` reports is recorded and shown here."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from cli.runs.directory import RunDirectory
from cli.runs.interruption import Interrupted, stop_requests
from cli.runs.progress import Reporter
from cli.runs.recorder import Recorder, TrainingObjects
from cli.runs.validation import Validator
from cli.runs.warm_start import load_origin
from seq2seq.errors import ResourceError
from seq2seq.system.figures import megabytes
from seq2seq.system.out_of_memory import explain_out_of_memory

if TYPE_CHECKING:
    from data.token_store import TokenStore
    from seq2seq.batch import Batch
    from seq2seq.config import TrainingConfig
    from seq2seq.model import EncoderDecoder
    from seq2seq.training.events import TrainingState

TRANSLATING = "lower search.batch_sentences or training.batch_tokens, or the model's sizes"


@dataclass(frozen=True)
class Outcome:
    """How a training ended."""

    reason: str
    state: "TrainingState"
    trained: bool  # False when there was nothing left to do


def train_run(
    run: RunDirectory, store: "TokenStore", *, device: str, reporter: Reporter
) -> Outcome:
    """Train a run from where it stands to its end.

    A checkpoint follows every validation, and the first SIGINT, SIGTERM or SIGHUP, which then
    raises Interrupted. Raises DivergenceError at the first loss or gradient that is not finite,
    ResourceError where another process trains the run or memory runs out.
    """
    with run.lock():  # before it is read where the run stands: another may just be moving it on
        return _train(run, store, device=device, reporter=reporter)


def _train(run: RunDirectory, store: "TokenStore", *, device: str, reporter: Reporter) -> Outcome:
    from seq2seq.training.events import Finished, Update, ValidationScores
    from seq2seq.training.loop import fit, refuse_non_finite_weights
    from seq2seq.training.stopwatch import Stopwatch, untimed

    config = run.config.training
    trained, state, begins, warnings = _recovered(run, device)
    stopwatch = Stopwatch() if config.profile else None
    validator = Validator(run, store, device=device)
    with stop_requests() as stop:
        batches = _batches(store, config, trained, state, device)

        def validate() -> ValidationScores:
            with explain_out_of_memory("the translations of a validation", hint=TRANSLATING):
                return validator.measure(trained.model, stop)

        events = fit(
            trained.model,
            trained.optimizer,
            batches,
            validate,
            config,
            state=state,
            average=trained.average,
            restore_best=lambda: run.verified("best").load_training(*trained),
            part=stopwatch.part if stopwatch else untimed,
            device=device,
        )
        room = refuse_full_disk(run, trained.model)
        recorder = Recorder(run, trained, state, is_new=begins)
        try:
            reporter.start(trained.model, state)
            for line in (*warnings, *(room if begins else room[1:])):
                reporter.message(line)
            for event in events:
                if stopwatch and not isinstance(event, Update) and event.state != state:
                    reporter.message(stopwatch.describe())
                if isinstance(event, Finished):
                    averaged = recorder.average(validate, reporter)
                    reporter.finished(event)
                    return Outcome(event.reason, event.state, event.state != state or averaged)
                if isinstance(event, Update):
                    with _writing(run):
                        recorder.update(event)
                    reporter.update(event)
                else:
                    with _writing(run):
                        recorder.validation(event, validator.samples)
                    reporter.validation(event, validator.samples)
                    if event.reduced:
                        reporter.message(_told_plateau(event.state, config))
                stop.raise_if_requested()
        except Interrupted:  # not KeyboardInterrupt, which may come in the middle of a step
            refuse_non_finite_weights(trained.model, recorder.state)
            with _writing(run):
                recorder.save()
            raise
        finally:
            reporter.close()
            recorder.close()
    raise AssertionError("fit ends with Finished")


class _Standing(NamedTuple):
    """Where a run stands when its training is begun or gone on with."""

    trained: TrainingObjects
    state: "TrainingState"
    begins: bool  # there is no checkpoint yet
    warnings: list[str]  # of checkpoints that were found damaged


def _recovered(run: RunDirectory, device: str) -> _Standing:
    import torch

    from seq2seq.checkpoints.folder import recover
    from seq2seq.training.events import TrainingState
    from seq2seq.training.moving_average import MovingAverage
    from seq2seq.training.optimization import build_optimizer

    config = run.config.training
    torch.manual_seed(config.seed)
    model = run.build_model().to(device)
    warnings: list[str] = []
    found = recover(run.checkpoints, metric=config.metric, report=warnings.append)
    if not found:
        load_origin(run, model)
    average = MovingAverage(model, decay=config.ema) if config.ema else None
    trained = TrainingObjects(model, build_optimizer(model, config), average)
    if found:
        found.load_training(*trained)
    state = found.state if found else TrainingState()
    return _Standing(trained, state, not found, [f"warning: {line}" for line in warnings])


def _batches(
    store: "TokenStore",
    config: "TrainingConfig",
    trained: TrainingObjects,
    state: "TrainingState",
    device: str,
) -> "Iterator[Batch]":
    """The endless stream from where the run stands, after its largest batch has been tried."""
    from data.batching import EpochPlan, largest_batch, token_budget_batches
    from data.subword_sampling import subword_sampling
    from seq2seq.training.loop import check_memory, stop_reason

    train = store.split("train")
    plan = EpochPlan(
        budget=config.batch_tokens,
        seed=config.seed,
        corpora=store.corpora(config.corpus_weights),
        curriculum=config.curriculum,
        sampling=subword_sampling(
            store,
            source=config.source_subword_sampling,
            target=config.target_subword_sampling,
            seed=config.seed,
        ),
    )
    if not stop_reason(state, config):
        # Now, not hours from now. After a resume too: another machine may have less memory.
        largest = largest_batch(train, plan, epoch=state.position.epoch)
        check_memory(trained.model, largest, config, device=device)
    return token_budget_batches(train, plan, start=state.position)


def _told_plateau(state: "TrainingState", config: "TrainingConfig") -> str:
    rate = config.learning_rate * config.plateau_factor**state.reductions
    origin = f", from the weights of update {state.best_update:,}" if config.plateau_restart else ""
    return f"a plateau: the learning rate is {rate:.1e} from here on{origin}"


def refuse_full_disk(run: RunDirectory, model: "EncoderDecoder") -> list[str]:
    """What checkpoints will take, told before training; raises ResourceError where two do not fit.

    A run that has checkpoints already needs room for one more, beside those it replaces.
    """
    from seq2seq.checkpoints.checkpoint import size_of
    from seq2seq.checkpoints.folder import MIN_KEPT, most_kept

    config = run.config.training
    kept = most_kept(
        keep_best=config.keep_best,
        keep_last=config.keep_last,
        averaged=config.average != "none",
    )
    size = size_of(model, average=bool(config.ema))
    there = len([*run.checkpoints.glob("update-*")])
    free = shutil.disk_usage(run.checkpoints).free
    least, most = (max(1, count - there) * size for count in (MIN_KEPT, kept + 1))
    told = f"{megabytes(free)} are free at {run.checkpoints}"
    if free < least:
        raise ResourceError(
            f"{told}, and the first checkpoints need {megabytes(least)}",
            hint="free space, or use another disk or a smaller model",
        )
    lines = [f"checkpoints: up to {kept} kept, about {megabytes(size)} each"]
    if free < most:
        lines.append(
            f"warning: {told}, and all checkpoints need {megabytes(most)}: free space, or lower "
            "training.keep_best or training.keep_last"
        )
    return lines


@contextmanager
def _writing(run: RunDirectory) -> Iterator[None]:
    """Say of a disk that is full or fails what is left, and how to go on."""
    try:
        yield
    except OSError as error:
        free = megabytes(shutil.disk_usage(run.path).free)
        raise ResourceError(
            f"{error.filename or run.metrics}: {error.strerror or error}; {free} are free",
            hint="the last checkpoint is whole: free space or mend permissions, then go on with "
            "--resume",
        ) from error
