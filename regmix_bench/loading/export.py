"""A trained model in forms that others read: a RobustBench entry, or a folder that torch opens."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn
from torch.export import Dim

from regmix_bench.analysis.words import recipe_words, threat_words
from regmix_bench.errors import UserError
from regmix_bench.loading.folders import CARD, CONFIG, GRAPH, WEIGHTS, ExportConfig, read_config
from regmix_bench.loading.runs import find_checkpoint
from regmix_bench.methods.configured import all_params
from regmix_bench.models.weights import Description, load_checkpoint, read_weights
from regmix_bench.records.accuracies import accuracies
from regmix_bench.records.schema import RobustEval, RunRecord
from regmix_bench.records.store import write_json
from regmix_bench.reporting.formats.cells import markdown, markdown_text
from regmix_bench.reporting.values import Cell, Column, Table, counted, measured
from regmix_bench.system.files import file_digest
from regmix_bench.types import Checkpoint, Epsilon, ThreatModel

#: Datasets that RobustBench 1.1.1 has a leaderboard of, which we can be scored on.
ROBUSTBENCH_DATASETS = ("cifar10", "cifar100")

# How RobustBench spells architectures that we have too.
_ROBUSTBENCH_ARCHS = {
    "resnet18": "ResNet-18",
    "preactresnet18": "PreActResNet-18",
    "wrn-28-10": "WideResNet-28-10",
    "wrn-34-10": "WideResNet-34-10",
}


def export_safetensors(
    run: str, results: Path, out: Path | None = None, checkpoint: Checkpoint = "selected"
) -> Path:
    """Write a run's checkpoint as a folder of its own, whole or not at all; returns the folder.

    It holds the weights, the model as a ``torch.export`` program that takes any number of images,
    a description, and a model card with the measured table, which also says how to load it without
    this package. Raises :class:`UserError` where the checkpoint is not on this machine, or ``out``
    (``exported/<record's stem>`` if left out) is a folder of something else or of another run.
    """
    record, file, path = find_checkpoint(run, results, checkpoint)
    model = load_checkpoint(path, file.sha256)
    about = read_weights(path)[1]
    assert about is not None  # load_checkpoint loads no other
    folder = out or Path("exported") / _stem(record, checkpoint)

    def fill(new: Path) -> None:
        shutil.copyfile(path, new / WEIGHTS)
        _save_graph(model, about, new / GRAPH)
        config = ExportConfig(
            run_id=record.run_id,
            checkpoint=checkpoint,
            epoch=file.epoch,
            label=record.spec.label,
            arch=about.arch,
            image_shape=about.image_shape,
            num_classes=about.num_classes,
            dataset=record.spec.dataset,
            data_digest=record.data_digest,
            threat=record.spec.train_threat,
            weights_sha256=file.sha256,
            graph_sha256=file_digest(new / GRAPH),
        )
        write_json(new / CONFIG, config.model_dump(mode="json"))
        (new / CARD).write_text(model_card(record, config), encoding="utf-8")

    _replace_folder(folder, record.run_id, fill)
    return folder


def export_robustbench(
    run: str,
    results: Path,
    out: Path | None = None,
    checkpoint: Checkpoint = "selected",
    epsilon: str | None = None,
) -> Path:
    """Write a run's scores as an entry of RobustBench's ``model_info``; returns the file.

    It lies at ``out/model_info/<dataset>/<norm>/<name>.json``, ``out`` being the working folder if
    left out, which is where RobustBench looks. ``epsilon`` is the training's if left out. ``link``
    and ``authors`` are left for the submitter to fill in, and ``venue`` is that of an entry without
    a paper. Raises :class:`UserError` for a dataset without a leaderboard, a run that was not
    scored by AutoAttack's standard version, and a file that somebody has changed.
    """
    record, file, _ = find_checkpoint(run, results, checkpoint)
    spec = record.spec
    if spec.dataset not in ROBUSTBENCH_DATASETS:
        raise UserError(
            f"RobustBench has no leaderboard of {spec.dataset!r}, only of"
            f" {' and '.join(ROBUSTBENCH_DATASETS)}: --format safetensors takes any dataset"
        )
    threat = spec.train_threat
    if epsilon is not None:
        threat = ThreatModel(threat.norm, Epsilon(epsilon))
    scored = record.evaluation(checkpoint, threat)
    if scored is None or scored.autoattack_acc is None or scored.autoattack_version != "standard":
        raise UserError(
            f"run {record.run_id} has no score of its {checkpoint} checkpoint by AutoAttack's"
            f" standard version at {threat}, which RobustBench asks for"
        )
    robust = _percent(scored.autoattack_acc)
    entry = {
        "link": "",
        "name": f"{spec.label} (regmix-bench {record.run_id})",
        "authors": "",
        "additional_data": False,
        "number_forward_passes": 1,
        "dataset": spec.dataset,
        "venue": "N/A",
        "architecture": _ROBUSTBENCH_ARCHS.get(spec.arch, spec.arch),
        "eps": str(threat.epsilon),
        "clean_acc": _percent(scored.clean_acc),
        "reported": robust,
        "autoattack_acc": robust,
        "footnote": " ".join(_footnote(record, scored, file.epoch)),
    }
    # What stands before the first underscore is the key under which RobustBench cites an entry.
    name = f"{_stem(record, checkpoint).replace('_', '-')}_{spec.arch}"
    if threat != spec.train_threat:
        name += f"_eps-{threat.epsilon.slug}"
    path = (out or Path()) / "model_info" / spec.dataset / threat.norm / f"{name}.json"
    if path.exists():
        raise UserError(f"{path} stands already, perhaps filled in by hand: remove it first")
    write_json(path, entry)
    return path


def model_card(record: RunRecord, config: ExportConfig) -> str:
    """Return a model card in Markdown: what was measured, how it was trained, how to load it."""
    spec = record.spec
    shape = ", ".join(map(str, config.image_shape))
    parameters = [f"{key} = {value}" for key, value in all_params(spec.method).items()]
    facts = {
        "Task": f"classifies images ({shape}) of {spec.dataset} into {config.num_classes} classes",
        "Architecture": f"{config.arch}, {record.n_parameters or 0:,} parameters",
        "Method": ", ".join([f"{spec.method.name}, version {spec.method.version}", *parameters]),
        "Trained against": threat_words(spec.train_threat),
        "Recipe": f"{recipe_words(spec.recipe)}; seed {spec.seed}",
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
    return f"""# {markdown_text(spec.label)} on {spec.dataset}, run {record.run_id}

{described}

## Measured

{_measured(record, config.checkpoint)}
## How to load

With nothing but torch and safetensors, in this folder:

```python
import torch
from safetensors.torch import load_file

model = torch.export.load("{GRAPH}").module()
model.load_state_dict(load_file("{WEIGHTS}"))

images = torch.rand(4, {shape})  # pixels in [0, 1]; the model normalises them itself
logits = model(images)  # (4, {config.num_classes})
```

With regmix-bench, `regmix-bench eval . --dataset {spec.dataset} --eps {spec.train_threat.epsilon}\
 --norm {spec.train_threat.norm}` scores it anew.
"""


def _measured(record: RunRecord, checkpoint: Checkpoint) -> str:
    scored = [result for result in record.evaluations if result.checkpoint == checkpoint]
    if not scored:
        return "This checkpoint was not scored.\n"
    notes = ["Accuracies in %, with Wilson's 95 % interval over the images."]
    for result in scored:
        notes += [f"{threat_words(result.threat)}: {remark}" for remark in _remarks(result)]
    notes += [f"{alarm.kind} at epoch {alarm.epoch}: {alarm.message}" for alarm in record.alarms]
    scoring = record.spec.scoring
    table = Table.of(
        f"Accuracy on test images of {record.spec.dataset}",
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


def _remarks(result: RobustEval) -> Iterator[str]:
    """What a reader should know of the attacks behind a score."""
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
    suspicions = [diagnosis.name for diagnosis in result.diagnoses if diagnosis.alarm]
    if suspicions:
        yield f"the gradients are suspected of misleading by {', '.join(suspicions)}"


def _footnote(record: RunRecord, result: RobustEval, epoch: int) -> Iterator[str]:
    if result.n_examples != record.n_test:
        yield f"{result.n_examples} of {record.n_test} test images."
    yield f"{result.checkpoint.capitalize()} checkpoint, epoch {epoch}."
    yield from (f"{remark[:1].upper()}{remark[1:]}." for remark in _remarks(result))
    yield from (f"{alarm.kind} at epoch {alarm.epoch}." for alarm in record.alarms)


def _percent(accuracy: float) -> str:
    return str(round(100 * accuracy, 2))


def _stem(record: RunRecord, checkpoint: Checkpoint) -> str:
    return record.spec.stem if checkpoint == "selected" else f"{record.spec.stem}-{checkpoint}"


def _save_graph(model: nn.Module, about: Description, path: Path) -> None:
    images = torch.zeros(2, *about.image_shape)
    program = torch.export.export(model, (images,), dynamic_shapes=({0: Dim("batch")},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # holds paths of this machine
    torch.export.save(program, path)


def _replace_folder(folder: Path, run_id: str, fill: Callable[[Path], None]) -> None:
    """Let ``fill`` write a new folder, which takes the place of ``folder`` only when it is whole.

    Raises :class:`UserError` where something stands there that no export of this run wrote.
    """
    folder = folder.resolve()
    new, old = (folder.parent / f".{folder.name}-{kind}-{os.getpid()}" for kind in ("new", "old"))
    try:
        if folder.exists():
            _check_ours(folder, run_id)
        new.mkdir(parents=True)
        fill(new)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _check_ours(folder: Path, run_id: str) -> None:
    if not folder.is_dir():
        raise UserError(f"{folder} is a file: name a folder by --out")
    names = {path.name for path in folder.iterdir()}
    foreign = sorted(names - {WEIGHTS, GRAPH, CONFIG, CARD})
    if foreign:
        raise UserError(
            f"{folder} holds {foreign[0]!r}, which no export wrote: choose another --out"
        )
    if names and (other := read_config(folder).run_id) != run_id:
        raise UserError(f"{folder} holds the export of run {other}: choose another --out")
