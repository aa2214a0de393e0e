"""BLEU, chrF and TER as the sacrebleu program computes them, with its signatures.

The figures equal sacrebleu's digit for digit. What it leaves to the caller is done here: line
counts are compared (it zips silently), the tokenizer follows the target language, and text that
is not what a person would read (subword pieces, tokenised punctuation) is noticed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from seq2seq.errors import ConfigError, CorpusError

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric as SacreMetric
    from sacrebleu.metrics.bleu import BLEU

TOKENIZERS = ("13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none")
"""What BLEU may count words with; sacreBLEU's names, as they appear in its signatures."""

BOOTSTRAP_SAMPLES = 1000  # sacreBLEU's default

# Primary language subtags, ISO 639-1 and -3.
_TOKENIZER_OF = {
    **dict.fromkeys(("zh", "zho", "chi", "cmn", "yue"), "zh"),
    **dict.fromkeys(("ja", "jpn"), "ja-mecab"),
    **dict.fromkeys(("ko", "kor"), "ko-mecab"),
}
_EXTRA_OF = {"ja-mecab": "ja", "ko-mecab": "ko"}
_NO_SPACES = frozenset(("bo", "bod", "km", "khm", "lo", "lao", "my", "mya", "th", "tha"))


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure and how to read it."""

    name: str  # "BLEU", "chrF2", "TER"
    score: float  # 0 to 100, higher is better; TER: lower is better, and may exceed 100
    signature: (
        str  # sacreBLEU's, such as nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0
    )
    low: float | None  # 95 % bootstrap interval: sacreBLEU's mean minus and plus its half width
    high: float | None
    details: dict[str, float | int | list[float]]


@dataclass(frozen=True, slots=True)
class QualityReport:
    """Three figures over the same sentences; notes say what makes them less than they seem."""

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
    """Score detokenised hypotheses; `references` holds one list of lines for each reference file.

    `lowercase` makes BLEU and chrF ignore case, as TER always does. The bootstrap draws with
    sacreBLEU's fixed seed (12345, or SACREBLEU_SEED), which its signature names. Raises CorpusError
    where counts differ or nothing is there, ConfigError for a tokenizer that is not to be had.
    """
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    hypotheses, references = _comparable(hypotheses, references)
    samples = bootstrap_samples if confidence else 0
    metric, notes = _bleu_metric(target_language, tokenizer, lowercase=lowercase)
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
            *_wrong_tokenizer(metric, references),
            *_too_short(bleu),
            *_doubts(hypotheses, references),
        ),
    )


class QuickQuality(NamedTuple):
    """What validation during training asks for."""

    bleu: float  # 0 to 100
    chrf: float  # 0 to 100
    length_ratio: float  # tokens of hypotheses to tokens of references, as BLEU counts them


def quick_quality(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    target_language: str | None = None,
) -> QuickQuality:
    """The same figures as `score_corpus`, without TER and the doubts, which take most of its time.

    Raises CorpusError where counts differ or nothing is there.
    """
    from sacrebleu.metrics.chrf import CHRF

    hypotheses, references = _comparable(hypotheses, references)
    metric, _ = _bleu_metric(target_language, None, lowercase=False)
    bleu = metric.corpus_score(hypotheses, references)
    chrf = CHRF().corpus_score(hypotheses, references)
    return QuickQuality(float(bleu.score), float(chrf.score), bleu.sys_len / max(bleu.ref_len, 1))


def copied_share(
    sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]
) -> float:
    """Share of all words written that stand in the source and not in the reference, 0 to 1.

    Words are what spaces divide; what no space divides is one word.
    """
    copied = words = 0
    for source, hypothesis, reference in zip(sources, hypotheses, references, strict=True):
        written, wrong = hypothesis.split(), {*source.split()} - {*reference.split()}
        words += len(written)
        copied += sum(word in wrong for word in written)
    return copied / max(words, 1)


def looks_like_pieces(line: str) -> bool:
    """Whether a line is subword pieces (SentencePiece or subword-nmt) and not plain text."""
    return "▁" in line or "@@ " in line or line.endswith("@@")


def _comparable(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """Lines without trailing white space, as the sacrebleu program reads them, of equal number."""
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


def _bleu_metric(
    target_language: str | None, tokenizer: str | None, *, lowercase: bool
) -> tuple[BLEU, tuple[str, ...]]:
    """The metric, and notes on the tokenizer where it is not the one to wish for."""
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
                hint=_install(tokenizer),
            ) from error
    language = (target_language or "").replace("_", "-").split("-")[0].lower()
    wanted = _TOKENIZER_OF.get(language, "13a")
    try:
        bleu = BLEU(lowercase=lowercase, tokenize=wanted, force=True)
    except (RuntimeError, AssertionError, ImportError):
        note = (
            f"BLEU counts characters (tok:char) because {wanted} is not installed: compare it "
            f"with no BLEU on words; {_install(wanted)}"
        )
        return BLEU(lowercase=lowercase, tokenize="char", force=True), (note,)
    if language in _NO_SPACES:
        return bleu, (
            f"{language} is written without spaces between words, which tok:13a needs: "
            "trust chrF, or count characters with the tokenizer char",
        )
    return bleu, ()


_HAN_OR_KANA = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


def _wrong_tokenizer(bleu: BLEU, references: list[list[str]]) -> list[str]:
    lines = references[0]
    if bleu.tokenizer_signature == "13a" and 2 * sum(
        map(bool, map(_HAN_OR_KANA.search, lines))
    ) > len(lines):
        return [
            "the references look Chinese or Japanese, which tok:13a cannot split into words: "
            "name the target language (zh or ja)"
        ]
    return []


def _install(tokenizer: str) -> str:
    return f"install it with `pip install 'seq2seq-trainer[{_EXTRA_OF[tokenizer]}]'`"


def _measure(
    metric: SacreMetric, hypotheses: list[str], references: list[list[str]], samples: int
) -> Metric:
    sums = metric._extract_corpus_statistics(hypotheses, references)
    score = metric._aggregate_and_compute(sums)
    low, high = _bootstrap(metric, sums, samples) if samples else (None, None)
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


def _bootstrap(metric: SacreMetric, sums: list[list[float]], samples: int) -> tuple[float, float]:
    """The interval of `corpus_score(..., n_bootstrap=samples)`: the same draws, the same bounds.

    Its own function keeps every resample in memory (7 GB for 100,000 sentences), and version 2.6
    raises TypeError when some resamples, but not all, score exactly 0.
    """
    import numpy as np

    if samples < 2:
        raise ValueError(f"{samples} bootstrap samples give no interval")
    seed = os.environ.get("SACREBLEU_SEED", "12345").lower()
    if seed != "none" and not (seed.isascii() and seed.isdecimal()):
        raise ConfigError(
            f"SACREBLEU_SEED is {seed!r}", hint="unset it, or set it to a whole number"
        )
    draws = np.random.default_rng(None if seed == "none" else int(seed))
    table = np.array(sums, dtype=np.float32)  # [sentences, statistics]; float32 as sacreBLEU has it
    scores = sorted(
        float(
            metric._compute_score_from_stats(table[draws.choice(len(sums), len(sums))].sum(0)).score
        )
        for _ in range(samples)
    )
    metric.n_bootstrap, metric.seed = samples, seed  # for the signature
    lowest = samples // 40
    half_width = (scores[samples - lowest - 1] - scores[lowest]) / 2
    mean = sum(scores) / samples
    return mean - half_width, mean + half_width


def _too_short(bleu: Metric) -> list[str]:
    precisions, length = bleu.details["precisions"], bleu.details["hypothesis_length"]
    assert isinstance(precisions, list)
    if bleu.score == 0 and precisions[0] > 0 and precisions[3] == 0 and length:
        return ["BLEU is 0 because no hypothesis is four tokens long: trust chrF"]
    return []


def _doubts(hypotheses: list[str], references: list[list[str]]) -> list[str]:
    """Signs that the text is not the plain text BLEU is defined on."""
    texts = [("hypotheses", hypotheses)]
    for number, lines in enumerate(references, start=1):
        texts.append(
            (f"lines of reference {number}" if len(references) > 1 else "references", lines)
        )
    doubts = []
    for name, lines in texts:
        pieces = sum(map(looks_like_pieces, lines))
        if pieces * 20 >= len(lines):
            doubts.append(
                f"{pieces:,} of {len(lines):,} {name} look like subword pieces (▁ or @@): "
                "BLEU is wrong on pieces, join them into plain text first"
            )
        spaced = sum(line.endswith((" .", " 。", " ?", " !")) for line in lines)
        if spaced * 4 >= len(lines):
            doubts.append(
                f"{spaced:,} of {len(lines):,} {name} end in a separate full stop: they look "
                "tokenised, and BLEU is only comparable on detokenised text"
            )
    return doubts
