"""`seq2seq score-pairs`: the probability that a model gives to existing translations."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands import options
from cli.terminal.console import note

SourceArgument = Annotated[
    Path,
    typer.Argument(metavar="SOURCE", help="Sentences, one per line; - is standard input."),
]
TargetArgument = Annotated[
    Path,
    typer.Argument(metavar="TARGET", help="Their translations, line by line; - is standard input."),
]
JsonLinesOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object per line, also with every piece.")
]


def score_pairs(
    run: options.Run,
    source: SourceArgument,
    target: TargetArgument,
    json: JsonLinesOption = False,
    workers: options.Workers = 1,
    tag: options.Tag = None,
    checkpoint: options.Checkpoint = "best",
    set_: options.SearchSettings = None,
    threads: options.Threads = None,
    device: options.Device = "auto",
) -> None:
    """Print how likely a model finds given translations.

    Four columns, separated by tabs, for each pair of lines: the natural logarithm of P(target |
    source), the number of target tokens, its mean per token, and the perplexity. Tokens are subword
    pieces and the end of the sentence. A blank source has a blank line.
    """
    from cli.runs import translator
    from cli.terminal import pair_scores

    model = translator.Translator.load(
        run,
        checkpoint=checkpoint,
        search=translator.scoring_settings(set_, note),
        tag=tag,
        threads=threads,
        device=device,
    )
    pair_scores.write_pair_scores(model, source, target, as_json=json, workers=workers)
