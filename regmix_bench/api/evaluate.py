"""``evaluate``, on the command line ``eval``: score a model that is given."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from regmix_bench.api.asked import asked_data, asked_threats
from regmix_bench.api.corrupted import refuse_attacks, score_corrupted
from regmix_bench.api.options import (
    EXECUTION,
    MODEL,
    RECORDS,
    SCORING,
    Attacks,
    DataDir,
    DataName,
    DeviceName,
    Diagnose,
    Download,
    EvalExamples,
    Force,
    Graphs,
    Names,
    Norm,
    Option,
    SaveAdversarial,
    Screen,
    scoring_keys,
    verb,
)
from regmix_bench.errors import UserError, abridged, validated
from regmix_bench.system.shown import Shown, Summary
from regmix_bench.types import DEFAULT_NORM, TrainedCheckpoint

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor, nn

    from regmix_bench.records.schema import CorruptionRecord, EvalRecord
    from regmix_bench.runs.observers import Observer
    from regmix_bench.specs import EvalSpec
    from regmix_bench.system.machine import Device


@dataclass(frozen=True, repr=False)
class Evaluation(Shown):
    """A scored model: its record, and what became of every image.

    ``outcomes`` has a row for each image and threat, with the columns of
    :mod:`regmix_bench.records.outcomes`, or for each image and corruption, with those of
    :mod:`regmix_bench.records.corrupted`; None where a record that was found has lost its file.
    """

    record: "EvalRecord | CorruptionRecord"
    outcomes: "pd.DataFrame | None"

    def summary(self) -> Summary:
        return self.record.summary()


@verb
def evaluate(
    model: Annotated[
        "str | Path | nn.Module",
        Option(
            "A run of ours, hf:ORG/NAME, robustbench:ID, MODULE:CALLABLE (runs that Python code), a"
            " file of weights, TorchScript or torch.export (runs its operators), or an exported"
            " folder.",
            argument=True,
        ),
    ],
    dataset: Annotated[
        "str | tuple[Tensor, Tensor] | None",
        Option("digits, cifar10, npz:PATH, …; a run's own if left out.", MODEL),
    ] = None,
    threats: Annotated[
        Names | None,
        Option(
            "Linf:8/255,L2:0.5,L1:12, budgets of --norm alone, or Linf:0..16/255:5 for five of"
            " them; a run's own if left out.",
            MODEL,
            alias="eps",
        ),
    ] = None,
    *,
    norm: Norm = None,
    weights: Annotated[
        str | Path | None,
        Option("Weights of MODULE:CALLABLE: safetensors or a state dict.", MODEL),
    ] = None,
    arch: Annotated[
        str | None, Option("Architecture of a file of weights; see list archs.", MODEL)
    ] = None,
    checkpoint: Annotated[TrainedCheckpoint, Option("Of a run of ours.", MODEL)] = "selected",
    label: Annotated[str | None, Option("The name of its row in tables.", MODEL)] = None,
    name: DataName = None,
    settings: Annotated[
        Iterable[str],
        Option(
            "Any key of scoring or data: scoring.autoattack_version=rand; may be repeated.",
            SCORING,
            flag="--set",
        ),
    ] = (),
    eval_examples: EvalExamples = None,
    attacks: Attacks = None,
    screen: Screen = False,
    corruptions: Annotated[
        Literal["made", "cifar10c"] | None,
        Option(
            "Common corruptions instead of attacks: made here, or the arrays of CIFAR-10-C.",
            SCORING,
        ),
    ] = None,
    save_adversarial: SaveAdversarial = False,
    diagnose: Diagnose = False,
    results: Annotated[str | Path | None, Option("Folder of the records.", RECORDS)] = None,
    force: Force = False,
    device: DeviceName = "auto",
    compile: Annotated[
        Literal["auto", "on", "off"], Option("Compile what is attacked; auto does not.", EXECUTION)
    ] = "auto",
    graphs: Graphs = "auto",
    data_dir: DataDir = None,
    download: Download = False,
    observer: "Observer | None" = None,
) -> Evaluation:
    """Score any model, by AutoAttack if nothing else is asked; its record is one like any other.

    ``model`` is a module that takes images (N, C, H, W) in [0, 1], in evaluation mode, and returns
    logits (N, K), or anything that the command takes. ``dataset`` is a name, or a pair of images
    (N, C, H, W) in [0, 1] and labels (N,). ``threats`` are threat models, texts such as
    ``Linf:8/255``, or budgets in the norm ``norm``. Without a folder ``results`` nothing is
    written, and a run of ours is looked for in the folder named ``results``; with one, what is
    recorded there is returned as it is, unless ``force`` discards it. The command writes into that
    folder if not told another. With ``corruptions`` nothing is attacked: images are corrupted as
    Hendrycks and Dietterich do.

    Raises :class:`UserError`, with nothing written, for a model or data that is not there or does
    not fit: pixels outside [0, 1], labels that are no class, a module in training mode, logits that
    are not finite or of another number of classes; and for a folder that cannot be written.
    """
    if label is not None:
        label = " ".join(label.split())
    if save_adversarial and results is None:
        raise UserError("--save-adversarial needs a results folder to keep the images in")

    from torch import nn

    from regmix_bench.attacks import attack_components
    from regmix_bench.attacks.ensembles import require_defined
    from regmix_bench.data.tensors import with_classes
    from regmix_bench.evaluation.given import evaluate_model, score_in_memory
    from regmix_bench.evaluation.scorer import Extras
    from regmix_bench.grid.settings import DataSettings, make_scoring, read_settings
    from regmix_bench.loading.checks import count_classes
    from regmix_bench.loading.live import choose_live_device, from_module
    from regmix_bench.loading.sources import load_any_model, own_run
    from regmix_bench.records import paths, store
    from regmix_bench.records.given import named_before, read_table
    from regmix_bench.runs.observers import listener
    from regmix_bench.specs import EvalSpec
    from regmix_bench.system import machine

    heard = listener(observer)
    said = read_settings(tuple(settings), ("scoring", "data"))
    if corruptions is not None:
        refuse_attacks(
            {
                "--threats": threats,
                "--norm": norm,
                "--attacks": attacks,
                "--screen": screen,
                "--save-adversarial": save_adversarial,
                "--diagnose": diagnose,
                "--set scoring": said.get("scoring"),
            }
        )
    data = validated(DataSettings, said.get("data", {}), "data")
    keys = {"search_precision": "auto"} | scoring_keys(attacks, screen) | said.get("scoring", {})
    n = data.eval_examples if eval_examples is None else eval_examples
    folder = Path("results" if results is None else results)
    live = model if isinstance(model, nn.Module) else None
    if live is None and not isinstance(model, str | Path):
        raise UserError(f"the model is {abridged(model)}, neither a module nor a name")
    if live is not None and (weights, arch, checkpoint) != (None, None, "selected"):
        raise UserError("weights, arch and checkpoint say where a model lies: a live one is here")
    target = machine.choose_device(device) if live is None else choose_live_device(live, device)
    if keys["search_precision"] == "auto":
        kind: Device = "cpu" if target.type == "cpu" else "cuda"
        keys["search_precision"] = machine.default_search_precision(kind)
    scoring = make_scoring(keys)
    machine.require_precision(target, scoring.search_precision, "scoring.search_precision")
    run = None if live is not None else own_run(str(model), folder)
    if run is None and (dataset is None or (threats is None and corruptions is None)):
        missing = "--dataset" if dataset is None else "--threats"
        raise UserError(f"{_shown(model)} was not trained here: say {missing}")
    budgets = asked_threats(threats, norm, run) if corruptions is None else []
    require_defined(scoring, budgets)
    if results is not None:
        store.check_writable(folder)
    notes: list[str] = []
    asked = asked_data(dataset, n, run, target, data_dir, download, notes.append, name or data.name)
    n, test = asked.n, asked.test
    side = min(test.image_shape[1:])
    execution = machine.choose_execution(target, side, compile=compile, graphs=graphs)
    if live is not None:
        loaded = from_module(live, test.x, target)
    else:
        loaded = load_any_model(
            str(model),
            results=folder,
            weights=None if weights is None else Path(weights),
            arch=arch,
            checkpoint=checkpoint,
            dataset=asked.name,
            norm=budgets[0].norm if budgets else DEFAULT_NORM,
            image_shape=test.image_shape,
            num_classes=test.num_classes,
        )
    if test.classes_from_labels:
        test = with_classes(test, count_classes(loaded.model.to(target), test.x))
    if corruptions is not None:
        return Evaluation(
            *score_corrupted(
                loaded,
                corruptions,
                label,
                asked,
                test,
                None if results is None else folder,
                target,
                data_dir,
                force,
                heard,
                [*notes, *loaded.notes],
            )
        )
    require_defined(scoring, budgets, test.attacked_data)
    spec = EvalSpec(
        model=loaded.source,
        label=label or loaded.label,
        dataset=asked.name,
        eval_examples=n,
        arch=loaded.arch,
        eval_threats=tuple(dict.fromkeys(budgets)),
        scoring=scoring,
        components=(
            *filter(None, (asked.component, loaded.component)),
            *attack_components(scoring.attacks),
        ),
        data_names=asked.names,
    )
    if results is None:
        _begin(heard, spec, [*notes, *loaded.notes])
        record, outcomes = score_in_memory(
            loaded,
            spec,
            test,
            target,
            with_diagnosis=diagnose,
            execution=execution,
            on_attack=partial(heard.on_attack, spec),
            on_progress=partial(heard.on_progress, spec),
            say=partial(heard.on_note, spec),
        )
        return Evaluation(record, outcomes)
    if label is None:
        spec = named_before(spec, folder)
    store.check_writable(paths.record_path(folder, spec).parent)
    _begin(heard, spec, [*notes, *loaded.notes])
    record = evaluate_model(
        loaded,
        spec,
        test,
        folder,
        target,
        extras=Extras(save_adversarial, diagnose),
        force=force,
        execution=execution,
        on_attack=partial(heard.on_attack, spec),
        on_progress=partial(heard.on_progress, spec),
        say=partial(heard.on_note, spec),
    )
    return Evaluation(record, read_table(record, folder))


def _begin(observer: "Observer", spec: "EvalSpec", notes: Iterable[str]) -> None:
    observer.on_start(spec)
    for note in notes:
        observer.on_note(spec, note)


def _shown(model: object) -> str:
    return f"model {str(model)!r}" if isinstance(model, str | Path) else "a live model"
