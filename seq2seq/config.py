"""Everything about model, training and search that can be set, each with its one default."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from seq2seq.errors import ConfigError

CellKind = Literal["lstm", "gru", "gru_reset_before", "gru_cho", "lstm_layer_norm"]
ScoreName = Literal[
    "dot", "scaled_dot", "general", "additive", "concat", "concat_fixed", "location"
]


class Section(BaseModel):
    """A frozen group of settings; the text below a field is its documentation."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


class ModelConfig(Section):
    """Section `model`: what is trained; fixed for the life of a run."""

    cell: CellKind = "lstm"
    """Recurrent cell of encoder and decoder: lstm (Hochreiter & Schmidhuber, 1997); gru, the reset
    gate after the product as in Nematus and PyTorch; gru_reset_before, as in Bahdanau et al.
    (2015); gru_cho, whose reset gate also covers what is fed (decoder of Cho et al., 2014);
    lstm_layer_norm (Ba et al., 2016)."""
    decoder_cell: CellKind | None = None
    """Recurrent cell of the decoder; left out: the same as cell."""
    recurrent_biases: bool = True
    """Biases in the recurrent cells and the bridge; Luong et al. (2015) have none."""
    embedding_size: int = Field(default=256, ge=1)
    """Width of source and target embeddings."""
    scale_embeddings: bool = True
    """Multiply embeddings by the square root of their width, as one matrix tied to the softmax
    needs (Vaswani et al., 2017, section 3.4)."""
    encoder: Literal["bidirectional", "unidirectional", "gnmt", "pyramid"] = "bidirectional"
    """How layers read the source: all in both directions; all forwards; the lowest in both
    directions and the others forwards (Wu et al., 2016); or in both directions, each layer above
    the lowest at half the length (Chan et al., 2016)."""
    encoder_size: int = Field(default=256, ge=1)
    """Width of each direction of an encoder layer; memory of two directions is twice as wide."""
    encoder_layers: int = Field(default=1, ge=1)
    """Encoder layers, one on the other."""
    encoder_projection: int | None = Field(default=None, ge=1)
    """Map memory to this width after the top layer (RNMT+, Chen et al., 2018); left out: no map."""
    encoder_self_attention: int = Field(default=0, ge=0)
    """Self-attention layers over the encoder's states."""
    source_order: Literal["forward", "reversed"] = "forward"
    """Read the source's words in reverse (Sutskever et al., 2014; Luong et al., 2015). Alignments
    are shown in the order of the words either way."""
    encode_eos: bool = True
    """Whether the encoder reads the source's end-of-sentence symbol; the encoders of Sutskever et
    al. (2014) and Luong et al. (2015) read the words alone."""
    summary: Literal["last", "backward", "mean"] = "last"
    """What stands for the whole source: the last state of each direction, that of the backward
    direction alone (Bahdanau et al., 2015), or the mean of all states (Nematus)."""
    bridge: Literal["tanh", "copy", "zero"] = "tanh"
    """The decoder's first state: tanh(W summary), the encoder's last states layer by layer, or
    zero."""
    residual_from: int | None = Field(default=None, ge=2)
    """From this layer on, counted from 1, what a layer of encoder or decoder reads is added to what
    it makes, where both are equally wide (Wu et al., 2016, section 3.1: 3); left out: never."""
    attend_eos: bool = True
    """Whether attention may look at the state of the source's end-of-sentence symbol. It draws the
    looks of words that are known already; without it, as in Luong's own code, alignments are
    clearer."""
    decoder_size: int = Field(default=512, ge=1)
    """Width of the decoder's state."""
    decoder_layers: int = Field(default=1, ge=1)
    """Decoder layers, one on the other."""
    attention: Literal["none", "luong", "bahdanau", "conditional"] = "luong"
    """When the decoder looks at the source: never, after its cell (Luong et al., 2015), before it
    (Bahdanau et al., 2015), or between two cells (the conditional GRU of Nematus)."""
    score: ScoreName = "general"
    """How a query is compared with a key, in any order of attention. concat_fixed is concat as
    Luong's code computes it; location reads the query alone."""
    attention_size: int = Field(default=512, ge=1)
    """Inner width of the scores "additive" and "concat" and of what predicts the place in scope
    local_p, all heads together; with projections, the width of projected queries, keys and
    values."""
    location_positions: int = Field(default=100, ge=1)
    """Places the score "location" knows; source pieces beyond cannot be looked at."""
    scope: Literal["global", "local_m", "local_p"] = "global"
    """Where attention may look: everywhere, or in a window around step t (local_m) or around a
    place predicted from the query (local_p) (Luong et al., 2015, section 3.2)."""
    window: int = Field(default=10, ge=1)
    """D: a window reaches this many source pieces to either side."""
    normalizer: Literal["softmax", "sparsemax", "entmax15"] = "softmax"
    """How scores become weights; sparsemax (Martins & Astudillo, 2016) and entmax15 (Peters et al.,
    2019) give exact zeros."""
    heads: int = Field(default=1, ge=1)
    """Attention heads, with any score (Vaswani et al., 2017, section 3.2.2)."""
    projections: bool | None = None
    """Adaptive weights W_Q, W_K, W_V before the score; left out: with several heads only. Several
    heads without them cut queries, keys and values into equal parts."""
    project_values: bool = True
    """Whether projections include W_V and, with several heads, W_O; RNMT+ has neither."""
    attention_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on attention weights."""
    coverage: Literal["none", "linear", "gru"] = "none"
    """Tell attention where it has looked already (Tu et al., 2016): summed weights over a
    fertility, or a GRU for each source position."""
    coverage_size: int = Field(default=10, ge=1)
    """Width of coverage "gru"."""
    query_layer: Literal["top", "bottom"] = "top"
    """The decoder layer that asks; GNMT and RNMT+ ask with the lowest."""
    context_to_upper: bool = False
    """Give the context to the decoder's upper layers too (GNMT, RNMT+)."""
    input_feeding: bool | None = None
    """Feed the last step's result back into the cell (Luong et al., 2015, section 3.3); left out:
    with "luong" only."""
    feedback: Literal["readout", "context"] = "readout"
    """What input feeding feeds: Luong's attentional vector, or the context alone (RNMT+)."""
    decoder_self_attention: bool = False
    """Let every decoder state look at the decoder's own past states."""
    self_attention_heads: int = Field(default=1, ge=1)
    """Heads of self-attention, in encoder and decoder."""
    context: Literal["state", "input"] = "state"
    """Where a decoder without attention meets the source: in its first state (Sutskever et al.,
    2014) or at every step as well (Cho et al., 2014)."""
    readout: Literal["tanh", "maxout", "none"] = "tanh"
    """What follows the decoder: tanh(W [...]), the larger of two linear units (Bahdanau et al.,
    2015, appendix A.2.2), or nothing: the output layer reads the parts themselves."""
    readout_state: Literal["new", "previous"] = "new"
    """The state a readout reads; RNNsearch reads that of the step before."""
    readout_context: bool | None = None
    """Whether the readout reads the context; left out: wherever there is one at every step."""
    readout_embedding: bool | None = None
    """Whether the readout reads the last word's embedding; left out: with "bahdanau" and
    "conditional"."""
    readout_size: int | None = Field(default=None, ge=1)
    """Width of the decoder's readout, which is also what input feeding feeds; left out:
    decoder_size."""
    output_bias: bool = True
    """A bias for every entry of the vocabulary; Luong et al. (2015) have none."""
    tie_embeddings: Literal["none", "decoder", "all"] = "all"
    """Share target embedding and output layer ("decoder"), and the source embedding too ("all",
    needs a joint vocabulary) (Press & Wolf, 2017). A linear map takes a readout of another width to
    the embedding's."""
    embedding_dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout on embeddings."""
    word_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of words whose whole embedding is zeroed, in source and target (Sennrich & Zhang, 2019,
    section 3.2); tags are never dropped."""
    target_word_dropout: float | None = Field(default=None, ge=0, lt=1)
    """The same in the target alone; left out: word_dropout."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout between layers, on memory and on readouts."""
    readout_dropout: float | None = Field(default=None, ge=0, lt=1)
    """Dropout on readouts alone; left out: dropout."""
    context_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on contexts, the same entries at every step of a sentence."""
    recurrent_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the states that recurrent weights read, the same entries at every step (Gal &
    Ghahramani, 2016, section 4). Needs loops of ours where a library call would do."""
    zoneout: float = Field(default=0.0, ge=0, lt=1)
    """Share of entries of recurrent states that stay as they were (Krueger et al., 2017, equation
    2). Needs loops of ours where a library call would do."""
    variational_dropout: bool = False
    """One mask for all places of a sentence in embedding_dropout and dropout (Gal & Ghahramani,
    2016), not one a place."""

    @property
    def memory_size(self) -> int:
        """M, the width of a source position's state."""
        directions = 2 if self.encoder in ("bidirectional", "pyramid") else 1
        if self.encoder == "gnmt" and self.encoder_layers == 1:
            directions = 2
        return self.encoder_projection or directions * self.encoder_size

    @property
    def projects(self) -> bool:
        return self.heads > 1 if self.projections is None else self.projections

    @property
    def feeds(self) -> bool:
        return self.attention == "luong" if self.input_feeding is None else self.input_feeding

    @property
    def readout_width(self) -> int:
        return self.decoder_size if self.readout_size is None else self.readout_size

    @property
    def has_context(self) -> bool:
        """Whether there is a context, or a summary in its place, at every step."""
        return self.attention != "none" or self.context == "input"

    @property
    def reads_context(self) -> bool:
        return self.has_context if self.readout_context is None else self.readout_context

    @property
    def reads_embedding(self) -> bool:
        if self.readout_embedding is None:
            return self.attention in ("bahdanau", "conditional")
        return self.readout_embedding

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for problem in combination_problems(self):
            raise problem
        return self


def combination_problems(config: ModelConfig) -> Iterator[ConfigError]:
    """Why settings of a model do not go together; nothing when they do."""
    attends = config.attention != "none"
    dotted = config.score in ("dot", "scaled_dot") and not config.projects
    if attends and dotted and config.decoder_size != config.memory_size:
        yield ConfigError(
            f"score {config.score} needs equal widths: model.decoder_size is "
            f"{config.decoder_size}, memory is {config.memory_size}",
            hint="make them equal, or use score general, which maps one onto the other, "
            "or model.projections=true",
        )
    if attends:
        yield from _head_problems(config)
    if attends and config.score == "location" and config.coverage != "none":
        yield ConfigError(
            "score location reads no keys, so that coverage cannot reach it",
            hint="use another score, or model.coverage=none",
        )
    if not attends:
        yield from _unattended_problems(config)
    if config.context_to_upper and config.decoder_layers == 1:
        yield ConfigError(
            "model.context_to_upper needs upper layers, and model.decoder_layers is 1",
            hint="use at least 2 decoder layers",
        )
    if config.attention == "luong" and config.context_to_upper and config.query_layer == "top":
        yield ConfigError(
            "with attention luong and query_layer top, the context comes after the upper layers",
            hint="use model.query_layer=bottom, or model.context_to_upper=false",
        )
    if (
        config.attention == "conditional"
        and config.query_layer == "top"
        and config.decoder_layers > 1
    ):
        yield ConfigError(
            "with attention conditional the first cell of the lowest layer asks",
            hint="use model.query_layer=bottom with several decoder layers",
        )
    if config.feedback == "context" and not (attends and config.feeds):
        yield ConfigError(
            "model.feedback is context, but nothing is fed back",
            hint="set model.input_feeding=true, or leave model.feedback out",
        )
    if config.decoder_self_attention and config.readout_state == "previous":
        yield ConfigError(
            "with model.readout_state previous nothing would read the decoder's self-attention",
            hint="use model.readout_state=new, or model.decoder_self_attention=false",
        )
    if config.decoder_self_attention and config.decoder_size % config.self_attention_heads:
        yield _undivided("self_attention_heads", config.self_attention_heads, config.decoder_size)
    if config.encoder_self_attention and config.memory_size % config.self_attention_heads:
        yield _undivided("self_attention_heads", config.self_attention_heads, config.memory_size)
    if config.reads_context and not config.has_context:
        yield ConfigError(
            "model.readout_context is true, but there is no context at any step",
            hint="use model.context=input or an attention",
        )
    unread = (
        not config.reads_context and not config.context_to_upper and config.feedback != "context"
    )
    if config.attention == "luong" and unread:
        yield ConfigError(
            "with attention luong and model.readout_context false nothing reads the context",
            hint="use model.readout_context=true, model.context_to_upper=true or "
            "model.feedback=context",
        )
    if config.encoder == "pyramid" and config.source_order == "reversed":
        yield ConfigError(
            "a pyramid encoder joins pairs of neighbours and cannot read in reverse order",
            hint="use model.source_order=forward, or another encoder",
        )
    yield from _bridge_problems(config)


def _unattended_problems(config: ModelConfig) -> Iterator[ConfigError]:
    """Settings of attention where there is none."""
    asked = {
        "scope": config.scope != "global",
        "normalizer": config.normalizer != "softmax",
        "heads": config.heads > 1,
        "projections": bool(config.projections),
        "coverage": config.coverage != "none",
        "attention_dropout": config.attention_dropout > 0,
        "context_dropout": config.context_dropout > 0,
        "context_to_upper": config.context_to_upper,
        "input_feeding": bool(config.input_feeding),
        "readout_state": config.readout_state == "previous",
    }
    for name in (name for name, given in asked.items() if given):
        yield ConfigError(
            f"model.{name} is set, but with model.attention none it has nothing to act on",
            hint="choose attention luong, bahdanau or conditional, or leave it out",
        )


def _head_problems(config: ModelConfig) -> Iterator[ConfigError]:
    splits_memory = not config.project_values or config.score == "location"
    widths = (
        [config.attention_size, *([config.memory_size] if splits_memory else [])]
        if config.projects
        else [config.decoder_size, config.memory_size]
    )
    if config.heads > 1 or config.projects:
        for width in widths:
            if width % config.heads:
                yield _undivided("heads", config.heads, width)


def _undivided(name: str, heads: int, width: int) -> ConfigError:
    return ConfigError(
        f"model.{name} is {heads}, which does not divide a width of {width}",
        hint="choose widths that are multiples of it",
    )


def _bridge_problems(config: ModelConfig) -> Iterator[ConfigError]:
    if config.bridge != "copy":
        return
    if config.decoder_layers != config.encoder_layers:
        yield ConfigError(
            f"model.bridge copy takes state for state, but there are {config.encoder_layers} "
            f"encoder layers and {config.decoder_layers} decoder layers",
            hint="make them equal, or use model.bridge=tanh",
        )
    twice = 2 if config.encoder in ("bidirectional", "pyramid") else 1
    if config.encoder == "gnmt" or twice * config.encoder_size != config.decoder_size:
        yield ConfigError(
            f"model.bridge copy needs states of equal widths: the encoder's are "
            f"{twice * config.encoder_size}, the decoder's {config.decoder_size}",
            hint="make them equal, or use model.bridge=tanh",
        )


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
    accumulate: int = Field(default=1, ge=1)
    """Batches an update: their gradient is that of the mean over all their target tokens, as if
    they were one batch."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """The highest learning rate, reached at the end of warm-up."""
    warmup: int = Field(default=300, ge=0)
    """Updates over which the learning rate rises from 0."""
    decay: Literal["linear", "cosine", "inverse_sqrt", "plateau", "none"] = "linear"
    """What follows warm-up: linear to 0 at the end; half a cosine to 0 at the end (Loshchilov &
    Hutter, 2017, equation 5, without restarts); with the inverse square root of the update (Vaswani
    et al., 2017, equation 3); plateau, a lower rate whenever validations stop getting better
    (Denkowski & Neubig, 2017); or nothing."""
    plateau_factor: float = Field(default=0.5, gt=0, lt=1)
    """What the rate is multiplied by on a plateau."""
    plateau_patience: int = Field(default=2, ge=1)
    """Validations without a better `metric` that are a plateau."""
    plateau_times: int = Field(default=3, ge=0)
    """Times the rate is lowered; the plateau after the last of them ends training."""
    plateau_restart: bool = True
    """On a plateau, go on from the weights and the optimizer's moments of the best checkpoint."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Adam's memory of gradients (Kingma & Ba, 2015)."""
    beta2: float = Field(default=0.98, ge=0, lt=1)
    """Adam's memory of squared gradients."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Share of every matrix, times the learning rate, taken off it at each update; biases and gains
    are left alone (AdamW: Loshchilov & Hutter, 2019, algorithm 2)."""
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Probability spread evenly over the vocabulary in the training target (Szegedy et al.,
    2016)."""
    r_drop: float = Field(default=0.0, ge=0)
    """Weight of R-Drop (Liang et al., 2021, equation 4, where it is alpha): every batch is read
    twice, each time with other dropout, and the Kullback-Leibler divergences between both
    predictions are trained to be small. An update costs about twice as much; without dropout there
    is nothing to agree on."""
    coverage_loss: float = Field(default=0.0, ge=0)
    """Weight of the coverage loss, sum over j of min(a_tj, what j had before) a target token (See
    et al., 2017, equation 12); with any attention."""
    scheduled_sampling: float = Field(default=0.0, ge=0, le=1)
    """Probability, rising linearly from 0 to this at the end of training, with which the decoder
    reads its own best guess in place of a target token (Bengio et al., 2015), all guesses being
    made by one pass before (Mihaylova & Martins, 2019). It costs a second forward pass."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Largest Euclidean norm of the gradient; longer ones are scaled back."""
    ema: float = Field(default=0.0, ge=0, lt=1)
    """Decay an update, such as 0.999, of a moving average of the weights, which is then what is
    validated and what translates (Polyak & Juditsky, 1992); its bias to the first weights is
    corrected as Adam's moments are. 0 keeps no average."""
    validate_every: int = Field(default=500, ge=1)
    """Updates between validations, each followed by a checkpoint."""
    patience: int = Field(default=10, ge=0)
    """Validations without a better `metric` after which training stops; 0 never stops early."""
    metric: Literal["perplexity", "bleu", "chrf"] = "perplexity"
    """What decides which checkpoint is best, and when to stop: validation perplexity, or BLEU
    (Papineni et al., 2002) or chrF (Popovic, 2015) of greedy translations."""
    validation_sentences: int = Field(default=500, ge=0)
    """Sentences, the first of the validation set, that each validation translates greedily and
    scores with BLEU and chrF; 0 translates none but the samples."""
    samples: int = Field(default=4, ge=0)
    """Validation sentences, spread evenly over the set, whose translations at each validation are
    kept in samples.jsonl."""
    keep_best: int = Field(default=1, ge=1)
    """Checkpoints kept of those that validated best by `metric`."""
    keep_last: int = Field(default=1, ge=1)
    """Checkpoints kept of those that were validated last."""
    average: Literal["none", "best", "last"] = "none"
    """When training ends, average the weights of all the best or last checkpoints kept (as in
    Vaswani et al., 2017, section 6.1, for the last), validate them, and let `best` name the average
    if it is better."""
    log_every: int = Field(default=50, ge=1)
    """Updates between two lines in metrics.jsonl and in a plain log."""
    curriculum: Literal["none", "length"] = "none"
    """Order of the first epoch: length takes the batches from short to long (Kocmi & Bojar, 2017;
    Platanios et al., 2019). Later epochs are shuffled either way."""
    source_subword_sampling: float = Field(default=0.0, ge=0, le=1)
    """Cut training sources into other pieces in every epoch; 0: never. For bpe pieces the share of
    merges left out, such as 0.1 (BPE-dropout, Provilkov et al., 2020); for unigram pieces alpha of
    Kudo (2018), such as 0.2: the smaller, the more varied. Other pieces are shorter, so batches
    grow: with bpe and 0.1 by 40 % on Multi30k."""
    target_subword_sampling: float = Field(default=0.0, ge=0, le=1)
    """The same for training targets. Validation always has the one best segmentation."""
    corpus_weights: dict[str, Annotated[float, Field(ge=0, le=100)]] = {}
    """How often an epoch takes each pair of a corpus, by the corpus's name, as in {back = 0.5}:
    half of its pairs, drawn anew each epoch; 2: each twice; 0: none. A corpus that is not named has
    the weight it was prepared with."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Type of the products in training; auto is bfloat16 where the processor or GPU has such
    products, else float32. Weights, softmax and statistics are float32, and so are validation and
    search."""
    cuda_graphs: bool = True
    """On a GPU, record what is done with a batch of each size and replay it: small models train
    several times as fast, and need about twice the memory. Batches are filled up to a few sizes for
    it. Without effect on a CPU and with scheduled sampling."""
    profile: bool = False
    """Say at each validation and at the end where the time goes: data, encoder, decoder, loss,
    backward pass, optimizer, validation."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for problem in training_problems(self):
            raise problem
        return self


def training_problems(config: TrainingConfig) -> Iterator[ConfigError]:
    """Why settings of training do not go together; nothing when they do."""
    if config.metric != "perplexity" and not config.validation_sentences:
        yield ConfigError(
            f"training.metric is {config.metric}, but training.validation_sentences is 0",
            hint="give it sentences to translate, or use training.metric=perplexity",
        )
    if config.decay == "plateau" and 0 < config.patience <= config.plateau_patience:
        yield ConfigError(
            f"training.patience is {config.patience}: training would end at its first plateau, "
            f"after {config.plateau_patience} validations",
            hint="use training.patience=0, or one above training.plateau_patience",
        )
    kept = {"none": 2, "best": config.keep_best, "last": config.keep_last}[config.average]
    if kept < 2:
        yield ConfigError(
            f"training.average is {config.average}, but training.keep_{config.average} is {kept}",
            hint=f"keep several: --set training.keep_{config.average}=5",
        )


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
