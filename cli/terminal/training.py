"""A training on the terminal: progress while it runs, and a report at its end."""

from cli.runs import summary
from cli.runs.progress import Reporters
from cli.runs.shared_cores import threads_of_training
from cli.runs.training import train_run
from cli.runs.training_job import TrainingJob
from cli.terminal.console import note
from cli.terminal.live import training_reporter
from data.health.sufficiency import store_findings
from seq2seq.system.shell import command
from seq2seq.training.ranks import Ranks


def train_and_report(job: TrainingJob, ranks: Ranks, threads: int | None) -> None:
    """Train to the end, then print how it went and what to try next, all on stderr.

    threads: that torch was given by the user; None if it shares the cores with other programs
    """
    run, store = job.run, job.store
    if not ranks.is_first:
        train_run(run, store, device=job.device, reporter=Reporters([]), ranks=ranks)
        return
    warnings = [finding.sentence() for finding in store_findings(store)] if job.is_new else []
    outcome = train_run(
        run,
        store,
        device=job.device,
        reporter=training_reporter(run),
        warnings=warnings,
        ranks=ranks,
        threads=threads_of_training(threads, job.device),
    )
    if not outcome.trained:
        note(f"{run.path} is finished already: {outcome.reason}; nothing was done")
    if outcome.state.validated and (outcome.trained or not run.report.is_file()):
        for line in summary.write_report(run, store, outcome):
            note(line)
    note("next: " + command("translate", run.path))
