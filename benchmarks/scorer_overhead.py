"""What the scorer's records cost: its time over that of a bare ``pyautoattack`` call.

The same model and images, the two in turn and in alternating order in one process; the figure is
the median of the ratios with its 95 % interval. The scorer makes everything that a run makes of its
AutoAttack (journal on disk, norms, margins, warnings); PGD-20, which the bare call lacks, is left
out of its time.

    python benchmarks/scorer_overhead.py [--pairs 12] [--images 60]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from pyautoattack import AutoAttack
from scipy import stats
from torch import nn

from regmix_bench import load_model, run
from regmix_bench.data import EvalData, prepare_eval
from regmix_bench.evaluation.attacked_model import AttackedModel
from regmix_bench.evaluation.evaluate import evaluate_threat
from regmix_bench.evaluation.journal import Journal
from regmix_bench.grid.plan import plan
from regmix_bench.specs import Scoring
from regmix_bench.types import ThreatModel

THREAT = ThreatModel("Linf", "32/255")


def trained(folder: Path) -> nn.Module:
    """A model of digits that resists for a while: FGSM-RS, ten epochs."""
    grid = {"methods": ["fgsm-rs"], "eps": ["32/255"], "eval_examples": 10}
    (spec,) = plan([{**grid, "recipe": {"epochs": 10}}])
    record = run(spec, results=folder, device="cpu")
    return load_model(record, folder)


def bare(model: nn.Module, test: EvalData) -> tuple[float, torch.Tensor]:
    """Seconds of the authors' call, and which images held."""
    started = time.perf_counter()
    attack = AutoAttack(model, eps=float(THREAT.epsilon), seed=0)
    _, y_adv = attack.run_standard_evaluation(test.x, test.y, batch_size=500)
    return time.perf_counter() - started, y_adv == test.y


def ours(model: nn.Module, test: EvalData) -> tuple[float, torch.Tensor]:
    """Seconds of the scorer without its PGD, and which images held."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder), {})
        started = time.perf_counter()
        _, table, _ = evaluate_threat(
            AttackedModel.of(model, test.x), test, THREAT, Scoring(), "given", journal, True
        )
        seconds = time.perf_counter() - started
        pgd = sum(part.cost.seconds for part in journal.batches("pgd"))
    robust = table["clean_correct"] & (table["broken_by"] == "")
    return seconds - pgd, torch.tensor(robust.tolist())


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--pairs", type=int, default=12)
    arguments.add_argument("--images", type=int, default=60)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    test = prepare_eval("digits", options.images, torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        model = trained(Path(folder))
    ratios = []
    for pair in range(options.pairs):
        order = (bare, ours) if pair % 2 else (ours, bare)
        found = {measure: measure(model, test) for measure in order}
        assert torch.equal(found[ours][1], found[bare][1]), "the two disagree on an image"
        ratios.append(found[ours][0] / found[bare][0])
        print(
            f"pair {pair + 1}: bare {found[bare][0]:.2f} s, scorer {found[ours][0]:.2f} s,"
            f" ratio {ratios[-1]:.4f}",
            flush=True,
        )
    interval = stats.quantile_test(ratios, p=0.5).confidence_interval(0.95)
    print(
        f"{options.images} digits, {options.pairs} pairs: median ratio {np.median(ratios):.4f},"
        f" 95 % interval {interval.low:.4f} to {interval.high:.4f}"
    )


if __name__ == "__main__":
    main()
