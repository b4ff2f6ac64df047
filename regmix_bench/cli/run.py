"""``run``: train and score a grid."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

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
from regmix_bench.system.signals import no_signal_lost

if TYPE_CHECKING:
    from regmix_bench.grid.display import Display
    from regmix_bench.grid.local import Ended


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
    pgd_eps: Annotated[
        str | None, typer.Option(help="Further budgets to score at, without AutoAttack.")
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
    screen: Screen = False,
    reference: Annotated[
        str | None, typer.Option(help="The method that tables compare the others with.")
    ] = None,
    save_adversarial: SaveAdversarial = False,
    diagnose: Diagnose = False,
    device: Device = "auto",
    compile_: Annotated[
        str, typer.Option("--compile", help="Compile the network: auto, on or off.")
    ] = "auto",
    channels_last: Annotated[
        str, typer.Option(help="Keep an image's channels together in memory: auto, on or off.")
    ] = "auto",
    devices: Annotated[
        str,
        typer.Option(
            help="Devices that share a run, by torch's distributed engine: GPUs, or processes on a"
            " CPU, each with its part of the threads. The recipe's batch size is that of all"
            " together, and its learning rate stays: a run is the same on any number of them."
        ),
    ] = "1",
    sync_bn: Annotated[
        str,
        typer.Option(help="Batch statistics over all GPUs of a run: auto (yes), on or off."),
    ] = "auto",
    jobs: Annotated[
        str,
        typer.Option(
            help="Runs at a time, in processes that share the cores: a number or auto. On a"
            " cluster each run takes this share of this machine's cores."
        ),
    ] = "1",
    launcher_name: Annotated[
        str, typer.Option("--launcher", help="Who starts the runs: local, or ray for a cluster.")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(help="With --launcher ray: the cluster, or auto; else one is started here."),
    ] = None,
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
    choice("launcher", launcher_name, ("local", "ray"))
    if address is not None and launcher_name != "ray":
        raise UserError(f"--address {address} is a cluster of Ray: it needs --launcher ray")
    for kind, switch in (
        ("compile", compile_),
        ("channels-last", channels_last),
        ("sync-bn", sync_bn),
    ):
        choice(kind, switch, ("auto", "on", "off"))
    if suite is None and methods is None:
        raise UserError("nothing to run: name a suite, such as digits, or --methods")

    from regmix_bench.system.deferred import defer

    defer("torch")
    from regmix_bench.data import canonical_name
    from regmix_bench.grid import local as launcher
    from regmix_bench.grid import plan
    from regmix_bench.records import find, store
    from regmix_bench.system import machine

    at_a_time = launcher.parse_jobs(jobs)
    together = launcher.parse_devices(devices)
    target = cache(partial(machine.choose_device, cast(machine.Device, device)))
    if device == "cuda":
        target()
    if together > 1 and address is None:  # the nodes of a cluster have their own
        machine.check_devices(target(), together)
    recipe: dict[str, Any] = {} if epochs is None else {"epochs": epochs}
    written = {
        "methods": split("methods", methods),
        "datasets": split("datasets", datasets),
        "archs": split("archs", archs),
        "eps": split("eps", eps),
        "eval_eps": split("eval_eps", eval_eps),
        "pgd_eps": split("pgd_eps", pgd_eps),
        "norm": norm,
        "seeds": split("seeds", seeds),
        "train_examples": train_examples,
        "eval_examples": eval_examples,
        "evaluate": evaluate,
        "reference": reference,
        "recipe": recipe or None,
        "scoring": scoring_flags(attacks, autoattack, screen) or None,
    }
    grids = plan.load_suite(suite) if suite else [{"eps": ["8/255"]}]
    planned = plan.plan_runs(
        grids,
        {key: value for key, value in written.items() if value is not None},
        settings or (),
        lambda name: canonical_name(name, data_dir),
        cast(machine.Device, device),
    )
    if norm is not None and eps is None and any(g.get("norm", "Linf") != norm for g in grids):
        raise UserError(f"--norm {norm} needs --eps: the budgets given are of another norm")
    specs = {cell.run_id: cell.spec for cell in planned}
    store.check_writable(results)
    states = find.states(specs, results)
    waiting = [
        cell
        for cell in planned
        if force
        or states[cell.run_id] in ("to run", "to resume")
        or (retry_failed and states[cell.run_id] == "failed")
    ]
    counts = Counter(states.values())
    summary = ", ".join(
        f"{counts[name]} {name}" for name in ("done", "to resume", "to run", "failed")
    )
    print(f"{len(specs)} runs: {summary}" + (f"; --force runs all {len(specs)}" if force else ""))
    if (save_adversarial or diagnose) and counts["done"] and not force:
        print("what is done stays as it is: `regmix-bench eval RUN` takes the same two options")
    if reference and counts["done"] and not force:
        print("what is done keeps its reference: `regmix-bench report --reference` takes another")
    if dry_run:
        from regmix_bench.grid.display import describe

        for run_id, spec in specs.items():
            print(f"  {states[run_id]:9}  {describe(spec)} · {spec.recipe.precision}  {run_id}")
        return
    failed = {run_id for run_id, state in states.items() if state == "failed"}
    if waiting:
        # Here, because torch takes seconds to load, and a finished grid does without.
        from regmix_bench.data import prepare
        from regmix_bench.evaluation.scorer import Extras
        from regmix_bench.runs import runner

        # Data that does not fit is found before anything is written.
        sizes = {(c.spec.dataset, c.spec.train_examples, c.spec.eval_examples): c for c in waiting}
        for cell in sizes.values():
            prepare(cell.spec, target(), data_dir, download)
        work = partial(
            runner.run,
            results=results,
            # Workers of a cluster stand in folders of their own.
            data_dir=data_dir if data_dir is None else data_dir.absolute(),
            device=cast(machine.Device, device),
            force=force,
            extras=Extras(save_adversarial, diagnose),
            channels_last=cast(machine.Switch, channels_last),
            compile=cast(machine.Switch, compile_),
            sync_bn=cast(machine.Switch, sync_bn),
            devices=together,
        )
        at_once = at_a_time or launcher.auto_jobs(target(), together)
        if launcher_name == "ray":
            from regmix_bench.grid import ray as ray_launcher

            placed = (results, target(), at_once, together, address)
            grid = partial(ray_launcher.launch, waiting, work, *placed)
        else:
            grid = partial(launcher.launch, waiting, work, at_once)
        _follow(grid, len(waiting), failed)
    if failed:
        print(f"{len(failed)} of {len(specs)} runs failed: --retry-failed tries them again")
        raise typer.Exit(1)


def _follow(
    grid: Callable[[Display], Generator[Ended, None, None]], runs: int, failed: set[str]
) -> None:
    """Let the grid run, show how it goes, and keep ``failed`` up to date."""
    from regmix_bench.grid.display import Display

    try:
        with no_signal_lost(), Display(runs) as display, closing(grid(display)) as endings:
            for ended in endings:
                failed.discard(ended.spec.run_id)
                lines = [*score_lines(ended.evaluations)]
                if ended.left is not None:
                    lines.append(ended.left)
                if ended.error is not None:
                    failed.add(ended.spec.run_id)
                    lines.insert(0, f"failed: {ended.error}")
                display.on_end(ended.spec, lines)
    except KeyboardInterrupt:
        print("interrupted: the same command resumes at the last checkpoint", file=sys.stderr)
        raise typer.Exit(130) from None
