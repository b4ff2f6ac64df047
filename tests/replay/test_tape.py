"""A tape replays what was done, bit for bit, and what a CUDA graph gets wrong it gets wrong too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.recordings import Training, eager, replayed
from torch import Tensor, nn

from regmix_bench.replay.protocol import CannotRecord
from regmix_bench.replay.tape import TapeRecorder


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_replayed_steps_are_those_of_eager_training_bit_for_bit(optimizer: str) -> None:
    one, other = Training(optimizer, dropout=0.3), Training(optimizer, dropout=0.3)
    assert torch.equal(torch.stack(eager(one, one.step)), torch.stack(replayed(other, other.step)))
    expected, found = one.state(), other.state()
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


def test_recording_does_nothing_yet() -> None:
    training = Training(dropout=0.3)
    for number in (1, 2):
        training.fill(number)
        training.step()
    training.optimizer.zero_grad()
    before, drawn = training.state(), training.generator.get_state()
    prior, globally = training.prior.clone(), torch.get_rng_state()
    recording = TapeRecorder().record(training.step, [training.generator])
    after = training.state()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert torch.equal(training.prior, prior)
    assert torch.equal(training.generator.get_state(), drawn)
    assert torch.equal(torch.get_rng_state(), globally)
    assert recording.result.isnan()


class Small:
    """Buffers and host values of steps too small to be trained."""

    def __init__(self) -> None:
        self.x, self.generator = torch.zeros(4), torch.Generator()
        self.number, self.given = 0, self.x
        self.buffer, self.kept = torch.zeros(4), {"sum": torch.zeros(4)}
        self.layer = nn.Linear(4, 1, bias=False)
        nn.init.ones_(self.layer.weight)

    def fill(self, number: int) -> None:
        self.number = number
        self.x.fill_(number)
        self.given = torch.full((4,), float(number))
        self.layer.requires_grad_(number % 2 == 0)


def scaled_by_a_number_of_the_host(small: Small) -> Tensor:
    return small.x * small.number


def sliced_at_a_number_of_the_host(small: Small) -> Tensor:
    return small.x.cumsum(0)[small.number % 4]


def tensor_of_a_number_of_the_host(small: Small) -> Tensor:
    return small.x + torch.tensor(float(small.number))


def branch_by_a_number_of_the_host(small: Small) -> Tensor:
    return small.x + 1 if small.number % 2 else small.x - 1


def buffer_replaced(small: Small) -> Tensor:
    small.buffer = 0.5 * small.buffer + small.x
    return small.buffer


def buffer_in_a_dictionary_replaced(small: Small) -> Tensor:
    small.kept["sum"] = small.kept["sum"] + small.x
    return small.kept["sum"]


def weights_replaced(small: Small) -> Tensor:
    small.layer.weight = nn.Parameter(small.layer.weight.detach() + small.x)
    return small.layer(small.x).detach()


def memory_of_weights_replaced(small: Small) -> Tensor:
    small.layer.weight.data = small.layer.weight.data + small.x
    return small.layer(small.x).detach()


def input_forgotten(small: Small) -> Tensor:
    return small.x + small.given


def input_of_a_layer_forgotten(small: Small) -> Tensor:
    return small.layer(torch.stack([small.x, small.given])).detach()


@pytest.mark.parametrize(
    "fault",
    [
        scaled_by_a_number_of_the_host,
        sliced_at_a_number_of_the_host,
        tensor_of_a_number_of_the_host,
        branch_by_a_number_of_the_host,
        buffer_replaced,
        buffer_in_a_dictionary_replaced,
        weights_replaced,
        memory_of_weights_replaced,
        input_forgotten,
        input_of_a_layer_forgotten,
    ],
)
def test_what_a_graph_would_not_see_a_tape_does_not_see(fault: Callable[[Small], Tensor]) -> None:
    one, other = Small(), Small()
    expected = torch.stack(eager(one, lambda: fault(one)))
    found = torch.stack(replayed(other, lambda: fault(other)))
    assert torch.equal(found[:3], expected[:3])  # rehearsed, and replayed as it was recorded
    assert not torch.equal(found[3:], expected[3:])


def buffer_filled(small: Small) -> Tensor:
    small.buffer.mul_(0.5).add_(small.x)
    return small.buffer


def memory_of_weights_filled(small: Small) -> Tensor:
    small.layer.weight.data.add_(small.x)
    return small.layer(small.x).detach()


def view_of_a_buffer_filled(small: Small) -> Tensor:
    small.buffer.view(2, 2).t()[1:].copy_(small.x[:2])
    return small.buffer * 2


def rows_written_by_index(small: Small) -> Tensor:
    small.buffer[small.x[:2].long() % 4] = small.x[2:] + torch.rand(2, generator=small.generator)
    return small.buffer.clone()


def masked_fill(small: Small) -> Tensor:
    small.buffer[small.x > 2] = 7.0
    return torch.where(small.x > 4, 1.0, small.buffer)


def gradient_added_to(small: Small) -> Tensor:
    weight = small.buffer.requires_grad_()
    for factor in (1, 2):
        (factor * weight * small.x).sum().backward()
    assert weight.grad is not None
    gradient, weight.grad = weight.grad, None
    return gradient


def of_fresh_memory(small: Small) -> Tensor:
    found = torch.empty(4)
    torch.add(small.x, 1, out=found)
    return torch.cat([found, torch.zeros(4)])[2:6]


@pytest.mark.parametrize(
    "work",
    [
        buffer_filled,
        memory_of_weights_filled,
        view_of_a_buffer_filled,
        rows_written_by_index,
        masked_fill,
        gradient_added_to,
        of_fresh_memory,
    ],
)
def test_what_a_graph_sees_a_tape_sees(work: Callable[[Small], Tensor]) -> None:
    one, other = Small(), Small()
    expected = torch.stack(eager(one, lambda: work(one).detach()))
    assert torch.equal(torch.stack(replayed(other, lambda: work(other).detach())), expected)


def item(x: Tensor) -> Any:
    return x.sum().item()


def branch(x: Tensor) -> Any:
    return 1 if (x > 0).any() else 2


def formatted(x: Tensor) -> Any:
    return f"{x.sum():.3f}"


def in_the_backward_pass(x: Tensor) -> Any:
    class Reading(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Any:
            return gradients[0] * gradients[0].max().item()

    Reading.apply(x.clone().requires_grad_()).sum().backward()


@pytest.mark.parametrize(
    ("reading", "named"),
    [
        (item, "_local_scalar_dense"),
        (branch, "_local_scalar_dense"),
        (formatted, "_local_scalar_dense"),
        (in_the_backward_pass, "_local_scalar_dense"),
        (lambda x: x[x > 0], "index"),
        (lambda x: x.masked_select(x > 0), "masked_select"),
        (lambda x: x.nonzero(), "nonzero"),
        (lambda x: torch.where(x > 0), "nonzero"),
        (lambda x: x.__setitem__(x > 0, x[:2]), "index_put_"),
        (lambda x: torch.equal(x, x), "equal"),
        (lambda x: x.unique(), "_unique2"),
        (lambda x: x.tolist(), "tolist"),
        (lambda x: x.numpy(), "numpy"),
        (lambda x: x.cpu(), "cpu"),
        (lambda x: x.to("cpu"), "to"),
        (lambda x: print(x), "__repr__"),
        (lambda x: torch.tensor([1.0], device=x.device), "tensor"),
        (lambda x: x.new_tensor([1.0]), "new_tensor"),
        (lambda x: torch.linalg.inv(x.view(2, 2)), "_linalg_check_errors"),
    ],
)
def test_what_reads_a_tensor_on_the_host_is_named(
    reading: Callable[[Tensor], Any], named: str
) -> None:
    x = torch.tensor([1.0, 2.0, 3.0, 5.0])
    with pytest.raises(CannotRecord) as raised:
        TapeRecorder().record(lambda: (x.add_(1), reading(x)))
    assert str(raised.value).startswith(f"{named} makes the host wait for the device (replay/test_")
    assert x.tolist() == [1, 2, 3, 5]


def test_the_line_that_is_named_is_that_of_the_method() -> None:
    class Layer(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x / x.norm().item()

    with pytest.raises(CannotRecord) as raised:
        TapeRecorder().record(lambda: nn.Sequential(Layer())(torch.ones(2)))
    line = Layer.forward.__code__.co_firstlineno + 1
    assert str(raised.value).endswith(f"(replay/test_tape.py:{line})")


def test_an_error_of_the_work_is_why_it_cannot_be_recorded() -> None:
    x = torch.ones(2)
    with pytest.raises(CannotRecord, match=r"RuntimeError: mat1 .* \(replay/test_tape\.py:\d+\)$"):
        TapeRecorder().record(lambda: x.add_(1) @ nn.Linear(3, 2)(x))
    assert x.tolist() == [1, 1]


def test_generators_are_named_and_plain() -> None:
    class Own(torch.Generator):
        pass

    generator = torch.Generator()
    with pytest.raises(CannotRecord, match=r"^rand draws from a generator that was not named"):
        TapeRecorder().record(lambda: torch.rand(2, generator=generator))
    with pytest.raises(TypeError, match="plain generators"):
        TapeRecorder().record(lambda: torch.rand(2, generator=Own()), [Own()])


def test_a_recording_takes_up_what_another_made() -> None:
    """As a backward pass takes up its forward pass; and an eager one after them still can."""
    layer, x = nn.Linear(3, 3), torch.rand(2, 3, requires_grad=True)
    made: list[Tensor] = []
    recorder = TapeRecorder()
    forward = recorder.record(lambda: made.append(layer(x).square()))
    backward = recorder.record(lambda: torch.autograd.grad(made[0].sum(), x, retain_graph=True)[0])
    for number in range(3):
        x.data.fill_(number)  # unseen by autograd, as a replay is
        forward.replay()
        backward.replay()
        (expected,) = torch.autograd.grad(layer(x).square().sum(), x)
        assert torch.equal(backward.result, expected)
        assert torch.equal(torch.autograd.grad(made[0].sum(), x, retain_graph=True)[0], expected)
