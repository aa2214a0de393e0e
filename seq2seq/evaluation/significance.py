"""Is a system better than another? sacreBLEU's paired tests, equal to its program's to the digit.

For "bootstrap" `paired_test` returns what `sacrebleu REFERENCE -i BASELINE SYSTEM -m bleu chrf ter
--paired-bs` prints, for "randomisation" what it prints with `--paired-ar`. The random numbers are
sacreBLEU's, from its seed (12345, or SACREBLEU_SEED).
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from seq2seq.evaluation.quality import bleu_metric, comparable_lines, random_seed

Test = Literal["bootstrap", "randomisation"]
TESTS: tuple[Test, Test] = ("bootstrap", "randomisation")
TEST_NAMES = {
    "bootstrap": "paired bootstrap resampling (Koehn, 2004)",
    "randomisation": "approximate randomisation (Riezler & Maxwell, 2005)",
}
SAMPLES = {"bootstrap": 1000, "randomisation": 10_000}
"""Resamples and trials, sacreBLEU's defaults."""
_SACREBLEU_NAMES: dict[Test, str] = {"bootstrap": "bs", "randomisation": "ar"}


class PairedScore(NamedTuple):
    """A metric of a system beside that of the baseline."""

    metric: str  # "BLEU", "chrF2", "TER"
    baseline: float
    system: float
    p: float  # two-sided: of a difference as large as this one, if the systems are equally good
    signature: str

    @property
    def p_value(self) -> float | None:
        """None for equal scores, for which sacreBLEU returns the lowest p that there is."""
        return None if self.system == self.baseline else self.p


def paired_test(
    test: Test,
    baseline: Sequence[str],
    system: Sequence[str],
    references: Sequence[str],
    *,
    target_language: str | None = None,
    samples: int | None = None,
) -> list[PairedScore]:
    """BLEU, chrF and TER of two systems on the same sentences, with p-values.

    samples: resamples or trials; None: sacreBLEU's default

    Raises CorpusError where the numbers of lines differ.
    """
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER
    from sacrebleu.significance import PairedTest

    random_seed()  # raises for one that sacreBLEU cannot use
    first, (lines,) = comparable_lines(baseline, [references])
    second, _ = comparable_lines(system, [references])
    bleu, _ = bleu_metric(target_language, None, lowercase=False)
    run = PairedTest(
        [("baseline", first), ("system", second)],
        {"BLEU": bleu, "chrF": CHRF(), "TER": TER()},
        [lines],
        test_type=_SACREBLEU_NAMES[test],
        n_samples=samples or 0,
    )
    signatures, scores = run()
    return [
        _paired_score(name, scores[name], str(signature)) for name, signature in signatures.items()
    ]


def _paired_score(metric: str, results: Sequence[Any], signature: str) -> PairedScore:
    """results: sacreBLEU's, of the baseline and of the system"""
    baseline, system = results
    return PairedScore(
        metric, float(baseline.score), float(system.score), float(system.p_value), signature
    )
