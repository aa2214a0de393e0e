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
    prefix: options.Prefix = None,
    no_repeat_ngram: options.NoRepeatNgram = None,
    min_length: options.MinLength = None,
    coverage_penalty: options.CoveragePenalty = None,
    mbr: options.MinimumRisk = None,
    rescore_with: options.RescoreWith = None,
    sample: options.Sample = False,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    seed: options.SamplingSeed = None,
    precision: options.Precision = None,
    shortlist: options.Shortlist = None,
    workers: options.Workers = 1,
    tag: options.Tag = None,
    checkpoint: options.Checkpoint = "best",
    set_: options.SearchSettings = None,
    threads: options.Threads = None,
    device: options.Device = "auto",
) -> None:
    """Translate a file or standard input, line by line; on a terminal, what you type.

    The output has one line for each input line; a blank line stays blank.

    With --n-best or --alignments, an output line has fields with " ||| " between them. --n-best
    prints the number of the input line (counted from 0), the translation and its score;
    --alignments adds pairs of word numbers such as 0-0 1-2, source before target.
    """
    from cli.runs import config, translator
    from cli.terminal import translations

    if interactive and (file != STDIN or json or prefix):
        raise ConfigError(
            "--interactive reads what you type and prints it for you to read",
            hint="leave out FILE, --json and --prefix",
        )
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    interactive = interactive or (on_terminal and file == STDIN and not json and not prefix)
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
