"""What the scorer holds in memory beside the images: at 1,000 images and at 10,000.

Each size in a process of its own, on images of CIFAR-10's shape: the peak of
resident memory less what was there once the images were loaded. The figure is the growth from the
smaller size to the larger one, beside what keeping every adversarial image would have added.

    python benchmarks/scorer_memory.py
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch import nn

from regmix_bench.data import EvalData
from regmix_bench.evaluation.attacked_model import AttackedModel
from regmix_bench.evaluation.evaluate import evaluate_threat
from regmix_bench.evaluation.journal import Journal
from regmix_bench.specs import Scoring
from regmix_bench.types import ThreatModel

MIB = 2**20


def measure(n: int) -> float:
    """Peak growth in MiB while ``n`` images are scored."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(n, 3, 32, 32, generator=generator)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)).eval()
    with torch.no_grad():
        y = torch.cat([model(part).argmax(1) for part in x.split(500)])
    test = EvalData(x, y, torch.arange(n), "0" * 64, 10)
    scoring = Scoring(autoattack_version="custom", attacks=("apgd-ce",))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder), {})
        threat = ThreatModel("Linf", "1/255")
        evaluate_threat(
            AttackedModel.of(model, test.x), test, threat, scoring, "given", journal, True
        )
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / MIB


def main() -> None:
    """Measure both sizes and print."""
    if len(sys.argv) > 1:
        print(measure(int(sys.argv[1])))
        return
    grown = {}
    for n in (1000, 10_000):
        command = [sys.executable, __file__, str(n)]
        grown[n] = float(subprocess.run(command, check=True, capture_output=True).stdout)
        images = n * 3072 * 4 / MIB
        print(f"{n} images ({images:.0f} MiB): {grown[n]:.0f} MiB more at the peak")
    more = 9000 * 3072 * 4 / MIB
    ratio = (grown[10_000] - grown[1000]) / more
    print(f"growth beside the images: {ratio:.2f} of one more copy of them ({more:.0f} MiB)")


if __name__ == "__main__":
    main()
