"""Attention, coverage and readouts as plain loops over float64 numbers, from the papers alone.

Vectors have one dimension, a mask is a list of booleans (True = may be attended to), and positions
are counted from 1 where a formula counts them. Weights have the papers' own letters.

Luong: Luong et al. (2015). Bahdanau: Bahdanau et al. (2015). Tu: Tu et al. (2016), "Modeling
Coverage for Neural Machine Translation". See: See et al. (2017), "Get To The Point".
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from recurrent_references import NOTHING, CellWeights, State, gru, split_gates
from references import Array, Weights, join, tanh, times
from torch import nn

Score = Callable[[Array, Array], float]
RowScore = Callable[[Array, Array], list[float]]
"""query [H], keys [S, M] -> a score a position; minus infinity where it has none."""

Normalizer = Callable[[Sequence[float], Sequence[bool]], Array]


def head_weights(attention: nn.Module, heads: int) -> dict[str, Array]:
    """The adaptive weights of our module as `multi_head` takes them: a head at a time, x W."""
    named = {key: value.detach().numpy() for key, value in attention.named_parameters()}
    w: dict[str, Array] = {}
    for letter, name in {"Q": "query_weight", "K": "key_weight", "V": "value_weight"}.items():
        if name in named:  # [heads * D, I]
            w[f"W_{letter}"] = np.array([rows.T for rows in np.split(named[name], heads)])
    if "output_weight" in named:
        w["W_O"] = named["output_weight"].T
    return w


# Scores


def dot_score(query: Array, key: Array) -> float:
    """q . k: Luong et al. (2015), equation 8, first line."""
    return float(sum(query[i] * key[i] for i in range(len(query))))


def scaled_dot_score(query: Array, key: Array) -> float:
    """q . k / sqrt(d_k): Vaswani et al. (2017), equation 1."""
    return dot_score(query, key) / math.sqrt(len(key))


def general_score(query: Array, key: Array, *, matrix: Array) -> float:
    """q^T W_a k: Luong et al. (2015), equation 8, second line."""
    return float(
        sum(
            query[i] * matrix[i, j] * key[j]
            for i in range(matrix.shape[0])
            for j in range(matrix.shape[1])
        )
    )


def joined_score(query: Array, key: Array, *, matrix: Array, vector: Array) -> float:
    """v_a^T tanh(W_a [q ; k]): Luong et al. (2015), equation 8, third line ("concat" there)."""
    return dot_score(vector, tanh(times(matrix, join(query, key))))


def two_matrix_score(
    query: Array, key: Array, *, for_query: Array, for_key: Array, vector: Array
) -> float:
    """v_a^T tanh(W_a q + U_a k): Bahdanau et al. (2015), appendix A.1.2."""
    return dot_score(vector, tanh(times(for_query, query) + times(for_key, key)))


def score_of(name: str, weights: Weights) -> Score:
    """The score of that name in this project, with weights named as in its modules."""
    if name == "dot":
        return dot_score
    if name == "scaled_dot":
        return scaled_dot_score
    if name == "general":
        return lambda q, k: general_score(q, k, matrix=weights["weight"])
    if name == "additive":  # one matrix over the joined vectors
        return lambda q, k: joined_score(
            q, k, matrix=weights["weight"], vector=weights["reduction"]
        )
    assert name == "concat"  # a matrix for each
    return lambda q, k: two_matrix_score(
        q,
        k,
        for_query=weights["query_weight"],
        for_key=weights["key_weight"],
        vector=weights["reduction"],
    )


def each_key(score: Score) -> RowScore:
    """A score of one query and one key, for every key in turn."""
    return lambda query, keys: [score(query, key) for key in keys]


def location_scores(query: Array, keys: Array, *, table: Array) -> list[float]:
    """W_a h_t, the first S entries: Luong, equation 8. Beyond the table no position has a score."""
    positions, rows = len(keys), len(table)
    return [dot_score(table[s], query) if s < rows else -math.inf for s in range(positions)]


def fixed_key_score(query: Array, key: Array, *, for_query: Array, vector: Array) -> float:
    """v^T tanh(k + W_a q): Luong's "concat" as their code has it: keys are not mapped."""
    return dot_score(vector, tanh(key + times(for_query, query)))


def scores_of(name: str, weights: Weights, *, head: int | None = None) -> RowScore:
    """The score of that name in this project, with weights named as in its modules.

    With a head, every weight has a leading dimension of heads, of which that head's is used.
    """
    own = {key: value if head is None else value[head] for key, value in weights.items()}
    if name == "location":
        return lambda query, keys: location_scores(query, keys, table=own["weight"])
    if name == "concat_fixed":
        return each_key(
            lambda query, key: fixed_key_score(
                query, key, for_query=own["query_weight"], vector=own["reduction"]
            )
        )
    return each_key(score_of(name, own))


def covered_scores_of(
    name: str,
    weights: Weights,
    coverage: Array,
    *,
    for_coverage: Array,
    head: int | None = None,
) -> RowScore:
    """The score of that name with coverage [S, F] and its matrix V [D_p, F]."""
    own = {key: value if head is None else value[head] for key, value in weights.items()}

    def score(query: Array, key: Array, covered: Array) -> float:
        if name in ("dot", "scaled_dot"):
            return covered_dot_score(
                query, key, covered, for_coverage=for_coverage, scaled=name == "scaled_dot"
            )
        if name == "general":
            return covered_general_score(
                query, key, covered, matrix=own["weight"], for_coverage=for_coverage
            )
        if name == "concat_fixed":
            return covered_fixed_key_score(
                query,
                key,
                covered,
                for_query=own["query_weight"],
                for_coverage=for_coverage,
                vector=own["reduction"],
            )
        if name == "additive":  # one matrix over [q ; k]
            for_query, for_key = np.split(own["weight"], [len(query)], axis=1)
        else:
            assert name == "concat"
            for_query, for_key = own["query_weight"], own["key_weight"]
        return covered_additive_score(
            query,
            key,
            covered,
            for_query=for_query,
            for_key=for_key,
            for_coverage=for_coverage,
            vector=own["reduction"],
        )

    return lambda query, keys: [
        score(query, key, covered) for key, covered in zip(keys, coverage, strict=True)
    ]


# Normalizers: scores [S] and a mask become weights [S]


def allowed_positions(scores: Sequence[float], mask: Sequence[bool]) -> list[int]:
    return [
        position
        for position, (score, allowed) in enumerate(zip(scores, mask, strict=True))
        if allowed and score > -math.inf
    ]


def softmax(scores: Sequence[float], mask: Sequence[bool]) -> Array:
    """p_i = exp(z_i) / sum_j exp(z_j): Bahdanau, equation 6."""
    weights = np.zeros(len(scores))
    positions = allowed_positions(scores, mask)
    if positions:
        highest = max(scores[position] for position in positions)
        total = sum(math.exp(scores[position] - highest) for position in positions)
        for position in positions:
            weights[position] = math.exp(scores[position] - highest) / total
    return weights


def sparsemax(scores: Sequence[float], mask: Sequence[bool]) -> Array:
    """p_i = [z_i - tau(z)]_+: Martins & Astudillo (2016), algorithm 1.

    k(z) is the greatest k with 1 + k z_(k) > z_(1) + ... + z_(k), z sorted downwards, and
    tau(z) = (z_(1) + ... + z_(k(z)) - 1) / k(z).
    """
    weights = np.zeros(len(scores))
    positions = allowed_positions(scores, mask)
    if positions:
        ordered = sorted((scores[position] for position in positions), reverse=True)
        supported = [
            k for k in range(1, len(ordered) + 1) if 1 + k * ordered[k - 1] > sum(ordered[:k])
        ]
        size = max(supported)
        threshold = (sum(ordered[:size]) - 1) / size
        for position in positions:
            weights[position] = max(scores[position] - threshold, 0.0)
    return weights


def bisected(above: Callable[[float], Array], low: float, high: float) -> Array:
    """`above(tau)` where it sums to 1; its sum falls as tau grows from `low` to `high`."""
    for _ in range(200):
        middle = (low + high) / 2
        if above(middle).sum() >= 1:
            low = middle
        else:
            high = middle
    return above(low)


def projected_on_simplex(scores: Sequence[float], mask: Sequence[bool]) -> Array:
    """argmin ||p - z||^2 over the simplex: Martins & Astudillo (2016), equation 2.

    Its conditions of optimality are p = [z - tau]_+ with sum 1, and here tau is searched for.
    """
    weights = np.zeros(len(scores))
    positions = allowed_positions(scores, mask)
    if positions:
        z = np.array([scores[position] for position in positions])
        weights[positions] = bisected(lambda tau: np.maximum(z - tau, 0), z.max() - 1, z.max())
    return weights


def entmax15(scores: Sequence[float], mask: Sequence[bool]) -> Array:
    """p_i = [z_i / 2 - tau]_+^2 with sum 1: Peters, Niculae & Martins (2019), section 3.2.

    alpha-entmax(z) = [(alpha - 1) z - tau]_+^(1 / (alpha - 1)), here with alpha = 1.5. Where tau is
    max(z) / 2 the sum is 0, and one less it is at least 1.
    """
    weights = np.zeros(len(scores))
    positions = allowed_positions(scores, mask)
    if positions:
        z = np.array([scores[position] for position in positions]) / 2
        weights[positions] = bisected(lambda tau: np.maximum(z - tau, 0) ** 2, z.max() - 1, z.max())
    return weights


NORMALIZERS: dict[str, Normalizer] = {
    "softmax": softmax,
    "sparsemax": sparsemax,
    "entmax15": entmax15,
}


# Scopes: the positions that a query may attend to


class Window(NamedTuple):
    inside: list[bool]  # [S]
    factor: Array  # [S] of the weights


def global_window(mask: Sequence[bool]) -> Window:
    """Global attention: Luong, section 3.1."""
    return Window(list(mask), np.ones(len(mask)))


def local_m(t: int, mask: Sequence[bool], *, reach: int) -> Window:
    """p_t = t, and the window [p_t - D, p_t + D]: Luong, section 3.2, "monotonic".

    t is counted from 1 and is at most S, as in their code.
    """
    centre = min(t, sum(mask))
    return Window(
        [
            allowed and centre - reach <= s <= centre + reach
            for s, allowed in enumerate(mask, start=1)
        ],
        np.ones(len(mask)),
    )


def local_p(
    query: Array, mask: Sequence[bool], *, reach: int, for_query: Array, vector: Array
) -> Window:
    """p_t = S sig(v_p^T tanh(W_p h_t)): Luong, equation 9; then equation 10 multiplies the weights
    by exp(-(s - p_t)^2 / (2 sigma^2)) with sigma = D / 2.
    """
    centre = sum(mask) / (1 + math.exp(-dot_score(vector, tanh(times(for_query, query)))))
    deviation = reach / 2
    return Window(
        [allowed and abs(s - centre) <= reach for s, allowed in enumerate(mask, start=1)],
        np.array(
            [math.exp(-((s - centre) ** 2) / (2 * deviation**2)) for s in range(1, len(mask) + 1)]
        ),
    )


# Attention


class AttentionResult(NamedTuple):
    context: Array  # [M]
    weights: Array  # [S]


def attend(
    query: Array,
    keys: Array,
    values: Array,
    scores: RowScore,
    window: Window,
    *,
    normalizer: Normalizer = softmax,
) -> AttentionResult:
    """c = sum_j a_j h_j, Bahdanau, equation 5, with weights only inside the window.

    The weights are not normalised again after the factor: Luong, equation 10.
    """
    weights = normalizer(scores(query, keys), window.inside) * window.factor
    context = np.zeros(values.shape[1])
    for weight, value in zip(weights, values, strict=True):
        context = context + weight * value
    return AttentionResult(context, weights)


def mapped(row: Array, matrix: Array) -> Array:
    """x W for a row x [I] and W [I, O]."""
    return times(matrix.T, row)


class MultiHeadResult(NamedTuple):
    context: Array
    weights: list[Array]  # [S] each head


def multi_head(
    query: Array,
    keys: Array,
    values: Array,
    w: Weights,
    scores: Sequence[RowScore],
    windows: Sequence[Window],
    *,
    normalizer: Normalizer = softmax,
) -> MultiHeadResult:
    """[head_1 ; ... ; head_N] W_O, head_n = attention(Q W_Q^n, K W_K^n, V W_V^n).

    Vaswani et al. (2017), section 3.2.2. W_Q [N, D_q, D], W_K [N, D_k, D], W_V [N, D_v, D'],
    W_O [N D', D_o]. What has no W is not mapped but split into N slices, as the values are in RNMT+
    (Chen et al., 2018); without W_O the heads are only joined.
    """
    results = [
        attend(
            head_input(query, w.get("W_Q"), head, len(scores)),
            np.array([head_input(key, w.get("W_K"), head, len(scores)) for key in keys]),
            np.array([head_input(value, w.get("W_V"), head, len(scores)) for value in values]),
            scores[head],
            windows[head],
            normalizer=normalizer,
        )
        for head in range(len(scores))
    ]
    joined = join(*(each.context for each in results))
    return MultiHeadResult(
        mapped(joined, w["W_O"]) if "W_O" in w else joined, [each.weights for each in results]
    )


def head_input(row: Array, matrices: Array | None, head: int, heads: int) -> Array:
    """x W^n, or the n-th of N slices of x."""
    if matrices is not None:
        return mapped(row, matrices[head])
    width = len(row) // heads
    return row[head * width : (head + 1) * width]


# Coverage


def fertility(state: Array, *, vector: Array, maximum: float) -> float:
    """Phi_j = N sig(U_f h_j): Tu, section 3.1.1."""
    return maximum / (1 + math.exp(-dot_score(vector, state)))


def linear_coverage(before: float, weight: float, fertility: float) -> float:
    """C_ij = C_{i-1,j} + a_ij / Phi_j: Tu, section 3.1.1."""
    return before + weight / fertility


def gru_coverage(before: Array, weight: float, state: Array, query: Array, w: CellWeights) -> Array:
    """C_ij = f(C_{i-1,j}, a_ij, h_j, t_{i-1}) with a GRU for f: Tu, section 3.1.2.

    The GRU's input is [a_ij ; h_j ; t_{i-1}], and its reset gate acts after the product.
    """
    inputs = join(np.array([weight]), state, query)
    return gru(inputs, NOTHING, State(before), split_gates(w, "rzn")).hidden


def covered_keys(keys: Array, coverage: Array, *, matrix: Array) -> Array:
    """k_j + V C_{i-1,j} for mapped keys [S, A], coverage [S, F] and V [A, F].

    Tu, section 3.2: e_ij = v_a^T tanh(W_a t_{i-1} + U_a h_j + V_a C_{i-1,j}). There U_a h_j is the
    mapped key; for the other scores it is what the query is multiplied with: W k, or k alone.
    """
    return np.array(
        [key + times(matrix, covered) for key, covered in zip(keys, coverage, strict=True)]
    )


def covered_additive_score(
    query: Array,
    key: Array,
    coverage: Array,
    *,
    for_query: Array,
    for_key: Array,
    for_coverage: Array,
    vector: Array,
) -> float:
    """v_a^T tanh(W_a t + U_a h + V_a C): Tu, section 3.2."""
    inner = times(for_query, query) + times(for_key, key) + times(for_coverage, coverage)
    return dot_score(vector, tanh(inner))


def covered_fixed_key_score(
    query: Array,
    key: Array,
    coverage: Array,
    *,
    for_query: Array,
    for_coverage: Array,
    vector: Array,
) -> float:
    """v^T tanh(k + V C + W_a q): the same term beside a key that is not mapped."""
    return dot_score(vector, tanh(key + times(for_coverage, coverage) + times(for_query, query)))


def covered_general_score(
    query: Array, key: Array, coverage: Array, *, matrix: Array, for_coverage: Array
) -> float:
    """q . (W k + V C): ours, in the manner of Tu, section 3.2, for Luong's second score."""
    return dot_score(query, times(matrix, key) + times(for_coverage, coverage))


def covered_dot_score(
    query: Array, key: Array, coverage: Array, *, for_coverage: Array, scaled: bool = False
) -> float:
    """q . (k + V C), and over sqrt(d) if scaled: ours, in the manner of Tu, section 3.2."""
    covered = key + times(for_coverage, coverage)
    return scaled_dot_score(query, covered) if scaled else dot_score(query, covered)


def coverage_loss(rows: Sequence[Array], nonpad: Sequence[bool]) -> float:
    """sum_t sum_i min(a_i^t, c_i^t), c^t = sum of a^t' before t: See, equations 10 and 12.

    Summed over the steps of target tokens, which come first; steps of padding come after them.
    """
    total = 0.0
    for t, row in enumerate(rows):
        if not nonpad[t]:
            continue
        for i in range(len(row)):
            earlier = sum(float(rows[before][i]) for before in range(t))
            total += min(float(row[i]), earlier)
    return total


# Readouts


def maxout(pairs: Array) -> Array:
    """t_k = max(t~_{2k-1}, t~_{2k}), k from 1: Bahdanau, appendix A.2.2."""
    assert len(pairs) % 2 == 0
    return np.array(
        [max(pairs[2 * k - 2], pairs[2 * k - 1]) for k in range(1, len(pairs) // 2 + 1)]
    )


READOUTS: dict[str, Callable[[Array], Array]] = {
    "tanh": tanh,
    "maxout": maxout,
    "none": lambda joined: joined,
}
