"""``evaluate``, on the command line ``eval``: score a model that is given."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from regmix_bench.api.options import (
    EXECUTION,
    MODEL,
    SCORING,
    Attacks,
    DataDir,
    DeviceName,
    Diagnose,
    Download,
    EvalExamples,
    Force,
    Names,
    Norm,
    Option,
    Results,
    SaveAdversarial,
    Screen,
    TrainedCheckpoint,
    listed,
    scoring_keys,
    verb,
)
from regmix_bench.errors import UserError, validated

if TYPE_CHECKING:
    from regmix_bench.records.schema import EvalRecord
    from regmix_bench.runs.observers import Observer


@dataclass(frozen=True)
class Evaluation:
    """The record of a scoring, and whether it was there already."""

    record: "EvalRecord"
    known: bool


@verb
def evaluate(
    model: Annotated[
        str | Path,
        Option(
            "A run of ours, robustbench:ID, MODULE:CALLABLE (runs that Python code), a file of"
            " weights, TorchScript or torch.export (runs its operators), or a folder made by"
            " export.",
            argument=True,
        ),
    ],
    dataset: Annotated[
        str | None, Option("digits, cifar10, npz:PATH, …; a run's own if left out.", MODEL)
    ] = None,
    threats: Annotated[
        Names | None, Option("Budgets, such as 8/255; a run's own if left out.", MODEL, "--eps")
    ] = None,
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
    save_adversarial: SaveAdversarial = False,
    diagnose: Diagnose = False,
    results: Results = "results",
    force: Force = False,
    device: DeviceName = "auto",
    compile: Annotated[
        Literal["auto", "off"], Option("Compile what is attacked, on CUDA.", EXECUTION)
    ] = "auto",
    data_dir: DataDir = None,
    download: Download = False,
    observer: "Observer | None" = None,
) -> Evaluation:
    """Score any model with AutoAttack; the record is one like any other."""
    if label is not None and not (label := " ".join(label.split())):
        raise UserError("--label is empty: leave it out for the model's own name")

    from regmix_bench.attacks import attack_components, require_defined
    from regmix_bench.data import canonical_name, prepare_eval
    from regmix_bench.data.sources import dataset_component
    from regmix_bench.evaluation.scorer import Extras, evaluate_model
    from regmix_bench.grid.settings import DataSettings, make_scoring, read_settings
    from regmix_bench.loading.sources import load_any_model, own_run
    from regmix_bench.records import paths, store
    from regmix_bench.records.schema import EvalRecord
    from regmix_bench.runs.observers import Silent
    from regmix_bench.specs import EvalSpec
    from regmix_bench.system import machine
    from regmix_bench.types import ThreatModel

    said = read_settings(tuple(settings), ("scoring", "data"))
    data = validated(DataSettings, said.get("data", {}), "data")
    scoring = make_scoring(scoring_keys(attacks, screen) | said.get("scoring", {}))
    eval_examples = data.eval_examples if eval_examples is None else eval_examples
    folder, given_data_dir = Path(results), None if data_dir is None else Path(data_dir)
    text = str(model)
    run = own_run(text, folder)
    if run is None and (dataset is None or threats is None):
        missing = "--dataset" if dataset is None else "--eps"
        raise UserError(f"model {text!r} was not trained here: say {missing}")
    own_data = (run.spec.dataset, run.spec.component("dataset")) if run else ("", None)
    chosen = dataset_component(canonical_name(dataset, given_data_dir)) if dataset else own_data
    name, component = chosen
    own = run.spec.eval_threats if run else ()
    budgets = tuple(
        ThreatModel(cast(Any, norm or (own[0].norm if own else "Linf")), cast(Any, epsilon))
        for epsilon in listed("--eps", threats) or [str(threat.epsilon) for threat in own]
    )
    if norm is not None and threats is None and own and own[0].norm != norm:
        raise UserError(f"--norm {norm} needs --eps: {own[0].epsilon} is a budget of {own[0].norm}")
    if eval_examples is None and run is not None and chosen == own_data:
        eval_examples = run.spec.eval_examples
    require_defined(scoring.attacks, budgets)
    store.check_writable(folder)
    target = machine.choose_device(device)
    test = prepare_eval(name, eval_examples, target, given_data_dir, download, component)
    if run is not None and chosen == own_data:
        test.require(run.data_digest, name, f"run {run.run_id}")
    source = load_any_model(
        text,
        results=folder,
        weights=None if weights is None else Path(weights),
        arch=arch,
        checkpoint=checkpoint,
        dataset=name,
        norm=budgets[0].norm,
        image_shape=test.image_shape,
        num_classes=test.num_classes,
    )
    spec = EvalSpec(
        model=source.source,
        label=label or source.label,
        dataset=name,
        eval_examples=eval_examples,
        arch=source.arch,
        eval_threats=tuple(dict.fromkeys(budgets)),
        scoring=scoring,
        components=(
            *filter(None, (component, source.component)),
            *attack_components(scoring.attacks),
        ),
    )
    existing = paths.find_record(folder, spec)
    if label is None and existing is not None:  # a name it was given earlier stays
        recorded = store.load_record(existing)
        if isinstance(recorded, EvalRecord):
            spec = spec.model_copy(update={"label": recorded.spec.label})
    store.check_writable(paths.record_path(folder, spec).parent)
    heard = observer or Silent()
    attacked = []

    def on_attack(epsilon: str, attack: str, accuracy: float) -> None:
        attacked.append(attack)
        heard.on_attack(spec, epsilon, attack, accuracy)

    heard.on_start(spec)
    record = evaluate_model(
        source,
        spec,
        test,
        folder,
        target,
        extras=Extras(save_adversarial, diagnose),
        force=force,
        compile=compile != "off",
        on_attack=on_attack,
        say=lambda line: heard.on_note(spec, line),
    )
    return Evaluation(record, known=not attacked)
