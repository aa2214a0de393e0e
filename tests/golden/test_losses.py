"""Loss and learning rate against loops over Szegedy et al. (2016) and Vaswani et al. (2017)."""

import math
from dataclasses import replace

import attention_references as ar
import pytest
import references
import torch
from tiny import ATTENTIVE, BAHDANAU, CONDITIONAL, EVERY_KIND, LUONG, PLAIN, padded, tiny_model

from seq2seq.batch import AttentionTargets
from seq2seq.config import TrainingConfig
from seq2seq.kernels.linear_cross_entropy import linear_cross_entropy
from seq2seq.training.cuda_graphs import BatchBucket
from seq2seq.training.losses import (
    batch_loss,
    coverage_loss,
    guided_alignment_loss,
    padded_loss,
)
from seq2seq.training.optimization import learning_rate

PAIRS = [([5, 6, 7], [8, 9, 4, 4]), ([10], [5]), ([4, 5], [6, 7])]


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def drawn_layer(tokens: int, width: int, vocabulary: int) -> tuple[torch.Tensor, ...]:
    """Inputs, weight, bias and labels of an output layer."""
    numbers = drawn(tokens * width + vocabulary * width + vocabulary)
    sizes = [tokens * width, vocabulary * width, vocabulary]
    inputs, weight, bias = numbers.split(sizes)
    labels = torch.arange(tokens) * 3 % vocabulary
    return inputs.reshape(tokens, width), weight.reshape(vocabulary, width), bias, labels


@pytest.fixture(params=[None, (2, 2), (4, 2)], ids=["whole", "in chunks", "in chunks of blocks"])
def chunks(request, monkeypatch):
    """Logits computed and reduced all at once, or in chunks of a few rows, in blocks of fewer."""
    if request.param is not None:
        chunk, block = request.param
        monkeypatch.setattr("seq2seq.kernels.linear_cross_entropy._chunk_rows", lambda _: chunk)
        monkeypatch.setattr("seq2seq.kernels.linear_cross_entropy._block_rows", lambda _: block)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_the_loss_is_that_of_the_smoothed_target(smoothing, chunks):
    inputs, weight, bias, labels = drawn_layer(5, 4, 7)
    loss = linear_cross_entropy(inputs, weight, bias, labels, smoothing=smoothing)
    logits = inputs.numpy() @ weight.numpy().T + bias.numpy()
    smoothed = references.smoothed_cross_entropy(logits, labels.tolist(), smoothing)
    plain = references.smoothed_cross_entropy(logits, labels.tolist(), 0.0)
    assert loss.smoothed.item() == pytest.approx(smoothed, abs=1e-10)
    assert loss.nll.item() == pytest.approx(plain, abs=1e-10)


def test_a_loss_worked_out_by_hand():
    # by hand: p = [1/2, 1/4, 1/4], label 1: 2 ln 2; smoothed by 0.3 over 3 entries:
    # 0.7 * 2 ln 2 + 0.1 * (1 + 2 + 2) ln 2 = 1.9 ln 2
    logits = torch.tensor([[2.0, 1.0, 1.0]], dtype=torch.float64).log()
    same = torch.eye(3, dtype=torch.float64)
    loss = linear_cross_entropy(logits, same, None, torch.tensor([1]), smoothing=0.3)
    assert loss.nll.item() == pytest.approx(2 * math.log(2))
    assert loss.smoothed.item() == pytest.approx(1.9 * math.log(2))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("biased", [True, False])
def test_the_gradient_of_the_loss_is_right(smoothing, biased, chunks):
    *layer, labels = drawn_layer(5, 4, 7)

    def smoothed(inputs, weight, bias=None):
        return linear_cross_entropy(inputs, weight, bias, labels, smoothing=smoothing).smoothed

    layer = [each.requires_grad_() for each in layer[: 3 if biased else 2]]
    assert torch.autograd.gradcheck(smoothed, tuple(layer))


def test_products_in_bfloat16_change_the_loss_and_its_gradient_little(chunks):
    *layer, labels = drawn_layer(7, 16, 9)
    wide = [(each / 4).requires_grad_() for each in layer]
    rounded = [each.detach().float().requires_grad_() for each in wide]
    loss = linear_cross_entropy(*wide, labels, smoothing=0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        near = linear_cross_entropy(*rounded, labels, smoothing=0.1)
    assert near.nll.dtype == torch.float32
    assert near.nll.item() == pytest.approx(loss.nll.item(), rel=0.01)
    assert near.smoothed.item() == pytest.approx(loss.smoothed.item(), rel=0.01)
    loss.smoothed.backward()
    near.smoothed.backward()
    for exact, each in zip(wide, rounded, strict=True):
        torch.testing.assert_close(each.grad.double(), exact.grad, rtol=0.02, atol=0.01)


def test_logits_far_from_zero_do_not_overflow(chunks):
    inputs = torch.tensor([[1e4], [-1e4], [0.0]], requires_grad=True)
    weight, labels = torch.tensor([[1.0], [-1.0]]), torch.tensor([0, 0, 0])
    loss = linear_cross_entropy(inputs, weight, None, labels)
    loss.nll.backward()
    assert loss.nll.item() == pytest.approx(2e4 + math.log(2))
    torch.testing.assert_close(inputs.grad, torch.tensor([[0.0], [-2.0], [-1.0]]))


@pytest.mark.parametrize("kind", EVERY_KIND, ids=str)
def test_the_loss_of_a_padded_batch_is_the_sum_of_its_sentences(kind):
    model = tiny_model(kind)
    with torch.no_grad():
        together = batch_loss(model, padded(PAIRS, wider=2, longer=3), smoothing=0.1)
        alone = [batch_loss(model, padded([pair]), smoothing=0.1) for pair in PAIRS]
    assert padded(PAIRS, wider=2, longer=3).target_tokens == 5 + 2 + 3
    for name in ("nll", "objective"):
        expected = sum(getattr(each, name).item() for each in alone)
        assert getattr(together, name).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", [PLAIN[0], LUONG[0], BAHDANAU[0], CONDITIONAL[0]], ids=str)
def test_padding_gives_no_gradient(kind):
    """The gradient of a padded batch is the sum of its sentences' gradients."""
    model = tiny_model(kind)
    batch_loss(model, padded(PAIRS, wider=2, longer=3)).nll.backward()
    together = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    for pair in PAIRS:
        batch_loss(model, padded([pair])).nll.backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, together[name], rtol=1e-10, atol=1e-12)
    assert not together["encoder.embedding.weight"][0].any()


TERMS = [
    {"smoothing": 0.1},
    {"smoothing": 0.1, "coverage": 0.5},
]


@pytest.mark.parametrize("terms", TERMS, ids=lambda terms: "-".join(terms))
@pytest.mark.parametrize("kind", EVERY_KIND, ids=str)
def test_filling_a_batch_up_changes_neither_loss_nor_gradient(kind, terms):
    """With sentences that are padding, too: what a GPU has recorded is of a few shapes alone."""
    assert_filling_up_changes_nothing(kind, terms)


@pytest.mark.parametrize("terms", TERMS, ids=lambda terms: "-".join(terms))
@pytest.mark.parametrize("kind", [PLAIN[0], LUONG[0]], ids=str)
def test_a_batch_may_be_filled_up_where_the_loss_is_in_chunks(kind, terms, chunks):
    assert_filling_up_changes_nothing(kind, terms)


def assert_filling_up_changes_nothing(kind, terms):
    model, batch = tiny_model(kind, layers=2), padded(PAIRS)
    shape = BatchBucket.for_batch(batch)
    assert shape == (8, 4, 6)  # of 3 sentences, 4 source and 5 target positions
    made = []
    for found in (
        batch_loss(model, batch, **terms),
        padded_loss(model, batch.padded_to(*shape), **terms),
    ):
        model.zero_grad()
        found.objective.backward()
        gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        made.append({"nats": found.nll, "smoothed": found.objective, **gradients})
    expected, filled = made
    assert filled.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(filled[name], value, rtol=1e-9, atol=1e-12, msg=name)


def test_a_batch_that_fills_its_shape_stays_as_it_is():
    batch = padded([([4, 5, 6], [7, 8, 9])] * 8)
    shape = BatchBucket.for_batch(batch)
    filled = batch.padded_to(*shape)
    assert shape == (8, 4, 4)
    assert filled.source.ids.equal(batch.source.ids) and filled.target_ids.equal(batch.target_ids)
    assert filled.source.lengths.equal(batch.source.lengths)


def test_accumulated_gradients_are_those_of_one_batch():
    model = tiny_model(LUONG[0])
    for pairs in (PAIRS[:1], PAIRS[1:]):
        batch_loss(model, padded(pairs), smoothing=0.1).objective.backward()
    accumulated = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    batch_loss(model, padded(PAIRS), smoothing=0.1).objective.backward()
    for parameter, expected in zip(model.parameters(), accumulated, strict=True):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-10, atol=1e-12)


def weights_of(rows: int, heads: int, steps: int, positions: int, *, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (rows, heads, steps, positions)
    return torch.randn(shape, generator=generator, dtype=torch.float64).softmax(-1)


@pytest.mark.parametrize("heads", [1, 3])
def test_the_coverage_loss_of_attention_is_that_of_a_loop(heads):
    weights, lengths = weights_of(3, heads, 5, 4, seed=1), [5, 3, 1]
    real = torch.tensor([[t < length for t in range(5)] for length in lengths])
    expected = sum(
        ar.coverage_loss(
            [sum(weights[b, :, t].numpy()) / heads for t in range(5)], real[b].tolist()
        )
        for b in range(3)
    )
    assert coverage_loss(weights, real).item() == pytest.approx(expected, abs=1e-10)


def test_a_coverage_loss_of_attention_worked_out_by_hand():
    # nothing before the first step; min(.5, .7) + min(.5, .3) = .8; min(.1, 1.2) + min(.9, .8) = .9
    rows = torch.tensor([[0.7, 0.3], [0.5, 0.5], [0.1, 0.9], [1.0, 0.0]])
    real = torch.tensor([[True, True, True, False]])
    assert coverage_loss(rows[None, None], real).item() == pytest.approx(1.7)
    # two heads that look apart, at [1, 0] and [0, 1], have a mean of [.5, .5]: .5 + .5 at step 2
    apart = torch.eye(2)[None, :, None].expand(1, 2, 2, 2)  # [B, N, T, S]
    assert coverage_loss(apart, torch.ones(1, 2, dtype=torch.bool)).item() == pytest.approx(1.0)


def test_attention_that_never_repeats_a_position_has_no_coverage_loss():
    real = torch.ones(1, 4, dtype=torch.bool)
    assert coverage_loss(torch.eye(4)[None, None], real).item() == 0.0


def test_the_gradient_of_the_coverage_loss_of_attention_is_right():
    weights = weights_of(2, 2, 4, 3, seed=2).requires_grad_()
    real = torch.tensor([[True] * 4, [True, True, False, False]])
    assert torch.autograd.gradcheck(lambda each: coverage_loss(each, real), (weights,))


@pytest.mark.parametrize("kind", ATTENTIVE, ids=str)
def test_the_coverage_loss_is_added_to_what_is_trained_and_to_nothing_else(kind):
    model = tiny_model(kind)
    with torch.no_grad():
        batch = padded(PAIRS, wider=2, longer=3)
        plain, added = (batch_loss(model, batch, coverage=each) for each in (0.0, 0.5))
        expected = coverage_loss(model.unroll(batch).weights, batch.labels != 0).item()
        alone = [batch_loss(model, padded([pair]), coverage=0.5) for pair in PAIRS]
    assert expected > 0
    assert added.nll.item() == plain.nll.item()
    assert (added.objective - plain.objective).item() == pytest.approx(0.5 * expected)
    total = sum(each.objective.item() for each in alone)
    assert added.objective.item() == pytest.approx(total, rel=1e-12)


def test_without_attention_there_is_no_coverage_loss():
    model = tiny_model(PLAIN[0])
    with torch.no_grad():
        plain = batch_loss(model, padded(PAIRS), coverage=0.0)
        with_coverage = batch_loss(model, padded(PAIRS), coverage=1.0)
    assert with_coverage == plain


def targets_of(rows: torch.Tensor, *, importance: torch.Tensor | None = None) -> AttentionTargets:
    """Rows [B, T, S] that attention is to have, each that is not 0 of importance 1."""
    return AttentionTargets(rows, (rows.sum(-1) > 0).to(rows) if importance is None else importance)


def links_of(batch, *, seed: int) -> AttentionTargets:
    """Some rows of a batch, over the source positions that are not padding."""
    generator = torch.Generator().manual_seed(seed)
    nonpad = batch.source.ids != 0
    drawn = (
        torch.rand((*batch.labels.shape, nonpad.shape[1]), generator=generator) * nonpad[:, None]
    )
    drawn = drawn.double() / drawn.sum(-1, keepdim=True)
    guided = (batch.labels != 0) & (torch.rand(batch.labels.shape, generator=generator) < 0.7)
    return targets_of(drawn * guided.unsqueeze(-1), importance=0.5 * guided.double())


@pytest.mark.parametrize("head", [None, 1])
@pytest.mark.parametrize("by", ["cross_entropy", "mse"])
def test_the_loss_of_guided_alignment_is_that_of_a_loop(by, head):
    weights = weights_of(2, 3, 4, 5, seed=1)
    wanted = weights_of(2, 1, 4, 5, seed=2)[:, 0]
    importance = torch.tensor([[1.0, 0.5, 0.0, 2.0], [0.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
    expected = 0.0
    for b in range(2):
        for t in range(4):
            heads = weights[b, :, t].tolist()
            row = heads[1] if head else [sum(column) / 3 for column in zip(*heads, strict=True)]
            pairs = list(zip(row, wanted[b, t].tolist(), strict=True))
            terms = (
                [-g * math.log(a) for a, g in pairs]  # Chen et al. (2016), section 3
                if by == "cross_entropy"
                else [(a - g) ** 2 / 2 for a, g in pairs]
            )
            expected += importance[b, t].item() * sum(terms)
    targets = targets_of(wanted, importance=importance)
    found = guided_alignment_loss(weights, targets, by=by, head=head)
    assert found.item() == pytest.approx(expected, abs=1e-12)
    weights.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda each: guided_alignment_loss(each, targets, by=by, head=head), (weights,)
    )


def test_losses_of_guided_alignment_worked_out_by_hand():
    weights = torch.tensor([[[[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]]]], dtype=torch.float64)
    targets = targets_of(torch.tensor([[[0.0, 0.5, 0.5], [0.0, 0.0, 0.0]]], dtype=torch.float64))
    # -(ln 1/4 + ln 1/4) / 2 = 2 ln 2; (0.25 + 0.0625 + 0.0625) / 2; nothing is asked of row 2
    assert guided_alignment_loss(weights, targets).item() == pytest.approx(2 * math.log(2))
    assert guided_alignment_loss(weights, targets, by="mse").item() == pytest.approx(0.1875)


def test_a_weight_of_0_gives_a_finite_loss_and_gradient():
    weights = torch.tensor([[[[1.0, 0.0]]]], requires_grad=True)
    loss = guided_alignment_loss(weights, targets_of(torch.tensor([[[0.5, 0.5]]])))
    loss.backward()
    assert loss.isfinite() and weights.grad.isfinite().all()


@pytest.mark.parametrize("by", ["cross_entropy", "mse"])
@pytest.mark.parametrize("kind", ATTENTIVE, ids=str)
def test_guided_alignment_is_added_to_what_is_trained_and_to_nothing_else(kind, by):
    model = tiny_model(kind)
    batch = padded(PAIRS, wider=2, longer=3)
    batch = replace(batch, attention_targets=links_of(batch, seed=4))
    with torch.no_grad():
        plain = batch_loss(model, batch)
        added = batch_loss(model, batch, guidance=0.3, guided_by=by)
        weights = model.unroll(batch).weights
        expected = guided_alignment_loss(weights, batch.attention_targets, by=by).item()
        in_graph = padded_loss(model, batch, guidance=0.3, guided_by=by)
        unguided = batch_loss(model, padded(PAIRS), guidance=0.3, guided_by=by)
    assert expected > 0
    assert added.nll.item() == plain.nll.item()
    assert (added.objective - plain.objective).item() == pytest.approx(0.3 * expected)
    assert in_graph.objective.item() == pytest.approx(added.objective.item())
    assert unguided.objective.item() == pytest.approx(plain.objective.item())


@pytest.mark.parametrize("kind", [LUONG[0], BAHDANAU[0], CONDITIONAL[0]], ids=str)
def test_padding_and_the_batch_change_no_loss_of_guided_alignment(kind):
    model = tiny_model(kind)
    narrow = padded(PAIRS)
    narrow = replace(narrow, attention_targets=links_of(narrow, seed=5))
    wide = narrow.padded_to(8, narrow.source.ids.shape[1] + 3, narrow.labels.shape[1] + 2)
    wide = replace(
        wide,
        attention_targets=wide.attention_targets.map(lambda each: each.double()),
    )
    alone = []
    with torch.no_grad():
        for row in range(len(PAIRS)):
            one = padded([PAIRS[row]])
            rows, columns = one.labels.shape[1], one.source.ids.shape[1]
            cut = AttentionTargets(
                narrow.attention_targets.weights[row : row + 1, :rows, :columns],
                narrow.attention_targets.importance[row : row + 1, :rows],
            )
            alone.append(batch_loss(model, replace(one, attention_targets=cut), guidance=1.0))
        losses = [batch_loss(model, each, guidance=1.0).objective.item() for each in (narrow, wide)]
    assert losses[0] == pytest.approx(sum(each.objective.item() for each in alone), rel=1e-12)
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)


def rate(update: int, *, progress: float = 0.0, **settings: object) -> float:
    return learning_rate(TrainingConfig(**settings), update=update, progress=progress)


def test_the_rate_rises_in_a_line_during_warm_up():
    rates = [rate(n, learning_rate=1e-3, warmup=4) for n in range(1, 5)]
    assert rates == pytest.approx([0.25e-3, 0.5e-3, 0.75e-3, 1e-3])


@pytest.mark.parametrize("warmup", [1, 7, 4000])
def test_inverse_sqrt_is_equation_3_scaled_to_its_peak(warmup):
    peak = references.noam_rate(warmup, warmup=warmup, width=512)
    for update in (1, 2, 7, 50, 4000, 4001, 100_000):
        ours = rate(update, learning_rate=1e-3, warmup=warmup, decay="inverse_sqrt")
        paper = references.noam_rate(update, warmup=warmup, width=512)
        assert ours == pytest.approx(1e-3 * paper / peak, rel=1e-10)


def test_linear_decay_ends_at_nothing():
    progress = [0.0, 0.25, 0.5, 1.0, 1.5]
    rates = [rate(9, progress=p, learning_rate=4e-3, warmup=0) for p in progress]
    assert rates == pytest.approx([4e-3, 3e-3, 2e-3, 0.0, 0.0])


def test_no_decay_keeps_the_peak():
    assert rate(10**6, progress=1.0, learning_rate=4e-3, warmup=10, decay="none") == 4e-3


def test_without_warm_up_the_first_update_has_the_peak():
    for decay in ("linear", "inverse_sqrt", "none"):
        assert rate(1, learning_rate=4e-3, warmup=0, decay=decay) == 4e-3
