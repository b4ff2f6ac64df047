"""A sheet held to every rule: what it breaks, what it allows itself, and what nothing needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from regmix_bench.errors import unknown
from regmix_bench.sheets.rule import Breach, Rule
from regmix_bench.sheets.rules import RULES
from regmix_bench.sheets.sheet import Sheet
from regmix_bench.system.shown import Shown, Summary


@dataclass(frozen=True)
class Violation:
    """A rule that a table or one of its rows breaks; ``allowed`` is the sheet's reason, if any."""

    rule: Rule
    table: str
    row: str | None
    said: str
    allowed: str | None = None

    @property
    def place(self) -> str:
        """Return the table and the row in words."""
        return self.table if self.row is None else f"{self.table} · {self.row}"


@dataclass(frozen=True, repr=False)
class Verification(Shown):
    """The violations of a sheet, by rule, and the allowances that nothing needs."""

    sheet: Sheet
    violations: tuple[Violation, ...]
    needless: tuple[str, ...]

    @property
    def broken(self) -> tuple[Violation, ...]:
        """The violations that the sheet gives no reason for."""
        return tuple(found for found in self.violations if found.allowed is None)

    @property
    def allowed(self) -> tuple[Violation, ...]:
        """The violations that the sheet gives a reason for."""
        return tuple(found for found in self.violations if found.allowed is not None)

    @property
    def failed(self) -> bool:
        """True where a rule is broken without a reason."""
        return bool(self.broken)

    def summary(self) -> Summary:
        line = (
            f"{len({found.rule.name for found in self.broken})} of {len(RULES)} rules broken,"
            f" {len(self.allowed)} violations allowed with reasons"
        )
        rows = [(found.rule.name, found.place, found.said) for found in self.broken]
        return Summary(line, ("rule", "where", "what breaks it"), rows)


def hold_to_rules(
    sheet: Sheet, measured: Mapping[str, Mapping[str, Sequence[Breach]]] | None = None
) -> Verification:
    """Ask every rule of every table of a sheet.

    ``measured`` are breaches that were found elsewhere, such as in files: by rule, then by table.
    Raises :class:`UserError` where ``allow`` names a rule or a table that there is not.
    """
    for name in sheet.allow:
        if name not in RULES:
            raise unknown("rule in allow", name, RULES)
        for table, _ in sheet.reasons(name):
            if table is not None and table not in sheet.tables:
                raise unknown(f"table in allow of {name}", table, sheet.tables)
    found = tuple(_violations(sheet, measured or {}))
    return Verification(sheet, found, tuple(_needless(sheet, found)))


def _violations(
    sheet: Sheet, measured: Mapping[str, Mapping[str, Sequence[Breach]]]
) -> Iterator[Violation]:
    for name, rule in RULES.items():
        reasons = dict(sheet.reasons(name))
        for title, table in sheet.tables.items():
            reason = reasons.get(title, reasons.get(None))
            for breach in (*rule.breaches(table), *measured.get(name, {}).get(title, ())):
                yield Violation(rule, title, breach.row, breach.said, reason)


def _needless(sheet: Sheet, found: Sequence[Violation]) -> Iterator[str]:
    used = {(violation.rule.name, violation.table) for violation in found}
    broken = {rule for rule, _ in used}
    for name in sheet.allow:
        for table, _ in sheet.reasons(name):
            if table is None and name not in broken:
                yield name
            elif table is not None and (name, table) not in used:
                yield f"{name} of {table}"
