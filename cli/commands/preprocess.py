"""`seq2seq preprocess`: two text files become a token store."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cli.commands import options
from cli.terminal.console import note
from seq2seq.errors import ConfigError

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
    str | None,
    typer.Option(
        metavar="CODE",
        help="Code of the source language, such as de.",
        callback=options.language_code,
    ),
]
TargetLanguageOption = Annotated[
    str | None,
    typer.Option(
        metavar="CODE",
        help="Code of the target language, such as en; it chooses the tokenizer of BLEU.",
        callback=options.language_code,
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
ProcessesOption = Annotated[
    int | None,
    typer.Option(
        "--processes",
        "--threads",
        min=1,
        metavar="N",
        help="Processes that encode the text.  [one for each core]",
    ),
]
OverwriteOption = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace a store made from other files or settings."),
]
SHARDS = "Shards"
PlanShardsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=10_000,
        metavar="N",
        help="Learn the pieces and divide the text among N shards, in the folder STORE.shards.",
        rich_help_panel=SHARDS,
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Clean and encode shard I of N, such as 3/8; on any machine, in any order.",
        rich_help_panel=SHARDS,
    ),
]
MergeShardsOption = Annotated[
    bool,
    typer.Option(
        "--merge-shards",
        help="Make STORE of its shards, and remove them.",
        rich_help_panel=SHARDS,
    ),
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
    set_: options.DataSettings = None,
    processes: ProcessesOption = None,
    overwrite: OverwriteOption = False,
    plan_shards: PlanShardsOption = None,
    shard: ShardOption = None,
    merge_shards: MergeShardsOption = False,
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

    Several machines that share a file system prepare a large corpus together: run this command once
    with --plan-shards N, then on each of them with --shard I/N in its place, and at last once with
    --merge-shards. The store is that of a single machine.
    """
    from cli.runs.config import section_settings
    from cli.runs.preparation import preparation_request
    from cli.terminal.screen import PreparationProgress
    from cli.terminal.store import report_plan, report_shard, report_store
    from data.preparation import pipeline, shards
    from data.preparation.shard_plan import Shard

    if (plan_shards is not None) + (shard is not None) + merge_shards > 1:
        raise ConfigError(
            "--plan-shards, --shard and --merge-shards are three steps",
            hint="give one of them, in this order",
        )
    chosen = None if shard is None else Shard.parse(shard)
    settings = section_settings(set_, "data", note)
    settings |= {} if vocabulary_size is None else {"vocabulary_size": vocabulary_size}
    settings |= {"joint": False} if separate else {}
    with (
        PreparationProgress() as progress,
        preparation_request(
            (source, target),
            (valid_source, valid_target),
            store,
            settings=settings,
            languages=(source_language, target_language),
            corpora=corpora,
            pieces_of=pieces_of,
            alignments=alignments,
            processes=processes,
            overwrite=overwrite,
            sharded=plan_shards is not None or chosen is not None or merge_shards,
            progress=progress.show,
            note=note,
        ) as request,
    ):
        if plan_shards is not None:
            report = partial(report_plan, *shards.plan_shards(request, plan_shards))
        elif chosen is not None:
            report = partial(report_shard, chosen, *shards.prepare_shard(request, chosen))
        else:
            prepare = shards.merge_shards if merge_shards else pipeline.prepare
            report = partial(report_store, prepare(request))
    report(as_json=json)
