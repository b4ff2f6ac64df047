"""The execution of a network: memory layout, precision, compilation, and the copy for attacks."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from regmix_bench import kernels
from regmix_bench.distributed import collectives as distributed
from regmix_bench.errors import UserError
from regmix_bench.models.casts import WeightCasts
from regmix_bench.models.fusion import FusedModel
from regmix_bench.models.norms import NormKernels
from regmix_bench.system.machine import Execution


class ModelRunner(nn.Module):
    """Runs a model as an :class:`Execution` says: images (B, C, H, W) in [0, 1] to logits (B, K).

    The weights stay float32 and stay ``model``'s own; channels-last changes their strides in place.
    In ``"bf16"`` convolutions and products are computed in bfloat16 wherever torch deems it safe;
    the logits, and so the losses, are float32 again. Inside of
    :meth:`step` weights are cast once and not in each pass.

    In a group of processes, backward passes average the weights' gradients over it.
    """

    def __init__(
        self, model: nn.Module, execution: Execution, precision: Literal["fp32", "bf16"] = "fp32"
    ) -> None:
        super().__init__()
        self.execution, self.precision = execution, precision
        self.model = self._placed(model)
        self._call = self._compiled(model)
        self._weight = next(model.parameters())
        # Only what is trained: an attack, whose weights are frozen, is each process's own.
        self._call_shared = self._call
        if distributed.size() > 1 and self._weight.requires_grad:
            self._call_shared = _averaging(_Calling(model, self._call))
        self._fused: FusedModel | None = None
        self.attacking = False
        self._as_it_is = False
        self._casts = WeightCasts(model)
        self._norms = NormKernels(model)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, K) of ``x``; in :meth:`attack_mode` those of the fused copy."""
        if self.execution.channels_last:
            x = _ChannelsLast.apply(x)
        call = self._call_fused if self.attacking else self._call
        if torch.is_grad_enabled() and self._weight.requires_grad and not self.attacking:
            call = self._call_shared
        if self._as_it_is:
            call = self._fused if self.attacking and self._fused is not None else self.model
        autocast = torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bf16")
        with autocast, self._casts.placed(), self._norms.placed():
            logits: Tensor = call(x)
        return logits.float() if self.precision == "bf16" else logits

    def step(self) -> contextlib.AbstractContextManager[None]:
        """Cast the weights once for all passes of the block, which ends behind the backward pass.

        It changes nothing but the cost; in fp32, or compiled, it does nothing.
        """
        # In a group, gradients of single weights are exchanged while others are computed. Compiled
        # passes have their casts in kernels that do other work too.
        if self.precision == "fp32" or distributed.size() > 1 or self.execution.compile:
            return contextlib.nullcontext()
        return self._casts.step()

    @contextlib.contextmanager
    def uncompiled(self) -> Iterator[None]:
        """Run the model as it is while the block runs, so that its operations can be seen.

        Not in a group of processes, whose gradients would not be averaged.
        """
        self._as_it_is = True
        try:
            yield
        finally:
            self._as_it_is = False

    @contextlib.contextmanager
    def attack_mode(self) -> Iterator[None]:
        """Answer as in evaluation mode while the block runs, and let no gradient reach a weight."""
        if self._fused is None:
            self._fused = FusedModel(self.model)
            self._placed(self._fused)
            if self.precision == "bf16" and not self.execution.compile:
                self._fused.cast()
            self._call_fused = self._compiled(self._fused)
        else:
            self._fused.refresh(self.model)
        self.attacking = True
        try:
            yield
        finally:
            self.attacking = False

    def average_statistics(self) -> None:
        """Average the running statistics of batch norm over the processes of the group."""
        if distributed.size() > 1:
            norms = [m for m in self.model.modules() if isinstance(m, _BatchNorm)]
            unlike = [norm for norm in norms if not isinstance(norm, nn.SyncBatchNorm)]
            found = [s for norm in unlike for s in (norm.running_mean, norm.running_var)]
            distributed.average([statistic for statistic in found if statistic is not None])

    def warm_up(self, losses: Iterable[Callable[[], Tensor]]) -> float:
        """Compile what training steps call, by computing ``losses`` and their gradients.

        Returns the seconds it took. Neither statistics nor gradients of it stay. Every process of a
        group gives as many losses.
        """
        started = time.perf_counter()
        before = {name: value.clone() for name, value in self.model.named_buffers()}
        for loss in losses:
            with self.step():
                loss().backward()
        for name, value in self.model.named_buffers():
            value.copy_(before[name])
        self.model.zero_grad(set_to_none=True)
        if self._weight.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    def choose_kernels(self, x: Tensor, say: Callable[[str], None]) -> float:
        """Compute by own kernels what they compute right, and faster, on images like ``x``.

        It is asked for before training, with the images (B, C, H, W) of a step. Kernels are for
        steps that are replayed, as calling one takes the host longer than a kernel of torch's.
        Returns the seconds it took; ``say`` gets a line where a kernel cannot be used.
        """
        usable = self.execution.graphs and not self.execution.compile and distributed.size() == 1
        if not usable or not kernels.available(x.device):
            return 0.0
        from regmix_bench.kernels.race import norm_kernel_is_faster

        started = time.perf_counter()
        judge = partial(norm_kernel_is_faster, device=x.device)
        self._norms.choose(lambda: self(x), judge, say)
        return time.perf_counter() - started

    @property
    def kernel_norms(self) -> int:
        """The number of batch norms that own kernels compute."""
        return len(self._norms.chosen)

    def _placed(self, model: nn.Module) -> nn.Module:
        if self.execution.channels_last:
            model.to(memory_format=torch.channels_last)
        return model

    def _compiled(self, model: nn.Module) -> Callable[[Tensor], Tensor]:
        if not self.execution.compile:
            return model
        prepare_compiler()
        # Batches come in two sizes at most: each has its own kernels.
        return torch.compile(model.forward, dynamic=False)


def require_synchronisable(model: nn.Module, arch: str) -> None:
    """Raise :class:`UserError` where torch would lose a part of a layer in synchronising it.

    It replaces whatever derives from batch norm, and what such a layer does besides is gone.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm) and not type(module).__module__.startswith("torch."):
            raise UserError(
                f"the {type(module).__name__} of {arch} is more than batch norm, whose statistics"
                " cannot be synchronised: say --sync-bn off"
            )


def prepare_compiler() -> None:
    """Configure torch's compiler for the models of this process, before its first use."""
    import torch._dynamo.config
    import torch._functorch.config

    # All go through the same few functions, and each has its graphs: beyond the limit torch would
    # run the rest uncompiled, and a step half compiled and half not has no gradient.
    torch._dynamo.config.recompile_limit = 1024
    torch._dynamo.config.accumulated_recompile_limit = 8192
    # A graph made for one backward pass is reused by losses that go back through it twice.
    torch._functorch.config.donated_buffer = False


def _averaging(model: nn.Module) -> nn.Module:
    """``model``, whose weights' gradients a backward pass averages over the group."""
    # The weights of a single channel have two layouts that are one.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    with warnings.catch_warnings():  # of a new name for the argument, which older torches lack
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(model, broadcast_buffers=False)


class _Calling(nn.Module):
    """A model with its weights, called by ``call``, which may be its compiled form."""

    def __init__(self, model: nn.Module, call: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.call = model, call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(x)


class _ChannelsLast(torch.autograd.Function):
    """The same images with the channels innermost; the gradient in the images' own layout."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.plain = x.is_contiguous()
        return x.contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # AutoAttack takes views of a gradient, which the other layout does not allow.
        (gradient,) = gradients
        return gradient.contiguous() if ctx.plain else gradient
