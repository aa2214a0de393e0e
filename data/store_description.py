"""What meta.json of a token store must say before any of it is believed."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data.config import DataConfig


class Facts(BaseModel):
    """JSON's own types, as they were written; facts that nothing reads may be anything."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Cleaning(Facts):
    read: int = Field(ge=0)
    kept: int = Field(ge=0)
    reasons: dict[str, int]


class _Split(Facts):
    pairs: int = Field(ge=0)
    tokens: int = Field(ge=0)
    sha256: dict[Literal["ids", "offsets", "lines"], str] = Field(min_length=3)
    cleaning: _Cleaning


class _Splits(Facts):
    train: _Split
    valid: _Split


class _Corpus(Facts):
    name: str
    pairs: int = Field(ge=0)
    weight: float = Field(ge=0)
    tag: str | None


class StoreDescription(Facts):
    """Format versions 1 and 2."""

    key: str
    config: DataConfig
    inputs: dict[str, Any]
    source_language: str | None
    target_language: str | None
    source_vocabulary: int = Field(ge=1)
    target_vocabulary: int = Field(ge=1)
    dtype: Literal["uint16", "uint32"]
    splits: _Splits
    corpora: list[_Corpus] = Field(default=[], min_length=1)
    sha256: dict[str, str]

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        """Every pair is of a corpus, and every file has a hash and no name of another folder's."""
        pairs = self.splits.train.pairs
        if self.corpora and sum(corpus.pairs for corpus in self.corpora) != pairs:
            raise ValueError("its corpora have more or fewer pairs than its training split")
        pieces = {"pieces.model"} if self.config.joint else {"source.model", "target.model"}
        if {*self.sha256} != pieces | {"valid.source.txt", "valid.target.txt"}:
            raise ValueError("it names other files than a store has")
        return self
