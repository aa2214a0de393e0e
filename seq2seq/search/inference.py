"""The interface of a model for search: sources become a state, and previous ids become logits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from seq2seq.batch import BOS, pad_sources
from seq2seq.decoders.contract import DecoderState, Memory, StepFunctions
from seq2seq.model import BoundOutputLayer, EncoderDecoder
from seq2seq.search.hypothesis import SearchStep, StateT
from seq2seq.search.shortlist import Shortlist


class Inference(Protocol[StateT]):
    """A trained model as search sees it. Sources are ids without EOS, none of them empty."""

    @property
    def device(self) -> str: ...

    @property
    def tags(self) -> int:
        """How many ids at the start of every source are tags, not words."""
        ...

    def start(self, sources: Sequence[Sequence[int]]) -> StateT:
        """Encode B sources: the state of B hypotheses without ids."""
        ...

    def step(self, previous_ids: Tensor, state: StateT) -> SearchStep[StateT]:
        """previous_ids [R] -> logits [R, V'] and weights [R, S'] over what the encoder returns."""
        ...

    def positions(self, state: StateT) -> Tensor | None:
        """1 for a column of the weights that may have any, else 0: [B, S']; None without attention.

        An ensemble has columns for each model that attends, and there the share of one in place of
        1, so that a sum over all columns is a mean over models.
        """
        ...

    def unroll(self, source: Sequence[int], target: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """Logits and weights of all steps, with the ids of a target as the previous ids.

        target [T - 1], without BOS and EOS -> logits [T, V'] and weights [T, S']
        """
        ...

    @property
    def columns(self) -> Tensor:
        """The column in the logits of each id that has one. [V]"""
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
        if sentences is None:
            return replace(self, decoder=self.decoder.select(rows))
        return ModelState(
            self.decoder.select(rows), self.bound.select(sentences), self.output.select(sentences)
        )


@dataclass(frozen=True)
class SingleModel:
    """One model; its weights are the mean of all attention heads, or those of one `head`.

    With a `shortlist` the probabilities are shared by the ids that a source may be translated into.
    """

    model: EncoderDecoder
    head: int | None = None  # from 0
    tags: int = 0  # ids at the start of every source that are tags, not words
    device: str = "cpu"
    shortlist: Shortlist | None = None

    def encode(self, sources: Sequence[Sequence[int]]) -> Memory:
        """The memory of sources; the model is in evaluation mode from then on, without dropout."""
        self.model.eval()
        return self.model.encode(pad_sources(sources).to(self.device))

    def start(self, sources: Sequence[Sequence[int]]) -> ModelState:
        bound = self.model.decoder.bind(self.encode(sources))
        output, allowed = self.model.output, None
        if self.shortlist is not None:
            allowed = self.shortlist.allowed(sources, output.columns, logits=len(output.ids))
        return ModelState(bound.start(), bound, output.bind(allowed))

    def step(self, previous_ids: Tensor, state: ModelState) -> SearchStep[ModelState]:
        readout, weights, decoder = state.bound.step(previous_ids, state.decoder)
        translations, bias = state.bound.memory.translations, None
        if translations is not None and weights is not None:
            bias = translations.step_bias(weights)
        return SearchStep(
            state.output.logits(readout, bias),
            self.head_weights(weights),
            replace(state, decoder=decoder),
            state.output.ids,
        )

    def positions(self, state: ModelState) -> Tensor | None:
        return state.bound.memory.mask.double() if self.model.decoder.heads else None

    def unroll(self, source: Sequence[int], target: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        memory = self.encode([source])
        decoder_input = torch.tensor([[BOS, *target]], device=self.device)
        readouts, weights, bias = self.model.unroll_from(memory, decoder_input)
        weights = self.head_weights(weights)
        return self.model.logits(readouts, bias)[0], None if weights is None else weights[0]

    @property
    def columns(self) -> Tensor:
        return self.model.output.columns

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


Combination = Literal["linear", "log_linear"]


@dataclass(frozen=True, slots=True)
class EnsembleState:
    """The states of all members, with the same rows."""

    members: tuple[ModelState, ...]

    def select(self, rows: Tensor, sentences: Tensor | None) -> "EnsembleState":
        return EnsembleState(tuple(each.select(rows, sentences) for each in self.members))


@dataclass(frozen=True)
class Ensemble:
    """Models that search as one, with probabilities p_m and weights w_m that sum to 1.

    linear: p(y) = sum_m w_m p_m(y). log_linear: p(y) is proportional to prod_m p_m(y) ** w_m. The
    attention is the mean of that of the members that have any, over the source's pieces. Raises
    ValueError unless all have the same output ids, on one device.
    """

    members: tuple[SingleModel, ...]
    weights: tuple[float, ...] = ()  # any positive numbers, one for each member; (): equal ones
    combination: Combination = "linear"

    def __post_init__(self) -> None:
        first, *others = self.members
        if not all(torch.equal(each.model.output.ids, first.model.output.ids) for each in others):
            raise ValueError("the models of an ensemble have other output ids")
        if self.weights and (len(self.weights) != len(self.members) or min(self.weights) <= 0):
            raise ValueError(f"weights {self.weights} for {len(self.members)} models")

    @property
    def device(self) -> str:
        return self.members[0].device

    @property
    def tags(self) -> int:
        return self.members[0].tags

    def start(self, sources: Sequence[Sequence[int]]) -> EnsembleState:
        return EnsembleState(tuple(each.start(sources) for each in self.members))

    def step(self, previous_ids: Tensor, state: EnsembleState) -> SearchStep[EnsembleState]:
        """The weights [R, M S'] of the M members that attend stand beside each other, all as wide
        as the widest."""
        steps = [
            member.step(previous_ids, own)
            for member, own in zip(self.members, state.members, strict=True)
        ]
        members = EnsembleState(tuple(step.state for step in steps))
        logits = self._combined([step.logits for step in steps])
        return SearchStep(logits, _beside([step.weights for step in steps]), members, steps[0].ids)

    def positions(self, state: EnsembleState) -> Tensor | None:
        each = [
            member.positions(own) for member, own in zip(self.members, state.members, strict=True)
        ]
        joined = _beside(each)
        return None if joined is None else joined / sum(one is not None for one in each)

    def unroll(self, source: Sequence[int], target: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        logits, weights = zip(*(each.unroll(source, target) for each in self.members), strict=True)
        return self._combined(list(logits)), _beside(list(weights))

    @property
    def columns(self) -> Tensor:
        return self.members[0].columns

    def spread_weights(self, weights: Tensor, source: Sequence[int]) -> Tensor:
        attending = [each for each in self.members if each.model.decoder.heads]
        spread = [
            member.spread_weights(own, source)
            for member, own in zip(attending, weights.chunk(len(attending), dim=1), strict=True)
        ]
        return torch.stack(spread).mean(0)

    def _combined(self, logits: list[Tensor]) -> Tensor:
        """Logits [R, V'] of each member -> log-probabilities [R, V'], in float32 at least"""
        dtype = torch.promote_types(logits[0].dtype, torch.float32)
        each = torch.stack([one.to(dtype).log_softmax(-1) for one in logits])  # [M, R, V']
        weights = each.new_tensor(self.weights or [1.0] * len(logits)).reshape(-1, 1, 1)
        weights = weights / weights.sum()
        if self.combination == "log_linear":
            return (weights * each).sum(0)  # log-probabilities but for a constant in each row
        return (weights.log() + each).logsumexp(0)


def _beside(weights: list[Tensor | None]) -> Tensor | None:
    """[R, S'_m] of each member that attends -> [R, M S'], padded with 0"""
    attending = [each for each in weights if each is not None]
    if not attending:
        return None
    width = max(each.shape[1] for each in attending)
    return torch.cat([F.pad(each, (0, width - each.shape[1])) for each in attending], dim=1)
