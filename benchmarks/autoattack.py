"""AutoAttack on the scored copy: its time below that of bare ``pyautoattack``, its flags the same.

The bare call sees the unmodified model, its parameters requiring gradients, under torch's defaults:
on CUDA these are TF32 in convolutions, in which the scorer searches too unless told otherwise; its
verdicts, and all margins, are in strict float32. Both score the same images under the same threat,
the seed and the batch being the scorer's, one after the other; the scorer's PGD-20, which the bare
call lacks, is left out of its time. Every image whose flag differs is listed, with the margins that
both leave; a margin within rounding of zero is one below 1e-4 of the largest logit. The last line
is the bare call's time over the scorer's.

Two-core AVX2 CPU, one thread, resnet8 trained by FGSM-RS, 250 images of CIFAR-10: 56 hold on both
sides, no flag differs, ratio 2.56 in wall time, of which the other work on that machine, heavier
during the bare call, has a share: 40 images at a quieter time gave 1.45.

    python benchmarks/autoattack.py WEIGHTS --data-dir DIR [--images 250]
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from pyautoattack import AutoAttack
from torch import Tensor, nn

from regmix_bench.data import EvalData, prepare_eval
from regmix_bench.evaluation.attacked_model import AttackedModel
from regmix_bench.evaluation.evaluate import evaluate_threat
from regmix_bench.evaluation.journal import Journal
from regmix_bench.models.fusion import TOLERANCE
from regmix_bench.models.predictions import margins, predict_logits
from regmix_bench.models.weights import load_checkpoint
from regmix_bench.specs import Scoring
from regmix_bench.specs.scoring import SearchPrecision
from regmix_bench.system.files import file_digest
from regmix_bench.system.machine import Execution, arithmetic, default_search_precision
from regmix_bench.types import ThreatModel


@dataclass(frozen=True)
class Side:
    """What one side says of N images: seconds, which held (N,), and its margins there (N,)."""

    seconds: float
    held: Tensor
    margin: Tensor


def bare(model: nn.Module, test: EvalData, threat: ThreatModel, scoring: Scoring) -> Side:
    """The authors' call."""
    started = time.perf_counter()
    attack = AutoAttack(
        model,
        norm=threat.norm,
        eps=float(threat.epsilon),
        seed=scoring.autoattack_seed,
        device=test.x.device,
        version=scoring.autoattack_version,
        attacks=list(scoring.attacks) or None,
    )
    x_adv, y_adv = attack.run_standard_evaluation(
        test.x, test.y, batch_size=scoring.autoattack_batch_size
    )
    seconds = time.perf_counter() - started
    with arithmetic("fp32"):
        margin = margins(predict_logits(model, x_adv), test.y)
    return Side(seconds, (y_adv == test.y).cpu(), margin.cpu())


def ours(
    model: nn.Module,
    test: EvalData,
    threat: ThreatModel,
    scoring: Scoring,
    execution: Execution | None = None,
) -> Side:
    """The scorer without its PGD, run as ``execution`` says or as it is by default."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder), {})
        started = time.perf_counter()
        attacked = AttackedModel.of(model, test.x, scoring, execution, print)
        result, table, _ = evaluate_threat(attacked, test, threat, scoring, "given", journal, True)
        seconds = time.perf_counter() - started
        pgd = sum(part.cost.seconds for part in journal.batches("pgd"))
    print(f"attacked: {result.scored_copy or 'the model itself'}")
    held = table["clean_correct"] & (table["broken_by"] == "")
    margin = table["adv_margin"].where(table["broken_by"] != "", table["clean_margin"])
    return Side(seconds - pgd, torch.tensor(held.tolist()), torch.tensor(margin.tolist()))


def differences(model: nn.Module, test: EvalData, sides: Mapping[str, Side]) -> list[str]:
    """One line for each image on which two sides disagree, with the margins that both leave."""
    with arithmetic("fp32"):
        rounding = TOLERANCE * float(predict_logits(model, test.x).abs().max())
    (one, two) = sides.values()
    lines = []
    for i in (one.held != two.held).nonzero().squeeze(1).tolist():
        said = [
            f"{'held' if side.held[i] else 'broken'} for {name} (margin {side.margin[i]:+.2e})"
            for name, side in sides.items()
        ]
        least = min(abs(one.margin[i]), abs(two.margin[i]))
        where = "within rounding of zero" if least <= rounding else "AWAY FROM ZERO"
        lines.append(f"image {int(test.index[i])}: {', '.join(said)}: {where}")
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--images", type=int, default=250)
    parser.add_argument("--eps", default="8/255")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--search-precision", choices=get_args(SearchPrecision))
    options = parser.parse_args()
    device = torch.device(options.device)
    precision = options.search_precision or default_search_precision(device.type)
    threat, scoring = ThreatModel("Linf", options.eps), Scoring(search_precision=precision)
    test = prepare_eval(options.dataset, options.images, device, options.data_dir)
    model = load_checkpoint(options.weights, file_digest(options.weights)).to(device)
    found = ours(model, test, threat, scoring)
    model = load_checkpoint(options.weights, file_digest(options.weights)).to(device)
    expected = bare(model.requires_grad_(True), test, threat, scoring)
    lines = differences(model, test, {"the scorer": found, "the bare call": expected})
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {device}")
    print(
        f"{len(test.y)} images at {threat}: {int(found.held.sum())} hold for the scorer,"
        f" {int(expected.held.sum())} for the bare call; {len(lines)} differ"
    )
    for line in lines:
        print(line)
    print(f"bare {expected.seconds:.1f} s, scorer {found.seconds:.1f} s")
    print(f"ratio {expected.seconds / found.seconds:.2f}")


if __name__ == "__main__":
    main()
