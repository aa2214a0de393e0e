"""BLEU, chrF and TER as the sacrebleu program computes them, with its signatures.

The scores equal sacrebleu's digit for digit. What it leaves to the caller is done here: line
counts are compared (it truncates silently), the tokenizer follows the target language, and notes
point out text that is not plain (subword pieces, tokenised punctuation).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from seq2seq.errors import ConfigError, CorpusError
from seq2seq.system.figures import counted
from seq2seq.system.plain_text import other_case, scan

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric as SacreMetric
    from sacrebleu.metrics.bleu import BLEU

TOKENIZERS = ("13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none")
"""Tokenizers that BLEU can count words with, by sacreBLEU's names in its signatures."""

BOOTSTRAP_SAMPLES = 1000  # sacreBLEU's default

# Primary language subtags, ISO 639-1 and -3.
_LANGUAGE_TOKENIZERS = {
    **dict.fromkeys(("zh", "zho", "chi", "cmn", "yue"), "zh"),
    **dict.fromkeys(("ja", "jpn"), "ja-mecab"),
    **dict.fromkeys(("ko", "kor"), "ko-mecab"),
}
_TOKENIZER_EXTRAS = {"ja-mecab": "ja", "ko-mecab": "ko"}
_UNSPACED_LANGUAGES = frozenset(("bo", "bod", "km", "khm", "lo", "lao", "my", "mya", "th", "tha"))


@dataclass(frozen=True, slots=True)
class Metric:
    """The score of one metric, its signature and its confidence interval."""

    name: str  # "BLEU", "chrF2", "TER"
    score: float  # 0 to 100, higher is better; TER: lower is better, and may exceed 100
    signature: str
    """sacreBLEU's, such as nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0"""
    low: float | None  # 95 % bootstrap interval: sacreBLEU's mean minus and plus its half width
    high: float | None
    details: dict[str, float | int | list[float]]


@dataclass(frozen=True, slots=True)
class QualityReport:
    """Three scores of the same sentences; notes say what makes them unreliable."""

    bleu: Metric
    chrf: Metric
    ter: Metric
    sentences: int
    references: int  # reference translations of each sentence
    blank_hypotheses: int
    notes: tuple[str, ...]

    @property
    def metrics(self) -> tuple[Metric, Metric, Metric]:
        return self.bleu, self.chrf, self.ter


def score_corpus(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    target_language: str | None = None,
    tokenizer: str | None = None,
    lowercase: bool = False,
    confidence: bool = False,
    bootstrap_samples: int = BOOTSTRAP_SAMPLES,
) -> QualityReport:
    """Score detokenised hypotheses; `references` has one list of lines for each reference file.

    `lowercase` makes BLEU and chrF ignore case, as TER always does. The bootstrap draws with
    sacreBLEU's fixed seed (12345, or SACREBLEU_SEED), which its signature names. Raises CorpusError
    if counts differ or there are no lines, ConfigError for a tokenizer that is not installed.
    """
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    hypotheses, references = comparable_lines(hypotheses, references)
    samples = bootstrap_samples if confidence else 0
    metric, notes = bleu_metric(target_language, tokenizer, lowercase=lowercase)
    bleu = _measure(metric, hypotheses, references, samples)
    return QualityReport(
        bleu=bleu,
        chrf=_measure(CHRF(lowercase=lowercase), hypotheses, references, samples),
        ter=_measure(TER(), hypotheses, references, samples),
        sentences=len(hypotheses),
        references=len(references),
        blank_hypotheses=hypotheses.count(""),
        notes=(
            *notes,
            *_tokenizer_notes(metric, references),
            *_length_notes(bleu),
            *_blank_reference_notes(references),
            *_plain_text_notes(hypotheses, references),
            *([] if lowercase else _case_notes(hypotheses, references)),
        ),
    )


class QuickQuality(NamedTuple):
    """The scores that validation during training reports."""

    bleu: float  # 0 to 100
    chrf: float  # 0 to 100
    length_ratio: float  # tokens of hypotheses to tokens of references, as BLEU counts them


def quick_quality(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    target_language: str | None = None,
) -> QuickQuality:
    """BLEU and chrF equal to those of `score_corpus`, without its slow parts, TER and the notes.

    Raises CorpusError if counts differ or there are no lines.
    """
    from sacrebleu.metrics.chrf import CHRF

    hypotheses, references = comparable_lines(hypotheses, references)
    metric, _ = bleu_metric(target_language, None, lowercase=False)
    bleu = metric.corpus_score(hypotheses, references)
    chrf = CHRF().corpus_score(hypotheses, references)
    return QuickQuality(float(bleu.score), float(chrf.score), bleu.sys_len / max(bleu.ref_len, 1))


def copied_share(
    sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]
) -> float:
    """Share of the hypotheses' words that are in the source but not in the reference, 0 to 1.

    Words are separated by spaces.
    """
    copied = words = 0
    for source, hypothesis, reference in zip(sources, hypotheses, references, strict=True):
        own_words, untranslated = hypothesis.split(), {*source.split()} - {*reference.split()}
        words += len(own_words)
        copied += sum(word in untranslated for word in own_words)
    return copied / max(words, 1)


def comparable_lines(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """Check the number of lines, and strip trailing white space as the sacrebleu program does."""
    if isinstance(hypotheses, str) or any(isinstance(lines, str) for lines in references):
        raise ValueError("hypotheses are lines, and references are lists of lines")
    if not references:
        raise ValueError("no reference to compare with")
    if not hypotheses:
        raise CorpusError(
            "there are no hypotheses to score", hint="give one translation a line, blank or not"
        )
    for number, lines in enumerate(references, start=1):
        if len(lines) != len(hypotheses):
            which = f"reference {number}" if len(references) > 1 else "the reference"
            raise CorpusError(
                f"{which} has {len(lines):,} lines for {len(hypotheses):,} hypotheses",
                hint="every hypothesis needs its reference on the line of the same number",
            )
    return [line.rstrip() for line in hypotheses], [
        [line.rstrip() for line in lines] for lines in references
    ]


def bleu_metric(
    target_language: str | None, tokenizer: str | None, *, lowercase: bool
) -> tuple[BLEU, tuple[str, ...]]:
    """The BLEU metric, and notes on its tokenizer if that does not suit the language."""
    from sacrebleu.metrics.bleu import BLEU

    if tokenizer is not None:
        if tokenizer not in TOKENIZERS:
            raise ConfigError(
                f"no BLEU tokenizer is called {tokenizer!r}", hint="use " + ", ".join(TOKENIZERS)
            )
        try:
            return BLEU(lowercase=lowercase, tokenize=tokenizer, force=True), ()
        except (RuntimeError, AssertionError, ImportError) as error:
            raise ConfigError(
                f"the BLEU tokenizer {tokenizer} needs MeCab and its dictionary",
                hint=_install_hint(tokenizer),
            ) from error
    language = (target_language or "").replace("_", "-").split("-")[0].lower()
    preferred = _LANGUAGE_TOKENIZERS.get(language, "13a")
    try:
        bleu = BLEU(lowercase=lowercase, tokenize=preferred, force=True)
    except (RuntimeError, AssertionError, ImportError):
        note = (
            f"BLEU counts characters (tok:char) because {preferred} is not installed: compare it "
            f"with no BLEU on words; {_install_hint(preferred)}"
        )
        return BLEU(lowercase=lowercase, tokenize="char", force=True), (note,)
    if language in _UNSPACED_LANGUAGES:
        return bleu, (
            f"{language} is written without spaces between words, which tok:13a needs: "
            "trust chrF, or count characters with the tokenizer char",
        )
    return bleu, ()


_HAN_OR_KANA = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


def _tokenizer_notes(bleu: BLEU, references: list[list[str]]) -> list[str]:
    """A note if the references are Chinese or Japanese and the tokenizer is not made for them."""
    lines = references[0]
    if bleu.tokenizer_signature == "13a" and 2 * sum(
        map(bool, map(_HAN_OR_KANA.search, lines))
    ) > len(lines):
        return [
            "the references look Chinese or Japanese, which tok:13a cannot split into words: "
            "name the target language (zh or ja)"
        ]
    return []


def _install_hint(tokenizer: str) -> str:
    return f"install it with `pip install 'seq2seq-trainer[{_TOKENIZER_EXTRAS[tokenizer]}]'`"


def _measure(
    metric: SacreMetric, hypotheses: list[str], references: list[list[str]], samples: int
) -> Metric:
    """Score with one metric of sacreBLEU; an interval needs `samples` for its bootstrap."""
    statistics = metric._extract_corpus_statistics(hypotheses, references)
    score = metric._aggregate_and_compute(statistics)
    low, high = _bootstrap(metric, statistics, samples) if samples else (None, None)
    details: dict[str, float | int | list[float]] = {}
    if score.name == "BLEU":
        details = {
            "precisions": [float(precision) for precision in score.precisions],
            "brevity_penalty": float(score.bp),
            "hypothesis_length": int(score.sys_len),  # tokens
            "reference_length": int(score.ref_len),
        }
    elif score.name == "TER":
        details = {"edits": int(score.num_edits), "reference_length": float(score.ref_length)}
    return Metric(
        name=score.name,
        score=float(score.score),
        signature=str(metric.get_signature()),
        low=low,
        high=high,
        details=details,
    )


def random_seed() -> str:
    """The seed of sacreBLEU's random draws: a whole number, or "none".

    Raises ConfigError where SACREBLEU_SEED is something else.
    """
    seed = os.environ.get("SACREBLEU_SEED", "12345").lower()
    if seed != "none" and not (seed.isascii() and seed.isdecimal()):
        raise ConfigError(
            f"SACREBLEU_SEED is {seed!r}", hint="unset it, or set it to a whole number"
        )
    return seed


def _bootstrap(
    metric: SacreMetric, statistics: list[list[float]], samples: int
) -> tuple[float, float]:
    """The 95 % interval of `corpus_score(..., n_bootstrap=samples)`, with the same resamples.

    sacreBLEU's own function keeps every resample in memory (7 GB for 100,000 sentences), and that
    of version 2.6 raises TypeError if some resamples, but not all, score exactly 0.
    """
    import numpy as np

    if samples < 2:
        raise ValueError(f"{samples} bootstrap samples give no interval")
    seed = random_seed()
    rng = np.random.default_rng(None if seed == "none" else int(seed))
    table = np.array(
        statistics, dtype=np.float32
    )  # [sentences, statistics]; float32 as sacreBLEU has it
    scores = sorted(
        float(
            metric._compute_score_from_stats(table[rng.choice(len(table), len(table))].sum(0)).score
        )
        for _ in range(samples)
    )
    metric.n_bootstrap, metric.seed = samples, seed  # for the signature
    tail = samples // 40  # 2.5 % on either side
    half_width = (scores[samples - tail - 1] - scores[tail]) / 2
    mean = sum(scores) / samples
    return mean - half_width, mean + half_width


def _length_notes(bleu: Metric) -> list[str]:
    """A note if BLEU is 0 only because all hypotheses are too short for 4-grams."""
    precisions, length = bleu.details["precisions"], bleu.details["hypothesis_length"]
    assert isinstance(precisions, list)
    if bleu.score == 0 and precisions[0] > 0 and precisions[3] == 0 and length:
        return ["BLEU is 0 because no hypothesis is four tokens long: trust chrF"]
    return []


def bleu_problem(references: Sequence[str], target_language: str | None = None) -> str | None:
    """Why BLEU is 0, or nearly, for good and bad translations of these references; or None."""
    metric, _ = bleu_metric(target_language, None, lowercase=False)
    if any(len(metric.tokenizer(line).split()) >= 4 for line in references):
        return None
    return "BLEU cannot rank translations because no reference is four tokens long: trust chrF"


def _blank_reference_notes(references: list[list[str]]) -> list[str]:
    """A note on sentences that have no reference at all."""
    sentences = len(references[0])
    blank = sum(not any(lines) for lines in zip(*references, strict=True))
    if not blank:
        return []
    return [
        f"{blank:,} of {counted(sentences, 'sentence')} {'has' if blank == 1 else 'have'} a blank "
        "reference: whatever is translated there counts as wrong"
    ]


def _plain_text_notes(hypotheses: list[str], references: list[list[str]]) -> list[str]:
    """Notes on text that is not the plain text which BLEU is defined on."""
    texts = [("hypotheses", hypotheses)]
    for number, lines in enumerate(references, start=1):
        texts.append(
            (f"lines of reference {number}" if len(references) > 1 else "references", lines)
        )
    scans = [(name, scan(lines)) for name, lines in texts]
    return [
        f"{found.describe(sign, name)}: BLEU is only comparable on plain text; {sign.undo}"
        for name, found in scans
        for sign, _ in found.found()
    ]


def _case_notes(hypotheses: list[str], references: list[list[str]]) -> list[str]:
    """A note where only one of hypotheses and references has both cases."""
    ours, theirs = scan(hypotheses), scan(references[0])
    for name, left, right, other in (
        ("hypotheses", ours, theirs, "references"),
        ("references", theirs, ours, "hypotheses"),
    ):
        if case := other_case(left, right):
            return [
                f"the {name} are all {case} case, the {other} are not: no word of another case "
                "counts; --lowercase ignores case"
            ]
    return []
