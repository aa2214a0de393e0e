"""`seq2seq preprocess`: two text files become a token store."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands import options
from cli.terminal.console import note, warn, write_json
from seq2seq.system.shell import command

SourceArgument = Annotated[
    Path,
    typer.Argument(metavar="SOURCE", help="Source text for training, one sentence per line."),
]
TargetArgument = Annotated[
    Path, typer.Argument(metavar="TARGET", help="Its translation, line by line.")
]
StoreArgument = Annotated[
    Path, typer.Argument(metavar="STORE", help="A new folder, for the token store.")
]
ValidSourceOption = Annotated[
    Path, typer.Option(metavar="FILE", help="Source text for validation.")
]
ValidTargetOption = Annotated[
    Path, typer.Option(metavar="FILE", help="Its translation, line by line.")
]
SourceLanguageOption = Annotated[
    str | None, typer.Option(metavar="CODE", help="Code of the source language, such as de.")
]
TargetLanguageOption = Annotated[
    str | None,
    typer.Option(
        metavar="CODE",
        help="Code of the target language, such as en; it chooses the tokenizer of BLEU.",
    ),
]
VocabularySizeOption = Annotated[
    int | None,
    typer.Option(metavar="N", help="Subword pieces in a vocabulary.  [chosen by the corpus]"),
]
SeparateOption = Annotated[
    bool, typer.Option("--separate", help="Learn separate pieces for source and target.")
]
PiecesOfOption = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="Use the pieces of this store or run instead of learning new ones, for "
        "`train --start-from`.",
    ),
]
CorporaOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A TOML file that names further corpora; see above."),
]
AlignmentsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Links between the words of SOURCE and TARGET in Pharaoh's format, line by line, for "
        "training.guided_alignment.",
    ),
]
LearnAlignmentsOption = Annotated[
    bool,
    typer.Option(
        "--learn-alignments",
        help="Learn such links with eflomal, of seq2seq-trainer\\[align].",
    ),
]
ProcessesOption = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Processes that encode the text.  [one for each core]"),
]
OverwriteOption = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace a store made from other files or settings."),
]


def preprocess(
    source: SourceArgument,
    target: TargetArgument,
    store: StoreArgument,
    valid_source: ValidSourceOption,
    valid_target: ValidTargetOption,
    source_language: SourceLanguageOption = None,
    target_language: TargetLanguageOption = None,
    vocabulary_size: VocabularySizeOption = None,
    separate: SeparateOption = False,
    pieces_of: PiecesOfOption = None,
    corpora: CorporaOption = None,
    alignments: AlignmentsOption = None,
    learn_alignments: LearnAlignmentsOption = False,
    set_: options.DataSettings = None,
    threads: ProcessesOption = None,
    overwrite: OverwriteOption = False,
    json: options.JsonOutput = False,
) -> None:
    """Clean a parallel corpus and cut it into subword pieces.

    Writes a token store, the input of `seq2seq train`. A text may be a gzip, bzip2 or xz file or a
    pipe, and one of them may be -, standard input. A language that is not given is taken from the
    file's ending. The size of the vocabulary, the share of characters with a piece and the
    normalization are chosen by the corpus unless they are given. Work that was done before for the
    same files and settings is not done again.

    The file of --corpora has one table for each further corpus, for example [back], with the
    entries source, target, weight (how often an epoch uses each pair) and tag (a symbol put before
    each source sentence), of which the last two may be left out. A table [main] may give weight
    and tag for SOURCE and TARGET.
    """
    from cli.runs.config import section_settings
    from cli.runs.preparation import prepare_store
    from cli.terminal.screen import PreparationProgress
    from cli.terminal.store import (
        choice_line,
        findings_json,
        print_store,
        store_json,
    )
    from data.health.sufficiency import store_findings

    settings = section_settings(set_, "data", note)
    settings |= {} if vocabulary_size is None else {"vocabulary_size": vocabulary_size}
    settings |= {"joint": False} if separate else {}
    with PreparationProgress() as progress:
        prepared = prepare_store(
            (source, target),
            (valid_source, valid_target),
            store,
            settings=settings,
            languages=(source_language, target_language),
            corpora=corpora,
            pieces_of=pieces_of,
            alignments=alignments,
            learn_alignments=learn_alignments,
            processes=threads,
            overwrite=overwrite,
            progress=progress.show,
            note=note,
        )
    findings = store_findings(prepared.store)
    if json:
        report = store_json(prepared.store.meta) | {"warnings": findings_json(findings)}
        write_json(report | {"stages_reused": prepared.stages_reused})
    else:
        print_store(prepared.store.meta)
    if "ids" in prepared.stages_reused:
        note(f"{store} was prepared already; nothing was done")
    elif prepared.stages_reused:
        note("the pieces were learnt already and have been used again")
    if choice := choice_line(prepared.store.meta):
        note(choice)
    for finding in findings:
        warn(finding.sentence())
    note("next: " + command("train", store, "RUN"))
