"""Coverage against loops over the equations of Tu et al. (2016), and how it reaches the scores."""

import attention_references as ar
import numpy as np
import pytest
import torch
from recurrent_references import CellWeights
from tiny import redraw

from seq2seq.attention.attention import Attention, MultiHeadAttention
from seq2seq.attention.coverage import Coverage, GRUCoverage, LinearCoverage
from seq2seq.attention.masks import AttentionMask
from seq2seq.attention.scores import SCORES, ScoreSizes, build_score
from seq2seq.kernels.padding import length_mask

EXACT = {"rtol": 0, "atol": 1e-10}
WITH_KEYS = [name for name in SCORES if name != "location"]  # location uses no keys
KINDS = ("linear", "gru")
LENGTHS = torch.tensor([4, 2, 0])
B, S, T, M, H = 3, 4, 3, 6, 6


def drawn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def weights_of_steps(*, seed: int) -> list[torch.Tensor]:
    """Weights [B, S] of T steps, 0 where there is padding."""
    mask = length_mask(LENGTHS, S).unsqueeze(1)
    weights = drawn(B, T, S, seed=seed).exp() * mask
    return list((weights / weights.sum(-1, keepdim=True).clamp(min=1e-9)).unbind(1))


def coverage_of(kind: str, *, projected_size: int = 5, heads: int = 1) -> Coverage:
    sizes = {"memory_size": M, "projected_size": projected_size, "heads": heads}
    coverage = (
        LinearCoverage(**sizes, max_fertility=3.0)
        if kind == "linear"
        else GRUCoverage(**sizes, query_size=H, size=2)
    )
    redraw(coverage, seed=5)
    return coverage.double()


def gru_weights(coverage: GRUCoverage) -> CellWeights:
    """Parameters of the GRU whose input is [a ; h ; s]."""
    inputs = (coverage.weight.weight, coverage.memory.weight, coverage.query.weight)
    return CellWeights(
        torch.cat(inputs, dim=1).detach().numpy(),
        coverage.recurrent.weight.detach().numpy(),
        coverage.memory.bias.detach().numpy(),
        coverage.recurrent.bias.detach().numpy(),
    )


def coverage_after(kind: str, coverage: Coverage) -> list[torch.Tensor]:
    """The vectors [B, S, F] before each of T steps, and at the end."""
    values, queries = drawn(B, S, M, seed=1), drawn(T, B, H, seed=2)
    projected, vectors = coverage.project_memory(values), [coverage.start(values)]
    for weights, query in zip(weights_of_steps(seed=3), queries, strict=True):
        vectors.append(coverage.update(vectors[-1], projected, weights, query))
    return vectors


def referenced(kind: str, coverage: Coverage) -> list[np.ndarray]:
    values, queries = drawn(B, S, M, seed=1).numpy(), drawn(T, B, H, seed=2).numpy()
    vectors = [np.zeros((B, S, 1 if kind == "linear" else 2))]
    for weights, query in zip(weights_of_steps(seed=3), queries, strict=True):
        after = np.zeros_like(vectors[-1])
        for b in range(B):
            for j in range(S):
                before, weight = vectors[-1][b, j], float(weights[b, j])
                if isinstance(coverage, LinearCoverage):
                    row = coverage.fertility.weight[0].detach().numpy()
                    phi = ar.fertility(values[b, j], vector=row, maximum=3.0)
                    after[b, j] = ar.linear_coverage(float(before[0]), weight, phi)
                else:
                    w = gru_weights(coverage)
                    after[b, j] = ar.gru_coverage(before, weight, values[b, j], query[b], w)
        vectors.append(after)
    return vectors


@pytest.mark.parametrize("kind", KINDS)
def test_coverage_grows_as_the_paper_says(kind):
    coverage = coverage_of(kind)
    with torch.no_grad():
        vectors = coverage_after(kind, coverage)
    assert not vectors[0].any()
    for ours, theirs in zip(vectors, referenced(kind, coverage), strict=True):
        torch.testing.assert_close(ours, torch.tensor(theirs), **EXACT)


def test_linear_coverage_worked_out_by_hand():
    coverage = LinearCoverage(memory_size=1, projected_size=1, max_fertility=4.0)
    with torch.no_grad():
        coverage.fertility.weight.fill_(1.0)
        coverage.key.weight.fill_(10.0)
    values = torch.zeros(1, 2, 1)
    vectors, projected = coverage.start(values), coverage.project_memory(values)
    assert projected.tolist() == [[[2.0], [2.0]]]  # sig(0) = 1/2: fertility 2
    for _ in range(2):
        weights = torch.tensor([[0.5, 0.25]])
        vectors = coverage.update(vectors, projected, weights, torch.zeros(1, 9))
    # twice .5 / 2 and twice .25 / 2; V = 10
    assert vectors.tolist() == [[[0.5], [0.25]]]
    assert coverage.key_bias(vectors).tolist() == [[[[5.0], [2.5]]]]


def test_gru_coverage_is_the_librarys_cell():
    coverage = coverage_of("gru")
    assert isinstance(coverage, GRUCoverage)
    w = gru_weights(coverage)
    cell = torch.nn.GRUCell(1 + M + H, 2).double()
    with torch.no_grad():
        for parameter, value in zip(cell.parameters(), w, strict=True):
            parameter.copy_(torch.tensor(value))
        values, query, weights = (
            drawn(B, S, M, seed=1),
            drawn(B, H, seed=2),
            weights_of_steps(seed=3)[0],
        )
        projected = coverage.project_memory(values)
        vectors = coverage.update(coverage.start(values), projected, weights, query)
        vectors = coverage.update(vectors, projected, weights, query)
        joined = torch.cat([weights.unsqueeze(-1), values, query.unsqueeze(1).expand(B, S, H)], -1)
        flat = joined.flatten(0, 1)
        expected = cell(flat, cell(flat)).reshape(B, S, 2)
    torch.testing.assert_close(vectors, expected, **EXACT)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", WITH_KEYS)
def test_coverage_enters_the_score_beside_the_mapped_key(name, kind):
    score = build_score(name, ScoreSizes(query=H, key=M, inner=5))
    redraw(score, seed=6)
    coverage = coverage_of(kind, projected_size=score.projected_size(M))
    attention = Attention(score.double())
    query, values = drawn(B, 2, H, seed=7), drawn(B, S, M, seed=1)
    mask = length_mask(LENGTHS, S)
    padding = AttentionMask.padding(mask)
    with torch.no_grad():
        vectors = coverage_after(kind, coverage)
        memory = attention.project_memory(values, values)
        bias = coverage.key_bias(vectors[-1]).unsqueeze(1)  # of all queries
        context, weights = attention.attend(query, memory, padding, key_bias=bias)
        plain = attention.attend(query, memory, padding).weights
    assert (weights - plain).abs().max() > 1e-6  # it does reach the score
    named = {key: value.detach().numpy() for key, value in score.named_parameters()}
    for b in range(B):
        nonpad = mask[b].tolist()
        scores = ar.covered_scores_of(
            name, named, vectors[-1][b].numpy(), for_coverage=coverage.key.weight.detach().numpy()
        )
        rows = values[b].numpy()
        for m in range(2):
            expected = ar.attend(query[b, m].numpy(), rows, rows, scores, ar.global_window(nonpad))
            torch.testing.assert_close(weights[b, 0, m], torch.tensor(expected.weights), **EXACT)
            torch.testing.assert_close(context[b, m], torch.tensor(expected.context), **EXACT)


@pytest.mark.parametrize("name", WITH_KEYS)
def test_coverage_reaches_every_head_through_rows_of_its_own(name):
    heads = 2
    attention = MultiHeadAttention(query_size=H, key_size=M, heads=heads, score=name)
    redraw(attention, seed=6)
    attention.double()
    width = attention.attention.score.projected_size(H // heads)
    coverage = coverage_of("gru", projected_size=width, heads=heads)
    query, values = drawn(B, 2, H, seed=7), drawn(B, S, M, seed=1)
    mask = length_mask(LENGTHS, S)
    padding = AttentionMask.padding(mask)
    with torch.no_grad():
        vectors = coverage_after("gru", coverage)
        memory = attention.project_memory(values, values)
        bias = coverage.key_bias(vectors[-1]).unsqueeze(1)  # of all queries
        weights = attention.attend(query, memory, padding, key_bias=bias).weights
    named = {k: v.detach().numpy() for k, v in attention.attention.score.named_parameters()}
    split = coverage.key.weight.detach().numpy().reshape(heads, width, 2)  # V [P, C] a head
    w = ar.head_weights(attention, heads)
    for b in range(B):
        window = ar.global_window(mask[b].tolist())
        rows = values[b].numpy()
        scores = [
            ar.covered_scores_of(
                name, named, vectors[-1][b].numpy(), for_coverage=split[head], head=head
            )
            for head in range(heads)
        ]
        for m in range(2):
            expected = ar.multi_head(query[b, m].numpy(), rows, rows, w, scores, [window] * heads)
            torch.testing.assert_close(
                weights[b, :, m], torch.tensor(np.array(expected.weights)), **EXACT
            )


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_of_coverage_is_right(kind, heads):
    coverage = coverage_of(kind, projected_size=2, heads=heads)
    values = drawn(2, S, M, seed=1).requires_grad_()
    weights = drawn(2, 2, S, seed=2).sigmoid().requires_grad_()
    queries = drawn(2, 2, H, seed=3).requires_grad_()

    def key_bias(values, weights, queries, *_):
        vectors, projected = coverage.start(values), coverage.project_memory(values)
        for step in range(2):
            vectors = coverage.update(vectors, projected, weights[:, step], queries[:, step])
        return coverage.key_bias(vectors)

    inputs = (values, weights, queries, *coverage.parameters())
    assert torch.autograd.gradcheck(key_bias, inputs)
