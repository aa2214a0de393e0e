"""The arguments and options that several commands share, each with its help text."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class AttentionChoice(StrEnum):
    """The values of setting `model.attention`."""

    NONE = "none"
    LUONG = "luong"
    BAHDANAU = "bahdanau"
    CONDITIONAL = "conditional"


class ScoreChoice(StrEnum):
    """The values of setting `model.score`."""

    DOT = "dot"
    SCALED_DOT = "scaled_dot"
    GENERAL = "general"
    ADDITIVE = "additive"
    CONCAT = "concat"
    CONCAT_FIXED = "concat_fixed"
    LOCATION = "location"


Run = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run directory, written by `seq2seq train`.")
]
SourceText = Annotated[
    Path,
    typer.Argument(
        metavar="SOURCE", help="Text to translate, one sentence per line; - is standard input."
    ),
]

Checkpoint = Annotated[
    str, typer.Option(help="Which weights to use: best, last, or the name of a checkpoint folder.")
]
Beam = Annotated[
    int | None,
    typer.Option(min=1, help="Beam size; 1 is greedy search.  [search.beam of the run]"),
]
Tag = Annotated[
    str | None,
    typer.Option(
        help="Tag to put before each source sentence, or none, if the model was trained on tagged "
        "corpora.  [the tag of the main corpus]"
    ),
]
SearchSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="search.NAME=VALUE",
        help="Change a search setting for this command; may be repeated. docs/settings.md lists "
        "them.",
    ),
]
DataSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="data.NAME=VALUE",
        help="Change a data setting; may be repeated. docs/settings.md lists them.",
    ),
]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads that torch may use.")]
Device = Annotated[
    str, typer.Option(help="cpu, cuda, or auto, which uses a GPU where there is one.")
]

Attention = Annotated[
    AttentionChoice | None,
    typer.Option(
        help="The order of attention and decoder step, as in Luong's or Bahdanau's paper."
    ),
]
Score = Annotated[
    ScoreChoice | None,
    typer.Option(
        help="The attention score, which compares the decoder's state with the encoder's."
    ),
]

CorpusSourceLanguage = Annotated[
    str | None, typer.Option("--source-language", metavar="L", help="Translate from this language.")
]
CorpusTargetLanguage = Annotated[
    str | None, typer.Option("--target-language", metavar="L", help="Translate into this language.")
]
ScoredLanguage = Annotated[
    str | None,
    typer.Option(
        "--target-language",
        "-t",
        help="Language code such as de, zh or ja; it chooses the tokenizer of BLEU.",
    ),
]
Lowercase = Annotated[
    bool, typer.Option("--lowercase", help="Ignore case in BLEU and chrF, as TER always does.")
]
JsonOutput = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
