"""Kernels against float64, asked by test_kernels.py in a process whose Triton is interpreted.

Triton decides that as it is imported. On a machine with CUDA the same file asks the device itself.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from regmix_bench.kernels import batch_norm_kernels
from regmix_bench.kernels.batch_norm import batch_norm, plain_batch_norm
from regmix_bench.kernels.race import WrongKernel, require_right
from regmix_bench.models import build_model
from regmix_bench.models.norms import KernelNorm, NormKernels

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
torch.backends.cudnn.allow_tf32 = False  # whose rounding is none of the kernels
# Half a unit in the last place; the interpreter cuts bfloat16 off instead of rounding it.
ROUNDING = {torch.float32: 2e-6, torch.bfloat16: 2**-7}
# One channel, channels and rows that fill no block, several spans a channel, a single image.
SHAPES = [(4, 64, 4, 4), (3, 1, 5, 5), (2, 70, 3, 1), (1, 3, 2, 3), (9, 5, 8, 8), (2, 17, 33, 9)]


def layer(channels: int, dtype: torch.dtype = torch.float32) -> nn.BatchNorm2d:
    generator = torch.Generator().manual_seed(1)
    norm = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.3)
    with torch.no_grad():
        norm.weight.copy_(torch.randn(channels, generator=generator))
        norm.bias.copy_(torch.randn(channels, generator=generator) / 4)
        norm.running_mean.normal_(generator=generator)
    return norm.to(DEVICE, dtype)


def images(shape: tuple[int, ...], dtype: torch.dtype, seed: int, mean: float = 0.0) -> Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + mean
    return x.to(DEVICE, dtype)


def close(found: Tensor, expected: Tensor, rounding: float) -> None:
    length = expected.abs().max().item()
    assert (found.double() - expected.double()).abs().max() <= rounding * max(length, 1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("adds", "relu"), [(False, False), (False, True), (True, True), (True, 0)])
@pytest.mark.parametrize("shape", SHAPES)
def test_outputs_gradients_and_statistics(
    shape: tuple[int, ...], adds: bool, relu: bool, dtype: torch.dtype
) -> None:
    norm, exact = layer(shape[1]), layer(shape[1], torch.float64)
    given = [images(shape, dtype, seed, mean=2.0) for seed in range(2 if adds else 1)]
    weights = images(shape, dtype, 7)
    inputs = [value.clone().requires_grad_() for value in given]
    doubles = [value.double().requires_grad_() for value in given]
    found, expected = batch_norm(norm, *inputs, relu=relu), None
    expected = plain_batch_norm(exact, *doubles, relu=relu)
    assert found.dtype == dtype
    rounding = ROUNDING[dtype]
    close(found, expected, rounding)
    (found * weights).sum().backward()
    # Of the mask that the rounded output gives, as torch's own ReLU would.
    mask = (found > 0).double() if relu else 1.0
    (plain_batch_norm(exact, *doubles) * mask * weights.double()).sum().backward()
    for ours, theirs in zip(inputs, doubles, strict=True):
        close(ours.grad, theirs.grad, 4 * rounding)
    close(norm.weight.grad, exact.weight.grad, 4 * rounding)
    close(norm.bias.grad, exact.bias.grad, 4 * rounding)
    once = layer(shape[1], torch.float64)
    once(doubles[0].detach())
    for (name, ours), theirs in zip(norm.named_buffers(), once.buffers(), strict=True):
        assert ours.dtype == (torch.int64 if name == "num_batches_tracked" else torch.float32)
        close(ours, theirs, 4 * ROUNDING[torch.float32])


def test_a_mean_far_from_zero_costs_no_digits() -> None:
    norm, exact = layer(3), layer(3, torch.float64)
    x = images((4, 3, 6, 6), torch.float32, 0, mean=3000.0)
    close(batch_norm(norm, x), exact(x.double()), 1e-3)
    close(norm.running_var, exact.running_var, 1e-5)


def test_other_layouts() -> None:
    x = images((6, 8, 7, 4), torch.float32, 0)
    for view in (x.transpose(2, 3), x[::2], x[:, ::2], x[..., 1:]):
        norm, plain = layer(view.shape[1]), layer(view.shape[1])
        inputs = [view.clone().requires_grad_() for _ in range(2)]
        found = batch_norm(norm, inputs[0].as_strided(view.shape, inputs[0].stride()), relu=True)
        close(batch_norm(norm, view, relu=True), found, 1e-6)
        expected = plain_batch_norm(plain, inputs[1], relu=True)
        close(found, expected, 4e-6)
        for value in (found, expected):
            value.transpose(2, 3).square().sum().backward()
        close(inputs[0].grad, inputs[1].grad, 1e-5)


def test_frozen_weights_get_no_gradient() -> None:
    norm = layer(5).requires_grad_(False)
    x = images((3, 5, 4, 4), torch.float32, 0).requires_grad_()
    batch_norm(norm, x, relu=True).square().sum().backward()
    assert x.grad.abs().sum() > 0 and norm.weight.grad is None and norm.bias.grad is None


def test_second_derivatives_are_those_of_torch() -> None:
    found = []
    for call in (batch_norm, plain_batch_norm):
        norm = layer(4)
        x, added = (images((3, 4, 5, 5), torch.float32, s).requires_grad_() for s in range(2))
        y = call(norm, x, added, relu=True)
        (gradient,) = torch.autograd.grad((y**3).sum(), x, create_graph=True)
        gradient.square().sum().backward()
        found.append([x.grad, added.grad, norm.weight.grad, norm.bias.grad])
    for ours, theirs in zip(*found, strict=True):
        close(ours, theirs, 1e-4)


@pytest.mark.parametrize(
    "change",
    [
        lambda norm: norm.eval(),
        lambda norm: norm.double(),
        lambda norm: setattr(norm, "momentum", None),
        lambda norm: setattr(norm, "track_running_stats", False),
    ],
)
def test_what_does_not_fit_is_computed_by_torch(change: object) -> None:
    norm = layer(4)
    change(norm)
    other = copy.deepcopy(norm)
    x = images((3, 4, 5, 5), norm.weight.dtype, 0)
    assert torch.equal(batch_norm(norm, x, x, True), plain_batch_norm(other, x, x, True))
    for ours, theirs in zip(norm.buffers(), other.buffers(), strict=True):
        assert torch.equal(ours, theirs)


def test_what_is_not_a_number_stays_so() -> None:
    x = images((3, 4, 5, 5), torch.float32, 0)
    x[0, 1, 2, 2] = float("nan")
    found = batch_norm(layer(4), x, relu=True)
    assert torch.equal(found.isnan(), plain_batch_norm(layer(4), x, relu=True).isnan())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("adds", "relu"), [(False, False), (False, True), (True, True)])
def test_right_kernels_are_found_right(adds: bool, relu: bool, dtype: torch.dtype) -> None:
    if DEVICE == "cpu" and dtype == torch.bfloat16:
        pytest.skip("the interpreter cuts off instead of rounding")
    require_right(torch.Size([3, 20, 5, 5]), dtype, adds, relu, torch.device(DEVICE))


@pytest.mark.parametrize("broken", ["statistics", "normalise", "gradient_sums", "merged_sums"])
def test_wrong_kernels_are_found_wrong(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """One that writes nothing, as where a driver drops a launch; memory is then what it was."""

    class Nothing:
        def __getitem__(self, grid: object) -> object:
            return lambda *arguments: [
                a.fill_(0.5) for a in arguments[3:] if torch.is_tensor(a) and a.dim() == 1
            ]

    monkeypatch.setattr(batch_norm_kernels, broken, Nothing())
    with pytest.raises(WrongKernel, match="wrong on this device"):
        require_right(torch.Size([3, 20, 5, 5]), torch.float32, True, True, torch.device(DEVICE))


@pytest.mark.parametrize("arch", ["resnet8", "preactresnet18", "smallcnn"])
def test_a_network_computes_with_kernels_what_it_computes_without(arch: str) -> None:
    shape = (3, 8, 8)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        plain = build_model(arch, shape, 10).train().to(DEVICE)
    own, names = copy.deepcopy(plain), list(plain.state_dict())
    x = images((6, *shape), torch.float32, 0)
    norms = NormKernels(own)
    norms.choose(lambda: own(x), lambda *size: True, pytest.fail)
    assert all(torch.equal(a, b) for a, b in zip(own.buffers(), plain.buffers(), strict=True))
    assert len(norms.chosen) == sum(isinstance(m, nn.BatchNorm2d) for m in own.modules())
    with norms.placed():
        assert sum(type(m) is KernelNorm for m in own.modules()) == len(norms.chosen)
        assert not any(type(m) is nn.ReLU for m in own.trunk.modules()) or arch == "smallcnn"
        found = own(x)
    assert list(own.state_dict()) == names and not any(type(m) is KernelNorm for m in own.modules())
    expected = plain(x)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    found.square().sum().backward()
    expected.square().sum().backward()
    for (name, ours), theirs in zip(own.named_parameters(), plain.parameters(), strict=True):
        off = (ours.grad - theirs.grad).norm()
        assert off <= 2e-2 * theirs.grad.norm() + 1e-4, name
    for ours, theirs in zip(own.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_a_kernel_that_fails_leaves_torch_its_work() -> None:
    model, said = build_model("resnet8", (3, 8, 8), 10).train().to(DEVICE), []
    x = images((2, 3, 8, 8), torch.float32, 0)

    def judge(*size: object) -> bool:
        raise WrongKernel("batch norm is wrong on this device")

    norms = NormKernels(model)
    norms.choose(lambda: model(x), judge, said.append)
    assert not norms.chosen and len(said) == 1 and "batch norm is torch's own" in said[0]
    norms.choose(lambda: model(x), lambda shape, dtype, adds, relu: adds, said.append)
    assert len(norms.chosen) == 3 and len(said) == 1
