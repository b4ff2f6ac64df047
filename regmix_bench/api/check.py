"""``check``: have the numbers got worse?"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from regmix_bench.api.options import Option, Results, listed, verb
from regmix_bench.errors import UserError, unknown
from regmix_bench.system.shown import Shown, Summary

if TYPE_CHECKING:
    from regmix_bench.analysis.drops import Verdict


@dataclass(frozen=True, repr=False)
class Check(Shown):
    """The result of a check; ``renewed`` counts the references that it wrote, None without."""

    verdicts: "tuple[Verdict, ...]"
    reference: Path
    renewed: int | None = None

    @property
    def failed(self) -> bool:
        """True where a verdict fails and the references stay as they are."""
        return self.renewed is None and any(verdict.failed for verdict in self.verdicts)

    def summary(self) -> Summary:
        counts = Counter(verdict.verdict for verdict in self.verdicts)
        said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        rows = [
            (found.verdict, found.record, found.metric, found.note)
            for found in self.verdicts
            if found.verdict != "ok"
        ]
        word = "failed" if self.failed else "passed"
        line = f"{word} against {self.reference}: {said or 'nothing'}"
        return Summary(line, ("verdict", "record", "metric", "note"), rows)


@verb
def check(
    *,
    reference: Annotated[
        str | Path | None,
        Option(
            "The references; leaderboard.json of the results, of results/ or of what is shipped."
        ),
    ] = None,
    results: Results = "results",
    only: Annotated[
        str | None, Option("Check the references whose record matches this pattern.")
    ] = None,
    allow: Annotated[
        Iterable[str], Option("Accept what raised these checks; may be repeated.")
    ] = (),
    junit: Annotated[str | Path | None, Option("Also write a JUnit XML file.")] = None,
    update: Annotated[
        bool, Option("Show the change, then rewrite the references and what they allow.")
    ] = False,
) -> Check:
    """Compare records with the references; exit 1 on a regression.

    Raises :class:`UserError` where ``only`` matches nothing, ``allow`` names no check, the
    references or outcomes cannot be read or are not those that were recorded, or ``junit`` would be
    written over what is read.
    """
    from regmix_bench.analysis.junit import as_junit
    from regmix_bench.analysis.references import ALLOWABLE, renew_references
    from regmix_bench.analysis.regression import compare_with_references
    from regmix_bench.records.store import require_beside
    from regmix_bench.system.files import require_apart, write_together
    from regmix_bench.system.garbage import uncollected

    allowed = listed("--allow", allow) or []
    for name in allowed:
        if name not in ALLOWABLE:
            raise unknown("check", name, ALLOWABLE)
    if update and only is not None:
        raise UserError("--update renews all references, also those that --only would not show")
    results = Path(results)
    named = {} if junit is None else {"--junit": Path(junit)}
    require_beside(named, results)
    board = _references(results, update) if reference is None else Path(reference)
    require_apart(named, [board])
    with uncollected():
        verdicts = (
            []
            if update and not board.exists()
            else compare_with_references(results, board, only, allowed)
        )
        files = {path: as_junit(verdicts) for path in named.values()}
        if update:
            found = renew_references(results, board, allowed, beside=files)
            renewed = len(found.runs) + len(found.corruptions)
        else:
            renewed = None
            write_together(files)
    return Check(tuple(verdicts), board, renewed)


def _references(results: Path, update: bool) -> Path:
    """Return the references of ``results``: its own, else the usual ones, else those shipped."""
    from regmix_bench.records.paths import LEADERBOARD, SHIPPED

    own, usual = results / LEADERBOARD, Path("results", LEADERBOARD)
    if own.exists() or update:
        return own
    places = dict.fromkeys((own, usual, Path("results", SHIPPED, LEADERBOARD)))
    for place in places:
        if place.exists():
            return place
    looked = " or ".join(map(str, places))
    raise UserError(
        f"no references at {looked}: name them by --reference, or make them by `regmix-bench check"
        " --update`"
    )
