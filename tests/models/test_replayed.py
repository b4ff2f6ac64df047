"""A replayed model answers as the model itself does, whatever an attack does with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from regmix_bench.attacks.pgd import input_gradient
from regmix_bench.models import build_model
from regmix_bench.models.chunks import ChunkedModel, Chunks
from regmix_bench.models.fusion import FusedModel
from regmix_bench.models.predictions import PassCounter
from regmix_bench.models.replayed import PATIENCE, ReplayedModel, padded_sizes
from regmix_bench.replay.cuda import CudaRecorder
from regmix_bench.replay.protocol import Recorder, Recording
from regmix_bench.replay.tape import TapeRecorder
from regmix_bench.system.machine import arithmetic

LARGEST = 12


#: The device of a test: each runs on a CPU, and where there is one on a CUDA device.
WHERE: dict[str, torch.device] = {}


class _Noting(Recorder):
    """A recorder that counts its recordings, and lets a test spoil what they hold."""

    made = 0
    spoil: Callable[[int, Any], None] = staticmethod(lambda number, result: None)

    def _record(self, work: Callable[[], Any], generators: Sequence[torch.Generator]) -> Any:
        recording, self.made = super()._record(work, generators), self.made + 1
        return Spoiled(recording, self)


class NotedTape(_Noting, TapeRecorder):
    pass


class NotedGraphs(_Noting, CudaRecorder):
    def __init__(self) -> None:
        super().__init__(WHERE["device"])


def noted() -> Any:
    return NotedGraphs() if WHERE["device"].type == "cuda" else NotedTape()


class Spoiled(Recording[Any]):
    def __init__(self, inner: Recording[Any], recorder: _Noting) -> None:
        self.inner, self.result, self.recorder = inner, inner.result, recorder
        self.number = recorder.made

    def replay(self) -> None:
        self.inner.replay()
        self.recorder.spoil(self.number, self.result)


@pytest.fixture(autouse=True, params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    WHERE["device"] = torch.device(request.param)
    with arithmetic("fp32"):
        yield WHERE["device"]


@pytest.fixture
def model() -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return small().requires_grad_(False)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def replayed(model: nn.Module, said: list[str]) -> ReplayedModel:
    return ReplayedModel(model, noted(), LARGEST, said.append)


def small() -> nn.Module:
    return build_model("smallcnn", (1, 8, 8), 10).eval().to(WHERE["device"])


def images(n: int, seed: int = 0) -> Tensor:
    drawn = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    return drawn.to(WHERE["device"])


def loss(logits: Tensor) -> Tensor:
    return logits.logsumexp(1).sum() - logits[:, 3].sum()


def gradient(model: nn.Module, x: Tensor) -> Tensor:
    return input_gradient(lambda z: loss(model(z)), x)


def warm(replayed: ReplayedModel, *sizes: int) -> None:
    """Ask for each size until passes of both kinds are recorded."""
    for n in sizes:
        for _ in range(PATIENCE + 1):
            gradient(replayed, images(n))
            with torch.no_grad():
                replayed(images(n))


@pytest.mark.parametrize("largest", [1, 2, 7, 200, 500, 1024])
def test_batches_are_filled_up_by_little(largest: int) -> None:
    sizes = padded_sizes(largest)
    assert sizes[0] == 1 and sizes[-1] == largest and len(set(sizes)) == len(sizes)
    padded = [next(s for s in sizes if s >= n) / n for n in range(1, largest + 1)]
    assert max(padded) <= 1.1 and sum(padded) / largest <= 1.05


def test_replays_equal_the_model_at_every_size(model, replayed, said) -> None:
    for n in (LARGEST, 5, 1, LARGEST - 1, LARGEST + 3):
        for call in range(PATIENCE + 3):
            x = images(n, seed=call)
            torch.testing.assert_close(gradient(replayed, x), gradient(model, x))
            with torch.no_grad():
                torch.testing.assert_close(replayed(x), model(x))
            torch.testing.assert_close(replayed(x).requires_grad, False)
    assert replayed.recorder.made == 3 * 4 and said == []


def test_a_size_that_is_asked_for_a_few_times_is_not_recorded(replayed) -> None:
    for _ in range(PATIENCE):
        gradient(replayed, images(LARGEST))
    assert replayed.recorder.made == 0
    gradient(replayed, images(LARGEST))
    assert replayed.recorder.made == 2


def test_the_filling_of_a_batch_reaches_no_result(model, replayed) -> None:
    n = LARGEST - 1
    assert padded_sizes(LARGEST)[-2] == n
    sizes = replayed.sizes = (LARGEST,)
    warm(replayed, LARGEST)
    poisoned = torch.full_like(images(LARGEST), torch.nan)
    with torch.no_grad():
        assert replayed(poisoned).isnan().all()
    gradient(replayed, poisoned)
    for x in (images(n), images(1)):
        torch.testing.assert_close(gradient(replayed, x), gradient(model, x))
        with torch.no_grad():
            torch.testing.assert_close(replayed(x), model(x))
    assert replayed.sizes == sizes


@pytest.mark.parametrize("other", [LARGEST, 5])
def test_a_second_pass_before_the_way_back_of_the_first(model, replayed, other: int) -> None:
    warm(replayed, LARGEST, other)
    first, second = images(LARGEST, 1).requires_grad_(), images(other, 2).requires_grad_()
    one, two = loss(replayed(first)), loss(replayed(second))
    with torch.no_grad():
        replayed(images(other, 3))
    for value, x in ((one, first), (two, second)):
        (found,) = torch.autograd.grad(value, x)
        torch.testing.assert_close(found, gradient(model, x))


def test_many_ways_back_of_one_pass(model, replayed) -> None:
    warm(replayed, 5)
    x = images(5, 1).requires_grad_()
    plain = x.detach().clone().requires_grad_()
    logits, expected = replayed(x), model(plain)
    for label in range(10):
        (found,) = torch.autograd.grad(logits[:, label].sum(), x, retain_graph=True)
        (wanted,) = torch.autograd.grad(expected[:, label].sum(), plain, retain_graph=True)
        torch.testing.assert_close(found, wanted)


def test_results_are_the_callers_own(model, replayed) -> None:
    warm(replayed, 5)
    x = images(5, 1)
    with torch.no_grad():
        logits, kept = replayed(x), model(x)
        replayed(images(5, 2))
        assert torch.equal(logits, kept)
        logits.fill_(-1)
        torch.testing.assert_close(replayed(x), kept)
    found = gradient(replayed, x)
    wanted = found.clone()
    gradient(replayed, images(5, 2)).fill_(7)
    assert torch.equal(found, wanted)


def test_images_may_move_in_place_before_the_way_back(model, replayed) -> None:
    warm(replayed, 5)
    x = images(5, 1).requires_grad_()
    expected = gradient(model, x)
    value = loss(replayed(x))
    replayed(images(5, 2))
    with torch.no_grad():
        x.add_(1)
    (found,) = torch.autograd.grad(value, x)
    torch.testing.assert_close(found, expected)


def test_weights_that_change_in_place_are_those_of_the_next_replay() -> None:
    built = [small() for _ in range(2)]
    folded = FusedModel(built[0])
    replayed = ReplayedModel(folded, noted(), LARGEST)
    warm(replayed, 5)
    folded.refresh(built[1])
    x = images(5)
    expected = gradient(built[1].requires_grad_(False), x)
    torch.testing.assert_close(gradient(replayed, x), expected)


def of_views(x: Tensor) -> Tensor:
    return torch.cat([x, x])[3:8]


@pytest.mark.parametrize(
    "changed",
    [
        of_views,
        lambda x: x.contiguous(memory_format=torch.channels_last),
        lambda x: x.expand(5, 1, 8, 8)[:, :, ::1],
        lambda x: x.transpose(2, 3),
        lambda x: nn.Parameter(x),
    ],
    ids=["view", "channels-last", "expanded", "transposed", "parameter"],
)
def test_images_of_any_layout(model, replayed, changed: Callable[[Tensor], Tensor]) -> None:
    warm(replayed, 5)
    x = images(5, 1)
    leaf, plain = x.clone().requires_grad_(), x.clone().requires_grad_()
    loss(replayed(changed(leaf))).backward()
    loss(model(changed(plain))).backward()
    torch.testing.assert_close(leaf.grad, plain.grad)


def test_an_empty_batch_and_another_type_go_through_the_model_itself(model, replayed) -> None:
    warm(replayed, 5)
    made = replayed.recorder.made
    assert replayed(images(0)).shape == (0, 10)
    for _ in range(PATIENCE + 2):
        with pytest.raises(RuntimeError):
            replayed(images(5).double())
    assert replayed.recorder.made == made


def test_gradients_of_gradients_are_those_of_the_model(model, replayed) -> None:
    warm(replayed, 5)

    def bent(net: nn.Module) -> Tensor:
        x = images(5, 1).requires_grad_()
        (first,) = torch.autograd.grad(loss(net(x * 1)).square(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), x)
        return second

    torch.testing.assert_close(bent(replayed), bent(model))


def test_transforms_of_functions_are_those_of_the_model(model, replayed) -> None:
    warm(replayed, 5)
    x, along = images(5, 1), images(5, 2)
    for transform in (
        lambda net: torch.func.grad(lambda z: loss(net(z)))(x),
        lambda net: torch.func.jvp(net, (x,), (along,))[1],
        lambda net: torch.func.vmap(lambda z: net(z[None])[0])(x),
    ):
        torch.testing.assert_close(transform(replayed), transform(model))
    with torch.no_grad(), forward_ad.dual_level():
        dual = forward_ad.make_dual(x, along)
        for found, wanted in zip(
            *(forward_ad.unpack_dual(net(dual)) for net in (replayed, model)), strict=True
        ):
            torch.testing.assert_close(found, wanted)


def test_inference_mode_replays_and_records(model, replayed) -> None:
    with torch.inference_mode():
        for call in range(PATIENCE + 3):
            torch.testing.assert_close(replayed(images(5, call)), model(images(5, call)))
    assert replayed.recorder.made == 1
    warm(replayed, 5)  # what was recorded there serves elsewhere
    torch.testing.assert_close(gradient(replayed, images(5)), gradient(model, images(5)))


def test_recording_draws_nothing(replayed) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    warm(replayed, 5)
    assert torch.equal(torch.rand(4), expected)


def logits_off(number: int, result: Tensor) -> None:
    result.mul_(1.05)


def gradient_off(number: int, result: Tensor) -> None:
    if number % 2 == 0:
        result[0] = 0


@pytest.mark.parametrize(
    ("spoil", "word"), [(logits_off, "other logits"), (gradient_off, "other gradients")]
)
def test_a_recording_that_is_another_function_is_thrown_away(model, said, spoil, word) -> None:
    replayed = ReplayedModel(model, noted(), LARGEST, said.append)
    replayed.recorder.spoil = spoil
    x = images(5)
    for _ in range(PATIENCE + 3):
        torch.testing.assert_close(gradient(replayed, x), gradient(model, x))
    assert replayed.recorder.made == 2 and replayed.sizes == ()
    (line,) = said
    assert line.startswith("passes through the model are not replayed: a recording for 5 images")
    assert word in line


class Waits(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) * (2.0 if x.sum().item() > 0 else 1.0)


def test_a_model_that_waits_for_the_device_is_not_recorded(model, said) -> None:
    waits = Waits(model).eval()
    replayed = ReplayedModel(waits, noted(), LARGEST, said.append)
    for _ in range(PATIENCE + 2):
        torch.testing.assert_close(gradient(replayed, images(5)), gradient(waits, images(5)))
    (line,) = said
    assert line.startswith("passes through the model are not replayed: ")
    assert "test_replayed.py" in line


def test_where_memory_runs_out_smaller_batches_are_still_recorded(model, said) -> None:
    recorder, limit = noted(), 100
    rehearse = recorder.rehearse

    def crowded(work: Callable[[], Any]) -> Any:
        found = rehearse(work)
        if len(found) > limit:
            raise torch.OutOfMemoryError("out of memory")
        return found

    recorder.rehearse = crowded
    replayed = ReplayedModel(model, recorder, LARGEST, said.append)
    warm(replayed, 5)
    waiting = images(5, 1).requires_grad_()
    value = loss(replayed(waiting))
    limit = 8
    for _ in range(PATIENCE + 2):
        x = images(LARGEST)
        torch.testing.assert_close(gradient(replayed, x), gradient(model, x))
    spoil, recorder.spoil = recorder.spoil, lambda number, result: result.fill_(torch.nan)
    (found,) = torch.autograd.grad(value, waiting)  # of recordings that may not be replayed
    recorder.spoil = spoil
    torch.testing.assert_close(found, gradient(model, waiting))
    assert said == [f"batches of {LARGEST} images or more are not replayed: memory ran out"]
    assert replayed.sizes[-1] == LARGEST - 1
    made = replayed.recorder.made
    warm(replayed, 5)
    assert replayed.recorder.made > made and len(said) == 1


class Tight(nn.Module):
    """Refuses batches above ``limit`` images, as where recordings hold the memory."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.limit = model, LARGEST

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.limit:
            self.limit = LARGEST + 1
            raise torch.OutOfMemoryError("out of memory")
        return self.model(x)


def test_recordings_make_room_where_memory_runs_out_beside_them(model, said) -> None:
    tight = Tight(model).eval()
    replayed = ReplayedModel(tight, noted(), LARGEST, said.append)
    x = images(LARGEST + 1)
    with pytest.raises(torch.OutOfMemoryError):  # of which there are none yet
        replayed(x)
    tight.limit = LARGEST
    warm(replayed, 5)
    torch.testing.assert_close(replayed(x), model(x))
    assert said == [
        f"batches of {LARGEST + 1} images or more are not replayed: memory ran out beside the"
        " recordings"
    ]


def test_counts_are_of_the_images_alone(replayed) -> None:
    outside = ChunkedModel(replayed, Chunks())
    with PassCounter(outside) as passes:
        for n in range(PATIENCE + 3):
            gradient(outside, images(5 + n % 2))
            with torch.no_grad():
                outside(images(5))
    seen = sum(5 + n % 2 for n in range(PATIENCE + 3))
    assert passes.backward_images == seen
    assert passes.forward_images == seen + 5 * (PATIENCE + 3)


def test_chunks_are_replayed(model, replayed) -> None:
    chunked = ChunkedModel(replayed, Chunks(3))
    for call in range(PATIENCE + 2):
        x = images(10, call)
        torch.testing.assert_close(gradient(chunked, x), gradient(model, x))
    assert replayed.recorder.made >= 3


def test_a_random_model_draws_the_same_again_for_a_chunks_gradient(model) -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return model(x * torch.rand_like(x))

    def found(chunks: Chunks | None) -> Iterator[Tensor]:
        x = images(6)
        net = Noisy() if chunks is None else ChunkedModel(Noisy(), chunks)
        for start in (0, 3) if chunks is None else (0,):
            if start == 0:
                torch.manual_seed(0)
            part = x[start : start + 3] if chunks is None else x
            yield gradient(net, part)

    torch.testing.assert_close(torch.cat(list(found(Chunks(3)))), torch.cat(list(found(None))))
