"""The model card of a run for the Hugging Face hub: metadata that it reads, then what people do."""

from __future__ import annotations

from typing import Any

import yaml

from regmix_bench.analysis.words import threat_words
from regmix_bench.loading.folders import ExportConfig
from regmix_bench.loading.model_card import model_card
from regmix_bench.methods import declared
from regmix_bench.methods.declarations import display_name
from regmix_bench.records.accuracies import accuracies
from regmix_bench.records.schema import RobustEval, RunRecord
from regmix_bench.reporting.formats.bibtex import bibtex, suite_entry
from regmix_bench.reporting.formats.cells import markdown_text

#: The accuracy that no threat takes part in.
CLEAN = "clean_acc"

#: The identifiers on the hub of data sets that are there.
_DATASETS = {
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
    "tiny-imagenet": "zh-plus/tiny-imagenet",
}


def hub_card(record: RunRecord, config: ExportConfig, licence: str, repository: str | None) -> str:
    """Return the card: YAML with the evaluation results as ``model-index``, then Markdown.

    ``licence`` is an identifier of the hub's, such as ``mit``; ``repository`` is where the card
    will stand, as far as that is known.
    """
    front = yaml.safe_dump(
        card_metadata(record, config, licence), allow_unicode=True, sort_keys=False
    )
    return f"---\n{front}---\n{model_card(record, config, _loading(config, repository))}" + (
        f"\n{_threat_model(record)}\n{_licence(licence)}\n{_citations(record)}"
    )


def card_metadata(record: RunRecord, config: ExportConfig, licence: str) -> dict[str, Any]:
    """Return what the hub reads of a card: licence, task, data and evaluation results.

    Each accuracy (0 to 1) of the checkpoint is a metric that says its threat and its images.
    """
    spec = record.spec
    known = _DATASETS.get(spec.dataset)
    scored = [result for result in record.evaluations if result.checkpoint == config.checkpoint]
    metrics = [
        _metric(accuracy.id, accuracy.header(spec.scoring), share, result)
        for place, result in enumerate(scored)
        for accuracy in accuracies(spec.scoring)
        if (share := accuracy.read(result)) is not None
        and (place == 0 or accuracy.id != CLEAN)  # which is the same at every budget
    ]
    data = {"name": spec.dataset_words, "type": known or spec.dataset, "split": "test"}
    result = {"task": {"type": "image-classification"}, "dataset": data, "metrics": metrics}
    index = [{"name": f"{display_name(spec.method)} ({record.run_id})", "results": [result]}]
    return {
        "license": licence,
        "library_name": "regmix-bench",
        "pipeline_tag": "image-classification",
        "tags": ["adversarial-robustness", "adversarial-training", spec.method.name],
        **({"datasets": [known]} if known else {}),
        "metrics": ["accuracy"],
        **({"model-index": index} if metrics else {}),
    }


def _metric(measure: str, header: str, share: float, result: RobustEval) -> dict[str, Any]:
    threat = result.threat
    attacked = measure != CLEAN
    return {
        "type": "accuracy",
        "name": f"{header}, {threat_words(threat)}" if attacked else header,
        "value": share,
        "args": {
            "measure": measure,
            **({"norm": threat.norm, "epsilon": str(threat.epsilon)} if attacked else {}),
            "images": result.n_examples,
        },
    }


def _loading(config: ExportConfig, repository: str | None) -> str:
    address = f"hf:{repository or 'ORG/NAME'}"
    shape = ", ".join(map(str, config.image_shape))
    return f"""With `pip install "regmix-bench[hub]"`:

```python
import torch
from regmix_bench import load_model

model = load_model("{address}")
images = torch.rand(4, {shape})  # pixels in [0, 1]; the model normalises them itself
logits = model(images)  # (4, {config.num_classes})
```

`regmix-bench eval {address} --dataset {config.dataset} --eps {config.threat.epsilon}\
 --norm {config.threat.norm}` scores it anew.
"""


def _threat_model(record: RunRecord) -> str:
    spec = record.spec
    scored = ", ".join(dict.fromkeys(threat_words(result.threat) for result in record.evaluations))
    return f"""## Threat model

An attacker who knows the model and its weights adds to each image a perturbation of at most ε
in its norm; pixels stay in [0, 1]. The model was trained against
{threat_words(spec.train_threat)} and scored under {scored or "none"}. No other is meant.
"""


def _licence(licence: str) -> str:
    return f"## Licence\n\nThe weights: {markdown_text(licence)}.\n"


def _citations(record: RunRecord) -> str:
    citation = getattr(declared(record.spec.method.name), "citation", None)
    entries = "\n".join([*([bibtex(citation)] if citation else []), suite_entry()])
    return f"## Citation\n\n```bibtex\n{entries}```\n"
