"""The settings of preparing a corpus, with their defaults."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class DataConfig(BaseModel):
    """Section `data`: cleaning and subword pieces; fixed when the token store is written."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    vocabulary_size: int = Field(default=8000, ge=300)
    """Pieces in each SentencePiece model, including 256 bytes and 4 special ids. A small corpus may
    get fewer. `preprocess` chooses it by the number of words, unless it is given."""
    joint: bool = True
    """One model for both languages; needed to tie source and target embeddings."""
    piece_model: Literal["bpe", "unigram"] = "bpe"
    """How pieces are learnt: byte-pair merges (Sennrich et al., 2016) or a unigram language model
    (Kudo, 2018)."""
    character_coverage: float = Field(default=0.9995, ge=0.98, le=1.0)
    """Share of characters that get pieces of their own; rarer ones are written as bytes.
    `preprocess` gives pieces to those that occur three times or more, unless it is given."""
    normalization: Literal["nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf", "identity"] = "nmt_nfkc"
    """SentencePiece's name of the normalisation before splitting. NFKC turns full-width punctuation
    into ASCII, so that translations lack it: `preprocess` takes "identity" where NFKC would change
    1 % of the targets or more, as in Chinese and Japanese, unless it is given."""
    sample_pairs: int = Field(default=200_000, ge=1)
    """Pairs, drawn at random, on which the SentencePiece model is trained."""
    seed: int = Field(default=1, ge=0)
    """Seed of that draw."""
    unescape: bool = False
    """Replace HTML entities such as &apos; &#39; and &amp;lt; by the characters they stand for, in
    training and validation text; also where they are escaped twice."""
    max_words: int = Field(default=150, ge=1)
    """Training pairs with more words between spaces on either side are dropped."""
    max_characters: int = Field(default=1000, ge=1)
    """Training pairs with more characters on either side are dropped."""
    max_pieces: int = Field(default=200, ge=1)
    """Training pairs with more pieces on either side are dropped."""
    max_ratio: float = Field(default=4.0, ge=1.0)
    """Training pairs are dropped when (longer + 10) / (shorter + 10), in characters, is greater;
    the 10 spares very short sentences."""

    def as_json(self) -> dict[str, Any]:
        """The settings as a store's meta.json has them; earlier versions know no `unescape`."""
        return self.model_dump(exclude=None if self.unescape else {"unescape"})
