"""What a batch adds to the gradient: kernel by kernel, or on a GPU from a recording.

An update of a small model is a thousand kernels, each of which takes a GPU 3 microseconds and
Python 25 to hand over. A recording (a CUDA graph) hands them over all at once. It is of one shape,
so batches are filled up to a few shapes with padding that counts for nothing.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.batch import Batch
from seq2seq.config import TrainingConfig
from seq2seq.kernels.linear_cross_entropy import CrossEntropy
from seq2seq.kernels.precision import autocast_to
from seq2seq.model import EncoderDecoder
from seq2seq.training.losses import Terms, TokenLoss, batch_loss, padded_loss
from seq2seq.training.stopwatch import Part, untimed

MULTIPLES = (8, 2, 2)  # of sentences, source and target places; 3 % more padding on Multi30k
MOST = 256  # shapes that are recorded: each a list of a thousand kernels


class Gradients:
    """Adds to the gradients of a model's parameters, kernel by kernel."""

    def __init__(
        self,
        model: EncoderDecoder,
        config: TrainingConfig,
        *,
        device: str = "cpu",
        kind: torch.dtype = torch.float32,
        part: Part = untimed,
    ) -> None:
        """kind: of matrix products; part: may time what is done"""
        self.model = model
        self.device = device
        self.kind = kind
        self.part = part
        self.terms: Terms = {
            "smoothing": config.label_smoothing,
            "coverage": config.coverage_loss,
            "r_drop": config.r_drop,
        }

    def clear(self) -> None:
        """Nothing has been added yet."""
        self.model.zero_grad()

    def add(self, batch: Batch, tokens: int) -> Tensor:
        """The gradient of a batch's loss, divided by a number of tokens.

        Returns its nats, as they are and smoothed: [2], on the device.
        """
        with self.part("loss"), autocast_to(self.kind, self.device):
            loss = batch_loss(self.model, batch.to(self.device), **self.terms)
        return self._backward(loss, tokens)

    def _backward(self, loss: TokenLoss | CrossEntropy, tokens: int | Tensor) -> Tensor:
        with self.part("backward"):
            (loss.smoothed_nats / tokens).backward()  # type: ignore[no-untyped-call]
        return torch.stack([loss.nats, loss.smoothed_nats]).detach()


class RecordedGradients(Gradients):
    """The same on a GPU, recorded when a shape comes for the second time and then replayed.

    A recording changes no bit: the first batch of a shape is filled up like all others.
    """

    def __init__(
        self,
        model: EncoderDecoder,
        config: TrainingConfig,
        *,
        device: str,
        kind: torch.dtype,
        part: Part = untimed,
    ) -> None:
        super().__init__(model, config, device=device, kind=kind, part=part)
        self._pool = torch.cuda.graph_pool_handle()  # recordings are replayed one after the other
        self._graphs: dict[Shape, _Graph] = {}

    def clear(self) -> None:
        """To zeros in the same place: recordings know where that is."""
        for parameter in self.model.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.model.zero_grad(set_to_none=False)

    def add(self, batch: Batch, tokens: int) -> Tensor:
        shape = Shape.holding(batch)
        graph = self._graphs.get(shape)
        if graph is not None:
            graph.fill(batch, tokens)
            if graph.recorded is None:
                self._record(graph)
            return graph.replay()
        graph = _Graph(shape, batch, self.device)
        graph.fill(batch, tokens)
        if len(self._graphs) < MOST:
            self._graphs[shape] = graph
        return self._add_filled(graph)

    def _record(self, graph: "_Graph") -> None:
        recorded = torch.cuda.CUDAGraph()
        with torch.cuda.graph(recorded, pool=self._pool):
            graph.losses = self._add_filled(graph)
        graph.recorded = recorded

    def _add_filled(self, graph: "_Graph") -> Tensor:
        with self.part("loss"), autocast_to(self.kind, self.device):
            loss = padded_loss(self.model, graph.batch, **self.terms)
        return self._backward(loss, graph.tokens)


def gradients_for(
    model: EncoderDecoder, config: TrainingConfig, *, device: str, kind: torch.dtype, part: Part
) -> Gradients:
    """Recorded on a GPU, unless the decoder reads its own words, which differ every time."""
    recorded = device != "cpu" and config.cuda_graphs and not config.scheduled_sampling
    chosen = RecordedGradients if recorded else Gradients
    return chosen(model, config, device=device, kind=kind, part=part)


class Shape(NamedTuple):
    """What is recorded once: B sentences of S source and T target places."""

    sentences: int
    source: int
    target: int

    @classmethod
    def holding(cls, batch: Batch) -> "Shape":
        """The least of the shapes that a batch fits into."""
        sizes = (*batch.source.ids.shape, batch.labels.shape[1])
        return cls(*(-(-size // each) * each for size, each in zip(sizes, MULTIPLES, strict=True)))


class _Graph:
    """One shape on a GPU: what is read, what was recorded, what that leaves behind."""

    def __init__(self, shape: Shape, batch: Batch, device: str) -> None:
        self._shape = shape
        self.batch = batch.padded_to(*shape).map(lambda tensor: tensor.to(device))
        self.tokens = torch.ones((), device=device)
        self.recorded: torch.cuda.CUDAGraph | None = None
        self.losses: Tensor | None = None

    def fill(self, batch: Batch, tokens: int) -> None:
        """Have this batch read, in the place of the last one, and its loss divided by `tokens`."""
        self.batch.copy_from(batch.padded_to(*self._shape))
        self.tokens.fill_(tokens)

    def replay(self) -> Tensor:
        assert self.recorded is not None and self.losses is not None
        self.recorded.replay()
        return self.losses.clone()
