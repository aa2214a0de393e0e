"""The schema of a token store's meta.json, checked before anything in it is used."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data.config import DataConfig


class StrictModel(BaseModel):
    """Values have exactly JSON's types; fields that nothing reads are ignored."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Cleaning(StrictModel):
    read: int = Field(ge=0)
    kept: int = Field(ge=0)
    reasons: dict[str, int]


class _Split(StrictModel):
    pairs: int = Field(ge=0)
    tokens: int = Field(ge=0)
    sha256: dict[Literal["ids", "offsets", "lines"], str] = Field(min_length=3)
    cleaning: _Cleaning


class _Splits(StrictModel):
    train: _Split
    valid: _Split


class _CorpusEntry(StrictModel):
    name: str
    pairs: int = Field(ge=0)
    weight: float = Field(ge=0)
    tag: str | None


class _Choice(StrictModel):
    settings: list[str]
    source_words: int = Field(ge=0)
    target_words: int = Field(ge=0)
    characters: int = Field(ge=0)
    altered_targets: float = Field(ge=0, le=1)


class OutputPieces(StrictModel):
    """The file with the ids of the pieces that a model may write."""

    count: int = Field(ge=1)
    sha256: str


class _Links(StrictModel):
    origin: str
    pairs: int = Field(ge=0)
    links: int = Field(ge=0)
    sha256: dict[Literal["train.words", "train.links", "train.link_offsets"], str] = Field(
        min_length=3
    )


class StoreDescription(StrictModel):
    """Format versions 1 and 2."""

    key: str
    config: DataConfig
    choice: _Choice | None = None
    overlap: int = Field(default=0, ge=0)
    inputs: dict[str, Any]
    source_language: str | None
    target_language: str | None
    source_vocabulary: int = Field(ge=1)
    target_vocabulary: int = Field(ge=1)
    dtype: Literal["uint16", "uint32"]
    splits: _Splits
    corpora: list[_CorpusEntry] = Field(default=[], min_length=1)
    sha256: dict[str, str]
    output_pieces: OutputPieces | None = Field(default=None)  # absent in stores of 0.1.0
    links: _Links | None = Field(default=None)  # absent in stores made without --alignments

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        """Raises ValueError where pair counts do not add up or the files are not a store's."""
        pairs = self.splits.train.pairs
        if self.corpora and sum(corpus.pairs for corpus in self.corpora) != pairs:
            raise ValueError("its corpora have more or fewer pairs than its training split")
        pieces = {"pieces.model"} if self.config.joint else {"source.model", "target.model"}
        if {*self.sha256} != pieces | {"valid.source.txt", "valid.target.txt"}:
            raise ValueError("it names other files than a store has")
        return self
