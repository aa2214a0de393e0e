"""Self-attention: every state of a sequence looks at the states of the same sequence."""

from torch import Tensor, nn

from seq2seq.attention.attention import MultiHeadAttention, Prepared
from seq2seq.attention.masks import causal_mask
from seq2seq.kernels.dropout import Dropout


class SelfAttention(nn.Module):
    """x' = norm(x + ATTN(x, x, x)): the lecture's Q = X W_Q, K = X W_K, V = X W_V, with residual.

    Scaled dot products and any number of heads (Vaswani et al., 2017, section 3.2); the sum is
    normalised as in its section 3.1.
    """

    def __init__(self, *, size: int, heads: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(query_size=size, heads=heads)
        self.dropout = Dropout(dropout)
        self.norm = nn.LayerNorm(size)

    def forward(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """states [B, T, H], mask [B, T] or [B, T, T] -> [B, T, H]"""
        return self.look(states, self.prepare(states), mask)

    def prepare(self, states: Tensor) -> Prepared:
        """states [B, T, H] as they are looked at"""
        return self.attention.prepare(states, states)

    def look(self, states: Tensor, memory: Prepared, mask: Tensor | None = None) -> Tensor:
        """Some states [B, M, H] look at others that are prepared already. -> [B, M, H]"""
        context = self.attention.look(states, memory, mask).context
        return self.norm(states + self.dropout(context))  # type: ignore[no-any-return]

    def recall(self, state: Tensor, past: Prepared | None) -> tuple[Tensor, Prepared]:
        """One step looks at itself and at those before it, of which none may be. state [B, H]"""
        states = state.unsqueeze(1)
        own = self.prepare(states)
        past = own if past is None else past.extended(own)
        return self.look(states, past).squeeze(1), past

    def recall_everywhere(self, states: Tensor) -> Tensor:
        """Every step looks at itself and at those before it. [B, T, H] -> [B, T, H]"""
        mask = causal_mask(states.shape[1], device=states.device).unsqueeze(0)  # [1, T, T]
        return self.look(states, self.prepare(states), mask)
