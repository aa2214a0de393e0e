"""Links of words by eflomal and by our hidden Markov models, which learn nothing else."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cli.runs.learnt_links import learnt_links
from data.corpus import SentencePair
from data.token_store import Side, TokenStore, model_name
from data.tokenization import Tokenizer
from seq2seq.evaluation.alignment import Link, parse_pharaoh

SIDES: tuple[Side, Side] = ("source", "target")
LIKELY = 0.5
"""The probability from which two pieces are linked."""


def links_of_eflomal(pairs: Sequence[SentencePair]) -> list[tuple[set[Link], set[Link]]]:
    """Forward and backward links of pairs in lower case, as (source, target); none is blank.

    Östling & Tiedemann (2016). eflomal draws random numbers that cannot be seeded, so that links
    differ a little from one call to the next. Raises ImportError where it is not installed.
    """
    import eflomal

    sources, targets = zip(*pairs, strict=True)
    with tempfile.TemporaryDirectory(prefix="seq2seq-links-") as folder:
        forward, backward = Path(folder) / "forward", Path(folder) / "backward"
        eflomal.Aligner().align(
            [f"{text.lower()}\n" for text in sources],
            [f"{text.lower()}\n" for text in targets],
            links_filename_fwd=str(forward),
            links_filename_rev=str(backward),
        )
        both = (path.read_text("ascii").splitlines() for path in (forward, backward))
        return [
            (parse_pharaoh(there), parse_pharaoh(back)) for there, back in zip(*both, strict=True)
        ]


def links_of_hmm(store: TokenStore, pairs: Sequence[SentencePair]) -> list[set[Link]]:
    """Links of the words of a store's training pairs, of which a likely link of pieces is a part.

    pairs: all of them, in order
    """
    links = learnt_links(store)
    words = [
        Tokenizer.load(store.path / model_name(side, joint=store.joint)).encode_with_words(texts)
        for side, texts in zip(SIDES, zip(*pairs, strict=True), strict=True)
    ]
    found = []
    for numbers, probabilities, *spelt in zip(
        np.split(links.pieces, links.ends[:-1]),
        np.split(links.probabilities, links.ends[:-1]),
        *words,
        strict=True,
    ):
        (_, source), (_, target) = spelt
        rows, columns = numbers[probabilities >= LIKELY].T
        found.append(set(zip(source[columns].tolist(), target[rows].tolist(), strict=True)))
    return found
