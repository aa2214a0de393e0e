"""The translation model: an encoder, a decoder and an output layer."""

from torch import Tensor, nn

from seq2seq.batch import Batch, Source
from seq2seq.decoders.contract import Decoder, Memory, UnrollOutput
from seq2seq.encoder import Encoder
from seq2seq.kernels.linear_cross_entropy import CrossEntropy, linear_cross_entropy
from seq2seq.kernels.padding import length_mask


class ScaledEmbedding(nn.Embedding):
    """Embeddings times the square root of their width (Vaswani et al., 2017, section 3.4).

    One matrix, drawn from N(0, 1/E), is then of the right size for both its uses: entries of about
    1 into a recurrent layer, rows of about unit length in the softmax.
    """

    def forward(self, ids: Tensor) -> Tensor:
        """[...] -> [..., E]"""
        return super().forward(ids) * self.embedding_dim**0.5  # type: ignore[no-any-return]


class OutputLayer(nn.Module):
    """Readouts to logits; with tied embeddings of another width, by way of a linear map."""

    def __init__(
        self,
        *,
        readout_size: int,
        vocabulary: int,
        tied: nn.Embedding | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        size = readout_size if tied is None else tied.embedding_dim
        self.narrow = nn.Linear(readout_size, size, bias=False) if size != readout_size else None
        self.vocabulary = nn.Linear(size, vocabulary, bias=bias)
        nn.init.xavier_uniform_(self.vocabulary.weight)
        if bias:
            nn.init.zeros_(self.vocabulary.bias)
        if tied is not None:
            self.vocabulary.weight = tied.weight

    def forward(self, readouts: Tensor) -> Tensor:
        """[..., O] -> [..., V]"""
        return self.vocabulary(self._narrowed(readouts))  # type: ignore[no-any-return]

    def loss(
        self,
        readouts: Tensor,
        labels: Tensor,
        *,
        smoothing: float = 0.0,
        mask: Tensor | None = None,
    ) -> CrossEntropy:
        """Summed loss at P tokens; no logits are kept. readouts [P, O], labels [P], mask [P]"""
        linear = self.vocabulary
        return linear_cross_entropy(
            self._narrowed(readouts),
            linear.weight,
            linear.bias,
            labels,
            smoothing=smoothing,
            mask=mask,
        )

    def _narrowed(self, readouts: Tensor) -> Tensor:
        """[..., O] -> [..., E] with tied embeddings of another width, else unchanged"""
        return readouts if self.narrow is None else self.narrow(readouts)


class EncoderDecoder(nn.Module):
    """p(target | source) one token at a time (Sutskever et al., 2014; Cho et al., 2014)."""

    def __init__(
        self,
        *,
        encoder: Encoder,
        decoder: Decoder,
        output: OutputLayer,
        attend_eos: bool = True,
    ) -> None:
        super().__init__()
        self.attend_eos = attend_eos
        self.encoder = encoder
        self.decoder: Decoder = decoder
        self.output: OutputLayer = output

    def encode(self, source: Source) -> Memory:
        """The memory of B sources; without `attend_eos`, EOS is masked in it."""
        states, mask, summary, final_states, stride = self.encoder.encode(source)
        if not self.attend_eos:
            counts = (source.lengths.to(mask.device) - 1 + stride - 1) // stride  # [B]
            mask = mask & length_mask(counts, mask.shape[1])
        projected = self.decoder.project_memory(states)
        return Memory(states, mask, summary, final_states, projected)

    def unroll(self, batch: Batch) -> UnrollOutput:
        """Readouts and attention weights for targets that are known."""
        memory = self.encode(batch.source)
        return self.decoder.unroll(batch.decoder_input, memory)

    def logits(self, readouts: Tensor) -> Tensor:
        """[..., O] -> [..., V]"""
        return self.output(readouts)  # type: ignore[no-any-return]


def count_parameters(model: nn.Module) -> int:
    """Trainable numbers, shared ones counted once."""
    return sum(parameter.numel() for parameter in model.parameters())
