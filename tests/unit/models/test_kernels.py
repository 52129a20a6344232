"""The CPU kernels compute what PyTorch's own do."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from cl.models.half_weights import HalfWeights
from cl.models.kernels import CpuKernels


def _attention_inputs(length: int, kind: torch.dtype) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(length)
    shape = (3, length, 2, 8)
    return [
        torch.randn(shape, generator=generator).to(kind).transpose(1, 2).requires_grad_()
        for _ in range(3)  # query, key and value, laid out as encoders do
    ]


def _masks(length: int, kind: torch.dtype) -> dict[str, torch.Tensor | None]:
    padding = torch.ones(3, 1, length, length, dtype=torch.bool)
    padding[1, :, :, length // 2 :] = False
    added = torch.zeros(padding.shape, dtype=kind).masked_fill(~padding, -50)
    return {"none": None, "boolean": padding, "added": added}


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("length", [2, 12, 20, 40])
@pytest.mark.parametrize("mask", ["none", "boolean", "added"])
def test_attention_and_its_gradients_are_those_of_pytorch_in_float32(length: int, mask: str, kind: torch.dtype) -> None:
    inputs, wanted = _attention_inputs(length, kind), torch.randn(3, 2, length, 8)
    with CpuKernels():
        fast = functional.scaled_dot_product_attention(*inputs, attn_mask=_masks(length, kind)[mask])
    gradients = torch.autograd.grad((fast.float() * wanted).sum(), inputs)
    exact = [each.detach().float().requires_grad_() for each in inputs]
    slow = functional.scaled_dot_product_attention(*exact, attn_mask=_masks(length, torch.float32)[mask])
    expected = torch.autograd.grad((slow * wanted).sum(), exact)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if kind == torch.float32 else {"rtol": 0.05, "atol": 0.08}
    for ours, theirs in zip((fast, *gradients), (slow, *expected), strict=True):
        torch.testing.assert_close(ours.float(), theirs, **tolerance)


def test_causal_attention_with_a_scale_is_that_of_pytorch() -> None:
    inputs = _attention_inputs(9, torch.float32)
    with CpuKernels():
        fast = functional.scaled_dot_product_attention(*inputs, is_causal=True, scale=0.3)
    torch.testing.assert_close(fast, functional.scaled_dot_product_attention(*inputs, is_causal=True, scale=0.3))


def test_a_row_of_padding_alone_is_not_nan() -> None:
    inputs, mask = _attention_inputs(6, torch.bfloat16), torch.zeros(3, 1, 6, 6, dtype=torch.bool)
    with CpuKernels():
        assert functional.scaled_dot_product_attention(*inputs, attn_mask=mask).isfinite().all()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(8,), (5, 8), (2, 3, 8), (0, 8)])
def test_a_linear_layer_without_gradients_computes_the_same(shape: tuple[int, ...], bias: bool) -> None:
    layer, states = nn.Linear(8, 4, bias=bias), torch.randn(shape)
    with torch.inference_mode(), CpuKernels():
        torch.testing.assert_close(layer(states), nn.Linear.forward(layer, states))
        strided = torch.randn(8, 6).t()
        torch.testing.assert_close(layer(strided), strided @ layer.weight.t() + (layer.bias if bias else 0))


def test_a_linear_layer_with_gradients_keeps_them() -> None:
    layer = nn.Linear(8, 4)
    with CpuKernels():
        layer(torch.ones(2, 8)).sum().backward()
    torch.testing.assert_close(layer.weight.grad, torch.full((4, 8), 2.0))


def test_half_weights_give_float32_gradients_to_the_float32_weights() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 4))
    model[0].weight.requires_grad_(False)
    halves, states = HalfWeights(model), torch.randn(5, 8)
    with halves.in_use():
        out = model(states.bfloat16())
    assert out.dtype == torch.bfloat16
    out.float().square().sum().backward()
    assert model[0].weight.dtype == torch.float32 and model[0].weight.grad is None
    given = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad()
    model(states).square().sum().backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert given[name].dtype == torch.float32
            torch.testing.assert_close(given[name], parameter.grad, rtol=0.1, atol=0.5)


def test_half_weights_follow_the_weights_from_step_to_step() -> None:
    model = nn.Linear(2, 1, bias=False)
    halves = HalfWeights(model)
    for value in (1.0, 3.0):
        with torch.no_grad():
            model.weight.fill_(value)
        with halves.in_use():
            assert model(torch.ones(1, 2, dtype=torch.bfloat16)).item() == 2 * value


def test_the_weights_are_back_after_an_error() -> None:
    model = nn.Linear(2, 1)
    own = model.weight
    with pytest.raises(RuntimeError), HalfWeights(model).in_use():
        raise RuntimeError
    assert model.weight is own and dict(model.named_parameters())["weight"] is own
