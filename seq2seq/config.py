"""The settings of model, training and search: types, meanings and the one default of each."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from seq2seq.errors import ConfigError

CellKind = Literal["lstm", "gru", "gru_reset_before", "gru_cho", "lstm_layer_norm"]
EncoderKind = Literal["bidirectional", "unidirectional", "gnmt", "pyramid"]
ScoreName = Literal[
    "dot", "scaled_dot", "general", "additive", "concat", "concat_fixed", "location"
]


class Section(BaseModel):
    """A frozen group of settings; the text below a field is its documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelConfig(Section):
    """Section `model`: the network; fixed when a run is created."""

    cell: CellKind = "lstm"
    """Recurrent cell of encoder and decoder: lstm (Hochreiter & Schmidhuber, 1997); gru, with the
    reset gate after the matrix product, as in PyTorch and Nematus; gru_reset_before, with the reset
    gate before it (Bahdanau et al., 2015); gru_cho, whose reset gate also covers the extra input,
    such as the context (decoder of Cho et al., 2014); lstm_layer_norm (Ba et al., 2016)."""
    decoder_cell: CellKind | None = None
    """Recurrent cell of the decoder; not set: the same as cell."""
    recurrent_biases: bool = True
    """Biases in the recurrent cells and the bridge; Luong et al. (2015) have none."""
    embedding_size: int = Field(default=256, ge=1)
    """Width of source and target embeddings."""
    scale_embeddings: bool = True
    """Multiply embeddings by the square root of their width. This suits a matrix that is shared
    with the output layer (Vaswani et al., 2017, section 3.4)."""
    encoder: EncoderKind = "bidirectional"
    """Directions of the encoder's layers: bidirectional, each layer in both; unidirectional, all
    forwards; gnmt, the lowest in both and the others forwards (Wu et al., 2016); pyramid, each
    layer in both, and each but the lowest at half the length of the one below (Chan et al.,
    2016)."""
    encoder_size: int = Field(default=256, ge=1)
    """Hidden size of an encoder layer in each direction; with two directions, memory is twice as
    wide."""
    encoder_layers: int = Field(default=1, ge=1)
    """Number of encoder layers."""
    encoder_projection: int | None = Field(default=None, ge=1)
    """Project the encoder's output to this width (RNMT+, Chen et al., 2018); not set: no
    projection."""
    encoder_self_attention: int = Field(default=0, ge=0)
    """Number of self-attention layers on top of the recurrent encoder."""
    memory_embeddings: bool = False
    """Append the embedding of each source piece to the encoder's state in memory, so that attention
    compares and sums words beside their contexts. Gehring et al. (2017, equation 2) add it to the
    values."""
    source_order: Literal["forward", "reversed"] = "forward"
    """Order in which the source is encoded; reversed as in Sutskever et al. (2014) and Luong et al.
    (2015). Alignments are shown in the order of the sentence either way."""
    encode_eos: bool = True
    """Whether the end-of-sentence symbol is encoded after the source; the encoders of Sutskever et
    al. (2014) and Luong et al. (2015) see the words alone."""
    summary: Literal["last", "backward", "mean"] = "last"
    """What summarises the source: last, the last state of each direction; backward, the last state
    of the backward direction alone (Bahdanau et al., 2015); or mean, the mean of all states
    (Nematus)."""
    bridge: Literal["tanh", "copy", "zero"] = "tanh"
    """First state of the decoder: tanh, tanh(W summary); copy, the encoder's last states, layer by
    layer; or zero."""
    residual_from: int | None = Field(default=None, ge=2)
    """From this layer on, counted from 1, a layer's input is added to its output where both are
    equally wide, in encoder and decoder (Wu et al., 2016, figure 1: from layer 3); not set: no
    residual connections."""
    attend_eos: bool = True
    """Whether attention may attend to the end-of-sentence symbol of the source. It absorbs the
    attention of easy words; without it, as in Luong's own code, alignments are clearer."""
    decoder_size: int = Field(default=512, ge=1)
    """Hidden size of the decoder."""
    decoder_layers: int = Field(default=1, ge=1)
    """Number of decoder layers."""
    attention: Literal["none", "luong", "bahdanau", "conditional"] = "luong"
    """When the decoder attends to the source: none, never; luong, after its cell (Luong et al.,
    2015); bahdanau, before it (Bahdanau et al., 2015); or conditional, between two cells (the
    conditional GRU of Nematus)."""
    score: ScoreName = "general"
    """How a query is compared with a key, with any attention. concat_fixed is concat as Luong's
    code computes it; location depends on the query alone."""
    attention_size: int = Field(default=512, ge=1)
    """Hidden size of the scores additive and concat and of the position predictor of scope local_p,
    over all heads; with projections, the width of projected queries, keys and values."""
    location_positions: int = Field(default=100, ge=1)
    """Number of source positions that the score location covers; pieces after them cannot be
    attended to."""
    scope: Literal["global", "local_m", "local_p"] = "global"
    """Source positions that attention may attend to: global, all; local_m, a window around step t;
    local_p, a window around a position that is predicted from the query (Luong et al., 2015,
    section 3.2)."""
    window: int = Field(default=10, ge=1)
    """D: a window extends this many source pieces to either side of its centre."""
    normalizer: Literal["softmax", "sparsemax", "entmax15"] = "softmax"
    """How scores become weights: softmax; or sparsemax (Martins & Astudillo, 2016) or entmax15
    (Peters et al., 2019), which give exact zeros."""
    heads: int = Field(default=1, ge=1)
    """Number of attention heads, with any score (Vaswani et al., 2017, section 3.2.2)."""
    projections: bool | None = None
    """Trained projections W_Q, W_K, W_V before the score; not set: with several heads only. Several
    heads without them split queries, keys and values into equal parts."""
    project_values: bool = True
    """Whether projections include W_V and, with several heads, W_O; rnmt-plus has neither."""
    attention_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on attention weights."""
    coverage: Literal["none", "linear", "gru"] = "none"
    """Tell attention which positions it has attended to before (Tu et al., 2016): linear, by the
    sum of earlier weights over a fertility; or gru, by a GRU at each source position."""
    coverage_size: int = Field(default=10, ge=1)
    """Width of coverage gru."""
    query_layer: Literal["top", "bottom"] = "top"
    """Decoder layer whose state is the query; GNMT and RNMT+ use the lowest."""
    context_to_upper: bool = False
    """Give the context to the decoder's upper layers as a further input (GNMT, RNMT+)."""
    input_feeding: bool | None = None
    """Feed the result of the previous step back into the cell (Luong et al., 2015, section 3.3);
    not set: with attention luong only."""
    feedback: Literal["readout", "context"] = "readout"
    """What input feeding feeds back: readout, Luong's attentional vector; or context, the context
    alone (RNMT+)."""
    decoder_self_attention: bool = False
    """Let each decoder state attend to the decoder's earlier states."""
    self_attention_heads: int = Field(default=1, ge=1)
    """Heads of self-attention, in encoder and decoder."""
    context: Literal["state", "input"] = "state"
    """How a decoder without attention is given the source: state, in its first state (Sutskever et
    al., 2014); or input, as an input at every step as well (Cho et al., 2014)."""
    readout: Literal["tanh", "maxout", "none"] = "tanh"
    """Layer between decoder and output layer: tanh, tanh(W [...]); maxout, the larger of two linear
    units (Bahdanau et al., 2015, appendix A.2.2); or none, so that the output layer is applied to
    the concatenated parts themselves."""
    readout_state: Literal["new", "previous"] = "new"
    """Decoder state in the readout: the new one, or that of the previous step, as in Bahdanau's
    RNNsearch."""
    readout_context: bool | None = None
    """Whether the context is part of the readout; not set: wherever there is one at every step."""
    readout_embedding: bool | None = None
    """Whether the embedding of the previous target piece is part of the readout; not set: with
    attention bahdanau and conditional."""
    readout_size: int | None = Field(default=None, ge=1)
    """Width of the readout, which is also what input feeding feeds back; not set: decoder_size."""
    lexical_model: bool = False
    """A lexical model: also choose each piece by the source embeddings that attention weighs,
    whatever their context (Nguyen & Chiang, 2018, section 4). The output layer gets embedding_size
    more inputs."""
    lexicon: int = Field(default=0, ge=0, le=100)
    """Raise the logits of the likeliest translations of each source piece, so many of each, by the
    attention to that piece (Arthur et al., 2016, section 4.2.1). They are learnt from the training
    pairs (IBM model 1) when the run is created. 0: no lexicon."""
    output_bias: bool = True
    """A bias for every entry of the vocabulary; Luong et al. (2015) have none."""
    tie_embeddings: Literal["none", "decoder", "all"] = "all"
    """Share one matrix between target embedding and output layer (decoder), or with the source
    embedding too (all, which needs a joint vocabulary) (Press & Wolf, 2017). A readout of another
    width is projected to that of the embedding."""
    embedding_dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout on embeddings."""
    word_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Probability that the whole embedding of a source or target piece is zeroed (Iyyer et al.,
    2015, section 3.1; Sennrich & Zhang, 2019). Others are not scaled; tags are never dropped."""
    target_word_dropout: float | None = Field(default=None, ge=0, lt=1)
    """word_dropout for the target alone; not set: word_dropout."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout between layers, on the encoder's output and on readouts."""
    readout_dropout: float | None = Field(default=None, ge=0, lt=1)
    """Dropout on readouts alone; not set: dropout."""
    context_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on contexts, with one mask for all steps of a sentence."""
    recurrent_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the states that the recurrent weights multiply, with one mask for all steps of a
    sentence (Gal & Ghahramani, 2016, section 4). Disables the fused kernel, so it is slower."""
    zoneout: float = Field(default=0.0, ge=0, lt=1)
    """Probability that an entry of a recurrent state keeps its previous value (Krueger et al.,
    2017, equation 2). Disables the fused kernel, so it is slower."""
    variational_dropout: bool = False
    """Use one mask for all positions of a sentence in embedding_dropout and dropout (Gal &
    Ghahramani, 2016), instead of one for each position."""

    @property
    def memory_size(self) -> int:
        """M, the width of the encoder's output at one source position."""
        return self.states_size + (self.embedding_size if self.memory_embeddings else 0)

    @property
    def states_size(self) -> int:
        """The part of M that the encoder's layers compute."""
        return self.encoder_projection or self.top_directions * self.encoder_size

    @property
    def top_directions(self) -> int:
        """Directions of the top encoder layer: 1 or 2."""
        return num_directions(self.encoder, self.encoder_layers)

    @property
    def uses_projections(self) -> bool:
        return self.heads > 1 if self.projections is None else self.projections

    @property
    def uses_input_feeding(self) -> bool:
        return self.attention == "luong" if self.input_feeding is None else self.input_feeding

    @property
    def readout_width(self) -> int:
        return self.decoder_size if self.readout_size is None else self.readout_size

    @property
    def has_context(self) -> bool:
        """Whether every step has a context, or without attention the summary in its place."""
        return self.attention != "none" or self.context == "input"

    @property
    def readout_has_context(self) -> bool:
        return self.has_context if self.readout_context is None else self.readout_context

    @property
    def readout_has_embedding(self) -> bool:
        if self.readout_embedding is None:
            return self.attention in ("bahdanau", "conditional")
        return self.readout_embedding

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for problem in combination_problems(self):
            raise problem
        return self


def combination_problems(config: ModelConfig) -> Iterator[ConfigError]:
    """A refusal of each pair of model settings that contradict each other."""
    if config.attention == "none":
        yield from _unattended_problems(config)
    else:
        yield from _attention_problems(config)
    yield from _decoder_problems(config)
    yield from _self_attention_problems(config)
    yield from _readout_problems(config)
    if config.encoder == "pyramid" and config.source_order == "reversed":
        yield ConfigError(
            "a pyramid encoder joins pairs of neighbours and cannot encode in reverse order",
            hint="use model.source_order=forward, or another encoder",
        )
    by_piece = config.memory_embeddings or config.lexical_model or config.lexicon
    if config.encoder == "pyramid" and by_piece:
        yield ConfigError(
            "a state of a pyramid encoder spans several pieces: there is no one embedding, and no "
            "one entry of a lexicon, for it",
            hint="leave out model.memory_embeddings, model.lexical_model and model.lexicon, or set "
            "model.encoder",
        )
    yield from _bridge_problems(config)


def _attention_problems(config: ModelConfig) -> Iterator[ConfigError]:
    needs_equal_widths = config.score in ("dot", "scaled_dot") and not config.uses_projections
    if needs_equal_widths and config.decoder_size != config.memory_size:
        yield ConfigError(
            f"score {config.score} needs equal widths: model.decoder_size is "
            f"{config.decoder_size}, memory is {config.memory_size}",
            hint="make them equal, or use score general, which maps one onto the other, "
            "or model.projections=true",
        )
    yield from _head_problems(config)
    if config.score == "location" and config.coverage != "none":
        yield ConfigError(
            "score location does not use the keys, so coverage has no effect on it",
            hint="use another score, or model.coverage=none",
        )


def _decoder_problems(config: ModelConfig) -> Iterator[ConfigError]:
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
            "with attention conditional the query is the state of the lowest layer's first cell",
            hint="use model.query_layer=bottom with several decoder layers",
        )
    has_context_to_feed = config.attention != "none" and config.uses_input_feeding
    if config.feedback == "context" and not has_context_to_feed:
        yield ConfigError(
            "model.feedback is context, but nothing is fed back",
            hint="set model.input_feeding=true, or leave model.feedback out",
        )


def _self_attention_problems(config: ModelConfig) -> Iterator[ConfigError]:
    heads = config.self_attention_heads
    if config.decoder_self_attention and config.readout_state == "previous":
        yield ConfigError(
            "with model.readout_state previous the decoder's self-attention would have no effect",
            hint="use model.readout_state=new, or model.decoder_self_attention=false",
        )
    if config.decoder_self_attention and config.decoder_size % heads:
        yield _indivisible("self_attention_heads", heads, config.decoder_size)
    if config.encoder_self_attention and config.states_size % heads:
        yield _indivisible("self_attention_heads", heads, config.states_size)


def _readout_problems(config: ModelConfig) -> Iterator[ConfigError]:
    if config.readout_has_context and not config.has_context:
        yield ConfigError(
            "model.readout_context is true, but there is no context at any step",
            hint="use model.context=input or an attention",
        )
    context_is_used = (
        config.readout_has_context or config.context_to_upper or config.feedback == "context"
    )
    if config.attention == "luong" and not context_is_used:
        yield ConfigError(
            "with attention luong and model.readout_context false the context would have no effect",
            hint="use model.readout_context=true, model.context_to_upper=true or "
            "model.feedback=context",
        )


def _unattended_problems(config: ModelConfig) -> Iterator[ConfigError]:
    """Settings of attention in a model that has none."""
    is_set = {
        "scope": config.scope != "global",
        "normalizer": config.normalizer != "softmax",
        "heads": config.heads > 1,
        "projections": bool(config.projections),
        "coverage": config.coverage != "none",
        "attention_dropout": config.attention_dropout > 0,
        "context_dropout": config.context_dropout > 0,
        "context_to_upper": config.context_to_upper,
        "input_feeding": bool(config.input_feeding),
        "lexical_model": config.lexical_model,
        "lexicon": config.lexicon > 0,
        "readout_state": config.readout_state == "previous",
    }
    for name in (name for name, value in is_set.items() if value):
        yield ConfigError(
            f"model.{name} is set, but with model.attention none it has no effect",
            hint="choose attention luong, bahdanau or conditional, or leave it out",
        )


def _head_problems(config: ModelConfig) -> Iterator[ConfigError]:
    splits_memory = not config.project_values or config.score == "location"
    widths = (
        [config.attention_size, *([config.memory_size] if splits_memory else [])]
        if config.uses_projections
        else [config.decoder_size, config.memory_size]
    )
    if config.heads > 1 or config.uses_projections:
        for width in widths:
            if width % config.heads:
                yield _indivisible("heads", config.heads, width)


def _indivisible(name: str, heads: int, width: int) -> ConfigError:
    return ConfigError(
        f"model.{name} is {heads}, which does not divide a width of {width}",
        hint="choose widths that are multiples of it",
    )


def num_directions(encoder: EncoderKind, layer: int) -> int:
    """How many directions a layer of an encoder has; the lowest is layer 1."""
    return 1 if encoder == "unidirectional" or (encoder == "gnmt" and layer > 1) else 2


def _bridge_problems(config: ModelConfig) -> Iterator[ConfigError]:
    if config.bridge != "copy":
        return
    if config.decoder_layers != config.encoder_layers:
        yield ConfigError(
            f"model.bridge copy copies layer by layer, but there are {config.encoder_layers} "
            f"encoder layers and {config.decoder_layers} decoder layers",
            hint="make them equal, or use model.bridge=tanh",
        )
    layers = range(1, config.encoder_layers + 1)
    widths = {config.encoder_size * num_directions(config.encoder, layer) for layer in layers}
    if widths != {config.decoder_size}:
        yield ConfigError(
            "model.bridge copy needs states of equal widths: the encoder's are "
            f"{' and '.join(map(str, sorted(widths)))}, the decoder's {config.decoder_size}",
            hint="make them equal, or use model.bridge=tanh",
        )


class TrainingConfig(Section):
    """Section `training`: how a model is trained."""

    seed: int = Field(default=1, ge=0, lt=2**63)
    """Seed of initial weights, data order and dropout."""
    updates: int = Field(default=12_000, ge=0)
    """Maximum number of optimizer steps; the learning rate decays towards this end."""
    minutes: float | None = Field(default=None, gt=0)
    """Maximum training time; the learning rate then decays towards whichever end comes first. A run
    limited by time cannot be repeated to the byte."""
    batch_tokens: int = Field(default=1500, ge=1)
    """Maximum number of tokens in a batch, counted with padding on the longer side."""
    accumulate: int = Field(default=1, ge=1)
    """Batches per update: their gradients are added up as those of one batch, for the mean over all
    their target tokens."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """Peak learning rate, reached at the end of warm-up."""
    warmup: int = Field(default=300, ge=0)
    """Updates over which the learning rate rises from 0. In a run of which they take more than
    half, a rate that ends at 0 (decay linear or cosine) falls before they are over: it is at most
    `2 - 2 p` times its peak, where p is the share of the run that is done."""
    decay: Literal["linear", "cosine", "inverse_sqrt", "plateau", "none"] = "linear"
    """The learning rate after warm-up: linear, to 0 at the end; cosine, half a cosine to 0 at the
    end (Loshchilov & Hutter, 2017, equation 5, without restarts); inverse_sqrt, with the inverse
    square root of the update (Vaswani et al., 2017, equation 3); plateau, lower whenever
    validations stop improving (Denkowski & Neubig, 2017); or none, constant."""
    plateau_factor: float = Field(default=0.5, gt=0, lt=1)
    """Factor by which the learning rate is multiplied on a plateau."""
    plateau_patience: int = Field(default=2, ge=1)
    """Number of validations without a better `metric` that make a plateau."""
    plateau_times: int = Field(default=3, ge=0)
    """How often the learning rate is lowered at most; the plateau after that ends training."""
    plateau_restart: bool = True
    """On a plateau, continue from the weights and the optimizer state of the best checkpoint."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Adam's decay rate of the first moment, the running mean of gradients (Kingma & Ba, 2015)."""
    beta2: float = Field(default=0.98, ge=0, lt=1)
    """Adam's decay rate of the second moment, the running mean of squared gradients."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Share of every weight matrix, times the learning rate, that is subtracted at each update;
    biases and gains are left alone (AdamW: Loshchilov & Hutter, 2019, algorithm 2)."""
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Probability mass that the training target spreads evenly over the vocabulary (Szegedy et al.,
    2016)."""
    coverage_loss: float = Field(default=0.0, ge=0)
    """Weight of the coverage loss: for each target token, the sum over source positions j of
    min(a_tj, the sum of earlier a_j) (See et al., 2017, equation 12). Works with any attention."""
    guided_alignment: float = Field(default=0.0, ge=0)
    """Weight of the loss by which attention learns links, for each target token (Chen et al., 2016;
    Mi et al., 2016); 0: it does not. They are the links of words in the token store (`preprocess
    --alignments`), or, where it has none, links of pieces that two hidden Markov models learn from
    the training pairs (Liang et al., 2006). Attention may then be read as an alignment."""
    guided_alignment_loss: Literal["cross_entropy", "mse"] = "cross_entropy"
    """That loss: cross-entropy of the weights, or half of their squared error."""
    guided_alignment_decay: float = Field(default=1.0, gt=0, le=1)
    """Factor by which the weight of that loss is multiplied after each epoch."""
    guided_alignment_head: int | None = Field(default=None, ge=1)
    """The attention head that learns the links, counted from 1; not set: the mean of all."""
    guided_alignment_shift: Literal[0, 1] = 0
    """Step whose attention learns the links of a target piece: 0, the one that writes it; or 1, the
    one after, whose input it is, so that the piece is known (Chen et al., 2020, section 3). With 1
    give the links a head of their own: model.heads=2 and guided_alignment_head=1."""
    guided_alignment_unlinked: Literal["ignore", "eos"] = "ignore"
    """What target words without a link learn: ignore, nothing; or eos, to attend to the end of the
    source, so that they are not linked either. That suits links that people drew."""
    scheduled_sampling: float = Field(default=0.0, ge=0, le=1)
    """Probability with which the decoder's input is the model's own best guess instead of the
    target token (Bengio et al., 2015); it rises linearly from 0 to this value at the end of
    training. All guesses come from one further forward pass before (Mihaylova & Martins, 2019)."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Maximum Euclidean norm of the gradient; a longer one is scaled down to it."""
    ema: float = Field(default=0.0, ge=0, lt=1)
    """Decay per update, such as 0.999, of an exponential moving average of the weights, which then
    validates and translates (Polyak & Juditsky, 1992); its bias towards the first weights is
    corrected as that of Adam's moments is. 0: no average."""
    validate_every: int | None = Field(default=None, ge=1)
    """Updates between validations; each is followed by a checkpoint. Where it is left open, about
    20 validations are done, or fewer if they would take more than 5 % of the time; a run limited by
    minutes goes by the time that they take."""
    patience: int = Field(default=10, ge=0)
    """Number of validations without a new highest `metric` after which training stops; 0: never."""
    metric: Literal["perplexity", "bleu", "chrf"] = "chrf"
    """What decides which checkpoint is best, and when to stop: validation perplexity, or BLEU
    (Papineni et al., 2002) or chrF (Popovic, 2015) of translations. By BLEU or chrF the best is the
    latest checkpoint within the noise of the highest score."""
    validation_sentences: int | None = Field(default=None, ge=0)
    """Number of sentences, spread evenly over the validation set, that each validation translates
    and scores with BLEU and chrF; 0: none but the samples are translated. Where it is left open it
    follows from what the translations cost, up to 500."""
    validation_beam: int | None = Field(default=None, ge=1, le=1000)
    """Hypotheses kept at every step of those translations; 1 is greedy search. Where it is left
    open it is the largest that their cost allows, up to search.beam. (In runs begun before this
    setting: 1.)"""
    perplexity_sentences: int | None = Field(default=None, ge=1)
    """Number of sentences, spread evenly over the validation set, on which perplexity is measured.
    Where it is left open these are all, or fewer if that would cost too much."""
    samples: int = Field(default=4, ge=0)
    """Number of validation sentences, spread evenly over the set, whose translations at each
    validation are kept in samples.jsonl."""
    keep_best: int = Field(default=1, ge=1)
    """Number of checkpoints kept of those that validated best by `metric`."""
    keep_last: int = Field(default=1, ge=1)
    """Number of checkpoints kept of those that were validated last."""
    average: Literal["none", "best", "last"] = "none"
    """When training ends, average the weights of all best or last checkpoints that were kept (for
    last, as in Vaswani et al., 2017, section 6.1), validate the average, and let `best` name it if
    it is better."""
    log_every: int = Field(default=50, ge=1)
    """Updates between two lines in metrics.jsonl and in a plain log."""
    curriculum: Literal["none", "length"] = "none"
    """Order of the first epoch: none, shuffled; or length, from short to long batches (Kocmi &
    Bojar, 2017; Platanios et al., 2019). Later epochs are always shuffled."""
    source_subword_sampling: float = Field(default=0.0, ge=0, le=1)
    """Segment training sources differently in every epoch; 0: never. With bpe pieces this is the
    share of merges left out, such as 0.1 (BPE-dropout, Provilkov et al., 2020); with unigram pieces
    alpha of Kudo (2018), such as 0.2: the smaller, the more varied. Sampled pieces are shorter, so
    batches grow: with bpe and 0.1 by 40 % on Multi30k, where it cost 2 BLEU in 9,000 updates."""
    target_subword_sampling: float = Field(default=0.0, ge=0, le=1)
    """Segment training targets differently in every epoch, with the values of
    source_subword_sampling. Validation always uses the one best segmentation."""
    corpus_weights: dict[str, Annotated[float, Field(ge=0, le=100)]] = {}
    """How often an epoch uses each pair of a corpus, by the corpus's name, as in {back = 0.5}: half
    of its pairs, drawn anew each epoch; 2: each pair twice; 0: none. A corpus that is not named has
    the weight that it was prepared with."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Data type of matrix products in training; auto is bfloat16 where the processor or GPU
    computes with it, else float32. Weights, softmax and statistics are float32, and so is
    validation; search has a precision of its own."""
    cuda_graphs: bool = True
    """On a GPU, record the work for a batch of each size as a CUDA graph and replay it: small
    models train several times as fast, and need about twice the memory. Batches are padded to a few
    sizes for it. Without effect on a CPU and with scheduled sampling."""
    track: Literal["none", "tensorboard"] = "none"
    """Also write the curves of the training for another program: tensorboard, event files in the
    folder `tensorboard` of the run, which `tensorboard --logdir` draws."""
    rank_timeout: float = Field(default=300.0, ge=1)
    """Seconds after which a process that trains with others, and does not answer them, counts as
    lost; it ends the training. Checkpoints and translations of a validation take less."""
    profile: bool = False
    """Report at each validation and at the end where the time goes: data, encoder, decoder, loss,
    backward pass, optimizer, validation."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for problem in training_problems(self):
            raise problem
        return self


def training_problems(config: TrainingConfig) -> Iterator[ConfigError]:
    """A refusal of each pair of training settings that contradict each other."""
    if config.metric != "perplexity" and config.validation_sentences == 0:
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
    if config.guided_alignment and (
        config.source_subword_sampling or config.target_subword_sampling
    ):
        yield ConfigError(
            "training.guided_alignment needs the pieces that are in the token store, and subword "
            "sampling draws others",
            hint="leave out training.source_subword_sampling and target_subword_sampling",
        )
    kept = {"none": 2, "best": config.keep_best, "last": config.keep_last}[config.average]
    if kept < 2:
        yield ConfigError(
            f"training.average is {config.average}, but training.keep_{config.average} is {kept}",
            hint=f"keep several: --set training.keep_{config.average}=5",
        )


def guidance_problems(model: ModelConfig, training: TrainingConfig) -> Iterator[ConfigError]:
    """A refusal of each model that guided alignment does not work with."""
    if not training.guided_alignment:
        return
    if model.attention == "none":
        yield ConfigError(
            "training.guided_alignment needs attention, and model.attention is none",
            hint="train with --attention luong, bahdanau or conditional",
        )
    if model.encoder == "pyramid":
        yield ConfigError(
            "a state of a pyramid encoder spans several pieces: links of words do not say which "
            "one to attend to",
            hint="use another encoder, or training.guided_alignment=0",
        )
    head = training.guided_alignment_head
    if head is not None and head > model.heads:
        yield ConfigError(
            f"training.guided_alignment_head is {head}, but model.heads is {model.heads}",
            hint="leave it out to guide the mean of all heads",
        )
    if training.guided_alignment_loss == "cross_entropy" and model.normalizer != "softmax":
        yield ConfigError(
            f"normalizer {model.normalizer} gives weights of exactly 0, from which cross-entropy "
            "cannot learn",
            hint="use training.guided_alignment_loss=mse",
        )
    sees_eos = model.attend_eos and model.encode_eos
    if training.guided_alignment_unlinked == "eos" and not sees_eos:
        yield ConfigError(
            "training.guided_alignment_unlinked is eos, but attention does not see the end of the "
            "source",
            hint="use model.attend_eos=true and model.encode_eos=true, or ignore",
        )


class SearchConfig(Section):
    """Section `search`: how translations are searched; set at any command that translates."""

    beam: int = Field(default=5, ge=1, le=1000)
    """Hypotheses kept at every step, at most 1000; 1 is greedy search."""
    length_penalty: float = Field(default=1.0, ge=0, le=10)
    """alpha of Wu et al. (2016), equation 14; 0 turns it off."""
    length_normalization: Literal["wu", "average", "none"] = "wu"
    """What the log-probability of a translation of n pieces is divided by to rank it: wu,
    ((5 + n) / 6) to the power of length_penalty; average, n to the power of length_penalty, which
    with 1 is the mean of its pieces; none, nothing."""
    coverage_penalty: float = Field(default=0.0, ge=0)
    """beta of Wu et al. (2016), equation 14: a translation is ranked lower by this times the
    logarithms of the attention that each source piece has had, where that is under 1. Needs
    attention; 0 turns it off."""
    stop_after: int = Field(default=0, ge=0, le=1000)
    """A sentence's search ends when so many of its translations are finished, such as the width of
    the beam (Kasai et al., 2022), which takes less time and may miss a better one; 0: when no
    unfinished translation can become better."""
    max_length_factor: float = Field(default=2.0, gt=0, le=1000)
    """Maximum length of a translation: this times the number of source pieces, plus 20 pieces. A
    tag is none of them."""
    max_length: int | None = Field(default=None, ge=1)
    """Maximum number of pieces of a translation, whatever its source; not set: none."""
    min_length: int = Field(default=0, ge=0, le=1_000_000)
    """Minimum number of pieces of a translation."""
    min_length_factor: float = Field(default=0.0, ge=0, le=1000)
    """Minimum length of a translation: this times the number of source pieces. A tag is none of
    them."""
    no_repeat_ngram: int = Field(default=0, ge=0)
    """No translation has so many pieces in a row twice (Paulus et al., 2018); 0: they may."""
    diverse_groups: int = Field(default=1, ge=1)
    """Groups of a diverse beam search, each with an equal part of the beam (Vijayakumar et al.,
    2018); 1: an ordinary beam."""
    diversity: float = Field(default=0.5, ge=0)
    """With several groups: how much lower a piece is ranked for each time that an earlier group of
    the sentence wrote it at the same step."""
    banned_words: tuple[str, ...] = ()
    """Words that no translation contains, as in ["Hund", "Katze"]. A word is a run of letters and
    digits; case counts. A longer word that begins with one is written only in pieces none of which
    ends with the banned word."""
    required_words: tuple[str, ...] = ()
    """Words or texts of several words that every translation contains, as in ["New York"]; the beam
    is shared by hypotheses with different parts of them (Post & Vilar, 2018)."""
    vocabulary: str | None = None
    """A text file: no translation has a word that is not in it. Anything but letters and digits is
    free; case counts."""
    sample: bool = False
    """Draw translations from the model's distribution in place of searching for the likeliest."""
    temperature: float = Field(default=1.0, gt=0)
    """With sample: what logits are divided by; below 1 likely pieces become likelier."""
    top_k: int = Field(default=0, ge=0)
    """With sample: draw from this many likeliest pieces alone; 0: from all."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """With sample: draw from the likeliest pieces that together have this probability alone
    (Holtzman et al., 2020, section 3.1); 1: from all."""
    seed: int = Field(default=1, ge=0, lt=2**63)
    """With sample: a sentence has the same samples for the same seed, wherever it stands."""
    max_source_pieces: int = Field(default=500, ge=1)
    """Longer sources are cut to this many pieces, with a warning and `"truncated": true`."""
    batch_sentences: int = Field(default=128, ge=1)
    """Sentences searched at once; it affects the speed alone."""
    batch_tokens: int = Field(default=4096, ge=1)
    """Source pieces searched at once, with padding: fewer long sentences than short ones are
    searched together, which takes less memory and time. A longer source is searched alone."""
    mbr: int = Field(default=0, ge=0, le=1000)
    """Candidates, of a beam at least as wide or with sample drawn, of which the one with the
    highest expected utility is the translation: minimum Bayes risk (Kumar & Byrne, 2004); 0:
    off."""
    utility: Literal["chrf", "bleu"] = "chrf"
    """With mbr: how alike two translations are, by chrF or by BLEU of a sentence."""
    reverse_weight: float = Field(default=0.5, ge=0)
    """With `--rescore-with`: the candidates y of a beam are ranked by log P(y|x) + this times
    log P(x|y) + length_reward times the number of pieces of y. `tune-rescoring` finds both."""
    length_reward: float = 0.5
    """With `--rescore-with`: what each piece of a candidate adds to its score."""
    ensemble: Literal["linear", "log_linear"] = "linear"
    """How the probabilities of several runs (`--with`) are combined: linear, their weighted mean;
    or log_linear, their weighted geometric mean, normalised again."""
    ensemble_weights: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """Weight of each run of an ensemble, in the order in which they are named, as in [2, 1, 1];
    []: all equal. Only their proportions matter."""
    shortlist: int = Field(default=0, ge=0, le=100)
    """Write only likely translations: this many of each source piece, learnt from the training
    pairs, besides the 200 most frequent target pieces; 0: all pieces may be written. It is faster,
    and probabilities are shared by those pieces alone. Without effect where a prefix,
    required words or a vocabulary is set."""
    precision: Literal["float32", "bfloat16", "int8", "auto"] = "float32"
    """Precision of the weights and inputs in the large matrix products of search: recurrent cells,
    readout and output layer; all else is float32. auto is the fastest: on a CPU int8, if torch has
    such products for it, or else bfloat16 if it computes with that; on a GPU bfloat16."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for problem in search_problems(self):
            raise problem
        return self


def search_problems(config: SearchConfig) -> Iterator[ConfigError]:
    """A refusal of each pair of search settings that contradict each other."""
    if config.max_length is not None and config.max_length < config.min_length:
        yield ConfigError(
            f"search.max_length is {config.max_length}, but search.min_length {config.min_length}",
            hint="make the maximum at least as long",
        )
    if config.beam % config.diverse_groups:
        yield ConfigError(
            f"search.diverse_groups is {config.diverse_groups}, which does not divide a beam of "
            f"{config.beam}",
            hint=f"use --beam {config.diverse_groups} or a multiple of it",
        )
    if config.required_words and config.diverse_groups > 1:
        yield ConfigError(
            "search.required_words and search.diverse_groups both divide the beam",
            hint="leave one of them out",
        )
    for name in ("diverse_groups", "coverage_penalty", "required_words"):
        if config.sample and getattr(config, name) != SearchConfig.model_fields[name].default:
            yield ConfigError(
                f"search.{name} is set, but samples are drawn, not searched",
                hint=f"leave out --sample or search.{name}",
            )
