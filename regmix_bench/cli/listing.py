"""``list`` and ``show``: what there is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regmix_bench.cli.common import Results, Run, app, choice, print_table

if TYPE_CHECKING:
    from regmix_bench.records.schema import AnyRecord


@app.command("list", epilog="Example: regmix-bench list methods")
def list_(
    what: Annotated[str, typer.Argument(help="methods, datasets, archs, suites or runs.")],
    results: Results = Path("results"),
) -> None:
    """List what there is to run, and what has been run."""
    choice("thing to list", what, ("methods", "datasets", "archs", "suites", "runs"))
    if what in ("methods", "datasets", "archs"):
        from regmix_bench.system.deferred import defer

        defer("torch")
        print_table(*_offered(what))
    elif what == "suites":
        from regmix_bench.grid.plan import packaged_suites

        print("\n".join(packaged_suites()))
    else:
        from regmix_bench.records.accuracies import titles
        from regmix_bench.records.store import load_record, record_files

        print_table(
            ("run", "run_id", "status", *titles(), "attacked by"),
            [_run_row(load_record(path)) for path in record_files(results)],
        )


@app.command(epilog="Example: regmix-bench show 3f2a")
def show(
    run: Run,
    results: Results = Path("results"),
) -> None:
    """Show one record: specification, numbers, cost and environment."""
    import yaml

    from regmix_bench.records.find import resolve_run
    from regmix_bench.records.store import load_record

    record = load_record(resolve_run(run, results))
    content = record.model_dump(mode="json", exclude={"history"}, exclude_defaults=True)
    print(f"# {_title(record)}: {record.status}")
    print(yaml.safe_dump(content, sort_keys=False, allow_unicode=True).rstrip())


def _offered(what: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the header and the rows of what is found by name; a broken one says what is wrong."""
    if what == "methods":
        from regmix_bench.methods import METHODS

        return ("method", "norms", "from", "what it is"), [
            (e.name, ", ".join(e.item.norms or ("all",)) if e.item else "", e.origin, e.description)
            for e in METHODS.entries()
        ]
    if what == "datasets":
        from regmix_bench.data.sources import DATASETS, typed_names

        entries = zip(typed_names(), DATASETS.entries(), strict=True)
        return ("dataset", "from", "what it is"), [
            (typed, e.origin, e.description) for typed, e in entries
        ]
    from regmix_bench.models import ARCHS

    return ("architecture", "from", "what it is"), [
        (e.name, e.origin, e.description) for e in ARCHS.entries()
    ]


def _title(record: AnyRecord) -> str:
    from regmix_bench.grid.display import describe

    if record.kind == "transfer":
        return f"transfer among {len(record.runs)} runs · {record.dataset} · {record.threat}"
    return describe(record.spec)


def _run_row(record: AnyRecord) -> tuple[str, ...]:
    """The scores under the first threat, as far as there are any."""
    from regmix_bench.records.accuracies import attack_words, by_title

    score, attack = None, ""
    if record.kind == "transfer":
        attack = record.attack
    else:
        score = next((e for e in record.evaluations if e.robust_acc is not None), None)
        attack = attack_words(record.spec.scoring) if score else ""
    shown = ("" if share is None else f"{share:.1%}" for share in by_title(score).values())
    return (_title(record), record.run_id, record.status, *shown, attack)
