"""The command line: parses, calls one function, prints. Heavy imports stand inside the commands."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.table import Table

from regmix_bench.errors import UserError, unknown

app = typer.Typer(
    help="Train, attack and compare adversarial training methods.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Results = Annotated[Path, typer.Option("--results", help="Folder of the records.")]


def main() -> None:
    """Entry point: bad input is one line on standard error and exit status 2."""
    try:
        app()
    except UserError as error:
        # A path or a value may hold a line break.
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(2)


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Train, attack and compare adversarial training methods."""
    if show:
        from importlib.metadata import version as installed

        print(f"regmix-bench {installed('regmix-bench')}")
        raise typer.Exit


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
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str | None, typer.Option(help="auto, fp32 or bf16.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(envvar="REGMIX_BENCH_DATA", help="Folder of the datasets.")
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch what is missing.")] = False,
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
    _choice("device", device, ("auto", "cpu", "cuda"))
    _choice("precision", precision or "auto", ("auto", "fp32", "bf16"))
    if suite is None and methods is None:
        raise UserError("nothing to run: name a suite, such as digits, or --methods")

    from regmix_bench import plan, runner, store
    from regmix_bench.data import canonical_name, prepare

    target = runner.choose_device(cast(runner.Device, device))
    recipe: dict[str, Any] = {} if epochs is None else {"epochs": epochs}
    if precision in ("fp32", "bf16"):
        recipe["precision"] = precision
    written = {
        "methods": _split("methods", methods),
        "datasets": _split("datasets", datasets),
        "archs": _split("archs", archs),
        "eps": _split("eps", eps),
        "eval_eps": _split("eval_eps", eval_eps),
        "norm": norm,
        "seeds": _split("seeds", seeds),
        "train_examples": train_examples,
        "eval_examples": eval_examples,
        "evaluate": evaluate,
        "recipe": recipe or None,
    }
    specs = plan.plan(
        plan.load_suite(suite) if suite else [{"eps": ["8/255"]}],
        {key: value for key, value in written.items() if value is not None},
        settings or (),
        lambda name: canonical_name(name, data_dir),
        runner.fast_precision(target),
    )
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
                    device=cast(runner.Device, device),
                    force=force,
                    observer=display,
                )
                failed.discard(spec.run_id)
                if record.status == "error":
                    failed.add(spec.run_id)
                    display.say(f"  failed: {record.error}")
                for e in record.evaluations:
                    if e.autoattack_acc is not None:
                        display.say(
                            f"  {e.checkpoint} at {e.threat}: clean {e.clean_acc:.1%}"
                            f"  PGD-20 {e.pgd_acc:.1%}  AutoAttack {e.autoattack_acc:.1%}"
                        )
    except KeyboardInterrupt:
        print("interrupted: the same command resumes at the last checkpoint", file=sys.stderr)
        raise typer.Exit(130) from None
    if failed:
        print(f"{len(failed)} of {len(specs)} runs failed: --retry-failed tries them again")
        raise typer.Exit(1)


@app.command(epilog="Example: regmix-bench report --format latex,figures --out reports")
def report(
    results: Results = Path("results"),
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("reports"),
    formats: Annotated[
        str | None,
        typer.Option("--format", help="Of latex, markdown, csv, figures; all by default."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 where the report is stale.")
    ] = False,
) -> None:
    """Write tables and figures of everything that is recorded."""
    from regmix_bench import reporting

    chosen = tuple(_split("format", formats) or reporting.FORMATS)
    if not check:
        written = reporting.write_report(results, out, chosen)
        print(f"{len(written)} files in {out}")
        return
    stale = reporting.stale(results, out)
    for line in stale:
        print(line)
    if stale:
        print(f"{out} is stale: regmix-bench report --results {results} --out {out} renews it")
        raise typer.Exit(1)
    print(f"{out} matches {results}")


@app.command(epilog="Example: regmix-bench check --results fresh --only 'digits/smallcnn/pgd-at-*'")
def check(
    reference: Annotated[
        Path | None,
        typer.Option(help="The references; leaderboard.json among the results if left out."),
    ] = None,
    results: Results = Path("results"),
    only: Annotated[
        str | None, typer.Option(help="Check the references whose record matches this pattern.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Also write a JUnit XML file.")] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Show the change, then rewrite the references.")
    ] = False,
) -> None:
    """Compare records with the references; exit 1 on a regression."""
    from regmix_bench import regression, store

    reference = reference or results / store.LEADERBOARD
    verdicts = (
        [] if update and not reference.exists() else regression.check(results, reference, only)
    )
    _show_verdicts(verdicts)
    if junit is not None:
        regression.write_junit(verdicts, junit)
    if update:
        board = regression.update(results, reference)
        print(f"{len(board.runs)} references written to {reference}")
    elif regression.failed(verdicts):
        raise typer.Exit(1)


@app.command("list", epilog="Example: regmix-bench list methods")
def list_(
    what: Annotated[str, typer.Argument(help="methods, datasets, archs, suites or runs.")],
    results: Results = Path("results"),
) -> None:
    """List what there is to run, and what has been run."""
    _choice("thing to list", what, ("methods", "datasets", "archs", "suites", "runs"))
    if what == "methods":
        from regmix_bench.methods import METHODS

        rows = [
            (name, ", ".join(METHODS[name].norms), METHODS.origin(name), _first_line(METHODS[name]))
            for name in METHODS.names()
        ]
        _print_table(("method", "norms", "from", "what it is"), rows)
    elif what == "datasets":
        from regmix_bench.data import DATASETS

        _print_table(("dataset", "what it is"), list(DATASETS.items()))
    elif what == "archs":
        from regmix_bench.models import ARCHS

        print("\n".join(ARCHS.names()))
    elif what == "suites":
        from regmix_bench.plan import packaged_suites

        print("\n".join(packaged_suites()))
    else:
        from regmix_bench.store import load_record, record_files

        _print_table(
            ("run", "run_id", "status", "clean", "PGD-20", "AutoAttack"),
            [_run_row(load_record(path)) for path in record_files(results)],
        )


@app.command(epilog="Example: regmix-bench show 3f2a")
def show(
    run: Annotated[str, typer.Argument(help="A record's path, a run_id or the start of one.")],
    results: Results = Path("results"),
) -> None:
    """Show one record: specification, numbers, cost and environment."""
    import yaml

    from regmix_bench.progress import describe
    from regmix_bench.store import load_record, resolve_run

    record = load_record(resolve_run(run, results))
    content = record.model_dump(mode="json", exclude={"history"}, exclude_defaults=True)
    print(f"# {describe(record.spec)}: {record.status}, {len(record.history)} epochs")
    print(yaml.safe_dump(content, sort_keys=False, allow_unicode=True).rstrip())


def _split(option: str, text: str | None) -> list[str] | None:
    """At commas that stand outside brackets."""
    if text is None:
        return None
    parts = [part.strip() for part in re.split(r",(?![^\[]*\])", text)]
    if not all(parts):
        raise UserError(f"{option} {text!r} has an empty place: separate names by single commas")
    return parts


def _choice(kind: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise unknown(kind, value, choices)


def _first_line(item: type) -> str:
    return (item.__doc__ or "").strip().split("\n")[0]


def _run_row(record: Any) -> tuple[str, ...]:
    from regmix_bench.progress import describe

    numbers = ("", "", "")
    for e in record.evaluations:
        if e.autoattack_acc is not None:
            numbers = (f"{e.clean_acc:.1%}", f"{e.pgd_acc:.1%}", f"{e.autoattack_acc:.1%}")
            break
    return (describe(record.spec), record.run_id, record.status, *numbers)


def _show_verdicts(verdicts: Any) -> None:
    rows = [
        (
            f"{v.label} · {v.dataset} · {v.arch} · {v.threat} · "
            f"{'all seeds' if v.seed is None else f'seed {v.seed}'} · {v.checkpoint} {v.metric}",
            _percent(v.reference),
            _percent(v.now),
            _percent(v.difference, sign=True),
            _percent(v.tolerance),
            v.verdict + (f": {v.note}" if v.note else ""),
        )
        for v in verdicts
    ]
    _print_table(("metric", "reference", "now", "difference", "tolerance", "verdict"), rows)
    counts = Counter(v.verdict for v in verdicts)
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()) or "no references")
    resolved = [v.tolerance for v in verdicts if v.tolerance is not None]
    if resolved:
        print(f"smallest drop that these images resolve: {100 * min(resolved):.1f} points")


def _percent(value: float | None, sign: bool = False) -> str:
    return "" if value is None else f"{100 * value:{'+' if sign else ''}.1f}"


def _print_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    if not rows:
        print("none")
        return
    table = Table(*header, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    console = Console(highlight=False)
    # A pipe has no width: there, every row stays on one line.
    console.print(table) if console.is_terminal else Console(width=10_000, highlight=False).print(
        table
    )


if __name__ == "__main__":
    main()
