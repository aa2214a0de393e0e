"""Reports of training: the events of a run, its state and its validation scores."""

import math
from dataclasses import dataclass

from seq2seq.batch import FIRST_BATCH, BatchPosition

METRIC_NAMES = {"perplexity": "perplexity", "bleu": "BLEU", "chrf": "chrF"}


@dataclass(frozen=True, slots=True)
class ValidationScores:
    """Scores of one set of weights on the validation set; None where nothing was translated."""

    nats_per_token: float
    bleu: float | None = None  # 0 to 100
    chrf: float | None = None  # 0 to 100
    length_ratio: float | None = None  # words of translations to words of references
    copied: float | None = None  # share of translated words: in the source, not in the reference
    sentences: int | None = None  # that were translated

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.nats_per_token, 700.0))

    def score(self, metric: str) -> float | None:
        """BLEU or chrF where `metric` names one; None for perplexity."""
        return {"perplexity": None, "bleu": self.bleu, "chrf": self.chrf}[metric]

    def value(self, metric: str) -> float:
        """The score by which weights are compared, higher is better; minus the nats for
        perplexity."""
        return -self.nats_per_token if metric == "perplexity" else self.score(metric) or 0.0

    def rank_key(self, metric: str) -> tuple[float, float]:
        """Sorts scores, better ones higher: by the metric, then by likelihood."""
        return self.score(metric) or 0.0, -self.nats_per_token


@dataclass(frozen=True, slots=True)
class TrainingState:
    """How far a run has come. With the weights and the optimizer's state, it is all that resuming
    needs."""

    update: int = 0
    position: BatchPosition = FIRST_BATCH  # of the next batch
    seconds: float = 0.0  # trained so far, validations included
    processor_seconds: float = 0.0  # of all threads of all ranks, over the same time
    best_update: int = 0  # 0 before the first validation
    best_nats: float | None = None  # per validation token; None before the first validation
    best_score: float | None = None  # BLEU or chrF of the best, where `metric` is one of them
    highest: float | None = None  # `ValidationScores.value` of all validations
    stale: int = 0  # validations since the one with the highest value
    waited: int = 0  # validations since the highest value or the last plateau, if that is later
    reductions: int = 0  # of the learning rate, on plateaus
    tokens: int = 0  # target tokens trained on, padding not counted
    validated: int = 0  # the update after which the last validation was done
    validated_at: float = 0.0  # seconds trained at its end
    validation_seconds: float = 0.0  # that it took
    measured: ValidationScores | None = None  # of the current weights; None once they are updated

    def best_value(self, metric: str) -> float:
        """`ValidationScores.value` of the best weights so far; minus infinity without any."""
        if self.best_nats is None:
            return -math.inf
        return -self.best_nats if metric == "perplexity" else self.best_score or 0.0

    def highest_value(self, metric: str) -> float:
        """The highest `ValidationScores.value` so far; minus infinity without any."""
        return self.best_value(metric) if self.highest is None else self.highest  # None before 0.2


@dataclass(frozen=True, slots=True)
class Update:
    """One optimizer step has been taken."""

    state: TrainingState
    batch: BatchPosition  # the first one, if several make an update
    tokens: int  # target tokens in the batch or batches, padding not counted
    nats_per_token: float  # negative log-likelihood
    objective_per_token: float  # what was minimised: label smoothing and other terms included
    gradient_norm: float  # before clipping
    learning_rate: float
    progress: float  # share of the run that is done, 0 to 1


@dataclass(frozen=True, slots=True)
class Validation:
    """The model has been scored on the validation set."""

    state: TrainingState
    measured: ValidationScores
    improved: bool
    reduced: bool = False  # a plateau: the learning rate is lower from here on


@dataclass(frozen=True, slots=True)
class Finished:
    """Training has ended."""

    state: TrainingState
    reason: str
