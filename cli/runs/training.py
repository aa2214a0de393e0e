"""Training into a run directory: records and reports the events of `fit`, and heeds signals."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch

from cli.runs.directory import RunDirectory
from cli.runs.disk_space import check_disk_space, explain_write_errors
from cli.runs.interruption import Interrupted, raise_if_any, stop_requests
from cli.runs.progress import EpochForecast, Reporter, Reporters
from cli.runs.recorder import Follower, Recorder, TrainingObjects
from cli.runs.resumption import record_processes
from cli.runs.shared_cores import FIXED_THREADS, Threads
from cli.runs.tracking import trackers
from cli.runs.validation import Validator, search_name
from cli.runs.warm_start import load_origin
from data.batching import EpochPlan, largest_batch, pair_groups, token_budget_batches
from data.links import LinkGuide
from data.piece_links import PieceLinks
from data.subword_sampling import subword_sampling
from data.token_store import TokenStore
from seq2seq.batch import Batch
from seq2seq.checkpoints.checkpoint import VerifiedCheckpoint, verify
from seq2seq.checkpoints.folder import recover
from seq2seq.config import TrainingConfig
from seq2seq.system.figures import percent
from seq2seq.training.events import (
    METRIC_NAMES,
    Finished,
    TrainingState,
    Update,
    Validation,
    ValidationScores,
)
from seq2seq.training.loop import check_memory, fit, refuse_non_finite_weights, stop_reason
from seq2seq.training.moving_average import MovingAverage
from seq2seq.training.optimization import build_optimizer
from seq2seq.training.ranks import ONE_RANK, Ranks, refuse_unequal_weights
from seq2seq.training.schedule import SHARE, VALIDATIONS
from seq2seq.training.stopwatch import Stopwatch, untimed


@dataclass(frozen=True)
class Outcome:
    """How a training ended."""

    reason: str
    state: TrainingState
    trained: bool  # False when there was nothing left to do


def train_run(
    run: RunDirectory,
    store: TokenStore,
    *,
    device: str,
    reporter: Reporter,
    warnings: Sequence[str] = (),
    ends_after: Callable[[Validation], str | None] = lambda event: None,
    ranks: Ranks = ONE_RANK,
    threads: Threads = FIXED_THREADS,
    continued_by: str = "with --resume",
) -> Outcome:
    """Train a run to its end, from its last checkpoint or from the start.

    `warnings` are reported when training begins, after all that may be refused was checked.
    `ends_after` may end it after a validation, by returning a reason. `ranks` are the processes
    that train it: all call this function, and the first of them writes and reports. `threads`
    decides on those of torch; without it their number stays. `continued_by` is how the user trains
    on after an error, for its hint.

    A checkpoint is written after every validation, and at the first SIGINT, SIGTERM or SIGHUP,
    which then raises Interrupted. Raises DivergenceError at the first loss or gradient that is not
    finite, and ResourceError where another process trains the run or memory runs out.
    """
    if not ranks.is_first:
        return _train(
            run,
            store,
            device=device,
            reporter=Reporters([]),
            ranks=ranks,
            continued_by=continued_by,
        )
    with run.lock():  # before its last checkpoint is read: another process may be writing a new one
        return _train(
            run,
            store,
            device=device,
            reporter=Reporters([reporter, *trackers(run)]),
            warnings=warnings,
            ends_after=ends_after,
            ranks=ranks,
            threads=threads,
            continued_by=continued_by,
        )


def _train(
    run: RunDirectory,
    store: TokenStore,
    *,
    device: str,
    reporter: Reporter,
    ranks: Ranks,
    continued_by: str,
    warnings: Sequence[str] = (),
    ends_after: Callable[[Validation], str | None] = lambda event: None,
    threads: Threads = FIXED_THREADS,
) -> Outcome:
    config = run.config.training
    start = _starting_point(run, device, ranks)
    objects, state = start.objects, start.state
    stopwatch = Stopwatch() if config.profile else None
    validator = Validator(run, store, device=device, ranks=ranks)
    explained = partial(explain_write_errors, run, continued_by=continued_by)
    ranks.set_timeout(config.rank_timeout)  # not before: the first may take minutes until here
    guide = _link_guide(run, store)
    with stop_requests() as stop:

        def validate_alone() -> ValidationScores:  # the other ranks have ended
            return Validator(run, store, device=device).measure(objects.model, stop)

        events = fit(
            objects.model,
            objects.optimizer,
            _batches(store, config, start, device, ranks, guide),
            partial(validator.measure, objects.model, stop),
            config,
            state=state,
            average=objects.average,
            restore_best=partial(_restore_best, run, objects, ranks),
            part=stopwatch.part if stopwatch else untimed,
            device=device,
            ranks=ranks,
        )
        opening = _opening_lines(run, start, validator, guide, warnings)
        forecast = EpochForecast(config, store.epoch_tokens(config.corpus_weights))
        recorder: Recorder | Follower = (
            Recorder(run, objects, state, is_new=start.is_new)
            if ranks.is_first
            else Follower(state)
        )
        try:
            reporter.start(objects.model, state)
            for line in opening:
                reporter.message(line)
            for event in events:
                if stopwatch and not isinstance(event, Update) and event.state != state:
                    reporter.message(stopwatch.describe())
                match event:
                    case Update():
                        with explained():
                            recorder.update(event)
                        reporter.update(event)
                        if warning := forecast.update(event.state):
                            reporter.message(f"warning: {warning}")
                        if change := threads.after_update():
                            reporter.message(change)
                    case Validation():
                        with explained():
                            recorder.validation(event, validator.samples, validator.attention)
                        reporter.validation(event, validator.samples)
                        if event.reduced:
                            reporter.message(_describe_plateau(event.state, config))
                        if reason := ends_after(event):
                            reporter.finished(Finished(event.state, reason))
                            return Outcome(reason, event.state, trained=True)
                    case Finished():
                        averaged = recorder.average(validate_alone, reporter)
                        reporter.finished(event)
                        return Outcome(event.reason, event.state, event.state != state or averaged)
                signals = ranks.gather_numbers(stop.signal_number or 0)
                raise_if_any(int(number) for (number,) in signals)
        except Interrupted:  # not KeyboardInterrupt, which may come in the middle of an update
            refuse_non_finite_weights(objects.model, recorder.state)
            with explained():
                recorder.save()
            raise
        finally:
            reporter.close()
            recorder.close()
            threads.close()
    raise AssertionError("fit ends with Finished")


class _StartingPoint(NamedTuple):
    """The model, optimizer and state with which training begins."""

    objects: TrainingObjects
    state: TrainingState
    is_new: bool  # without a checkpoint yet
    damages: list[str]  # of checkpoints


def _starting_point(run: RunDirectory, device: str, ranks: Ranks) -> _StartingPoint:
    config = run.config.training
    torch.manual_seed(config.seed)
    model = run.build_model().to(device)
    checkpoint, damages = _last_checkpoint(run, ranks)
    if not checkpoint:
        load_origin(run, model)
    average = MovingAverage(model, decay=config.ema) if config.ema else None
    objects = TrainingObjects(model, build_optimizer(model, config), average)
    if checkpoint:
        checkpoint.load_training(*objects)
    state = checkpoint.state if checkpoint else TrainingState()
    refuse_unequal_weights(model, ranks)
    return _StartingPoint(objects, state, not checkpoint, damages)


def _last_checkpoint(
    run: RunDirectory, ranks: Ranks
) -> tuple[VerifiedCheckpoint | None, list[str]]:
    """The checkpoint to train on from, which rank 0 finds, and what is to be said about it."""
    damages: list[str] = []

    def recovered() -> VerifiedCheckpoint | None:
        found = recover(run.checkpoints, metric=run.config.training.metric, report=damages.append)
        if found and (changed := record_processes(run, ranks.size)):
            damages.append(changed)
        return found

    checkpoint = recovered() if ranks.is_first else None
    name = ranks.of_first(lambda: checkpoint and checkpoint.path.name)
    if name and not ranks.is_first:
        checkpoint = verify(run.checkpoints / name)
    return checkpoint, damages


def _restore_best(run: RunDirectory, objects: TrainingObjects, ranks: Ranks) -> None:
    """Load model, optimizer and average as they were at the best validation so far."""
    best = ranks.of_first(lambda: run.checkpoint("best").name)
    run.verified(best).load_training(*objects)


def _batches(
    store: TokenStore,
    config: TrainingConfig,
    start: _StartingPoint,
    device: str,
    ranks: Ranks,
    guide: LinkGuide | None,
) -> Iterator[Batch]:
    """The endless batches from the start on.

    Raises ResourceError if the largest needs too much memory.
    """
    position = start.state.position
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
        guide=guide,
    )
    groups = None  # ordering the pairs of an epoch takes seconds where there are millions
    if not stop_reason(start.state, config):
        groups = pair_groups(train, plan, epoch=position.epoch)
        # Memory runs out now rather than after hours. Resumed runs are checked too: they may be on
        # another machine.
        largest = largest_batch(train, plan, groups, epoch=position.epoch)
        check_memory(start.objects.model, ranks.share(largest), config, device=device)
    return token_budget_batches(train, plan, start=position, groups=groups)


def _link_guide(run: RunDirectory, store: TokenStore) -> LinkGuide | None:
    config = run.config.training
    if not config.guided_alignment:
        return None
    return LinkGuide(
        links=run.link_matrices(store),
        decay=config.guided_alignment_decay,
        shift=config.guided_alignment_shift,
    )


def _opening_lines(
    run: RunDirectory,
    start: _StartingPoint,
    validator: Validator,
    guide: LinkGuide | None,
    warnings: Sequence[str],
) -> list[str]:
    """The lines of the report when training begins; raises what `check_disk_space` raises."""
    needs, *disk_warnings = check_disk_space(run, start.objects.model)
    warnings = [*start.damages, *warnings]
    if problem := validator.metric_problem():
        warnings.append(f"{problem} (training.metric=chrf)")
    news = [needs, _describe_validation(run.config.training)] if start.is_new else []
    if start.is_new and guide and isinstance(guide.links, PieceLinks):
        count = len(guide.links.pieces)
        news.append(f"guided by {count:,} links of pieces, learnt from the training pairs")
    return [*(f"warning: {line}" for line in warnings), *news, *disk_warnings]


def _describe_validation(config: TrainingConfig) -> str:
    """Such as "validation: every 60 updates, 400 sentences translated (beam 5), best by chrF"."""
    often = (
        f"every {config.validate_every:,} updates"
        if config.validate_every
        else f"about {VALIDATIONS} times, fewer where it takes over {percent(SHARE)} of the time"
    )
    count = config.validation_sentences
    search = search_name(config)
    translated = "" if count is None else f", {count:,} sentences translated ({search})"
    return f"validation: {often}{translated}, best by {METRIC_NAMES[config.metric]}"


def _describe_plateau(state: TrainingState, config: TrainingConfig) -> str:
    rate = config.learning_rate * config.plateau_factor**state.reductions
    origin = ", from the weights of the best checkpoint" if config.plateau_restart else ""
    return f"a plateau: the learning rate is {rate:.1e} from here on{origin}"
