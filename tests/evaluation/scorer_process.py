"""Scores the model of ``FOLDER/model.pt`` in a process of its own, to be killed by a test.

``python scorer_process.py FOLDER``: with iterations enough to be hit while it works.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from regmix_bench.data import EvalData
from regmix_bench.evaluation.attacked_model import AttackedModel
from regmix_bench.evaluation.evaluate import evaluate_threat
from regmix_bench.evaluation.journal import Journal
from regmix_bench.models import build_model
from regmix_bench.specs import Scoring
from regmix_bench.types import ThreatModel

sys.path.insert(0, str(Path(__file__).parent.parent))
from support.quick_attacks import shorten

THREAT = ThreatModel("Linf", "24/255")
SCORING = Scoring(autoattack_seed=3, autoattack_batch_size=16)


def main(folder: Path) -> None:
    shorten(pytest.MonkeyPatch())
    saved = torch.load(folder / "model.pt")
    model = build_model("smallcnn", (1, 8, 8), 10)
    model.load_state_dict(saved["weights"])
    test = EvalData(saved["x"], saved["y"], torch.arange(len(saved["y"])), "d" * 64, 10)
    journal = Journal(folder / "journal", {"weights": "w"})
    result, table, _ = evaluate_threat(
        AttackedModel.of(model.eval(), test.x), test, THREAT, SCORING, "given", journal, True
    )
    table.to_parquet(folder / "outcomes.parquet")
    (folder / "result.json").write_text(result.model_dump_json())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
