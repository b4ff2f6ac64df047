"""A trained model in forms that others read: a folder, or an entry of RobustBench."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.export import Dim

from regmix_bench.errors import UserError
from regmix_bench.loading.folders import CARD, CONFIG, GRAPH, WEIGHTS, ExportConfig, read_config
from regmix_bench.loading.hub_card import hub_card
from regmix_bench.loading.model_card import attack_remarks, loading_in_folder, model_card
from regmix_bench.loading.runs import find_checkpoint
from regmix_bench.models.weights import Description, load_checkpoint, read_weights
from regmix_bench.records.alarms import alarms_of
from regmix_bench.records.find import resolve_run
from regmix_bench.records.outcomes import require_outcomes
from regmix_bench.records.schema import CheckpointFile, RobustEval, RunRecord
from regmix_bench.records.store import write_json
from regmix_bench.system.files import copy_file, file_digest
from regmix_bench.types import Epsilon, ThreatModel, TrainedCheckpoint

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
    run: str, results: Path, out: Path | None = None, checkpoint: TrainedCheckpoint = "selected"
) -> Path:
    """Write a run's checkpoint as a folder of its own, whole or not at all; returns the folder.

    It holds the weights, the model as a ``torch.export`` program that takes any number of images,
    a description, and a model card with the measured table, which also says how to load it without
    this package. Raises :class:`UserError` where the checkpoint is not on this machine, or ``out``
    (``exported/<record's stem>`` if left out) is a folder of something else or of another run.
    """
    found = _Found.of(run, results, checkpoint)
    folder = out or Path("exported") / _stem(found.record, checkpoint)

    def fill(new: Path) -> None:
        _save_graph(found.model, found.about, new / GRAPH)
        config = found.write(new, file_digest(new / GRAPH))
        card = model_card(found.record, config, loading_in_folder(config))
        (new / CARD).write_text(card, encoding="utf-8")

    _replace_folder(folder, found.record.run_id, fill)
    return folder


def export_hub(
    run: str,
    results: Path,
    out: Path | None = None,
    checkpoint: TrainedCheckpoint = "selected",
    licence: str = "mit",
    repository: str | None = None,
) -> Path:
    """Write a run's checkpoint as a folder for the Hugging Face hub, whole or not at all.

    It holds the weights as safetensors, a description, and a model card with ``licence`` and
    metadata that the hub reads, which names ``repository``. Returns the folder, and raises
    :class:`UserError`, as :func:`export_safetensors` does.
    """
    found = _Found.of(run, results, checkpoint)
    folder = out or Path("exported") / f"{_stem(found.record, checkpoint)}-hub"

    def fill(new: Path) -> None:
        config = found.write(new, None)
        card = hub_card(found.record, config, licence, repository)
        (new / CARD).write_text(card, encoding="utf-8")

    _replace_folder(folder, found.record.run_id, fill)
    return folder


class _Found(NamedTuple):
    """A checkpoint that is to be exported: its record, its file, and the model in it."""

    record: RunRecord
    file: CheckpointFile
    path: Path
    checkpoint: TrainedCheckpoint
    model: nn.Module
    about: Description

    @classmethod
    def of(cls, run: str, results: Path, checkpoint: TrainedCheckpoint) -> _Found:
        record, file, path = find_checkpoint(run, results, checkpoint)
        require_outcomes(resolve_run(run, results), record)
        model = load_checkpoint(path, file.sha256)
        about = read_weights(path).about
        assert about is not None  # load_checkpoint loads no other
        return cls(record, file, path, checkpoint, model, about)

    def write(self, folder: Path, graph_sha256: str | None) -> ExportConfig:
        """Write the weights and their description into a folder."""
        copy_file(self.path, folder / WEIGHTS)
        config = ExportConfig(
            run_id=self.record.run_id,
            checkpoint=self.checkpoint,
            epoch=self.file.epoch,
            label=self.record.spec.label,
            arch=self.about.arch,
            image_shape=self.about.image_shape,
            num_classes=self.about.num_classes,
            dataset=self.record.spec.dataset,
            dataset_name=self.record.spec.dataset_words,
            data_digest=self.record.data_digest,
            threat=self.record.spec.train_threat,
            weights_sha256=self.file.sha256,
            graph_sha256=graph_sha256,
        )
        write_json(folder / CONFIG, config.model_dump(mode="json"))
        return config


def export_robustbench(
    run: str,
    results: Path,
    out: Path | None = None,
    checkpoint: TrainedCheckpoint = "selected",
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


def _footnote(record: RunRecord, result: RobustEval, epoch: int) -> Iterator[str]:
    if result.n_examples != record.n_test:
        yield f"{result.n_examples} of {record.n_test} test images."
    yield f"{result.checkpoint.capitalize()} checkpoint, epoch {epoch}."
    yield from (f"{remark[:1].upper()}{remark[1:]}." for remark in attack_remarks(result))
    yield from (f"{alarm.kind} at epoch {alarm.epoch}." for alarm in alarms_of(record))


def _percent(accuracy: float) -> str:
    return str(round(100 * accuracy, 2))


def _stem(record: RunRecord, checkpoint: TrainedCheckpoint) -> str:
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
