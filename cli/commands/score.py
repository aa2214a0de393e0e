"""`seq2seq score`: scores of existing translations, by this program or any other."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands import options
from cli.terminal.console import write_json
from cli.terminal.quality import print_quality, quality_json, warn_about_scores
from data.corpus import read_aligned
from seq2seq.evaluation.quality import score_corpus

HypothesesArgument = Annotated[
    Path,
    typer.Argument(
        metavar="HYPOTHESES",
        help="Translations, one per line; plain, gzip, bzip2 or xz; - is standard input.",
    ),
]
ReferencesArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="REFERENCE",
        help="Reference translations, line by line, in one or several files.",
    ),
]
TokenizerOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The tokenizer of BLEU by name: 13a, intl, zh, ja-mecab, ko-mecab, char or none."
        "  [that of the target language, else 13a]",
    ),
]
ConfidenceOption = Annotated[
    bool, typer.Option(help="Also compute 95 % confidence intervals, by bootstrap resampling.")
]


def score(
    hypotheses: HypothesesArgument,
    references: ReferencesArgument,
    target_language: options.ScoredLanguage = None,
    tokenizer: TokenizerOption = None,
    lowercase: options.Lowercase = False,
    confidence: ConfidenceOption = True,
    as_json: options.JsonOutput = False,
) -> None:
    """Score existing translations with BLEU, chrF and TER.

    The scores are sacreBLEU's. Give translations and references as people read them: subword
    pieces joined to words, and nothing tokenised.
    """
    translations, *reference_texts = read_aligned([hypotheses, *references])
    report = score_corpus(
        translations,
        reference_texts,
        target_language=target_language,
        tokenizer=tokenizer,
        lowercase=lowercase,
        confidence=confidence,
    )
    warn_about_scores(report)
    if as_json:
        write_json(quality_json(report))
    else:
        print_quality(report)
