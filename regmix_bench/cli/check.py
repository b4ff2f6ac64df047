"""``check``: have the numbers got worse?"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from regmix_bench.cli.common import Results, app, choice, print_table, split
from regmix_bench.errors import UserError


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
    allow: Annotated[
        list[str] | None,
        typer.Option(help="Accept scores that raised these checks; may be repeated."),
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Also write a JUnit XML file.")] = None,
    update: Annotated[
        bool,
        typer.Option(
            "--update", help="Show the change, then rewrite the references and what they allow."
        ),
    ] = False,
) -> None:
    """Compare records with the references; exit 1 on a regression."""
    from regmix_bench.analysis import regression
    from regmix_bench.records import paths
    from regmix_bench.records.schema import CHECKS

    allowed = [name for names in allow or () for name in split("--allow", names) or ()]
    for name in allowed:
        choice("check", name, CHECKS)
    if update and only is not None:
        raise UserError("--update renews all references, also those that --only would not show")
    reference = reference or results / paths.LEADERBOARD
    verdicts = (
        []
        if update and not reference.exists()
        else regression.check(results, reference, only, allowed)
    )
    if verdicts or not update:
        _show_verdicts(verdicts)
    if junit is not None:
        regression.write_junit(verdicts, junit)
    if update:
        board = regression.update(results, reference, allowed)
        print(f"{len(board.runs)} references written to {reference}")
    elif regression.failed(verdicts):
        raise typer.Exit(1)


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
    print_table(("metric", "reference", "now", "difference", "tolerance", "verdict"), rows)
    counts = Counter(v.verdict for v in verdicts)
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()) or "no references")
    resolved = [v.tolerance for v in verdicts if v.tolerance is not None]
    if resolved:
        print(f"smallest drop that these images resolve: {100 * min(resolved):.1f} points")


def _percent(value: float | None, sign: bool = False) -> str:
    return "" if value is None else f"{100 * value:{'+' if sign else ''}.1f}"
