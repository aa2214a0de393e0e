"""`seq2seq report`: runs or a comparison beside each other, as a page, pictures or text."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands import options
from cli.terminal.console import note

RunsArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN...",
        help="Run directories, or the folder of one comparison; the first is the baseline.",
    ),
]
TestSourceOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Source of the test set.  [that of the comparison; of runs, the validation set]",
    ),
]


def report(
    runs: RunsArgument,
    output: options.PageOutput = None,
    pictures: options.Pictures = None,
    overwrite: options.Overwrite = False,
    test_source: TestSourceOption = None,
    test_reference: options.TestReference = None,
    bins: options.LengthBounds = None,
    against: options.Against = None,
    threads: options.Threads = None,
    device: options.Device = "auto",
) -> None:
    """Show what distinguishes runs, on a page or as text.

    Scores, curves, lengths, attention, words and sentences. With --output, one HTML file that needs
    no network; with --pictures, its charts as SVG and PNG; without either, text. Runs translate the
    test set first; a comparison has done so.
    """
    from cli.terminal.report import output as written

    test = options.test_set(test_source, test_reference)
    bounds = options.length_bounds(bins)
    from cli.runs.report import content, systems  # imports torch

    inputs = [] if output is None else [*systems.files_read(runs), *(test or ())]
    written.check_outputs(output, pictures, inputs=inputs, overwrite=overwrite)
    subject = systems.subject_of_runs(
        runs, test=test, against=against, device=device, threads=threads, note=note
    )
    found = content.collect(
        subject, bounds=bounds, against=against, device=device, threads=threads, note=note
    )
    written.write_report(found, output=output, pictures=pictures)
