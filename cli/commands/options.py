"""The arguments and options that several commands share, each with its help text."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from seq2seq.errors import ConfigError

# groups of options in the help
SEARCH, SPEED, DRAWING, LINKS = "Search", "Speed", "Drawing", "Word links"


def language_code(code: str | None) -> str | None:
    """Raises ConfigError for what cannot be a language's code, such as its name."""
    if code is None:
        return None
    first = code.replace("_", "-").split("-")[0]
    if not (first.isascii() and first.isalpha() and len(first) in (2, 3)):
        raise ConfigError(
            f"{code!r} is not a language code", hint="use a code such as de, zh, ja or pt-BR"
        )
    return code


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


class StyleChoice(StrEnum):
    """How weights are laid out as text."""

    AUTO = "auto"
    GRID = "grid"
    COMPACT = "compact"
    HALF = "half"
    VALUES = "values"
    LIST = "list"


class ThemeChoice(StrEnum):
    """The background that the colours of weights are for."""

    AUTO = "auto"
    DARK = "dark"
    LIGHT = "light"


class ShiftChoice(StrEnum):
    """The step whose weights a target piece is given, relative to the step that wrote it."""

    GUIDED = "guided"
    AUTO = "auto"
    BEFORE = "-1"
    SAME = "0"
    AFTER = "1"

    @property
    def steps(self) -> int | Literal["guided", "auto"]:
        """The number where it is one, else the name."""
        named: dict[ShiftChoice, Literal["guided", "auto"]] = {
            ShiftChoice.GUIDED: "guided",
            ShiftChoice.AUTO: "auto",
        }
        return named[self] if self in named else int(self.value)


class WeightsChoice(StrEnum):
    """Which weights of source pieces alignments have."""

    AUTO = "auto"
    ATTENTION = "attention"
    POSTERIOR = "posterior"


class SymmetrizationChoice(StrEnum):
    """How links of two directions become one set."""

    INTERSECTION = "intersection"
    UNION = "union"
    GROW_DIAG_FINAL_AND = "grow-diag-final-and"


class PrecisionChoice(StrEnum):
    """The values of setting `search.precision`."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"
    AUTO = "auto"


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
    str,
    typer.Option(
        metavar="NAME", help="Which weights to use: best, last, or the name of a checkpoint folder."
    ),
]
With = Annotated[
    list[Path] | None,
    typer.Option(
        "--with",
        metavar="RUN",
        help="Another run with the same pieces, to translate with both as an ensemble; again for "
        "more.",
    ),
]
Beam = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Beam size, 1 to 1000; 1 is greedy search.  [as set in the run]",
    ),
]
Precision = Annotated[
    PrecisionChoice | None,
    typer.Option(
        rich_help_panel=SPEED,
        help="Precision of the large matrix products: int8 and bfloat16 are faster, auto is the "
        "fastest of them.  [as set in the run]",
    ),
]
Shortlist = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=SPEED,
        metavar="N",
        help="Write only the N likeliest translations of each source piece, 1 to 100, and frequent "
        "pieces; 0: all pieces.  [as set in the run]",
    ),
]


def _refuse_ranks(workers: int) -> int:
    """Raises ConfigError in a process of torchrun, each of which would work on every line."""
    ranks = os.environ.get("WORLD_SIZE", "1")
    if "TORCHELASTIC_RUN_ID" in os.environ and ranks != "1":  # torchrun sets both
        raise ConfigError(
            f"torchrun has started {ranks} processes, each of which would work on every line",
            hint=f"start it without torchrun, with --workers {ranks}",
        )
    return workers


Workers = Annotated[
    int,
    typer.Option(
        callback=_refuse_ranks,
        rich_help_panel=SPEED,
        min=1,
        metavar="N",
        help="Processes that work at the same time, for large files. Each has a model of its own: "
        "on the CPU with one thread unless --threads is given, or on the next GPU.",
    ),
]
MinimumRisk = Annotated[
    int | None,
    typer.Option(
        "--mbr",
        metavar="N",
        help="Of N candidates, those of a beam or samples, take the one that is most like the "
        "others (minimum Bayes risk, by chrF).",
        rich_help_panel=SEARCH,
    ),
]
RescoreWith = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN",
        help="Rank the candidates of the beam anew, also by how well this run of the other "
        "direction translates them back (a channel model).",
        rich_help_panel=SEARCH,
    ),
]
Tag = Annotated[
    str | None,
    typer.Option(
        metavar="TAG",
        help="For a model trained on tagged corpora: the tag to put before each source sentence, "
        "or none.  [the tag of the main corpus]",
    ),
]
SearchSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="search.NAME=VALUE",
        help="Change a search setting for this command; may be repeated. docs/settings.md lists "
        "the settings.",
    ),
]
DataSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="data.NAME=VALUE",
        help="Change a data setting; may be repeated. docs/settings.md lists the settings.",
    ),
]
Threads = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="CPU threads that torch may use.")
]
TrainingThreads = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="CPU threads that torch may use.  [as many as there are cores, and fewer while other "
        "programs use these]",
    ),
]
Device = Annotated[
    str,
    typer.Option(metavar="NAME", help="cpu, cuda, or auto, which uses a GPU where there is one."),
]

Style = Annotated[
    StyleChoice,
    typer.Option(
        help="How weights are drawn: as a map of two terminal cells a source word (grid), one cell "
        "(compact), one cell with two target words a line (half), or with hundredths (values); or "
        "as a list of the largest weights, which suits screen readers and any script. auto: the "
        "widest of grid, compact and list that fits, or half where the screen is too low.",
        rich_help_panel=DRAWING,
    ),
]
Theme = Annotated[
    ThemeChoice,
    typer.Option(
        help="The background that colours are for; auto goes by COLORFGBG, else dark.",
        rich_help_panel=DRAWING,
    ),
]
Width = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Columns of the drawing.  [as wide as the terminal]",
        rich_help_panel=DRAWING,
    ),
]
Reference = Annotated[
    Path | None,
    typer.Option(
        "--gold",
        metavar="FILE",
        help="Compare the links with those that people drew between SOURCE and TARGET, in "
        "Pharaoh's format (0-0 sure, 1?2 or 1p2 possible) or NAACL's (1 1 1 S): AER, precision, "
        "recall, F1.",
        rich_help_panel=LINKS,
    ),
]
ReferenceBase = Annotated[
    int | None,
    typer.Option(
        "--gold-base",
        min=0,
        max=1,
        metavar="N",
        help="Number of the first word in --gold.  [0 in Pharaoh's format, 1 in NAACL's]",
        rich_help_panel=LINKS,
    ),
]
Shift = Annotated[
    ShiftChoice,
    typer.Option(
        help="Give a target piece the weights of the step that wrote it (0), of the next one, "
        "whose input it is (1), or of the one before (-1). guided: as guided alignment taught, "
        "else 0. auto: the one with the lowest AER with --gold, else the one that follows from "
        "the order of attention.",
        rich_help_panel=LINKS,
    ),
]
Weights = Annotated[
    WeightsChoice,
    typer.Option(
        help="Those of attention, or the probability that a target piece comes from a source piece "
        "by attention and the lexicon of the run together (posterior). auto: the posterior for "
        "links of words where a run has a lexicon, else attention.",
        rich_help_panel=LINKS,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        metavar="X",
        help="Link a target word to every source word of at least this weight.  [to the one with "
        "the largest weight]",
        rich_help_panel=LINKS,
    ),
]
WithReverse = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN",
        help="A run that translates the other way, whose links are combined with those of RUN.",
        rich_help_panel=LINKS,
    ),
]
SymmetrizationOption = Annotated[
    SymmetrizationChoice,
    typer.Option(
        "--symmetrize",
        help="How the links of both directions are combined.",
        rich_help_panel=LINKS,
    ),
]

Statistics = Annotated[
    bool,
    typer.Option(
        "--statistics",
        help="Print statistics of the attention over all lines (entropy, monotonicity, coverage, "
        "fertility, distortion), and the sentences that it makes most doubtful.",
        rich_help_panel=LINKS,
    ),
]

Attention = Annotated[
    AttentionChoice | None,
    typer.Option(
        help="When the decoder attends to the source: never, after each recurrent step (luong), "
        "before it (bahdanau), or between two (conditional)."
    ),
]
Score = Annotated[
    ScoreChoice | None,
    typer.Option(help="How attention compares a decoder state with each encoder state."),
]
Seed = Annotated[
    int | None,
    typer.Option(
        min=0, metavar="N", help="Random seed for initial weights, data order and dropout."
    ),
]

CorpusSourceLanguage = Annotated[
    str | None,
    typer.Option("--source-language", metavar="CODE", help="Translate from this language."),
]
CorpusTargetLanguage = Annotated[
    str | None,
    typer.Option("--target-language", metavar="CODE", help="Translate into this language."),
]
ScoredLanguage = Annotated[
    str | None,
    typer.Option(
        "--target-language",
        "-t",
        metavar="CODE",
        help="Target language, such as de, zh or ja; it chooses the tokenizer of BLEU.",
        callback=language_code,
    ),
]
Lowercase = Annotated[
    bool, typer.Option("--lowercase", help="Ignore case in BLEU and chrF, as TER always does.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists already.")]
JsonOutput = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
PageOutput = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="An HTML page to write; - is standard output."
    ),
]
Pictures = Annotated[
    Path | None, typer.Option(metavar="DIR", help="A folder for the charts, as SVG and PNG.")
]
TestReference = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Reference translations of the test set.")
]
LengthBounds = Annotated[
    str | None,
    typer.Option(
        metavar="N,N",
        help="The first source length of each bin but the first, such as 10,20,30,40.  [chosen by "
        "the lengths]",
    ),
]
Against = Annotated[
    str | None,
    typer.Option(
        metavar="SYSTEM",
        help="Show the sentences that the first system and this one translate most differently.  "
        "[the last]",
    ),
]


def length_bounds(text: str | None) -> list[int] | None:
    """The numbers of --bins. Raises ConfigError unless they rise."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    bounds = [int(part) for part in parts if part.isascii() and part.isdecimal()]
    if len(bounds) < len(parts) or bounds != sorted({*bounds}) or bounds[0] < 1:
        raise ConfigError(
            f"--bins is {text!r}", hint="give rising numbers of words, such as 10,20,30,40"
        )
    return bounds


def test_set(source: Path | None, reference: Path | None) -> tuple[Path, Path] | None:
    """The files of --test-source and --test-reference. Raises ConfigError where one is missing."""
    if source is None and reference is None:
        return None
    if source is None or reference is None:
        raise ConfigError(
            "a test set has two sides", hint="give both --test-source and --test-reference"
        )
    return source, reference
