"""How much faster a training step is than the plain loop of its paper.

The plain loop (``plain.py``) is float32 and NCHW, in the order of calls of the paper's pseudo-code.
Both take the same step on the same made-up batch, in turn and in alternating order in one process;
the figure of a method is the median of the ratios with its 95 % interval. Compilation is not timed.

Two-core AVX512-BF16 CPU, one thread beside other work, bf16 against float32, resnet8, n = 5: TRADES
3.97x, PGD-AT 2.80x, MART 2.51x, FGSM-PGI 2.42x, FGSM-RS 2.31x, RegMix 2.29x; resnet18, otherwise
idle, two threads, n = 3: TRADES 3.55x (batch 32 on one thread 2.85x). Two-core AVX2 CPU
without bf16 of its own, so float32 on both sides, resnet8, n = 5: TRADES 1.92x, PGD-AT 1.44x, MART
1.28x, FGSM-RS 1.27x, FGSM-PGI 1.25x, RegMix 1.19x; resnet18, one thread, n = 6: TRADES 1.74x. Where
an attack runs in training mode, or shares its forward pass with the loss, the plain loop wastes
nothing but layout.

    python benchmarks/training.py [--arch resnet18] [--methods trades,regmix] [--precision fp32]
"""

from __future__ import annotations

import numpy as np
import torch
from plain import STEPS
from scipy import stats
from steps import ours, parser, setting, theirs, timed


def main() -> None:
    """Measure and print."""
    options = parser(__doc__, ",".join(STEPS)).parse_args()
    where = setting(options)
    print(f"{where}, against fp32, NCHW")
    found = {}
    for name in options.methods.split(","):
        fast = ours(name, where)
        slow = theirs(name, where)
        for step in (fast, slow):
            step()  # caches, kernel choices
        ratios, times = [], []
        for number in range(options.rounds):
            order = (slow, fast) if number % 2 else (fast, slow)
            seconds = {step: timed(step, where.device) for step in order}
            ratios.append(seconds[slow] / seconds[fast])
            times.append(seconds[fast])
        found[name] = float(np.median(ratios))
        interval = stats.quantile_test(ratios, p=0.5).confidence_interval(0.95)
        memory = ""
        if where.device.type == "cuda":
            memory = f", {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB at most"
            torch.cuda.reset_peak_memory_stats()
        print(
            f"{name:10} {found[name]:.2f}x [{interval.low:.2f}, {interval.high:.2f}],"
            f" {where.batch_size / float(np.median(times)):.0f} images/s{memory}",
            flush=True,
        )
    print(", ".join(f"{name} {ratio:.2f}x" for name, ratio in found.items()))


if __name__ == "__main__":
    main()
