"""``run``: train and score a grid."""

from __future__ import annotations

import sys
from collections import Counter
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
    app,
    choice,
    score_lines,
    scoring_flags,
    split,
)
from regmix_bench.errors import UserError


@app.command(
    epilog="Example: regmix-bench run --methods 'trades,fgsm-pgi[lambda_=1]' --eps 8/255,16/255"
)
def run(
    suite: Annotated[
        str | None, typer.Argument(help="A packaged suite's name, or a YAML file.")
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(help="Methods, with parameters in brackets: trades,fgsm-pgi[lambda_=1]."),
    ] = None,
    datasets: Annotated[
        str | None, typer.Option(help="digits, cifar10, npz:PATH, folder:PATH, …")
    ] = None,
    archs: Annotated[str | None, typer.Option(help="Architectures.")] = None,
    eps: Annotated[str | None, typer.Option(help="Training budgets, such as 8/255.")] = None,
    eval_eps: Annotated[
        str | None, typer.Option(help="Budgets to score at; each run's own by default.")
    ] = None,
    norm: Annotated[str | None, typer.Option(help="Linf or L2.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds, such as 0,1,2.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Training epochs.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="trades.beta=3 or recipe.lr=0.05; may be repeated."),
    ] = None,
    train_examples: Annotated[
        int | None, typer.Option(help="Train and validate on a class-balanced sample.")
    ] = None,
    eval_examples: Annotated[
        int | None, typer.Option(help="Score a class-balanced sample of the test set.")
    ] = None,
    evaluate: Annotated[
        str | None, typer.Option(help="Where AutoAttack runs: selected, last or both checkpoints.")
    ] = None,
    attacks: Attacks = None,
    autoattack: AutoAttackVersion = None,
    reference: Annotated[
        str | None, typer.Option(help="The method that tables compare the others with.")
    ] = None,
    save_adversarial: SaveAdversarial = False,
    diagnose: Diagnose = False,
    device: Device = "auto",
    precision: Annotated[str | None, typer.Option(help="auto, fp32 or bf16.")] = None,
    data_dir: DataDir = None,
    download: Download = False,
    results: Results = Path("results"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Stop after the plan.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Discard what is recorded and start again.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try failed runs again.")
    ] = False,
) -> None:
    """Train and score a grid of methods, datasets, architectures, budgets and seeds."""
    choice("device", device, ("auto", "cpu", "cuda"))
    choice("precision", precision or "auto", ("auto", "fp32", "bf16"))
    if suite is None and methods is None:
        raise UserError("nothing to run: name a suite, such as digits, or --methods")

    from regmix_bench import machine, plan, runner, store
    from regmix_bench.data import canonical_name, prepare
    from regmix_bench.scorer import Extras

    target = machine.choose_device(cast(machine.Device, device))
    recipe: dict[str, Any] = {} if epochs is None else {"epochs": epochs}
    if precision in ("fp32", "bf16"):
        recipe["precision"] = precision
    written = {
        "methods": split("methods", methods),
        "datasets": split("datasets", datasets),
        "archs": split("archs", archs),
        "eps": split("eps", eps),
        "eval_eps": split("eval_eps", eval_eps),
        "norm": norm,
        "seeds": split("seeds", seeds),
        "train_examples": train_examples,
        "eval_examples": eval_examples,
        "evaluate": evaluate,
        "reference": reference,
        "recipe": recipe or None,
        "scoring": scoring_flags(attacks, autoattack) or None,
    }
    planned = plan.plan_runs(
        plan.load_suite(suite) if suite else [{"eps": ["8/255"]}],
        {key: value for key, value in written.items() if value is not None},
        settings or (),
        lambda name: canonical_name(name, data_dir),
        machine.fast_precision(target),
    )
    specs = [run.spec for run in planned]
    references = {run.spec.run_id: run.reference for run in planned}
    store.check_writable(results)
    states = {spec.run_id: runner.state_of(spec, results) for spec in specs}
    waiting = [
        spec
        for spec in specs
        if force
        or states[spec.run_id] in ("to run", "to resume")
        or (retry_failed and states[spec.run_id] == "failed")
    ]
    counts = Counter(states.values())
    summary = ", ".join(
        f"{counts[name]} {name}" for name in ("done", "to resume", "to run", "failed")
    )
    print(f"{len(specs)} runs: {summary}" + (f"; --force runs all {len(specs)}" if force else ""))
    if (save_adversarial or diagnose) and counts["done"] and not force:
        print("what is done stays as it is: `regmix-bench eval RUN` takes the same two options")
    if dry_run:
        from regmix_bench.progress import describe

        for spec in specs:
            print(f"  {states[spec.run_id]:9}  {describe(spec)}  {spec.run_id}")
        return
    # Data that does not fit is found before anything is written.
    for sample in {(s.dataset, s.train_examples, s.eval_examples): s for s in waiting}.values():
        prepare(sample, target, data_dir, download)

    from regmix_bench.progress import Display

    failed = {spec.run_id for spec in specs if states[spec.run_id] == "failed"}
    try:
        with Display(len(waiting)) as display:
            for spec in waiting:
                display.on_start(spec)
                record = runner.run(
                    spec,
                    results,
                    data_dir=data_dir,
                    device=cast(machine.Device, device),
                    force=force,
                    observer=display,
                    extras=Extras(save_adversarial, diagnose),
                    reference=references[spec.run_id],
                )
                failed.discard(spec.run_id)
                if record.status == "error":
                    failed.add(spec.run_id)
                    display.say(f"  failed: {record.error}")
                for line in score_lines(record.evaluations):
                    display.say(f"  {line}")
    except KeyboardInterrupt:
        print("interrupted: the same command resumes at the last checkpoint", file=sys.stderr)
        raise typer.Exit(130) from None
    if failed:
        print(f"{len(failed)} of {len(specs)} runs failed: --retry-failed tries them again")
        raise typer.Exit(1)
