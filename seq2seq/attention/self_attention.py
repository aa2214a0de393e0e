"""Self-attention: every state of a sequence attends to the states of the same sequence."""

from torch import Tensor, nn

from seq2seq.attention.attention import MultiHeadAttention, ProjectedMemory
from seq2seq.attention.masks import AttentionMask
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

    def forward(self, states: Tensor, mask: Tensor | AttentionMask | None = None) -> Tensor:
        """states [B, T, H], mask [T, T], [B, T, T] or an `AttentionMask` -> [B, T, H]"""
        return self._attend(states, self._project(states), mask)

    def attend_causally(self, states: Tensor) -> Tensor:
        """Every state attends to itself and to those before it. [B, T, H] -> [B, T, H]"""
        return self(states, AttentionMask.causal(states.shape[1], device=states.device))  # type: ignore[no-any-return]

    def step(self, state: Tensor, past: ProjectedMemory | None) -> tuple[Tensor, ProjectedMemory]:
        """One state [B, H] of `attend_causally`, after those that `past` holds (None: the first).

        Returns the new state [B, H] and the past with this state.
        """
        states = state.unsqueeze(1)  # [B, 1, H]
        projected = self._project(states)
        past = projected if past is None else past.extended(projected)
        return self._attend(states, past).squeeze(1), past

    def _project(self, states: Tensor) -> ProjectedMemory:
        return self.attention.project_memory(states, states)

    def _attend(
        self,
        states: Tensor,
        memory: ProjectedMemory,
        mask: Tensor | AttentionMask | None = None,
    ) -> Tensor:
        context = self.attention.attend(states, memory, mask).context
        return self.norm(states + self.dropout(context))  # type: ignore[no-any-return]
