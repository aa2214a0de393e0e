"""The training loop, whole: it reports each event; saving and printing are the caller's."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from seq2seq.batch import FIRST_BATCH, Batch, BatchPosition
from seq2seq.config import TrainingConfig
from seq2seq.errors import DivergenceError
from seq2seq.kernels.precision import autocast_to, compute_dtype
from seq2seq.model import EncoderDecoder
from seq2seq.system.out_of_memory import explain_out_of_memory
from seq2seq.system.streams import stream_seed
from seq2seq.training.accumulation import Gradients, gradients_for
from seq2seq.training.losses import batch_loss
from seq2seq.training.moving_average import MovingAverage
from seq2seq.training.optimization import learning_rate
from seq2seq.training.scheduled_sampling import mixed_batch, update_chance
from seq2seq.training.stopwatch import Part, untimed

HOPELESS = 1000.0  # nats a token; a fresh model has the logarithm of its vocabulary, about 9


METRIC_NAMES = {"perplexity": "perplexity", "bleu": "BLEU", "chrf": "chrF"}


@dataclass(frozen=True, slots=True)
class ValidationScores:
    """What a validation finds out about weights; None where nothing was translated."""

    nats_per_token: float
    bleu: float | None = None  # 0 to 100
    chrf: float | None = None  # 0 to 100
    length_ratio: float | None = None  # words of translations to words of references
    copied: float | None = None  # share of translated words: in the source, not in the reference

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.nats_per_token, 700.0))

    def score(self, metric: str) -> float | None:
        """BLEU or chrF where that decides; None where perplexity does."""
        return {"perplexity": None, "bleu": self.bleu, "chrf": self.chrf}[metric]

    def rank_key(self, metric: str) -> tuple[float, float]:
        """Higher is better: what decides, and where that is equal the likelihood."""
        return self.score(metric) or 0.0, -self.nats_per_token


@dataclass(frozen=True, slots=True)
class TrainingState:
    """Where a run stands, beside its weights and the optimizer's: enough to go on as if never
    interrupted."""

    update: int = 0
    position: BatchPosition = FIRST_BATCH  # of the batch that comes next
    seconds: float = 0.0  # trained so far, validations included
    processor_seconds: float = 0.0  # of all threads of this process, over the same time
    best_update: int = 0  # 0 before the first validation
    best_nats: float | None = None  # a token, on the validation set; None before the first
    best_score: float | None = None  # its BLEU or chrF, where that decides
    stale: int = 0  # validations since the best one
    waited: int = 0  # validations since the best one or, where that is later, the last plateau
    reductions: int = 0  # of the learning rate, on plateaus
    tokens: int = 0  # real target tokens trained on
    validated: int = 0  # the update after which the last validation was done
    measured: ValidationScores | None = None  # these very weights; None once they have been stepped


@dataclass(frozen=True, slots=True)
class Update:
    """One optimizer step has been taken."""

    state: TrainingState
    batch: BatchPosition  # the first one, if several make an update
    tokens: int  # real target tokens in the batch or batches
    nats_per_token: float
    smoothed_nats_per_token: float  # what was trained
    gradient_norm: float  # before clipping
    learning_rate: float
    progress: float  # share of the run that is done, 0 to 1


@dataclass(frozen=True, slots=True)
class Validation:
    """The model has been measured on the validation set."""

    state: TrainingState
    measured: ValidationScores
    improved: bool
    reduced: bool = False  # a plateau: the learning rate is lower from here on


@dataclass(frozen=True, slots=True)
class Finished:
    """Training has come to its end, and why."""

    state: TrainingState
    reason: str


def fit(
    model: EncoderDecoder,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[Batch],
    validate: Callable[[], ValidationScores],
    config: TrainingConfig,
    *,
    state: TrainingState,
    average: MovingAverage | None = None,
    restore: Callable[[], None] | None = None,
    part: Part = untimed,
    device: str = "cpu",
    clock: Callable[[], float] = time.monotonic,
    processor_clock: Callable[[], float] = time.process_time,
) -> Iterator[Update | Validation | Finished]:
    """Train from `state` on, until updates, minutes or patience run out.

    `batches` never ends and begins at `state.position`; `validate` draws no chance, and sees the
    weights of `average` where there is one. After each event model, optimizer, average and
    `event.state` belong together and may be saved. `restore` gives model, optimizer and average
    what they had at the best validation so far. `part` may time what is done.

    Raises DivergenceError, before the step is taken, for a loss or gradient that is not finite and
    for a hopeless loss: with clipped gradients and bounded states a run can be lost for good and
    stay finite.
    """
    restarts = config.decay == "plateau" and config.plateau_restart
    if restarts and restore is None:
        raise ValueError("a restart on a plateau needs `restore`")
    began, spent = clock() - state.seconds, processor_clock() - state.processor_seconds

    def timed(state: TrainingState) -> TrainingState:
        return replace(state, seconds=clock() - began, processor_seconds=processor_clock() - spent)

    kind = compute_dtype(config.precision, device)
    gradients = gradients_for(model, config, device=device, kind=kind, part=part)
    take_step = _Step(gradients, optimizer, average, config, timed)
    while True:
        ended = stop_reason(state, config)
        due = ended or state.update % config.validate_every == 0
        if due and state.validated < state.update:
            with part("validation"), average.in_place() if average else nullcontext():
                refuse_non_finite_weights(model, state)
                measured = validate()
            validation = _validated(measured, state, config, ends=bool(ended))
            state = timed(validation.state)
            if validation.reduced and restarts and restore is not None:
                restore()
                state = replace(state, measured=None)  # these weights were measured before
            yield replace(validation, state=state)
            ended = ended or stop_reason(state, config)
        if ended:
            yield Finished(state, ended)
            return
        with part("data"):
            gathered = [next(batches) for _ in range(config.accumulate)]
        update = take_step(gathered, state)
        state = update.state
        yield update


@dataclass(frozen=True, slots=True)
class _Step:
    """One optimizer step from a batch, or from several as if they were one."""

    gradients: Gradients
    optimizer: torch.optim.Optimizer
    average: MovingAverage | None
    config: TrainingConfig
    timed: Callable[[TrainingState], TrainingState]  # with the time that has passed

    def __call__(self, batches: list[Batch], state: TrainingState) -> Update:
        """Raises DivergenceError before the step is taken."""
        config, model, part = self.config, self.gradients.model, self.gradients.part
        number, progress = state.update + 1, _progress(state, config)
        rate = learning_rate(config, update=number, progress=progress, reductions=state.reductions)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        model.train()
        seed_update(config.seed, number)
        self.gradients.clear()
        tokens = sum(batch.target_tokens for batch in batches)
        losses = self._gradient(batches, tokens, number, progress)
        with part("optimizer"), explain_out_of_memory(f"the optimizer's step of update {number:,}"):
            measured = clip_grad_norm_(model.parameters(), config.clip_norm)
            nats, smoothed, norm = _read(losses, measured)
            _refuse_divergence(smoothed / tokens, norm, update=number, group=batches)
            self.optimizer.step()
            if self.average:
                self.average.add(number)
        last = batches[-1].position
        after = self.timed(
            replace(
                state,
                update=number,
                position=BatchPosition(last.epoch, last.batch + 1),
                tokens=state.tokens + tokens,
                measured=None,
            )
        )
        return Update(
            state=after,
            batch=batches[0].position,
            tokens=tokens,
            nats_per_token=nats / tokens,
            smoothed_nats_per_token=smoothed / tokens,
            gradient_norm=norm,
            learning_rate=rate,
            progress=_progress(after, config),
        )

    def _gradient(
        self, batches: list[Batch], tokens: int, number: int, progress: float
    ) -> list[Tensor]:
        """Accumulate the gradient of the mean over all tokens.

        Returns the nats of each batch, as they are and smoothed: [2] each.
        """
        own, losses = self.config.scheduled_sampling * progress, []
        chance = update_chance(self.config.seed, number)
        for batch in batches:
            with explain_out_of_memory(f"{batch.describe()}, at update {number:,}"):
                read = self._mixed(batch, own, chance) if own else batch
                losses.append(self.gradients.add(read, tokens))
        return losses

    def _mixed(self, batch: Batch, probability: float, chance: torch.Generator) -> Batch:
        to = self.gradients
        with to.part("scheduled sampling"), autocast_to(to.kind, to.device):
            return mixed_batch(
                to.model, batch.to(to.device), probability=probability, chance=chance
            )


def _read(losses: list[Tensor], norm: Tensor) -> tuple[float, float, float]:
    """Nats, smoothed nats and the norm as numbers: here, and only here, a GPU is waited for."""
    *nats, read = torch.cat([*losses, norm.unsqueeze(0)]).tolist()
    return sum(nats[::2]), sum(nats[1::2]), read


def check_memory(
    model: EncoderDecoder, batch: Batch, config: TrainingConfig, *, device: str = "cpu"
) -> None:
    """Take a batch forward and backward and forget it, so that memory runs out now or not at all.

    Weights, chance and mode are afterwards as they were, and there is no gradient. Raises
    ResourceError where memory does not suffice.
    """
    chance, was_training = torch.get_rng_state(), model.training
    model.train()
    try:
        with explain_out_of_memory(f"the largest batch: {batch.describe()}"):
            kind = compute_dtype(config.precision, device)
            Gradients(model, config, device=device, kind=kind).add(batch, 1)
    finally:
        model.zero_grad(set_to_none=True)
        model.train(was_training)
        torch.set_rng_state(chance)


def refuse_non_finite_weights(model: EncoderDecoder, state: TrainingState) -> None:
    """A step from a finite gradient can still leave the numbers there are: at a great rate.

    Raises DivergenceError; what is saved and measured goes through here.
    """
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            raise DivergenceError(
                f"the weights {name} are not finite after update {state.update:,}",
                hint="lower training.learning_rate; the checkpoints from before are intact",
            )


def seed_update(seed: int, update: int) -> None:
    """Give an update a stream of chance of its own, so that a resumed update is the same update."""
    torch.manual_seed(stream_seed("update", seed, update, bits=63))


def corpus_nats(model: EncoderDecoder, batches: Iterable[Batch], *, device: str = "cpu") -> float:
    """Nats a target token, EOS included, over all batches: the logarithm of the perplexity."""
    was_training = model.training
    model.eval()
    nats, tokens = 0.0, 0
    with torch.inference_mode():
        for batch in batches:
            with explain_out_of_memory(f"validation, in {batch.describe()}"):
                loss = batch_loss(model, batch.to(device))
                nats += loss.nats.item()
            tokens += loss.tokens
    model.train(was_training)
    return nats / tokens


def _validated(
    measured: ValidationScores, state: TrainingState, config: TrainingConfig, *, ends: bool
) -> Validation:
    nats, score = measured.nats_per_token, measured.score(config.metric)
    if not math.isfinite(nats):
        raise DivergenceError(
            f"the validation loss is {nats} after update {state.update:,}",
            hint="lower training.learning_rate; the checkpoints from before are intact",
        )
    improved = is_better(measured, state, config.metric)
    state = replace(
        state,
        validated=state.update,
        stale=state.stale + 1,
        waited=state.waited + 1,
        measured=measured,
    )
    if improved:
        state = replace(
            state, best_update=state.update, best_nats=nats, best_score=score, stale=0, waited=0
        )
    reduced = _on_plateau(state, config) and state.reductions < config.plateau_times and not ends
    if reduced:
        state = replace(state, waited=0, reductions=state.reductions + 1)
    return Validation(state, measured, improved, reduced)


def _on_plateau(state: TrainingState, config: TrainingConfig) -> bool:
    return config.decay == "plateau" and state.waited >= config.plateau_patience


def is_better(measured: ValidationScores, state: TrainingState, metric: str) -> bool:
    """Whether weights that measure so are better than the best of a run."""
    if state.best_nats is None:
        return True
    return measured.rank_key(metric) > (state.best_score or 0.0, -state.best_nats)


def _progress(state: TrainingState, config: TrainingConfig) -> float:
    done = state.update / max(config.updates, 1)
    if config.minutes is not None:
        done = max(done, state.seconds / (60 * config.minutes))
    return min(done, 1.0)


def stop_reason(state: TrainingState, config: TrainingConfig) -> str | None:
    if state.update >= config.updates:
        return f"all {config.updates:,} updates are done"
    if config.minutes is not None and state.seconds >= 60 * config.minutes:
        return f"the {config.minutes:g} minutes are over"
    if config.patience and state.stale >= config.patience:
        return f"no better {METRIC_NAMES[config.metric]} in {state.stale} validations"
    if _on_plateau(state, config):
        return (
            f"no better {METRIC_NAMES[config.metric]} in {state.waited} validations, after "
            f"{state.reductions} reductions of the learning rate"
        )
    return None


def _refuse_divergence(smoothed: float, norm: float, *, update: int, group: list[Batch]) -> None:
    if smoothed <= HOPELESS and math.isfinite(norm):  # False for NaN
        return
    diverged = not smoothed <= HOPELESS
    what = f"loss is {smoothed:g} nats a token" if diverged else f"gradient norm is {norm}"
    numbers = [line for batch in group for line in batch.lines]
    lines = ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
    first = group[0].position
    raise DivergenceError(
        f"the {what} at update {update:,}: epoch {first.epoch}, batch "
        f"{first.batch + 1}, corpus lines {lines}",
        hint="lower training.learning_rate, lengthen training.warmup, or look at those lines; "
        "the checkpoints from before are intact",
    )
