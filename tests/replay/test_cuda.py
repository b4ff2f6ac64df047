"""Recordings of a CUDA device, and the ordinary work that goes on where one fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.recordings import Training, eager, replayed
from torch import Tensor

from regmix_bench.replay.cuda import CudaRecorder
from regmix_bench.replay.protocol import CannotRecord
from regmix_bench.replay.watch import Watch

pytestmark = pytest.mark.cuda

CUDA = torch.device("cuda")


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_replayed_steps_are_those_of_eager_training(optimizer: str) -> None:
    """Dropout and the start of an attack draw the same numbers, and rounding alone differs."""
    one, other = (Training(optimizer, dropout=0.3, device=CUDA) for _ in range(2))
    expected = torch.stack(eager(one, one.step))
    found = torch.stack(replayed(other, other.step, CudaRecorder(CUDA)))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(other.state(), one.state(), rtol=1e-2, atol=1e-3)


def test_recording_does_nothing_yet() -> None:
    training, recorder = Training(device=CUDA), CudaRecorder(CUDA)
    for number in (1, 2):
        training.fill(number)
        recorder.rehearse(training.step)
    training.optimizer.zero_grad()
    before, drawn = training.state(), training.generator.get_state()
    recorder.record(training.step, [training.generator])
    torch.cuda.synchronize()
    torch.testing.assert_close(training.state(), before, rtol=0, atol=0)
    assert torch.equal(training.generator.get_state(), drawn)


def test_recordings_share_memory_and_keep_their_results() -> None:
    recorder, x = CudaRecorder(CUDA), torch.zeros(1000, device=CUDA)
    works: list[Callable[[], Tensor]] = [
        lambda: (x + 1).exp().log().sum(),
        lambda: (x * 2).cumsum(0).square().sqrt().sum(),
    ]
    recordings = []
    for work in works:
        recorder.rehearse(work)
        recordings.append(recorder.record(work))
    for number in (3, 1, 2):
        x.fill_(number)
        for recording, work in zip(recordings, works, strict=True):
            recording.replay()
            torch.testing.assert_close(recording.result, work())
        torch.testing.assert_close(recordings[0].result, works[0]())


def test_a_recorder_goes_on_when_all_its_recordings_were_dropped() -> None:
    recorder, x = CudaRecorder(CUDA), torch.ones(1000, device=CUDA)
    kept = []
    for _ in range(3):
        recording = recorder.record(lambda: x + 1)
        recording.replay()
        kept.append(recording.result)  # in the memory of a pool whose graphs are gone
        del recording
        torch.cuda.empty_cache()
    assert all(bool((result == 2).all()) for result in kept)


def reads_item(x: Tensor) -> Any:
    return x * x.sum().item()


def reads_mask(x: Tensor) -> Any:
    return x[x > 0]


def copies_to_the_host(x: Tensor) -> Any:
    return x.cpu()


def copies_to_the_device(x: Tensor) -> Any:
    return x + torch.tensor([1.0], device=x.device)


def reads_in_the_backward_pass(x: Tensor) -> Any:
    class Reading(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Any:
            return gradients[0] * gradients[0].max().item()

    Reading.apply(x.clone().requires_grad_()).sum().backward()


READING = [
    reads_item,
    reads_mask,
    copies_to_the_host,
    copies_to_the_device,
    reads_in_the_backward_pass,
]


@pytest.mark.parametrize("reading", READING)
def test_work_goes_on_after_a_recording_that_failed(reading: Callable[[Tensor], Any]) -> None:
    recorder, x, generator = CudaRecorder(CUDA), torch.ones(4, device=CUDA), torch.Generator(CUDA)
    stream = torch.cuda.current_stream()

    def drawing() -> Tensor:
        return x + torch.rand(4, device=CUDA, generator=generator) + torch.rand(4, device=CUDA)

    def work() -> Any:
        return drawing(), reading(x)

    recorder.rehearse(work)
    with pytest.raises(CannotRecord, match=r"replay/test_cuda\.py:\d+\)$"):
        recorder.record(work, [generator])
    assert torch.cuda.current_stream() == stream
    torch.cuda.empty_cache()
    assert not drawing().isnan().any()
    recording = recorder.record(drawing, [generator])
    generator.manual_seed(1)
    recording.replay()
    first = recording.result.clone()
    recording.replay()
    assert not torch.equal(recording.result, first)


@pytest.mark.parametrize("reading", READING)
def test_a_watch_finds_what_a_capture_refuses(reading: Callable[[Tensor], Any]) -> None:
    with Watch(CUDA) as watch:
        reading(torch.ones(4, device=CUDA))
    assert watch.obstacle and "(replay/test_cuda.py:" in watch.obstacle


def test_a_number_of_the_host_is_a_difference_however_it_is_wrapped() -> None:
    x, watches = torch.ones(4, device=CUDA), []
    for number in (1.0, 2.0):
        with Watch(CUDA) as watch:
            x.mul_(torch.tensor(number))
        watches.append(watch)
    assert watches[0].obstacle is None
    # Of the operation that takes the number from the host, which is another from torch to torch.
    assert "is given 1.0 in one step, 2.0" in (watches[0].difference(watches[1]) or "")


def test_too_little_memory_is_told_as_such() -> None:
    recorder, x = CudaRecorder(CUDA), torch.ones(4, device=CUDA)
    with pytest.raises(torch.OutOfMemoryError):
        recorder.record(lambda: x.expand(2**40, 4).contiguous())
    recorder.record(lambda: x + 1).replay()
