"""A frozen model that answers attacks by replaying recordings of its passes.

An attack goes through one small network thousands of times, and its host launches every kernel of
each pass anew. Here a pass is recorded once for each of a few batch sizes, to which smaller batches
are filled up, and replayed from then on. Recordings share memory, so that a replay of one may
overwrite what another keeps for its way back: passes are numbered, and a backward pass whose
forward pass is not the latest does that again first.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from regmix_bench.replay.protocol import REHEARSALS, CannotRecord, Recorder, Recording

#: Batch sizes that are recorded in each doubling: 4 % of a batch is padding, 9 % at most.
SIZES_A_DOUBLING = 8

#: Passes of one size that are run as they are, before it is worth a recording.
PATIENCE = 4

#: A recording and its model run the same kernels on the same images: their results may differ by
#: this share of their norm, and differ by far more where memory was corrupted.
DIFFERENCE = 0.01


class ReplayedModel(nn.Module):
    """A model of images (B, C, H, W) whose passes are recorded by ``recorder`` and replayed.

    ``model`` is in evaluation mode, wants no gradient of its weights, and treats each image by
    itself; its weights may change in place. Batches of more than ``largest`` images, and whatever a
    recording cannot do, go through ``model`` as it is. So does everything, once a recording failed
    or was another function than the model: ``say`` gets one line that says why. Where memory runs
    out, smaller batches alone are recorded from then on.

    Nothing else may be replayed from ``recorder`` between a forward pass and its way back.
    ``seconds`` is the time that recordings have taken so far, with what they were compared with.
    """

    def __init__(
        self,
        model: nn.Module,
        recorder: Recorder,
        largest: int,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        super().__init__()
        self.model, self.recorder, self.say = model, recorder, say
        self.training = False
        self.seconds = 0.0
        self.sizes = padded_sizes(largest)
        self._asked: Counter[_Key] = Counter()
        self._recorded: dict[_Key, _Passes] = {}
        self._latest = 0

    def forward(self, x: Tensor) -> Tensor:
        """Return what the model says of ``x``, in memory of the caller's own."""
        with_gradient = torch.is_grad_enabled() and x.requires_grad
        passes = self._passes(x, with_gradient)
        if passes is None:
            return self._directly(x)
        if with_gradient:
            logits: Tensor = _Replay.apply(x, self, passes)
            return logits
        return self.ahead(passes, x)

    def ahead(self, passes: _Passes, x: Tensor) -> Tensor:
        """Replay the forward pass on ``x``, and number it."""
        passes.images[: len(x)].copy_(x)
        self._latest += 1
        passes.forward.replay()
        return passes.forward.result[: len(x)].clone()

    @property
    def latest(self) -> int:
        """The number of the latest forward pass, whose way back is open."""
        return self._latest

    def keeps(self, passes: _Passes) -> bool:
        """Return whether these recordings may be replayed: none may, once another failed."""
        return any(passes is kept for kept in self._recorded.values())

    def _passes(self, x: Tensor, with_gradient: bool) -> _Passes | None:
        """Return the recorded passes for a batch like ``x``, if there are any by now."""
        place = bisect_left(self.sizes, len(x))
        if place == len(self.sizes) or not _is_ordinary(x):
            return None
        key = _Key(self.sizes[place], x.shape[1:], x.dtype, x.device, with_gradient)
        if (found := self._recorded.get(key)) is not None:
            return found
        self._asked[key] += 1
        if self._asked[key] <= PATIENCE:
            return None
        why, started = "memory ran out", time.perf_counter()
        try:
            with torch.inference_mode(False), torch.no_grad():
                self._recorded[key] = self._record(key, x)
            return self._recorded[key]
        except CannotRecord as error:
            why, limit = str(error), 0
        except torch.OutOfMemoryError:
            limit = key.size
        finally:
            self.seconds += time.perf_counter() - started
        # Here, because the traceback of a handled error keeps its tensors alive.
        self._give_up(limit, why)
        return None

    def _record(self, key: _Key, x: Tensor) -> _Passes:
        images = torch.zeros(key.size, *key.shape, dtype=key.dtype, device=key.device)
        images[: len(x)].copy_(x)
        record = _recorded_both_ways if key.with_gradient else _recorded_forward
        passes = record(self.model, self.recorder, images)
        self._latest += 1  # what lay in the memory of recordings is gone
        self._check(passes)
        return passes

    def _check(self, passes: _Passes) -> None:
        """Compare fresh recordings with the model, on the same images.

        Raises :class:`CannotRecord` where they differ; torch's own way to record a model was seen
        to corrupt gradients without a word (pytorch/pytorch#181723).
        """
        back = passes.back
        images = passes.images.clone().requires_grad_(back is not None)
        with torch.set_grad_enabled(back is not None):
            expected = self.model(images)
        passes.forward.replay()
        if not _alike(passes.forward.result, expected.detach()):
            raise CannotRecord(f"a recording for {len(images)} images gives other logits")
        if back is not None:
            # Of any size and sign, and nothing drawn from a generator of the attack's.
            numbers = torch.arange(expected.numel(), device=expected.device)
            back.gradient.copy_(numbers.view_as(expected).cos())
            (wanted,) = torch.autograd.grad(expected, images, back.gradient)
            back.recording.replay()
            if not _alike(back.recording.result, wanted):
                raise CannotRecord(f"a recording for {len(images)} images gives other gradients")

    def _directly(self, x: Tensor) -> Tensor:
        try:
            logits: Tensor = self.model(x)
            return logits
        except torch.OutOfMemoryError:
            if not self._recorded:
                raise
        self._give_up(len(x), "memory ran out beside the recordings")
        logits = self.model(x)
        return logits

    def _give_up(self, limit: int, why: str) -> None:
        """Forget all recordings, and record no batch of ``limit`` images or more again."""
        self.sizes = tuple(size for size in self.sizes if size < limit)
        self._recorded.clear()
        torch.cuda.empty_cache()
        of = f"batches of {limit} images or more" if self.sizes else "passes through the model"
        self.say(f"{of} are not replayed: {why}")


class _Key(NamedTuple):
    """The batches that one recording serves."""

    size: int
    shape: torch.Size
    dtype: torch.dtype
    device: torch.device
    with_gradient: bool


class _Back(NamedTuple):
    """A recorded way back, and the memory of the gradient (B, K) of the logits that it reads."""

    gradient: Tensor
    recording: Recording[Tensor]


class _Passes(NamedTuple):
    """Recorded passes of one batch size, and the memory of the images that they read."""

    images: Tensor
    forward: Recording[Tensor]
    back: _Back | None = None


class _Replay(torch.autograd.Function):
    """A replayed forward pass, and its way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, owner: ReplayedModel, passes: _Passes) -> Tensor:
        logits = owner.ahead(passes, x)
        # A copy, as an attack may move its images in place before it goes back.
        ctx.owner, ctx.passes, ctx.images = owner, passes, x.detach().clone()
        ctx.number = owner.latest
        ctx.save_for_backward(x)
        return logits

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        passes: _Passes = ctx.passes
        twice = torch.is_grad_enabled()  # this gradient is to be differentiated in turn
        if twice or not ctx.owner.keeps(passes):
            x = ctx.saved_tensors[0] if twice else ctx.images.requires_grad_()
            with torch.enable_grad():
                found = torch.autograd.grad(ctx.owner.model(x), x, gradient, create_graph=twice)
            return found[0], None, None
        if ctx.number != ctx.owner.latest:
            ctx.owner.ahead(passes, ctx.images)
            ctx.number = ctx.owner.latest
        assert passes.back is not None
        into, recording = passes.back
        into[: len(gradient)].copy_(gradient)
        recording.replay()
        return recording.result[: len(gradient)].clone(), None, None


def padded_sizes(largest: int) -> tuple[int, ...]:
    """Return the batch sizes that are recorded, ``largest`` among them, in ascending order."""
    sizes = {largest}
    while (smallest := min(sizes)) > 1:
        sizes.add(min(smallest - 1, round(smallest / 2 ** (1 / SIZES_A_DOUBLING))))
    return tuple(sorted(sizes))


def _recorded_forward(model: nn.Module, recorder: Recorder, images: Tensor) -> _Passes:
    def forward() -> Tensor:
        logits: Tensor = model(images)
        return logits

    for _ in range(REHEARSALS):
        recorder.rehearse(forward)
    return _Passes(images, recorder.record(forward))


def _recorded_both_ways(model: nn.Module, recorder: Recorder, images: Tensor) -> _Passes:
    leaf = images.detach().requires_grad_()
    graph: list[Tensor] = []

    def forward() -> Tensor:
        with torch.enable_grad():
            graph[:] = [model(leaf)]
        return graph[0].detach()

    def backward() -> Tensor:
        # Retained, or its memory would be used again on the way, and a second way back go astray.
        (found,) = torch.autograd.grad(graph[0], leaf, gradient, retain_graph=True)
        return found

    for _ in range(REHEARSALS):
        gradient = torch.zeros_like(recorder.rehearse(forward))
        recorder.rehearse(backward)
    graph.clear()
    recorded = recorder.record(forward)
    back = _Back(gradient, recorder.record(backward))
    graph.clear()  # later recordings may use its memory
    return _Passes(images, recorded, back)


def _is_ordinary(x: Tensor) -> bool:
    """Whether a batch has images, and no more is asked of its pass than values and gradients."""
    return (
        len(x) > 0
        and type(x) in (Tensor, nn.Parameter)
        and x.layout is torch.strided
        and not torch.is_autocast_enabled(x.device.type)
        and not torch._C._are_functorch_transforms_active()
        and forward_ad.unpack_dual(x).tangent is None
    )


def _alike(found: Tensor, expected: Tensor) -> bool:
    return bool((found - expected).norm() <= DIFFERENCE * expected.norm())
