"""PGD-20 accuracy of the scorer against ``torchattacks``' PGD: the same number in less time.

Both take 20 steps of ε/4 on the cross-entropy from a uniform random start, on the same images and
weights, float32, in batches of 500. The draws of the start differ, so that the accuracies may, by
sampling error. The last line is the time of ``torchattacks`` over the scorer's, in alternation.

Two-core AVX2 CPU shared with other work, one thread, resnet8, 250 images of CIFAR-10, n = 2:
18.0 % against 17.6 and 18.0 %, ratio 1.48.

``torchattacks`` pins versions of its own, so it stays out of this environment:

    python -m venv OTHER && OTHER/bin/pip install torchattacks && OTHER/bin/pip install -e .
    python benchmarks/pgd.py WEIGHTS --data-dir DIR --torchattacks-python OTHER/bin/python
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from regmix_bench.attacks.white_box import PGD
from regmix_bench.data import EvalData, prepare_eval
from regmix_bench.evaluation.attacked_model import faster_copy
from regmix_bench.models.predictions import BATCH_SIZE, accuracy, correct
from regmix_bench.models.weights import load_checkpoint
from regmix_bench.system.files import file_digest
from regmix_bench.types import ThreatModel

STEPS = 20


def theirs(model: nn.Module, test: EvalData, threat: ThreatModel) -> float:
    """Accuracy under the PGD of ``torchattacks``, on the model as it is."""
    import torchattacks

    epsilon = float(threat.epsilon)
    attack = torchattacks.PGD(model, eps=epsilon, alpha=epsilon / 4, steps=STEPS, random_start=True)
    batches = zip(test.x.split(BATCH_SIZE), test.y.split(BATCH_SIZE), strict=True)
    x_adv = torch.cat([attack(x, y) for x, y in batches])
    return accuracy(correct(model, x_adv, test.y))


def ours(model: nn.Module, test: EvalData, threat: ThreatModel) -> float:
    """Accuracy under our PGD, crafted on the copy and judged by the model, as the scorer does."""
    made = faster_copy(model, test.x)
    assert made is not None, "the copy is not the same function"
    x_adv = PGD.of(steps=STEPS).perturb(made[0], test.x, test.y, threat)
    return accuracy(correct(model, x_adv, test.y))


def measured(side: str, options: argparse.Namespace) -> dict[str, float]:
    """Accuracy and seconds of one side, in a process of the interpreter that has it."""
    python = options.torchattacks_python if side == "theirs" else sys.executable
    command = [python, __file__, *sys.argv[1:], "--side", side]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--torchattacks-python", required=True)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--eps", default="8/255")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--side", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        device = torch.device(options.device)
        test = prepare_eval(options.dataset, options.images, device, options.data_dir)
        model = load_checkpoint(options.weights, file_digest(options.weights)).to(device)
        model.requires_grad_(True)(test.x[:BATCH_SIZE])
        started = time.perf_counter()
        share = {"ours": ours, "theirs": theirs}[options.side](
            model, test, ThreatModel("Linf", options.eps)
        )
        print(json.dumps({"accuracy": share, "seconds": time.perf_counter() - started}))
        return
    ratios = []
    for pair in range(options.pairs):
        order = ("ours", "theirs") if pair % 2 else ("theirs", "ours")
        found = {side: measured(side, options) for side in order}
        ratios.append(found["theirs"]["seconds"] / found["ours"]["seconds"])
        print(
            f"pair {pair + 1}: torchattacks {found['theirs']['accuracy']:.1%} in"
            f" {found['theirs']['seconds']:.1f} s, scorer {found['ours']['accuracy']:.1%} in"
            f" {found['ours']['seconds']:.1f} s",
            flush=True,
        )
    share = found["theirs"]["accuracy"]
    error = 2 * (share * (1 - share) / options.images) ** 0.5
    difference = abs(found["ours"]["accuracy"] - share)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {options.device}, {options.images} images"
    )
    print(f"accuracies differ by {difference:.2%}, two standard errors are {error:.2%}")
    print(f"ratio {np.median(ratios):.2f}")


if __name__ == "__main__":
    main()
