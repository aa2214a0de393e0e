"""Links of words learnt by eflomal (Östling & Tiedemann, 2016), which is an optional package."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from data.corpora import CorpusFiles
from data.corpus import SentencePair, read_pairs
from seq2seq.errors import ConfigError
from seq2seq.evaluation.alignment import Link, parse_pharaoh, pharaoh_line
from seq2seq.evaluation.links import Symmetrization, symmetrize

LONGEST = 200  # words; longer sentences get no links


@dataclass(frozen=True)
class LearntLinks:
    """Links that eflomal learns from the corpus itself, in lower case and in both directions."""

    version: str
    symmetrization: Symmetrization = "grow-diag-final-and"

    @classmethod
    def available(cls) -> "LearntLinks":
        """Raises ConfigError where eflomal is not installed."""
        return cls(eflomal_version())

    @property
    def origin(self) -> str:
        return f"eflomal {self.version}, {self.symmetrization}"

    @property
    def key(self) -> str:
        return self.origin

    def lines(self, files: CorpusFiles) -> Iterator[str]:
        """A line in the Pharaoh format for each pair."""
        for forward, backward in learn_links(list(read_pairs(*files))):
            yield pharaoh_line(symmetrize(forward, backward, self.symmetrization))


def eflomal_version() -> str:
    """Raises ConfigError where eflomal is not installed."""
    if util.find_spec("eflomal") is None:
        raise ConfigError(
            "links of words are learnt by eflomal, which is not installed",
            hint="pip install 'seq2seq-trainer[align]', or give a file with --alignments",
        )
    return metadata.version("eflomal")


def learn_links(pairs: Sequence[SentencePair]) -> list[tuple[set[Link], set[Link]]]:
    """The links of each pair in the forward and the backward direction, as (source, target).

    A pair with a blank side or more than `LONGEST` words has none. eflomal draws random numbers
    that cannot be seeded, so that links differ a little from one call to the next.
    """
    import eflomal

    usable = [i for i, pair in enumerate(pairs) if all(0 < n <= LONGEST for n in _sizes(pair))]
    found: list[tuple[set[Link], set[Link]]] = [(set(), set()) for _ in pairs]
    if not usable:
        return found
    with tempfile.TemporaryDirectory(prefix="seq2seq-links-") as folder:
        forward, backward = Path(folder) / "forward", Path(folder) / "backward"
        eflomal.Aligner().align(
            [_prepared(pairs[i].source) for i in usable],
            [_prepared(pairs[i].target) for i in usable],
            links_filename_fwd=str(forward),
            links_filename_rev=str(backward),
        )
        both = zip(
            forward.read_text("ascii").splitlines(),
            backward.read_text("ascii").splitlines(),
            strict=True,
        )
        for i, (there, back) in zip(usable, both, strict=True):
            found[i] = parse_pharaoh(there), parse_pharaoh(back)
    return found


def _sizes(pair: SentencePair) -> tuple[int, int]:
    return len(pair.source.split()), len(pair.target.split())


def _prepared(text: str) -> str:
    """A line as eflomal is given it: in lower case, with one space between its words."""
    return " ".join(word.lower() for word in text.split()) + "\n"
