"""``eval``: score a model that is given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from regmix_bench.cli.common import (
    Attacks,
    AutoAttackVersion,
    DataDir,
    Device,
    Diagnose,
    Download,
    Results,
    SaveAdversarial,
    Screen,
    app,
    choice,
    score_lines,
    scoring_flags,
    split,
)
from regmix_bench.errors import UserError


@app.command("eval", epilog="Example: regmix-bench eval 3f2a --eps 8/255 --attacks square")
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="A run of ours, robustbench:ID, MODULE:CALLABLE (runs that Python code), a file of"
            " weights, TorchScript or torch.export (runs its operators), or a folder made by"
            " export."
        ),
    ],
    weights: Annotated[
        Path | None, typer.Option(help="Weights of MODULE:CALLABLE: safetensors or a state dict.")
    ] = None,
    arch: Annotated[
        str | None, typer.Option(help="Architecture of a file of weights; see list archs.")
    ] = None,
    checkpoint: Annotated[str, typer.Option(help="Of a run of ours: selected or last.")] = (
        "selected"
    ),
    label: Annotated[str | None, typer.Option(help="The name of its row in tables.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="digits, cifar10, npz:PATH, …; a run's own if left out.")
    ] = None,
    eps: Annotated[
        str | None, typer.Option(help="Budgets, such as 8/255; a run's own if left out.")
    ] = None,
    norm: Annotated[str | None, typer.Option(help="Linf or L2.")] = None,
    eval_examples: Annotated[
        int | None, typer.Option(help="Score a class-balanced sample of the test set.")
    ] = None,
    attacks: Attacks = None,
    autoattack: AutoAttackVersion = None,
    screen: Screen = False,
    save_adversarial: SaveAdversarial = False,
    diagnose: Diagnose = False,
    device: Device = "auto",
    compile_: Annotated[
        str, typer.Option("--compile", help="Compile what is attacked, on CUDA: auto or off.")
    ] = "auto",
    data_dir: DataDir = None,
    download: Download = False,
    results: Results = Path("results"),
    force: Annotated[
        bool, typer.Option("--force", help="Discard what is recorded and start again.")
    ] = False,
) -> None:
    """Score any model with AutoAttack; the record is one like any other."""
    choice("device", device, ("auto", "cpu", "cuda"))
    choice("checkpoint", checkpoint, ("selected", "last"))
    choice("compile", compile_, ("auto", "off"))
    if label is not None and not (label := " ".join(label.split())):
        raise UserError("--label is empty: leave it out for the model's own name")

    from regmix_bench.data import canonical_name, prepare_eval
    from regmix_bench.errors import validated
    from regmix_bench.evaluation.scorer import Extras, evaluate_model
    from regmix_bench.loading.sources import load_any_model, own_run
    from regmix_bench.records import paths, store
    from regmix_bench.records.schema import EvalRecord
    from regmix_bench.specs import EvalSpec, Scoring
    from regmix_bench.system import machine
    from regmix_bench.types import ThreatModel

    run = own_run(model, results)
    if run is None and (dataset is None or eps is None):
        missing = "--dataset" if dataset is None else "--eps"
        raise UserError(f"model {model!r} was not trained here: say {missing}")
    name = canonical_name(dataset, data_dir) if dataset else run.spec.dataset if run else ""
    own = run.spec.eval_threats if run else ()
    threats = tuple(
        ThreatModel(cast(Any, norm or (own[0].norm if own else "Linf")), cast(Any, epsilon))
        for epsilon in split("eps", eps) or [str(threat.epsilon) for threat in own]
    )
    if norm is not None and eps is None and own and own[0].norm != norm:
        raise UserError(f"--norm {norm} needs --eps: {own[0].epsilon} is a budget of {own[0].norm}")
    if eval_examples is None and run is not None and name == run.spec.dataset:
        eval_examples = run.spec.eval_examples
    scoring = validated(Scoring, scoring_flags(attacks, autoattack, screen), "scoring")
    store.check_writable(results)
    target = machine.choose_device(cast(machine.Device, device))
    test = prepare_eval(name, eval_examples, target, data_dir, download)
    if run is not None and name == run.spec.dataset:
        test.require(run.data_digest, name, f"run {run.run_id}")
    source = load_any_model(
        model,
        results=results,
        weights=weights,
        arch=arch,
        checkpoint=cast(Any, checkpoint),
        dataset=name,
        norm=threats[0].norm,
        image_shape=test.image_shape,
        num_classes=test.num_classes,
    )
    spec = EvalSpec(
        model=source.source,
        label=label or source.label,
        dataset=name,
        eval_examples=eval_examples,
        arch=source.arch,
        eval_threats=tuple(dict.fromkeys(threats)),
        scoring=scoring,
    )

    existing = paths.find_record(results, spec)
    if label is None and existing is not None:  # a name it was given earlier stays
        recorded = store.load_record(existing)
        if isinstance(recorded, EvalRecord):
            spec = spec.model_copy(update={"label": recorded.spec.label})
    store.check_writable(paths.record_path(results, spec).parent)
    heard = []

    def on_attack(epsilon: str, attack: str, accuracy: float) -> None:
        heard.append(attack)
        print(f"  at {epsilon}: {accuracy:.1%} after {attack}", flush=True)

    print(f"{spec.label} on {len(test.y)} images of {name}, {spec.run_id}", flush=True)
    record = evaluate_model(
        source,
        spec,
        test,
        results,
        target,
        extras=Extras(save_adversarial, diagnose),
        force=force,
        compile=compile_ != "off",
        on_attack=on_attack,
        say=print,
    )
    if not heard:
        print("recorded already: --force scores it again")
    for line in score_lines(record.evaluations):
        print(line)
