"""Models, batches and corpora small enough to build by the hundred."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from data.preparation import pipeline
from data.preparation.pipeline import PreparationResult
from data.preparation.request import PreparationRequest
from seq2seq.batch import BOS, EOS, FIRST_BATCH, PAD, Batch, Source
from seq2seq.building import build_model
from seq2seq.config import ModelConfig, ScoreName
from seq2seq.decoders.lexicon import Entries
from seq2seq.model import EncoderDecoder
from seq2seq.recurrent.cells import EqualRows
from seq2seq.recurrent.layers import LAYERS

SCORES = get_args(ScoreName)
CELLS = tuple(LAYERS)
VOCABULARY = 11
REAL_IDS = range(4, VOCABULARY)

Ids = Sequence[int]


@dataclass(frozen=True)
class Kind:
    """A kind of decoder: the settings of `model` that choose it."""

    attention: str
    score: str = "general"
    input_feeding: bool | None = None
    context: str = "state"

    def __str__(self) -> str:
        if self.attention == "none":
            return f"plain-{self.context}"
        feeding = "" if self.input_feeding is None else f"-fed_{self.input_feeding}"
        return f"{self.attention}_attention-{self.score}{feeding}"


PLAIN = [Kind("none", context=context) for context in ("state", "input")]
LUONG = [Kind("luong", score, feeding) for score in SCORES for feeding in (True, False)]
BAHDANAU = [Kind("bahdanau", score) for score in SCORES]
CONDITIONAL = [Kind("conditional", score) for score in SCORES]
ATTENTIVE = LUONG + BAHDANAU + CONDITIONAL
EVERY_KIND = PLAIN + ATTENTIVE
ORDER_AND_SCORE = [
    Kind(order, score) for order in ("luong", "bahdanau", "conditional") for score in SCORES
]


def tiny_config(kind: Kind, *, cell: str = "lstm", layers: int = 1, **changes: Any) -> ModelConfig:
    values: dict[str, Any] = {
        "attention": kind.attention,
        "score": kind.score,
        "input_feeding": kind.input_feeding,
        "context": kind.context,
        "cell": cell,
        "encoder_layers": layers,
        "decoder_layers": layers,
        "embedding_size": 5,
        "encoder_size": 3,
        "decoder_size": 6,
        "attention_size": 4,
        "location_positions": 5,
        "readout_size": 7,
        "tie_embeddings": "none",
        "embedding_dropout": 0.0,
        "dropout": 0.0,
    }
    if kind.attention == "conditional" and layers > 1:
        values["query_layer"] = "bottom"
    return ModelConfig(**values | changes)


def tiny_model(
    kind: Kind,
    *,
    cell: str = "lstm",
    layers: int = 1,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    vocabulary: int = VOCABULARY,
    output_ids: Ids | None = None,
    **changes: Any,
) -> EncoderDecoder:
    """A model drawn by `model_of`; every other seed has residual layers, from the second on."""
    changes = {"residual_from": 2 if seed % 2 == 1 else None} | changes
    config = tiny_config(kind, cell=cell, layers=layers, **changes)
    return model_of(config, seed=seed, dtype=dtype, vocabulary=vocabulary, output_ids=output_ids)


def model_of(
    config: ModelConfig,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    vocabulary: int = VOCABULARY,
    output_ids: Ids | None = None,
) -> EncoderDecoder:
    """In evaluation mode, with every weight and bias drawn, so that none can hide by being 0."""
    model = build_model(
        config,
        source_vocabulary=vocabulary,
        target_vocabulary=vocabulary,
        joint=True,
        output_ids=output_ids,
        entries=drawn_entries(vocabulary, config.lexicon),
    )
    redraw(model, seed=seed)
    return model.to(dtype).eval()


def drawn_entries(vocabulary: int, size: int) -> Entries:
    """`size` translations of each source id but PAD, some of them missing; always the same ones."""
    generator = torch.Generator().manual_seed(size)
    uniform = torch.rand(vocabulary, vocabulary, generator=generator)
    ids = uniform.argsort(1)[:, :size]
    probabilities = torch.rand(ids.shape, generator=generator) / max(1, size)
    is_missing = torch.rand(ids.shape, generator=generator) < 0.2
    is_missing[PAD] = True
    return Entries(ids.masked_fill(is_missing, -1), probabilities.masked_fill(is_missing, 0.0))


def redraw(module: nn.Module, *, seed: int, spread: float = 0.5) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(spread * torch.randn(parameter.shape, generator=generator))


def tensors_of(value: object) -> list[Tensor]:
    """Every tensor inside, however deep, in the order of the fields; not which rows are equal."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, EqualRows):
        return []
    if is_dataclass(value):
        value = [getattr(value, field.name) for field in fields(value)]
    if isinstance(value, list | tuple):
        return [tensor for each in value for tensor in tensors_of(each)]
    assert value is None, value
    return []


def padded(pairs: Sequence[tuple[Ids, Ids]], *, wider: int = 0, longer: int = 0) -> Batch:
    """A batch of these pairs, with `wider` more padding in the sources, `longer` in the targets."""
    sources = [[*source, EOS] for source, _ in pairs]
    targets = [[BOS, *target, EOS] for _, target in pairs]
    return Batch(
        Source(rectangle(sources, extra=wider), torch.tensor(list(map(len, sources)))),
        rectangle(targets, extra=longer),
        tuple(range(1, len(pairs) + 1)),
        FIRST_BATCH,
    )


def rectangle(rows: Sequence[Ids], *, extra: int = 0) -> Tensor:
    width = max(map(len, rows)) + extra
    return torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows])


def stepped(model: EncoderDecoder, batch: Batch) -> tuple[Tensor, Tensor | None]:
    """Readouts [B, T, O] and weights [B, N, T, S] by `bind`, `start` and repeated `step`."""
    bound = model.decoder.bind(model.encode(batch.source))
    state = bound.start()
    readouts, weights = [], []
    for previous in batch.decoder_input.unbind(1):
        step = bound.step(previous, state)
        state = step.state
        readouts.append(step.readout)
        weights.append(step.weights)
    found = [each for each in weights if each is not None]
    return torch.stack(readouts, dim=1), torch.stack(found, dim=2) if found else None


def corpus_lines(pairs: int, *, seed: int = 0) -> Iterator[tuple[str, str]]:
    """A language and its mirror image: words of few letters, and the same words backwards."""
    generator = torch.Generator().manual_seed(seed)
    words = ["ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "ne", "pi"]
    for _ in range(pairs):
        count = int(torch.randint(2, 7, (), generator=generator))
        drawn = torch.randint(len(words), (count,), generator=generator).tolist()
        chosen = [words[i] for i in drawn]
        yield " ".join(chosen), " ".join(reversed(chosen))


def write_corpus(folder: Path, name: str, pairs: Sequence[tuple[str, str]]) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"{name}.src", folder / f"{name}.tgt"
    for side, path in enumerate(paths):
        path.write_bytes("".join(pair[side] + "\n" for pair in pairs).encode())
    return paths


def prepare(*arguments: Any, **options: Any) -> PreparationResult:
    """A token store, prepared by the fields of a `PreparationRequest`."""
    return pipeline.prepare(PreparationRequest(*arguments, **options))
