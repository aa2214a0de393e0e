"""A search for settings on the terminal: its trials, and a table of them at its end."""

from cli.runs.directory import RunDirectory
from cli.runs.training import Outcome, train_run
from cli.runs.training_job import NewRun
from cli.runs.trials import SAME_COMMAND
from cli.runs.tuning.search import EndsAfter, tune
from cli.terminal.console import note
from cli.terminal.live import trial_reporter
from data.health.sufficiency import store_findings


def tune_and_report(run: NewRun, minutes: float) -> NewRun:
    """The run with the settings that a search has found, after a report on stderr."""
    for finding in store_findings(run.store):
        note(f"warning: {finding.sentence()}")

    def train(trial: RunDirectory, ends_after: EndsAfter) -> Outcome:
        return train_run(
            trial,
            run.store,
            device=run.device,
            reporter=trial_reporter(trial),
            ends_after=ends_after,
            continued_by=SAME_COMMAND,
        )

    return tune(run, minutes, train=train, note=note)
