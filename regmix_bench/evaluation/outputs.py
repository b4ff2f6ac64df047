"""The outputs of a model for plots: probabilities and features of a sample of test images."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
import torch

from regmix_bench.attacks.white_box import PGD
from regmix_bench.data import EvalData
from regmix_bench.data.splits import balanced_sample
from regmix_bench.models.chunks import ChunkedModel, Chunks
from regmix_bench.models.classifier import ImageClassifier
from regmix_bench.records.outputs import OUTPUT_EXAMPLES
from regmix_bench.specs import Scoring
from regmix_bench.types import ThreatModel


def outputs_for_plots(
    model: ImageClassifier,
    test: EvalData,
    threat: ThreatModel,
    scoring: Scoring,
    chunks: Chunks | None = None,
) -> pd.DataFrame:
    """Return softmax outputs and penultimate features of up to 500 images, clean and under PGD.

    Forward passes take as many images at once as ``chunks`` find room for.

    Columns ``index``, ``label``, and as lists in half precision ``probs_clean``, ``probs_adv`` (K)
    and ``features_clean``, ``features_adv`` (F).
    """
    chosen = torch.from_numpy(balanced_sample(test.y.cpu().numpy(), OUTPUT_EXAMPLES))
    chosen = chosen.to(test.y.device)
    x, y = test.x[chosen], test.y[chosen]
    table: dict[str, Any] = {"index": test.index[chosen.cpu()].numpy(), "label": y.cpu().numpy()}
    chunks = chunks or Chunks()
    logits, features_of = ChunkedModel(model, chunks), ChunkedModel(model.features, chunks)
    attack = PGD.of(steps=scoring.pgd_steps)
    x_adv = chunks.fit(lambda: attack.perturb(logits, x, y, threat))
    with torch.no_grad():
        for name, images in (("clean", x), ("adv", x_adv)):
            features = chunks.fit(partial(features_of, images))
            probabilities = model.classifier(features).softmax(1)
            table[f"probs_{name}"] = list(probabilities.half().cpu().numpy())
            table[f"features_{name}"] = list(features.half().cpu().numpy())
    return pd.DataFrame(table)
