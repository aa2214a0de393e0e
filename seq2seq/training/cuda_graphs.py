"""Forward and backward pass on a GPU, recorded once per batch shape and replayed.

An update of a small model is a thousand kernels, each of which takes a GPU 3 microseconds and
Python 25 to launch. A CUDA graph launches them all at once. It has one shape, so batches are padded
to a few shapes, and the padding is masked out of the loss.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.batch import Batch
from seq2seq.config import TrainingConfig
from seq2seq.kernels.precision import autocast_to
from seq2seq.model import EncoderDecoder
from seq2seq.training.accumulation import backward, objective_terms
from seq2seq.training.losses import padded_loss
from seq2seq.training.stopwatch import Part, untimed

BUCKET_SIZES = (8, 2, 2)  # multiples of sentences, S and T; 3 % more padding on Multi30k
MAX_GRAPHS = 256  # each is a list of a thousand kernels


class CudaGraphs:
    """A `ForwardBackward` that records a shape when it comes for the second time, then replays it.

    Recording changes no bit of the result: the first batch of a shape is padded like all others.
    """

    def __init__(
        self,
        model: EncoderDecoder,
        config: TrainingConfig,
        *,
        device: str,
        dtype: torch.dtype,
        part: Part = untimed,
    ) -> None:
        """dtype: of matrix products; part: times what is done"""
        self._model = model
        self._device = device
        self._dtype = dtype
        self._part = part
        self._terms = objective_terms(config)
        self._pool = torch.cuda.graph_pool_handle()  # graphs are replayed one after the other
        self._graphs: dict[BatchBucket, _Graph] = {}
        for parameter in model.parameters():  # graphs add to gradients at fixed addresses
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)

    def __call__(self, batch: Batch, tokens: int) -> Tensor:
        bucket = BatchBucket.for_batch(batch)
        graph = self._graphs.get(bucket)
        if graph is not None:
            graph.fill(batch, tokens)
            if graph.recorded is None:
                self._record(graph)
            return graph.replay()
        graph = _Graph(bucket, batch, self._device)
        graph.fill(batch, tokens)
        if len(self._graphs) < MAX_GRAPHS:
            self._graphs[bucket] = graph
        return self._forward_backward(graph)

    def _record(self, graph: "_Graph") -> None:
        recorded = torch.cuda.CUDAGraph()
        with torch.cuda.graph(recorded, pool=self._pool):
            graph.losses = self._forward_backward(graph)
        graph.recorded = recorded

    def _forward_backward(self, graph: "_Graph") -> Tensor:
        with self._part("loss"), autocast_to(self._dtype, self._device):
            loss = padded_loss(self._model, graph.batch, **self._terms)
        return backward(loss, graph.tokens, self._part)


class BatchBucket(NamedTuple):
    """A shape that batches are padded to: B sentences of S source and T target positions."""

    sentences: int
    source: int
    target: int

    @classmethod
    def for_batch(cls, batch: Batch) -> "BatchBucket":
        """The smallest bucket that a batch fits into."""
        sizes = (*batch.source.ids.shape, batch.labels.shape[1])
        return cls(
            *(-(-size // each) * each for size, each in zip(sizes, BUCKET_SIZES, strict=True))
        )


class _Graph:
    """One bucket on a GPU: the graph, the tensors that it reads, and the losses that it leaves."""

    def __init__(self, bucket: BatchBucket, batch: Batch, device: str) -> None:
        self._bucket = bucket
        self.batch = batch.padded_to(*bucket).map(lambda tensor: tensor.to(device))
        self.tokens = torch.ones((), device=device)
        self.recorded: torch.cuda.CUDAGraph | None = None
        self.losses: Tensor | None = None

    def fill(self, batch: Batch, tokens: int) -> None:
        """Copy a batch to where the graph reads it, and the number its loss is divided by."""
        self.batch.copy_from(batch.padded_to(*self._bucket))
        self.tokens.fill_(tokens)

    def replay(self) -> Tensor:
        assert self.recorded is not None and self.losses is not None
        self.recorded.replay()
        return self.losses.clone()
