"""BLEU as published Multi30k systems report it: lowercased, normalised, tokenised, hyphens split.

    python scripts/tokenised_bleu.py en translations references

LIUM-CVC (Caglayan et al., 2017) and others prepare both sides in this way.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from sacrebleu.metrics.bleu import BLEU


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("language", help="of the text, such as en")
    parser.add_argument("hypotheses", type=Path)
    parser.add_argument("references", type=Path)
    arguments = parser.parse_args()
    hypotheses, references = (
        path.read_text("utf-8").split("\n")[:-1]
        for path in (arguments.hypotheses, arguments.references)
    )
    score, signature = tokenised_bleu(hypotheses, references, arguments.language)
    print(f"BLEU|{signature} = {score:.1f}")


def tokenised_bleu(
    hypotheses: Sequence[str], references: Sequence[str], language: str
) -> tuple[float, str]:
    """The score and sacreBLEU's signature."""
    from sacremoses import MosesPunctNormalizer, MosesTokenizer

    normalizer, tokenizer = MosesPunctNormalizer(language), MosesTokenizer(language)

    def tokenise(line: str) -> str:
        normal = normalizer.normalize(line.lower())
        return str(tokenizer.tokenize(normal, aggressive_dash_splits=True, return_str=True))

    metric = BLEU(tokenize="none", force=True)
    found = metric.corpus_score([*map(tokenise, hypotheses)], [[*map(tokenise, references)]])
    return found.score, str(metric.get_signature())


if __name__ == "__main__":
    main()
