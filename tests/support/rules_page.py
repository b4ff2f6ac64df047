"""The rules as `docs/verify.md` lists them: ``python tests/support/rules_page.py`` renews it."""

from __future__ import annotations

from pathlib import Path

from regmix_bench.sheets.rules import RULES

PAGE = Path(__file__).parents[2] / "docs/verify.md"
HEADING = "## The rules\n"


def rules_text() -> str:
    """Return the rules, each with what breaks it, why it matters and what it looks at."""
    lines = []
    for rule in RULES.values():
        looked_at = ", ".join(f"`{path}`" for path in rule.reads)
        title = rule.title[0].upper() + rule.title[1:]
        lines.append(f"**`{rule.name}`** {title}: {rule.why}. Looks at {looked_at}.\n")
    return "\n".join(lines)


if __name__ == "__main__":
    before = PAGE.read_text().partition(HEADING)[0]
    PAGE.write_text(f"{before}{HEADING}\n{rules_text()}")
