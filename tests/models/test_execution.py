"""How a network is run changes its speed, and its numbers by rounding alone."""

from __future__ import annotations

import copy
import shutil
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from regmix_bench.attacks.pgd import input_gradient
from regmix_bench.errors import UserError
from regmix_bench.methods import METHODS, load_method
from regmix_bench.methods.multi_step import attack_mode
from regmix_bench.models import build_model
from regmix_bench.models.execution import ModelRunner
from regmix_bench.models.predictions import PassCounter
from regmix_bench.system import machine
from regmix_bench.system.machine import Execution, choose_execution
from regmix_bench.types import Batch, ThreatModel

CPU = torch.device("cpu")
PLAIN, LAST = Execution(), Execution(channels_last=True)
COMPILED = Execution(channels_last=True, compile=True)
LINF = ThreatModel("Linf", "8/255")
SHAPE = (3, 16, 16)


@pytest.fixture
def model() -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        built = build_model("resnet8", SHAPE, 10)
        with torch.no_grad():
            built(torch.rand(8, *SHAPE))  # statistics of its own
    return built.train()


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(8, *SHAPE, generator=generator)
    return Batch(x, torch.arange(8), torch.arange(8))


@pytest.fixture
def quick_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything of compilation but the code generator, which takes half a minute."""
    compiled = torch.compile

    def compile_(function: Any, **options: Any) -> Any:
        return compiled(function, backend="aot_eager", **options)

    monkeypatch.setattr(torch, "compile", compile_)


def gradients(model: nn.Module) -> list[Tensor]:
    return [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("execution", [PLAIN, LAST])
def test_a_gradient_has_the_layout_of_its_images(
    model: nn.Module, batch: Batch, execution: Execution, layout: torch.memory_format
) -> None:
    executed = ModelRunner(copy.deepcopy(model), execution)
    x = batch.x.contiguous(memory_format=layout)
    found = input_gradient(lambda z: executed(z).square().sum(), x)
    expected = input_gradient(lambda z: model(z).square().sum(), batch.x)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert found.is_contiguous(memory_format=layout)


def test_the_weights_are_the_models_own(model: nn.Module) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    executed = ModelRunner(model, LAST)
    assert executed.model is model
    assert model.get_submodule("trunk.0").weight.is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("execution", [PLAIN, LAST])
def test_an_attack_sees_the_model_as_it_is_evaluated(
    model: nn.Module, batch: Batch, execution: Execution
) -> None:
    executed = ModelRunner(model, execution)
    for _ in range(2):  # before and after an update
        state = {name: value.clone() for name, value in model.state_dict().items()}
        with torch.no_grad(), attack_mode(executed, "eval"):
            found = executed(batch.x)
        expected = copy.deepcopy(model).eval()(batch.x)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        assert model.training and executed.training
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
        optimizer = torch.optim.SGD(model.parameters(), 0.05)
        nn.functional.cross_entropy(executed(batch.x), batch.y).backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            changed = copy.deepcopy(model).eval()(batch.x)
        assert (changed - expected).abs().max() > 1e-2


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_no_gradient_of_an_attack_reaches_a_weight(
    model: nn.Module, batch: Batch, mode: Any, wrapped: bool
) -> None:
    target = ModelRunner(model, PLAIN) if wrapped else model
    x = batch.x.clone().requires_grad_()
    with attack_mode(target, mode):
        target(x).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    assert not gradients(model)
    assert model.training and all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "execution"),
    # Compiled: an attack on the folded copy, and a graph that serves attack and loss.
    [(name, LAST) for name in METHODS.names()] + [("trades", COMPILED), ("regmix", COMPILED)],
)
def test_a_step_is_the_same_however_the_network_is_run(
    model: nn.Module, batch: Batch, quick_compiler: None, name: str, execution: Execution
) -> None:
    losses, found = [], []
    for run in (lambda m: m, lambda m: ModelRunner(m, execution)):
        method = load_method(name)
        method.setup(8, SHAPE, CPU)
        method.on_epoch_start(1)
        trained = copy.deepcopy(model)
        output = method.step(run(trained), batch, LINF, torch.Generator().manual_seed(2))
        output.loss.backward()
        losses.append(output.loss.detach())
        found.append(torch.cat([gradient.flatten() for gradient in gradients(trained)]))
    # The sign of a gradient near zero may round either way, and then moves a pixel by a whole step.
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-2, atol=1e-2)
    assert nn.functional.cosine_similarity(*found, dim=0) > 0.99


def test_bf16_computes_in_bf16_and_answers_in_float32(model: nn.Module, batch: Batch) -> None:
    executed = ModelRunner(model, PLAIN, "bf16")
    seen: list[torch.dtype] = []
    layer = model.get_submodule("trunk.0")
    layer.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    logits = executed(batch.x)
    logits.sum().backward()
    assert seen == [torch.bfloat16] and logits.dtype == torch.float32
    assert (logits != logits.bfloat16()).any()  # not rounded on the way
    assert {gradient.dtype for gradient in gradients(model)} == {torch.float32}
    torch.testing.assert_close(logits, copy.deepcopy(model)(batch.x), rtol=0.1, atol=0.1)


def test_a_warm_up_leaves_nothing_behind(
    model: nn.Module, batch: Batch, quick_compiler: None
) -> None:
    state = {name: value.clone() for name, value in model.state_dict().items()}
    executed = ModelRunner(model, COMPILED)
    assert executed.warm_up([lambda: executed(batch.x).sum(), lambda: executed(batch.x).sum()]) > 0
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert not gradients(model) and model.training


def test_methods_and_architectures_one_after_another_run_compiled(
    batch: Batch, quick_compiler: None
) -> None:
    """In one process, as in a grid: all share the compiler's graphs and their number."""
    from torch._dynamo.utils import counters

    torch._dynamo.reset()  # of the graphs of other tests
    for name, arch in [("regmix-agr", "resnet8"), ("regmix", "resnet8"), ("regmix", "resnet18")]:
        executed = ModelRunner(build_model(arch, SHAPE, 10), COMPILED)
        for part in (slice(0, 8), slice(0, 7), slice(0, 6), slice(0, 5)):
            method = load_method(name)
            method.setup(8, SHAPE, CPU)
            method.on_epoch_start(1)
            images = Batch(batch.x[part], batch.y[part], batch.index[part])
            before = counters["stats"]["unique_graphs"]
            output = method.step(executed, images, LINF, torch.Generator().manual_seed(0))
            output.loss.backward()
            assert torch.isfinite(output.loss)
            compiled = counters["stats"]["unique_graphs"] - before
            assert compiled or arch == "resnet8"  # whose graphs the second method finds there


def test_passes_through_the_folded_copy_are_counted(model: nn.Module, batch: Batch) -> None:
    executed = ModelRunner(model, PLAIN)
    method = load_method("trades", steps=3)
    with PassCounter(executed) as passes:
        output = method.step(executed, batch, LINF, torch.Generator().manual_seed(0))
        output.loss.backward()
    # Clean probabilities once, three steps, and two passes with weight gradients.
    assert (passes.forward_images, passes.backward_images) == ((1 + 3 + 2) * 8, (3 + 2) * 8)


def test_what_suits_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_execution(CPU, 32) == Execution(channels_last=True, compile=False)
    assert choose_execution(CPU, 8) == Execution(channels_last=False, compile=False)
    assert choose_execution(CPU, 32, channels_last="off") == Execution()
    assert choose_execution(CPU, 8, channels_last="on").channels_last
    cuda = torch.device("cuda")
    assert choose_execution(cuda, 32) == Execution(channels_last=True, graphs=True)
    assert choose_execution(cuda, 32, graphs="off") == Execution(channels_last=True)
    monkeypatch.setattr(machine, "find_spec", lambda name: object())
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert choose_execution(cuda, 32, compile="on") == Execution(True, True, graphs=True)


def test_graphs_need_cuda() -> None:
    with pytest.raises(UserError, match="graphs 'on': there are CUDA graphs on CUDA alone"):
        choose_execution(CPU, 32, graphs="on")


def test_a_missing_compiler_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_: None)
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    assert not choose_execution(CPU, 32).compile
    for device, compiler in ((CPU, r"a C\+\+ compiler"), (torch.device("cuda"), "triton")):
        with pytest.raises(UserError, match=f"compile 'on': {compiler} is not installed here"):
            choose_execution(device, 32, compile="on")


@pytest.mark.cuda
@pytest.mark.parametrize("name", METHODS.names())
def test_a_step_never_waits_for_the_device(model: nn.Module, batch: Batch, name: str) -> None:
    device = torch.device("cuda")
    executed = ModelRunner(model.to(device), LAST, "bf16")
    there = Batch(batch.x.to(device), batch.y.to(device), batch.index.to(device))
    method = load_method(name)
    method.setup(8, SHAPE, device)
    method.on_epoch_start(1)
    generator = torch.Generator(device).manual_seed(0)
    for careful in (False, True):  # the first step chooses kernels
        torch.cuda.set_sync_debug_mode("error" if careful else "default")
        try:
            method.step(executed, there, LINF, generator).loss.backward()
            method.after_update(model)
        finally:
            torch.cuda.set_sync_debug_mode("default")
