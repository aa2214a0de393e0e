"""What training reports: the events of a run, its state and its validation scores."""

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

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.nats_per_token, 700.0))

    def score(self, metric: str) -> float | None:
        """BLEU or chrF where `metric` names one; None for perplexity."""
        return {"perplexity": None, "bleu": self.bleu, "chrf": self.chrf}[metric]

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
    processor_seconds: float = 0.0  # of all threads of this process, over the same time
    best_update: int = 0  # 0 before the first validation
    best_nats: float | None = None  # per validation token; None before the first validation
    best_score: float | None = None  # BLEU or chrF of the best, where `metric` is one of them
    stale: int = 0  # validations since the best one
    waited: int = 0  # validations since the best one or, where that is later, the last plateau
    reductions: int = 0  # of the learning rate, on plateaus
    tokens: int = 0  # target tokens trained on, padding not counted
    validated: int = 0  # the update after which the last validation was done
    measured: ValidationScores | None = None  # of the current weights; None once they are updated

    def is_beaten_by(self, scores: ValidationScores, metric: str) -> bool:
        """Whether weights with these scores are better than the best of the run so far."""
        if self.best_nats is None:
            return True
        return scores.rank_key(metric) > (self.best_score or 0.0, -self.best_nats)


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
