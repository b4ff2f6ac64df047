"""How far cheap attacks agree with AutoAttack on the same images, and what they cost of it.

Each recorded digits model of seed 0 whose weights are there is attacked under its own threat on all
of its test images, and every image is compared with what AutoAttack's record says of it. ``missed``
are images that AutoAttack breaks and the attack does not, ``beyond`` those that it alone breaks,
``points`` the largest difference of a model's accuracy. The cost is in passes, as a share of those
that the record counts for its scoring. What APGD-CE and APGD-T of AutoAttack itself leave is read
off the records.

Measured on 92 models of 360 images: of ``quick-apgd`` 99.54 % agree, 125 are missed and 27 beyond,
at most 1.67 points, for 6.9 % of the passes; of ``gama-pgd`` 98.58 %, at most 4.17 points, for
2.9 %. A processor of two that were shared took 40 minutes.

    python benchmarks/quick.py [--results results/shipped] [--attacks quick-apgd gama-pgd]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from regmix_bench.attacks import load_attack
from regmix_bench.attacks.pgd import frozen
from regmix_bench.data import EvalData
from regmix_bench.evaluation.recorded import recorded_images
from regmix_bench.loading.runs import find_checkpoint
from regmix_bench.models.predictions import PassCounter, correct
from regmix_bench.models.weights import load_checkpoint
from regmix_bench.records.outcomes import BROKEN_BY, INDEX, held
from regmix_bench.records.paths import outcomes_path
from regmix_bench.records.schema import RunRecord
from regmix_bench.records.store import load_records
from regmix_bench.types import ThreatModel

EARLY = "AutoAttack's APGD-CE and APGD-T"
SETTINGS = (
    "quick-apgd",
    "quick-apgd[n_iter=20]",
    "quick-apgd[n_target_classes=9]",
    "gama-pgd",
    "gama-pgd[guide=image]",
)


@dataclass
class Tally:
    """The sums over models of one attack."""

    images: int = 0
    missed: int = 0
    beyond: int = 0
    points: float = 0.0
    passes: int = 0
    recorded: int = 0

    def add(self, mine: np.ndarray, theirs: np.ndarray, passes: int, recorded: int) -> None:
        self.images += len(mine)
        self.missed += int((mine & ~theirs).sum())
        self.beyond += int((theirs & ~mine).sum())
        self.points = max(self.points, 100 * abs(mine.mean() - theirs.mean()))
        self.passes += passes
        self.recorded += recorded


def left_by(
    name: str, model: nn.Module, test: EvalData, threat: ThreatModel, size: int
) -> tuple[np.ndarray, int]:
    """Return which images hold, bool (N,), and the passes that it took."""
    standing: Tensor = correct(model, test.x, test.y)
    attack = load_attack(name)
    with PassCounter(model) as passes:
        for part in standing.nonzero().squeeze(1).split(size):
            if len(part):
                found = attack.perturb(model, test.x[part], test.y[part], threat, seed=0)
                standing[part] = correct(model, found, test.y[part])
    return standing.numpy(), passes.forward_images + passes.backward_images


def main(results: Path, attacks: Sequence[str]) -> None:
    """Print a line for each attack."""
    torch.set_num_threads(1)
    tallies = {name: Tally() for name in (EARLY, *attacks)}
    models = 0
    for path, record in load_records(results).items():
        if not (isinstance(record, RunRecord) and record.spec.seed == 0):
            continue
        if record.spec.dataset != "digits" or record.status != "success":
            continue
        _, file, weights = find_checkpoint(str(path), results, "selected")
        score = record.evaluation("selected", record.spec.train_threat)
        if not weights.is_file() or score is None or score.autoattack_version != "standard":
            continue
        model = load_checkpoint(weights, file.sha256).eval()
        test = recorded_images(record, torch.device("cpu"), None, str(path))
        table = pd.read_parquet(outcomes_path(path, "selected"))
        table = table[table["epsilon"] == str(score.threat.epsilon)].set_index(INDEX)
        table = table.loc[test.index.numpy()]
        theirs, recorded = held(table).to_numpy(), record.scoring_cost.passes
        early = theirs | table[BROKEN_BY].isin(["fab-t", "square"]).to_numpy()
        tallies[EARLY].add(early, theirs, 0, recorded)
        with frozen(model), torch.no_grad(), torch.random.fork_rng([]):
            size = score.autoattack_batch_size or 500
            for name in attacks:
                mine, passes = left_by(name, model, test, score.threat, size)
                tallies[name].add(mine, theirs, passes, recorded)
        models += 1
        print(f"{models}: {record.spec.label}", file=sys.stderr, flush=True)
    print(f"{models} models, {tallies[EARLY].images:,} images")
    print(f"{'attack':34}{'agree':>9}{'missed':>8}{'beyond':>8}{'points':>8}{'cost':>8}")
    for name, tally in tallies.items():
        agree = 1 - (tally.missed + tally.beyond) / tally.images
        cost = f"{tally.passes / tally.recorded:.1%}" if tally.passes else ""
        print(
            f"{name:34}{agree:>9.2%}{tally.missed:>8}{tally.beyond:>8}{tally.points:>8.2f}{cost:>8}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, default=Path("results/shipped"))
    parser.add_argument("--attacks", type=str, nargs="+", default=SETTINGS)
    asked = parser.parse_args()
    main(asked.results, asked.attacks)
