"""Tables of weights of a translation: attention of all heads or one, self-attention, saliency."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, cast, get_args

from cli.runs.config import RunConfig
from cli.runs.translation import Candidate, Translation
from cli.runs.translator import Translator
from cli.runs.word_links import guided_head, guided_shift
from seq2seq.batch import EOS
from seq2seq.errors import ConfigError
from seq2seq.evaluation.alignment import Alignment, merge_pieces
from seq2seq.search.inspection import decoder_self_attention, encoder_self_attention, saliency
from seq2seq.system.figures import counted

NamedHead: TypeAlias = Literal["guided", "mean", "all"]
Head: TypeAlias = int | NamedHead
"""A head, from 1; the one that guided alignment taught, or else the mean; the mean of all, as one
table; or all of them, a table each."""
Weights: TypeAlias = Literal["auto", "attention", "posterior"]
"""Attention, or what `Translator.posterior` makes of it; auto: that for links of words where there
is a lexicon, else attention."""
Measure: TypeAlias = Literal["attention", "posterior", "self-attention", "saliency"]
"""The kinds of weights in a table."""


@dataclass(frozen=True)
class View:
    """One table of weights of a sentence."""

    title: str  # which of several it is; "" for a single one
    alignment: Alignment
    text: str  # of the translation
    probability: float  # of a target piece, the geometric mean
    measure: Measure = "attention"


@dataclass(frozen=True)
class Selection:
    """Which tables are shown of each translation."""

    head: Head = "mean"
    layer: str | None = None  # of self-attention: "decoder", "encoder-1", ...; None: attention
    pieces: bool = False  # of subword pieces, not of words
    shift: int = 0  # of attention, see `shift_rows`
    weights: Weights = "auto"  # between source and target

    def for_run(self, config: RunConfig) -> "Selection":
        """The selection with the head that guided alignment taught in a run, if it is asked for."""
        if self.head != "guided":
            return self
        taught = guided_head(config)
        return replace(self, head="mean" if taught is None or self.layer else taught)

    @property
    def search_head(self) -> int | None:
        """The head whose attention a search keeps, from 1; None for the mean of all."""
        return self.head if isinstance(self.head, int) and self.layer is None else None

    def by_posterior(self, translator: Translator, *, links: bool = False) -> bool:
        """Whether the posterior takes the place of a model's attention.

        links: whether links of words are made. Raises ConfigError where a model has no lexicon.
        """
        if self.weights == "posterior":
            translator.require_lexicon()
            return True
        return self.weights == "auto" and links and translator.has_lexicon

    def check(self, translator: Translator) -> None:
        """Raises ConfigError for a head or layer that the model does not have."""
        if self.layer is None:
            if translator.has_attention:
                translator.require_attention(self.search_head)
            self.by_posterior(translator)  # raises ConfigError without a lexicon
            return
        layers = self_attention_layers(translator)
        if self.layer not in layers:
            raise ConfigError(
                f"this model has no self-attention {self.layer!r}",
                hint=f"use {' or '.join(layers)}"
                if layers
                else "train with --set model.encoder_self_attention=1, or decoder_self_attention",
            )
        heads = layers[self.layer].attention.heads
        if isinstance(self.head, int) and self.head > heads:
            raise ConfigError(
                f"there is no head {self.head}: {self.layer} has {counted(heads, 'head')}",
                hint=f"use 1 to {heads}, mean or all",
            )


def guided_selection(translator: Translator, selection: Selection) -> Selection:
    """The head, if that is asked for, and the shift that guided alignment taught a loaded model."""
    if translator.origin is None:
        return selection
    config = translator.run_config
    return replace(selection.for_run(config), shift=guided_shift(config).rows)


def parse_head(head: str) -> Head:
    """Raises ConfigError for what is neither a name nor a number from 1."""
    if head in get_args(NamedHead):
        return cast(NamedHead, head)
    if not re.fullmatch("[1-9][0-9]{0,5}", head):
        raise ConfigError(
            f"--head is {head!r}", hint="use guided, mean, all, or the number of a head, from 1"
        )
    return int(head)


def views(translator: Translator, translation: Translation, selection: Selection) -> list[View]:
    """The tables of the best candidate; none for a blank line.

    With a layer, those of its self-attention; else of attention, or of saliency where the model has
    none. The translation's own alignment is taken to be of the head that is selected.
    """
    if not translation.candidates:
        return []
    best, source = translation.candidates[0], translation.source
    if selection.layer is not None:
        found = _self_attention(translator, source, best, selection)
    elif best.alignment is None:
        alignment = _saliency(translator, source, best)
        found = [View("", alignment, best.text, best.piece_probability, "saliency")]
    else:
        found = [
            _attention_view(translator, source, best, title, alignment, selection)
            for title, alignment in _attention(translator, source, best, selection)
        ]
    if selection.pieces:
        return found
    return [replace(view, alignment=merge_pieces(view.alignment)) for view in found]


def self_attention_layers(translator: Translator) -> dict[str, Any]:
    """The layers of self-attention by name: encoder-1, encoder-2, ..., decoder."""
    layers: dict[str, Any] = {
        f"encoder-{number}": layer
        for number, layer in enumerate(translator.model.encoder.self_attention, start=1)
    }
    decoder: Any = translator.model.decoder
    if decoder.self_attention is not None:
        layers["decoder"] = decoder.self_attention
    return layers


def _attention(
    translator: Translator, source: str, candidate: Candidate, selection: Selection
) -> list[tuple[str, Alignment]]:
    """Titles and tables of attention to the source."""
    assert candidate.alignment is not None
    if selection.head != "all":
        return [("", candidate.alignment)]
    found = []
    for head in range(1, translator.heads + 1):
        forced = translator.force(source, candidate.ids, head=head).alignment
        assert forced is not None
        found.append((f"head {head} of {translator.heads}", _cut(forced, candidate)))
    return found


def _attention_view(
    translator: Translator,
    source: str,
    candidate: Candidate,
    title: str,
    alignment: Alignment,
    selection: Selection,
) -> View:
    """The table of a title and weights that `_attention` found."""
    posterior = selection.by_posterior(translator)
    weights = translator.weights(
        source, candidate, alignment, shift=selection.shift, posterior=posterior
    )
    measure: Measure = "posterior" if posterior else "attention"
    return View(title, weights, candidate.text, candidate.piece_probability, measure)


def _cut(alignment: Alignment, candidate: Candidate) -> Alignment:
    """Without the row of the end where the search was cut off before it."""
    rows = len(candidate.pieces)
    return Alignment(alignment.source, candidate.pieces, alignment.weights[:rows])


def _saliency(translator: Translator, source: str, candidate: Candidate) -> Alignment:
    weights = saliency(translator.single(), translator.source_ids(source), _words(candidate))
    labels = (*candidate.pieces, "")[: len(weights)]
    return _cut(Alignment(translator.source_labels(source), labels, weights.numpy()), candidate)


def _self_attention(
    translator: Translator, source: str, candidate: Candidate, selection: Selection
) -> list[View]:
    assert selection.layer is not None
    single, ids = translator.single(), translator.source_ids(source)
    side, _, number = selection.layer.partition("-")
    columns: Sequence[str]
    if side == "decoder":
        weights = decoder_self_attention(single, ids, _words(candidate))
        rows = columns = candidate.pieces
    else:
        weights = encoder_self_attention(single, ids, int(number) - 1)
        columns = translator.source_labels(source)
        rows = columns[: weights.shape[1]]  # no row of the end where it is not encoded
    heads = weights[:, : len(rows), : len(columns)].double().numpy()  # [N, R, S]
    if selection.head in ("mean", "guided"):
        heads, shown = heads.mean(0, keepdims=True), [f"self-attention {selection.layer}"]
    else:
        layer, count = selection.layer, len(heads)
        shown = [f"{layer}, head {head + 1} of {count}" for head in range(count)]
        if isinstance(selection.head, int):
            heads, shown = heads[selection.head - 1 :][:1], shown[selection.head - 1 :][:1]
    return [
        View(
            title,
            Alignment(tuple(columns), tuple(rows), head),
            candidate.text,
            candidate.piece_probability,
            "self-attention",
        )
        for title, head in zip(shown, heads, strict=True)
    ]


def _words(candidate: Candidate) -> list[int]:
    return [each for each in candidate.ids if each != EOS]
