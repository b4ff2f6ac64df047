"""Batch norms of a network, computed by own kernels together with what stands behind them.

The network stays as it is: only while it runs do kernels take the places of its layers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from regmix_bench.errors import reason
from regmix_bench.models.residual import BasicBlock

#: Tells for a shape (B, C, H, W), a dtype, whether something is added, and whether ReLU follows,
#: whether a kernel is to be taken.
Judge = Callable[[torch.Size, torch.dtype, bool, bool], bool]


class NormSite(NamedTuple):
    """A batch norm with what is computed behind it, and the layers that a kernel stands for.

    ``places`` are (owner, name in it, what stands there instead).
    """

    norm: nn.BatchNorm2d
    adds: bool
    relu: bool
    places: list[tuple[nn.Module, str, nn.Module]]


class KernelNorm(nn.Module):
    """A batch norm, with an addition where it is given two inputs, and ReLU, by a kernel."""

    def __init__(self, norm: nn.BatchNorm2d, relu: bool) -> None:
        super().__init__()
        from regmix_bench.kernels.batch_norm import batch_norm  # which imports Triton

        self.norm, self.relu, self.compute = norm, relu, batch_norm

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """Map (B, C, H, W), and what is added to it, to the same shape."""
        return self.compute(self.norm, x, added, self.relu)


class NormKernels:
    """The places of ``model`` in which kernels stand while it runs: none, until they are chosen."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.chosen: list[NormSite] = []

    def choose(self, run: Callable[[], object], judge: Judge, say: Callable[[str], None]) -> None:
        """Take kernels where ``judge`` says so, of each size that the pass ``run`` shows.

        The pass is one in training mode, and no statistics of it stay. Where a kernel fails, or is
        wrong, none is taken, and ``say`` gets a line that says why.
        """
        sizes: dict[tuple[torch.Size, torch.dtype, bool, bool], list[NormSite]] = {}
        for site, x in self._observed(run):
            sizes.setdefault((x.shape, x.dtype, site.adds, site.relu), []).append(site)
        self.chosen = []
        try:
            found = [site for size, sites in sizes.items() if judge(*size) for site in sites]
        except Exception as error:  # a compiler or a driver that does not fit may raise anything
            say(f"batch norm is torch's own: a kernel failed here ({reason(error)})")
        else:
            self.chosen = found

    @contextlib.contextmanager
    def placed(self) -> Iterator[None]:
        """Put the chosen kernels into the model's places while the block runs."""
        places = [place for site in self.chosen for place in site.places]
        before = [(owner, name, owner._modules[name]) for owner, name, _ in places]
        for owner, name, instead in places:
            owner._modules[name] = instead
        try:
            yield
        finally:
            for owner, name, layer in before:
                owner._modules[name] = layer

    def _observed(self, run: Callable[[], object]) -> list[tuple[NormSite, Tensor]]:
        """Each site that a pass goes through, with the images that its norm is given."""
        seen: dict[nn.Module, Tensor] = {}
        sites = list(_sites(self.model))
        before = [(value, value.clone()) for value in self.model.buffers()]

        def note(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen[norm] = inputs[0].detach()

        with contextlib.ExitStack() as hooks, torch.no_grad():
            for site in sites:
                hooks.callback(site.norm.register_forward_pre_hook(note).remove)
            run()
            for value, old in before:
                value.copy_(old)
        return [(site, seen[site.norm]) for site in sites if site.norm in seen]


def _sites(model: nn.Module) -> Iterator[NormSite]:
    """Where a kernel may stand: sums of blocks, and norms in sequences with ReLU behind them."""
    taken = set()
    for block in model.modules():
        if type(block) is BasicBlock:
            name, norm = list(block.residual.named_children())[-1]
            assert isinstance(norm, nn.BatchNorm2d)
            if type(norm) is nn.BatchNorm2d:
                taken.add(norm)
                kernel = KernelNorm(norm, True)
                places = [(block.residual, name, nn.Identity()), (block, "join", kernel)]
                yield NormSite(norm, True, True, places)
    for sequence in model.modules():
        # Only these very classes: what derives from one may compute something else.
        if type(sequence).forward is not nn.Sequential.forward:
            continue
        for (name, norm), (behind, layer) in pairwise(
            [*sequence.named_children(), ("", nn.Identity())]
        ):
            if type(norm) is nn.BatchNorm2d and norm not in taken:
                relu = type(layer) is nn.ReLU
                places = [(sequence, name, KernelNorm(norm, relu))]
                places += [(sequence, behind, nn.Identity())] * relu
                yield NormSite(norm, False, relu, places)
