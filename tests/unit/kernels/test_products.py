"""Products with packed weights beside those in float64, and the choice among precisions."""

import math

import pytest
import torch
import torch.nn.functional as F
from searching import translate
from tiny import BAHDANAU, CELLS, CONDITIONAL, LUONG, PLAIN, tiny_model

from seq2seq.batch import EOS
from seq2seq.config import SearchConfig
from seq2seq.errors import ConfigError
from seq2seq.kernels import products
from seq2seq.kernels.packed_weights import OneDNNWeight, has_packed_products
from seq2seq.kernels.products import (
    Bfloat16Weight,
    Int8Weight,
    PackedProducts,
    has_int8_products,
    linear,
    search_precision,
    search_products,
)
from seq2seq.search.inference import SingleModel
from seq2seq.search.scoring import score_ids

PRECISIONS = [
    "bfloat16",
    pytest.param("int8", marks=pytest.mark.skipif(not has_int8_products(), reason="no int8")),
]
packed_products = pytest.mark.skipif(not has_packed_products(), reason="no oneDNN")
OTHER_KINDS = [PLAIN[1], BAHDANAU[3], CONDITIONAL[2]]
OUTPUT_IDS = [0, 2, 3, 4, 5, 7, 8, 9, 10]
SOURCES = [[5, 6, 7], [8], [9, 10, 4, 5, 6, 7], [8], [4, 4]]


def drawn(*shape, seed=0, spread=1.0):
    return spread * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


FEWER_LEVELS = has_int8_products() and products.int8_levels() < 127


@pytest.fixture(
    params=[
        pytest.param(127, marks=pytest.mark.skipif(FEWER_LEVELS, reason="sums would overflow")),
        63,
    ]
)
def levels(request, monkeypatch):
    monkeypatch.setattr(products, "int8_levels", lambda: request.param)
    return request.param


@PRECISIONS[1].marks[0]
def test_an_int8_product_is_that_of_the_rounded_numbers(levels):
    inputs, weight, addend = drawn(5, 40), drawn(24, 40, seed=1), drawn(5, 24, seed=2)
    inputs[2] = 0.0
    weight[3] = 0.0
    per_row = inputs.abs().amax(1, keepdim=True).double() / levels
    rows = torch.where(per_row > 0, inputs.double() / per_row, 0.0)
    per_column = weight.abs().amax(1).double() / 127
    columns = torch.where(per_column[:, None] > 0, weight.double() / per_column[:, None], 0.0)
    exact = rows.round() @ columns.round().T * per_row * per_column
    reduced = Int8Weight(weight)
    torch.testing.assert_close(reduced(inputs, None), exact.float(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(reduced(inputs, addend[0]), exact.float() + addend[0])
    torch.testing.assert_close(reduced(inputs, addend), exact.float() + addend)
    error = (exact - inputs.double() @ weight.double().T).norm() / exact.norm()
    assert error < 2.5 / levels


@PRECISIONS[1].marks[0]
def test_the_largest_numbers_do_not_overflow(levels):
    signs = drawn(1, 512).sign()
    for inputs, weight in (
        (torch.ones(3, 512), torch.ones(16, 512)),
        (signs, signs.expand(16, 512)),
    ):
        assert Int8Weight(weight)(inputs, None).allclose(torch.tensor(512.0))


@PRECISIONS[1].marks[0]
def test_a_row_of_int8_does_not_depend_on_the_others():
    inputs, reduced = drawn(33, 50) * torch.logspace(-3, 3, 33)[:, None], Int8Weight(drawn(20, 50))
    together = reduced(inputs, None)
    for row in (0, 7, 32):
        assert torch.equal(reduced(inputs[row : row + 1], None), together[row : row + 1])


@PRECISIONS[1].marks[0]
def test_what_is_no_number_is_not_hidden():
    inputs = drawn(3, 16)
    inputs[1, 4] = math.nan
    found = Int8Weight(drawn(8, 16))(inputs, None)
    assert found[1].isnan().all() and found[[0, 2]].isfinite().all()


def test_a_bfloat16_product_rounds_factors_and_result():
    inputs, weight, addend = drawn(5, 40), drawn(24, 40, seed=1), drawn(24, seed=2)
    exact = inputs.bfloat16().double() @ weight.bfloat16().double().T
    found = Bfloat16Weight(weight)(inputs, addend)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found - addend, exact.float(), rtol=2**-8, atol=1e-5)


@packed_products
def test_a_product_with_a_packed_weight_is_that_of_float64_row_by_row():
    inputs, weight, bias, addend = drawn(33, 50), drawn(20, 50), drawn(20), drawn(33, 20, seed=1)
    exact, packed = inputs.double() @ weight.double().T, OneDNNWeight(weight)
    for given in (None, bias, addend):
        expected = exact if given is None else exact + given
        torch.testing.assert_close(packed(inputs, given), expected.float(), rtol=1e-5, atol=1e-5)
    together = packed(inputs)
    for rows in (slice(0, 1), slice(7, 9), slice(32, 33)):
        assert torch.equal(packed(inputs[rows]), together[rows])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_linear_is_that_of_torch_unless_other_products_are_active(precision):
    inputs, weight, bias = drawn(2, 3, 16), drawn(8, 16, seed=1), drawn(8, seed=2)
    expected = F.linear(inputs, weight, bias)
    reduced = PackedProducts(precision)
    assert torch.equal(linear(inputs, weight, bias), expected)
    with reduced.active():
        found = linear(inputs, weight, bias)
        torch.testing.assert_close(found, expected, rtol=0.05, atol=0.1)
        assert not torch.equal(found, expected)
        assert torch.equal(linear(inputs, weight[:4], bias[:4]), found[..., :4])  # another weight
        assert torch.equal(linear(inputs[1], weight, bias.expand(3, 8)), found[1])
    assert torch.equal(linear(inputs, weight, bias), expected)


def test_a_weight_is_converted_once(monkeypatch):
    converted = []
    monkeypatch.setattr(
        products, "Bfloat16Weight", lambda w: converted.append(w) or Bfloat16Weight(w)
    )
    model, reduced = tiny_model(BAHDANAU[3], dtype=torch.float32), PackedProducts("bfloat16")
    for _ in range(2):
        with reduced.active():
            translate(model, SOURCES, SearchConfig(beam=2))
        assert len(converted) == len({weight.data_ptr() for weight in converted}) > 3


@pytest.mark.parametrize("precision", [pytest.param("float32", marks=packed_products), *PRECISIONS])
@pytest.mark.parametrize(
    ("kind", "cell"),
    [*((LUONG[4], cell) for cell in CELLS), *((kind, "lstm") for kind in OTHER_KINDS)],
    ids=str,
)
def test_a_search_is_near_that_in_float32_and_the_same_in_any_batch(kind, cell, precision):
    model = tiny_model(kind, cell=cell, dtype=torch.float32, output_ids=OUTPUT_IDS)
    with torch.no_grad():
        model.output.vocabulary.bias[EOS] += 2.0
    single, config, targets = SingleModel(model), SearchConfig(beam=2), [[4, 5], [], [7], [8], [9]]
    exact = score_ids(single, SOURCES, targets)
    reduced = PackedProducts(precision)
    with reduced.active():
        together = translate(model, SOURCES, config)
        alone = [translate(model, [source], config)[0] for source in SOURCES]
        rounded = score_ids(single, SOURCES, targets)
    for (ours, *_), (theirs, *_) in zip(together, alone, strict=True):
        assert ours.ids == theirs.ids
        assert ours.log_probability == pytest.approx(theirs.log_probability, abs=1e-4)
    for before, after in zip(exact, rounded, strict=True):
        if precision == "float32":
            assert before == pytest.approx(after, rel=1e-6, abs=1e-6)
        else:
            assert before == pytest.approx(after, abs=0.1) and before != after


@pytest.mark.parametrize("most", [2**26, 100])
def test_the_rows_of_a_function_of_ids_are_kept_unless_they_are_too_many(monkeypatch, most):
    monkeypatch.setattr(products, "_MOST_KEPT", most)
    table, computed, owner = drawn(20, 6), [], object()

    def function(ids):
        computed.extend(ids.tolist())
        return table[ids]

    def found(*ids):
        computed.clear()
        return products.function_of_ids(owner, function, torch.tensor(ids), vocabulary=20)

    assert torch.equal(found(3, 7, 3), table[[3, 7, 3]]) and computed == [3, 7, 3]
    with PackedProducts("bfloat16").active():
        assert torch.equal(found(3, 7, 3), table[[3, 7, 3]])
        assert torch.equal(found(7, 5, 3), table[[7, 5, 3]])
        assert computed == ([5] if most > 120 else [7, 5, 3])


def test_float32_products_are_those_of_torch_where_there_are_none_with_packed_weights(monkeypatch):
    monkeypatch.setattr(products, "has_packed_products", lambda: False)
    assert search_products("float32", "cpu") is None and search_products("float32", "cuda") is None
    monkeypatch.setattr(products, "has_packed_products", lambda: True)
    assert search_products("float32", "cuda") is None
    assert search_products("float32", "cpu").precision == "float32"  # type: ignore[union-attr]


def test_the_fastest_products_are_chosen_and_missing_ones_refused(monkeypatch):
    monkeypatch.setattr(products, "has_bfloat16_products", lambda device: device != "cpu")
    monkeypatch.setattr(products, "has_int8_products", lambda: True)
    assert [search_precision("auto", device) for device in ("cpu", "cuda")] == ["int8", "bfloat16"]
    with pytest.raises(ConfigError, match="no int8 products on cuda: they are for the CPU"):
        search_precision("int8", "cuda")
    monkeypatch.setattr(products, "has_int8_products", lambda: False)
    assert search_precision("auto", "cpu") == "float32"
    with pytest.raises(ConfigError, match="no int8 products on cpu"):
        search_precision("int8", "cpu")
    assert search_precision("bfloat16", "cpu") == "bfloat16"
