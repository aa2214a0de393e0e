"""The request for a token store: texts, settings, and how the work is done."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.config import DataConfig
from data.corpora import Corpus, CorpusFiles, Manifest
from data.preparation.links import LinkFile

SINGLE_CORPUS = Manifest()  # the main corpus alone, of weight 1 and without a tag
Progress = Callable[[str, int, int], None]
"""Called with the stage, the pairs done and the pairs in all."""


@dataclass(frozen=True)
class PreparationRequest:
    """All that a token store is made of. Pairs of further corpora follow those of `train`."""

    train: CorpusFiles
    valid: CorpusFiles
    store: Path
    config: DataConfig
    source_language: str | None = None
    target_language: str | None = None
    manifest: Manifest = SINGLE_CORPUS
    """Further corpora, and weights and tags of all."""
    pieces: Sequence[Path] = ()
    """SentencePiece models of another store or run, used in place of new ones; `config` must have
    the settings that they were learnt with."""
    choose: Collection[str] = ()
    """Settings that are chosen by the corpus, whatever `config` has for them: some of
    `CHOSEN_SETTINGS`."""
    links: LinkFile | None = None
    """Links of words of the pairs of `train`, for guided alignment."""
    processes: int | None = None
    """That encode; None for one on each core."""
    overwrite: bool = False
    progress: Progress = lambda stage, done, total: None

    @property
    def corpora(self) -> tuple[Corpus, ...]:
        """All corpora, the main one first."""
        return self.manifest.with_main(self.train)

    @property
    def languages(self) -> dict[str, str | None]:
        """Codes of both languages, as meta.json has them."""
        return {"source_language": self.source_language, "target_language": self.target_language}
