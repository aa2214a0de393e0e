"""What search knows of a model: sources become a state, and previous ids become logits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from seq2seq.batch import pad_sources
from seq2seq.decoders.contract import DecoderState, Memory, StepFunctions
from seq2seq.model import BoundOutputLayer, EncoderDecoder
from seq2seq.search.hypothesis import SearchStep, StateT


class Inference(Protocol[StateT]):
    """A trained model as search sees it. Sources are ids without EOS, none of them empty."""

    @property
    def device(self) -> str: ...

    def start(self, sources: Sequence[Sequence[int]]) -> StateT:
        """Encode B sources: the state of B hypotheses without ids."""
        ...

    def step(self, previous_ids: Tensor, state: StateT) -> SearchStep[StateT]:
        """previous_ids [R] -> logits [R, V'] and weights [R, S'] over what the encoder returns."""
        ...

    def spread_weights(self, weights: Tensor, source: Sequence[int]) -> Tensor:
        """weights [T, S'] -> [T, S] over the source's words, as pieces, and EOS."""
        ...


@dataclass(frozen=True, slots=True)
class ModelState:
    """The state of one model's hypotheses: the decoder's, of R rows, the decoder bound to its B
    sources, and the output layer bound to its weights."""

    decoder: DecoderState
    bound: StepFunctions
    output: BoundOutputLayer

    def select(self, rows: Tensor, sentences: Tensor | None) -> "ModelState":
        bound = self.bound if sentences is None else self.bound.select(sentences)
        return ModelState(self.decoder.select(rows), bound, self.output)


@dataclass(frozen=True)
class SingleModel:
    """One model; its weights are the mean of all attention heads, or those of one `head`."""

    model: EncoderDecoder
    head: int | None = None  # from 0
    tags: int = 0  # ids at the start of every source that are tags, not words
    device: str = "cpu"

    def encode(self, sources: Sequence[Sequence[int]]) -> Memory:
        """Dropout is off from then on."""
        self.model.eval()
        return self.model.encode(pad_sources(sources).to(self.device))

    def start(self, sources: Sequence[Sequence[int]]) -> ModelState:
        bound = self.model.decoder.bind(self.encode(sources))
        return ModelState(bound.start(), bound, self.model.output.bind())

    def step(self, previous_ids: Tensor, state: ModelState) -> SearchStep[ModelState]:
        readout, weights, decoder = state.bound.step(previous_ids, state.decoder)
        return SearchStep(
            state.output.logits(readout),
            self.head_weights(weights),
            replace(state, decoder=decoder),
            state.output.ids,
        )

    def head_weights(self, weights: Tensor | None) -> Tensor | None:
        """[R, N, ..., S'] -> [R, ..., S'] of the head, or the mean of all."""
        if weights is None:
            return None
        return weights.mean(1) if self.head is None else weights[:, self.head]

    def spread_weights(self, weights: Tensor, source: Sequence[int]) -> Tensor:
        """weights [T, S'] -> [T, S] over the source's words, as pieces, and EOS.

        The weight of a pyramid's state is divided evenly among the pieces that it was encoded
        from. Tags are no words: their weight is added to that of EOS.
        """
        length, stride = len(source) + 1, self.model.encoder.stride
        if stride == 1:
            weights = weights[:, :length]
        else:
            encoded = length if self.model.encoder.encode_eos else length - 1
            states = torch.arange(encoded) // stride  # [encoded] the state of each piece
            pieces = states.bincount()[states]  # [encoded] how many pieces share that state
            weights = F.pad(weights[:, states] / pieces, (0, length - encoded))
        if not self.tags:
            return weights
        tags, words = weights[:, : self.tags], weights[:, self.tags :].clone()
        words[:, -1] += tags.sum(dim=1)
        return words
