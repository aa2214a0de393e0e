"""`seq2seq translate`: a filter on a pipe, a line editor on a terminal."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.commands import options
from cli.terminal.console import note
from data.inputs import STDIN, refuse_repeated
from seq2seq.errors import ConfigError

FileArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="Text, one sentence per line; plain, gzip, bzip2 or xz; - is standard input.",
    ),
]
InteractiveOption = Annotated[
    bool,
    typer.Option(
        "--interactive",
        "-i",
        help="Obey commands such as /beam 8 also on a pipe, as on a terminal without FILE.",
    ),
]
HistoryOption = Annotated[
    bool,
    typer.Option(
        "--history/--no-history", help="Keep what is typed on a terminal for the next time."
    ),
]
NBestOption = Annotated[
    int, typer.Option(metavar="N", help="Translations to print for each line, 1 to 1000.")
]
JsonLinesOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
AlignmentsOption = Annotated[
    bool, typer.Option("--alignments", help="Print a word alignment after each translation.")
]
PrefixOption = Annotated[
    Path | None,
    typer.Option(
        "--prefix",
        metavar="FILE",
        help="With what each translation begins, line by line; a blank line leaves it free.",
        rich_help_panel=options.SEARCH,
    ),
]
NoRepeatNgramOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Write no N pieces in a row twice in a translation; 0: they may repeat.",
        rich_help_panel=options.SEARCH,
    ),
]
MinLengthOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Least number of pieces of a translation.",
        rich_help_panel=options.SEARCH,
    ),
]
CoveragePenaltyOption = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Rank translations lower that attend little to some source pieces, such as 0.2; 0: "
        "do not.",
        rich_help_panel=options.SEARCH,
    ),
]
SAMPLING = "Sampling"
SampleOption = Annotated[
    bool,
    typer.Option(
        "--sample",
        help="Draw translations from the model's distribution instead of searching for the "
        "likeliest; --n-best is how many of each line.",
        rich_help_panel=SAMPLING,
    ),
]
TemperatureOption = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Below 1 likely pieces become likelier; above 1 others do.",
        rich_help_panel=SAMPLING,
    ),
]
TopKOption = Annotated[
    int | None,
    typer.Option(
        metavar="K",
        help="Draw from the K likeliest pieces; 0: from all.",
        rich_help_panel=SAMPLING,
    ),
]
TopPOption = Annotated[
    float | None,
    typer.Option(
        metavar="P",
        help="Draw from the likeliest pieces that together have probability P; 1: from all.",
        rich_help_panel=SAMPLING,
    ),
]
SeedOption = Annotated[
    int | None,
    typer.Option(
        "--seed",
        metavar="N",
        help="With another seed other translations are drawn; with the same one, the same.",
        rich_help_panel=SAMPLING,
    ),
]


def translate(
    run: options.Run,
    file: FileArgument = STDIN,
    interactive: InteractiveOption = False,
    history: HistoryOption = True,
    beam: options.Beam = None,
    n_best: NBestOption = 1,
    json: JsonLinesOption = False,
    alignments: AlignmentsOption = False,
    with_: options.With = None,
    prefix: PrefixOption = None,
    no_repeat_ngram: NoRepeatNgramOption = None,
    min_length: MinLengthOption = None,
    coverage_penalty: CoveragePenaltyOption = None,
    mbr: options.MinimumRisk = None,
    rescore_with: options.RescoreWith = None,
    sample: SampleOption = False,
    temperature: TemperatureOption = None,
    top_k: TopKOption = None,
    top_p: TopPOption = None,
    seed: SeedOption = None,
    precision: options.Precision = None,
    shortlist: options.Shortlist = None,
    workers: options.Workers = 1,
    tag: options.Tag = None,
    checkpoint: options.Checkpoint = "best",
    set_: options.SearchSettings = None,
    threads: options.Threads = None,
    device: options.Device = "auto",
) -> None:
    """Translate a file, standard input, or what you type.

    The output has one line for each input line; a blank line stays blank.

    With --n-best or --alignments, an output line has fields with " ||| " between them. --n-best
    prints the number of the input line (counted from 0), the translation and its score;
    --alignments adds pairs of word numbers such as 0-0 1-2, source before target.
    """
    from cli.runs import config, translator
    from cli.terminal import translations

    interactive = _is_interactive(interactive, file, prefix, json=json)
    if prefix is not None:
        refuse_repeated([file, prefix])
    search = config.search_settings(
        set_,
        run=run,
        beam=beam,
        no_repeat_ngram=no_repeat_ngram,
        min_length=min_length,
        coverage_penalty=coverage_penalty,
        mbr=mbr,
        precision=precision,
        shortlist=shortlist,
        sample=sample or None,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        note=note,
    )
    n_best = config.checked_n_best(n_best)
    model = translator.Translator.load(
        run,
        with_=with_ or (),
        rescore_with=rescore_with,
        checkpoint=checkpoint,
        search=search,
        tag=tag,
        threads=threads,
        device=device,
        notify=note,
    )
    if alignments and not interactive:
        model.require_attention()
    if interactive:
        from cli.terminal.prompt.conversation import converse

        converse(model, n_best=n_best, alignments=alignments, keep_history=history)
        return
    if file == STDIN and sys.stdin.isatty():
        note("type one sentence per line; Ctrl-D ends")
    translations.translate_lines(
        model,
        file,
        prefixes=prefix,
        n_best=n_best,
        as_json=json,
        alignments=alignments,
        workers=workers,
    )


def _is_interactive(asked: bool, file: Path, prefix: Path | None, *, json: bool) -> bool:
    """Whether commands are obeyed: where it was asked for, and on a terminal without FILE.

    Raises ConfigError where it was asked for together with FILE, --json or --prefix.
    """
    possible = file == STDIN and prefix is None and not json
    if asked and not possible:
        raise ConfigError(
            "--interactive reads what you type and prints it for you to read",
            hint="leave out FILE, --json and --prefix",
        )
    return asked or (possible and sys.stdin.isatty() and sys.stdout.isatty())
