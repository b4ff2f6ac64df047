"""Transfer records made up for tests."""

from __future__ import annotations

from regmix_bench.records.schema import TransferRecord, TransferSide
from regmix_bench.types import ThreatModel

#: Label, seed and architecture of a model.
Side = tuple[str, int, str]


def make_transfer(*sides: Side, epsilon: str = "8/255", run_id: str = "ab" * 6) -> TransferRecord:
    """Of source i and target j the accuracy is (10·i + j + 1) / 2 %; clean it is (90 + j/2) %."""
    n = len(sides)
    return TransferRecord(
        run_id=run_id,
        dataset="digits",
        data_digest="d" * 64,
        eval_examples=None,
        n_examples=200,
        threat=ThreatModel("Linf", epsilon),
        attack="pgd-20",
        seed=0,
        runs=tuple(
            TransferSide(run_id=f"{i:x}" * 12, label=label, arch=arch, seed=seed, sha256="0" * 64)
            for i, (label, seed, arch) in enumerate(sides)
        ),
        clean_acc=tuple((180 + j) / 200 for j in range(n)),
        accuracy=tuple(tuple((10 * i + j + 1) / 200 for j in range(n)) for i in range(n)),
    )


def sides(*labels: str) -> list[Side]:
    return [(label, 0, "smallcnn") for label in labels]
