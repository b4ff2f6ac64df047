"""Print the verdicts of ``check``."""

from __future__ import annotations

from collections import Counter

import typer

from regmix_bench.api.check import Check, check
from regmix_bench.cli.commands import Call, add_command
from regmix_bench.cli.flags import AS_JSON, print_json
from regmix_bench.cli.printing import print_table, say, say_folded

#: Reasons why outcomes are not paired that are told without ``--verbose``.
_NOTES = 3


@add_command(
    check,
    "regmix-bench check --results fresh --only 'digits/smallcnn/pgd-at-*'",
    flags={**AS_JSON, "verbose": "Print what passes, too."},
)
def print_check(call: Call[Check]) -> None:
    """Print the verdicts that fail, and a line for the rest; exit 1 where there are any."""
    found = call()
    if call.flags.json:
        print_json("check", found)
    else:
        if found.verdicts or found.renewed is None:
            _print_verdicts(found, call.flags.verbose)
        if found.renewed is not None:
            say(f"{found.renewed} references written to {found.reference}")
    if found.failed:
        raise typer.Exit(1)


def _print_verdicts(found: Check, verbose: bool) -> None:
    from regmix_bench.analysis.drops import UNPAIRED, model_words
    from regmix_bench.records.accuracies import metric_words

    verdicts = found.verdicts
    rows = [
        (
            f"{model_words(v)} · {v.dataset} · {v.arch} · {v.threat} · {v.checkpoint}",
            metric_words(v.metric),
            _points(v.reference),
            _points(v.now),
            _points(v.difference, sign=True),
            _points(v.tolerance),
            v.verdict + (f": {v.note}" if v.note else ""),
        )
        for v in verdicts
        if verbose or v.failed
    ]
    if rows:
        header = ("checked", "metric", "reference", "now", "difference", "tolerance", "verdict")
        print_table(header, rows)
    counts = Counter(v.verdict for v in verdicts)
    said = ", ".join(f"{count:,} {verdict}" for verdict, count in counts.items())
    more = " (-v shows them all)" if len(rows) < len(verdicts) else ""
    say_folded(f"{said or 'no references'} against {found.reference}{more}")
    if not verbose:
        unpaired = Counter(v.note for v in verdicts if not v.failed and v.note.startswith(UNPAIRED))
        for note, count in unpaired.most_common(_NOTES):
            say_folded(f"{count:,} of them {note}")
        if len(unpaired) > _NOTES:
            say(f"and {len(unpaired) - _NOTES:,} other reasons why some are unpaired")
    resolved = [v.tolerance for v in verdicts if v.tolerance is not None]
    if resolved:
        say(f"smallest drop that these images resolve: {100 * min(resolved):.1f} points")


def _points(value: float | None, sign: bool = False) -> str:
    return "" if value is None else f"{100 * value:{'+' if sign else ''}.1f}"
