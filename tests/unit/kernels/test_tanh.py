"""The fast hyperbolic tangent beside torch's own."""

import pytest
import torch

from seq2seq.kernels.tanh import tanh


@pytest.mark.parametrize(
    ("dtype", "atol"), [(torch.float64, 1e-15), (torch.float32, 2e-7), (torch.bfloat16, 0)]
)
def test_it_is_that_of_torch_but_for_rounding(dtype, atol):
    inputs = torch.cat([torch.linspace(-30, 30, 999), torch.tensor([0.0, 1e-9, -1e4])]).to(dtype)
    with torch.inference_mode():
        torch.testing.assert_close(tanh(inputs), inputs.tanh(), rtol=0, atol=atol)
        assert tanh(torch.tensor([torch.inf, -torch.inf])).tolist() == [1, -1]
        assert tanh(torch.tensor(torch.nan)).isnan()
    assert torch.equal(tanh(inputs), inputs.tanh())  # the same digits in training
