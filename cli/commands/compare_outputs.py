"""`seq2seq compare-outputs`: the report for files of translations, by any program."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands import options
from cli.terminal.console import note
from seq2seq.errors import ConfigError
from seq2seq.system.figures import counted

ReferenceArgument = Annotated[
    Path, typer.Argument(metavar="REFERENCE", help="Reference translations, line by line.")
]
HypothesesArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="HYPOTHESES...",
        help="Translations of SOURCE, line by line, one file for each system; the first is the "
        "baseline.",
    ),
]
NameOption = Annotated[
    list[str] | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="A system; again for each file, in their order.  [the file's name]",
    ),
]


def compare_outputs(
    source: options.SourceText,
    reference: ReferenceArgument,
    hypotheses: HypothesesArgument,
    output: options.PageOutput = None,
    pictures: options.Pictures = None,
    overwrite: options.Overwrite = False,
    name: NameOption = None,
    target_language: options.ScoredLanguage = None,
    bins: options.LengthBounds = None,
    against: options.Against = None,
) -> None:
    """Report on files of translations, by any program.

    It is the report of runs, for several systems: scores with sacreBLEU's paired tests, BLEU and
    chrF by source length, words by frequency, repeated and dropped words, and the sentences that
    differ most.
    """
    from cli.terminal.report import output as written

    if name and len(name) != len(hypotheses):
        raise ConfigError(
            f"{counted(len(name), 'name')} for {counted(len(hypotheses), 'file')}",
            hint="give one --name each",
        )
    bounds = options.length_bounds(bins)
    inputs = [source, reference, *hypotheses]
    written.check_outputs(output, pictures, inputs=inputs, overwrite=overwrite)
    from cli.runs.report import content, systems

    subject = systems.subject_of_files(
        source, reference, hypotheses, names=name, languages=(None, target_language)
    )
    found = content.collect(subject, bounds=bounds, against=against, note=note)
    written.write_report(found, output=output, pictures=pictures)
