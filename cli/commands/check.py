"""`seq2seq check`: is a parallel corpus fit to train on, and what should a person inspect first?"""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands import options
from cli.terminal.console import note, write_json


def check(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="Text, one sentence per line; plain, gzip, bzip2 or xz; - is standard input.",
        ),
    ],
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="Its translation, line by line.")
    ],
    json: options.JsonOutput = False,
    set_: options.DataSettings = None,
) -> None:
    """Examine a parallel corpus before training.

    Reports counts, lengths, encoding errors, duplicates, places where the two files are out of
    step, and what cleaning would drop; give the same --set options as to `preprocess`. The exit
    code is 3 if the corpus cannot be used as it is.
    """
    from cli.runs.config import data_config
    from cli.terminal.health import examine_with_progress, print_health

    health = examine_with_progress(source, target, data_config(set_, note=note))
    if json:
        write_json(health.as_json())
    else:
        print_health(health, source, target)
    if health.faults:
        raise typer.Exit(3)
