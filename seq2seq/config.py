"""Everything about model, training and search that can be set, each with its one default."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from seq2seq.errors import ConfigError


class Section(BaseModel):
    """A frozen group of settings; the text below a field is its documentation."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


class ModelConfig(Section):
    """Section `model`: what is trained; fixed for the life of a run."""

    cell: Literal["lstm", "gru"] = "lstm"
    """Recurrent cell of encoder and decoder."""
    embedding_size: int = Field(default=256, ge=1)
    """Width of source and target embeddings."""
    encoder_size: int = Field(default=256, ge=1)
    """Width of each direction of the bidirectional encoder; memory is twice as wide."""
    encoder_layers: int = Field(default=1, ge=1)
    """Bidirectional layers, one on the other."""
    encoder_residual: bool = False
    """Add what an encoder layer reads to what it makes, where both are equally wide (He et al.,
    2016)."""
    attend_end: bool = True
    """Whether attention may look at the state of the source's end-of-sentence symbol. It draws the
    looks of words that are known already; without it, as in Luong's own code, alignments are
    clearer."""
    decoder_size: int = Field(default=512, ge=1)
    """Width of the decoder's state."""
    decoder_layers: int = Field(default=1, ge=1)
    """Decoder layers, one on the other; attention asks with the top one."""
    attention: Literal["none", "luong", "bahdanau"] = "luong"
    """When the decoder looks at the source: never, after its cell (Luong et al., 2015), or before
    it (Bahdanau et al., 2015)."""
    score: Literal["dot", "scaled_dot", "general", "additive", "concat"] = "general"
    """How a query is compared with a key, with either order of attention."""
    attention_size: int = Field(default=512, ge=1)
    """Inner width of the scores "additive" and "concat"."""
    input_feeding: bool = True
    """Feed the last readout back into the cell (Luong et al., 2015, section 3.3); "luong" only."""
    context: Literal["state", "input"] = "state"
    """Where a decoder without attention meets the source: in its first state (Sutskever et al.,
    2014) or at every step as well (Cho et al., 2014)."""
    readout_size: int | None = Field(default=None, ge=1)
    """Width of the decoder's readout, which is also what input feeding feeds; left out:
    decoder_size."""
    tie_embeddings: Literal["none", "decoder", "all"] = "all"
    """Share target embedding and output layer ("decoder"), and the source embedding too ("all",
    needs a joint vocabulary) (Press & Wolf, 2017). A linear map takes a readout of another width to
    the embedding's."""
    embedding_dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout on embeddings."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout between layers, on memory and on readouts."""

    @property
    def memory_size(self) -> int:
        return 2 * self.encoder_size

    @property
    def readout_width(self) -> int:
        return self.decoder_size if self.readout_size is None else self.readout_size

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        dotted = self.score in ("dot", "scaled_dot")
        if self.attention != "none" and dotted and self.decoder_size != self.memory_size:
            raise ConfigError(
                f"score {self.score} needs equal widths: model.decoder_size is "
                f"{self.decoder_size}, memory (twice model.encoder_size) is {self.memory_size}",
                hint="make them equal, or use score general, which maps one onto the other",
            )
        return self


class TrainingConfig(Section):
    """Section `training`: how a model is trained."""

    seed: int = Field(default=1, ge=0, lt=2**63)
    """Where initial weights, data order and dropout come from."""
    updates: int = Field(default=12_000, ge=0)
    """Optimizer steps at most; the learning rate decays towards this end."""
    minutes: float | None = Field(default=None, gt=0)
    """Training time at most; the learning rate then decays towards whichever end comes first. A
    run bounded by time cannot be repeated to the byte."""
    batch_tokens: int = Field(default=1500, ge=1)
    """Padded tokens of the longer side in a batch, at most."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """The highest learning rate, reached at the end of warm-up."""
    warmup: int = Field(default=300, ge=0)
    """Updates over which the learning rate rises from 0."""
    decay: Literal["linear", "inverse_sqrt", "none"] = "linear"
    """What follows warm-up: linear to 0 at the end, or with the inverse square root of the update
    (Vaswani et al., 2017, equation 3), or nothing."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Adam's memory of gradients (Kingma & Ba, 2015)."""
    beta2: float = Field(default=0.98, ge=0, lt=1)
    """Adam's memory of squared gradients."""
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Probability spread evenly over the vocabulary in the training target (Szegedy et al.,
    2016)."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Largest Euclidean norm of the gradient; longer ones are scaled back."""
    validate_every: int = Field(default=500, ge=1)
    """Updates between validations, each followed by a checkpoint."""
    patience: int = Field(default=10, ge=0)
    """Validations without a better perplexity after which training stops; 0 never stops early."""
    log_every: int = Field(default=50, ge=1)
    """Updates between two lines in metrics.jsonl and in a plain log."""


class SearchConfig(Section):
    """Section `search`: how a translation is found; may be set at every command that translates."""

    beam: int = Field(default=5, ge=1)
    """Hypotheses kept at every step; 1 is greedy search."""
    length_penalty: float = Field(default=1.0, ge=0)
    """alpha of Wu et al. (2016), equation 14; 0 turns it off."""
    max_length_factor: float = Field(default=2.0, gt=0)
    """Pieces of a translation at most: this times the source's pieces, plus 20."""
    max_source_pieces: int = Field(default=500, ge=1)
    """Longer sources are cut here, with a warning and `"truncated": true`."""
    batch_sentences: int = Field(default=64, ge=1)
    """Sentences searched at once; it changes the speed alone."""
