"""The input gradient of the scored copy of a model, against that of the unmodified model.

ResNet-18, images of CIFAR-10's shape, float32. The unmodified model is in evaluation mode, its
images in the usual layout, and its parameters require gradients, of which none is asked for; the
copy is what attacks run on. Each is timed in turn, in alternating order, after two passes of each
to warm up; the last line is the median of the ratios.

Two-core AVX2 CPU, two threads, batch 128, 10 pairs: median ratio 1.63 (1.23 to 2.06); with one
thread, batch 64 and the machine shared with other work, 1.24 and 1.27.

    python benchmarks/input_gradient.py [--pairs 20] [--batch 128] [--device cpu]
"""

from __future__ import annotations

import argparse
import os
import platform
import time

import numpy as np
import torch
from torch import Tensor, nn

from regmix_bench.evaluation.attacked_model import faster_copy
from regmix_bench.models import build_model


def seconds(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Of one gradient of the cross-entropy at images (B, C, H, W) with labels (B,)."""
    if x.is_cuda:
        torch.cuda.synchronize()
    started = time.perf_counter()
    images = x.clone().requires_grad_()
    torch.autograd.grad(nn.functional.cross_entropy(model(images), y, reduction="sum"), images)
    if x.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.manual_seed(0)
    device = torch.device(options.device)
    x = torch.rand(options.batch, 3, 32, 32, device=device)
    y = torch.randint(10, (options.batch,), device=device)
    model = build_model(options.arch, (3, 32, 32), 10).to(device)
    with torch.no_grad():
        model(x)  # so that its batch norm has statistics of these images
    made = faster_copy(model.eval(), x)
    assert made is not None, "the copy is not the same function"
    copy, how = made
    for _ in range(2):
        seconds(model, x, y), seconds(copy, x, y)
    ratios = []
    for pair in range(options.pairs):
        order = (model, copy) if pair % 2 else (copy, model)
        took = {id(side): seconds(side, x, y) for side in order}
        ratios.append(took[id(model)] / took[id(copy)])
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads,"
        f" {device}: {options.arch}, batch {options.batch}, copy {how}"
    )
    print(f"{options.pairs} pairs, ratios {min(ratios):.2f} to {max(ratios):.2f}")
    print(f"ratio {np.median(ratios):.2f}")


if __name__ == "__main__":
    main()
