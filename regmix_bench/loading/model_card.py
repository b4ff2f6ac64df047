"""The model card of an exported run, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from regmix_bench.analysis.words import recipe_words, threat_words
from regmix_bench.loading.folders import GRAPH, WEIGHTS, ExportConfig
from regmix_bench.methods.configured import all_params
from regmix_bench.methods.declarations import display_name
from regmix_bench.records.accuracies import accuracies
from regmix_bench.records.alarms import alarms_of
from regmix_bench.records.schema import RobustEval, RunRecord
from regmix_bench.records.tricks import trained_with
from regmix_bench.records.words import labels_words
from regmix_bench.reporting.formats.cells import markdown, markdown_text
from regmix_bench.reporting.values import Cell, Column, Table, counted, measured
from regmix_bench.types import Checkpoint


def model_card(record: RunRecord, config: ExportConfig, loading: str) -> str:
    """Return a model card in Markdown: what was measured, how it was trained, how to load it.

    ``loading`` is what it says of the last.
    """
    spec, data = record.spec, record.spec.dataset_words
    shape = ", ".join(map(str, config.image_shape))
    parameters = [f"{key} = {value}" for key, value in all_params(spec.method).items()]
    facts = {
        "Task": f"classifies images ({shape}) of {data} into {config.num_classes} classes",
        "Architecture": f"{config.arch}, {record.n_parameters or 0:,} parameters",
        "Method": ", ".join([f"{spec.method.name}, version {spec.method.version}", *parameters]),
        "Trained against": threat_words(spec.train_threat),
        "Recipe": f"{recipe_words(spec.recipe)}; seed {spec.seed}",
        "Tricks": str(trained_with(record)),
        "Labels": labels_words(record),
        "Checkpoint": f"{config.checkpoint}, epoch {config.epoch} of {spec.recipe.epochs}",
        "Data": f"SHA-256 {record.data_digest}" if record.data_digest else "",
        "Weights": f"SHA-256 {config.weights_sha256}",
        "Made with": ", ".join(
            f"{name} {record.environment[name]}"
            for name in ("regmix-bench", "torch", "pyautoattack")
            if name in record.environment
        ),
    }
    described = "\n".join(
        f"- {name}: {markdown_text(text)}" for name, text in facts.items() if text
    )
    return f"""# {markdown_text(display_name(spec.method))} on {data}, run {record.run_id}

{described}

## Measured

{_measured(record, config.checkpoint)}
## How to load

{loading}"""


def loading_in_folder(config: ExportConfig) -> str:
    """Say how to load a folder of weights and a program, with and without this package."""
    shape = ", ".join(map(str, config.image_shape))
    return f"""With nothing but torch and safetensors, in this folder:

```python
import torch
from safetensors.torch import load_file

model = torch.export.load("{GRAPH}").module()
model.load_state_dict(load_file("{WEIGHTS}"))

images = torch.rand(4, {shape})  # pixels in [0, 1]; the model normalises them itself
logits = model(images)  # (4, {config.num_classes})
```

With regmix-bench, `regmix-bench eval . --dataset {config.dataset} --eps {config.threat.epsilon}\
 --norm {config.threat.norm}` scores it anew.
"""


def _measured(record: RunRecord, checkpoint: Checkpoint) -> str:
    scored = [result for result in record.evaluations if result.checkpoint == checkpoint]
    if not scored:
        return "This checkpoint was not scored.\n"
    notes = ["Accuracies in %, with Wilson's 95 % interval over the images."]
    for result in scored:
        notes += [f"{threat_words(result.threat)}: {remark}" for remark in attack_remarks(result)]
    notes += [
        f"{alarm.kind} at epoch {alarm.epoch}: {alarm.message}" for alarm in alarms_of(record)
    ]
    scoring = record.spec.scoring
    table = Table.of(
        f"Accuracy on test images of {record.spec.dataset_words}",
        (
            (Column("threat", "Threat"), [Cell(threat_words(r.threat)) for r in scored]),
            (Column("images", "Images", "count"), [counted(r.n_examples) for r in scored]),
            *(
                (
                    Column(accuracy.id, accuracy.header(scoring), "estimate", "higher"),
                    [measured(accuracy.read(r), r.n_examples) for r in scored],
                )
                for accuracy in accuracies(scoring)
            ),
        ),
        notes,
    )
    return markdown(table)


def attack_remarks(result: RobustEval) -> Iterator[str]:
    """Yield what a reader should know of the attacks behind a score."""
    if result.robust_acc is not None:
        attacks = ", ".join(result.after_attack)
        yield (
            f"AutoAttack version {result.autoattack_version}"
            + (f" ({attacks})" if attacks else "")
            + f", seed {result.autoattack_seed}, batches of {result.autoattack_batch_size}"
        )
    yield from result.substitutions
    if result.checks:
        yield f"AutoAttack raised {', '.join(result.checks)}"
    yield from (f"{name} failed ({why})" for name, why in result.failed_attacks.items())
    suspicions = [diagnosis.name for diagnosis in result.diagnoses if diagnosis.alarm]
    if suspicions:
        yield f"the gradients are suspected of misleading by {', '.join(suspicions)}"
