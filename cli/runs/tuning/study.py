"""Decisions of optuna: the settings of the next trial, and whether a trial should end early."""

from collections.abc import Sequence

import optuna
from optuna.trial import TrialState

from cli.runs.tuning.journal import Trial, Validated
from cli.runs.tuning.space import Dimension, Settings
from seq2seq.system.streams import stream_seed

RUNG, FACTOR = 30, 2
"""Asynchronous successive halving (Li et al., 2020, algorithm 2), but a trial that ends is never
promoted later: after 30 % and 60 % of its time a trial goes on if it is the best, or among the best
n // 2, of the n that have come so far."""
RANDOM_TRIALS = 4
"""Trials before TPE (Bergstra et al., 2011) proposes one: the default, and the others at random."""


def propose(space: Sequence[Dimension], trials: Sequence[Trial], seed: int) -> Settings:
    """The settings of the trial after these: the default, then what optuna samples.

    It depends on the arguments alone, whether or not the search was interrupted between trials.
    """
    if not trials:
        return {each.name: each.default for each in space}
    sampled = _replay(space, trials, seed).ask(_distributions(space)).params
    return {each.name: each.rounded(sampled[each.name]) for each in space}


class Pruner:
    """Compares the last trial, which has not ended, with the others."""

    def __init__(self, space: Sequence[Dimension], trials: Sequence[Trial], seed: int) -> None:
        study = _replay(space, trials[:-1], seed)
        self._trial = _begin(study, space, trials[-1])

    def ends(self, validation: Validated) -> bool:
        """Whether the trial should end early, after this validation of it."""
        return _report(self._trial, validation) and validation.percent < 100


def _replay(space: Sequence[Dimension], trials: Sequence[Trial], seed: int) -> optuna.Study:
    """A study in which these trials have taken place."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler_seed = stream_seed("tune", seed, len(trials), bits=32)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=sampler_seed, n_startup_trials=RANDOM_TRIALS),
        pruner=optuna.pruners.SuccessiveHalvingPruner(RUNG, FACTOR),
    )
    for trial in trials:
        assert trial.end
        is_complete = trial.end.result == "complete"
        study.tell(
            _begin(study, space, trial),
            trial.end.value if is_complete else None,
            state=TrialState.COMPLETE if is_complete else TrialState.PRUNED,
        )
    return study


def _begin(study: optuna.Study, space: Sequence[Dimension], trial: Trial) -> optuna.Trial:
    """Let a trial take place in the study, up to its last validation."""
    study.enqueue_trial(trial.settings)
    begun = study.ask(_distributions(space))
    for validation in trial.validations:
        _report(begun, validation)
    return begun


def _report(trial: optuna.Trial, validation: Validated) -> bool:
    """Report a validation to optuna, which compares later trials with its value; returns whether
    the pruner would end the trial."""
    trial.report(validation.value, validation.percent)
    return bool(trial.should_prune())


def _distributions(
    space: Sequence[Dimension],
) -> dict[str, optuna.distributions.BaseDistribution]:
    return {each.name: each.distribution for each in space}
