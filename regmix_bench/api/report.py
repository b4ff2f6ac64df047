"""``report``: tables and figures."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from regmix_bench.api.options import (
    Across,
    Names,
    Option,
    Reference,
    Results,
    SuiteMethodFiles,
    Suites,
    TargetAccuracy,
    WithPublished,
    listed,
    report_choices,
    verb,
)
from regmix_bench.errors import UserError
from regmix_bench.reporting.figures.venues import Venue, style_for
from regmix_bench.reporting.formats.layout import Layout, Notes
from regmix_bench.system.shown import Shown, Summary

_LATEX = "LaTeX tables"
_FIGURES = "Figures"


@dataclass(frozen=True, repr=False)
class Report(Shown):
    """A report at ``out``: the files written, or what was found stale, one line each."""

    out: Path
    written: tuple[Path, ...] = ()
    stale: tuple[str, ...] = ()

    def summary(self) -> Summary:
        files = [(str(path.relative_to(self.out)),) for path in self.written]
        if self.stale:
            return Summary(f"{self.out}: stale", ("what",), [(line,) for line in self.stale])
        return Summary(f"{self.out}: {len(files)} files written", ("file",), files)


@verb
def report(
    *,
    results: Results = "results",
    out: Annotated[str | Path, Option("Folder to write to.")] = "reports",
    format: Annotated[
        Names | None, Option("Of latex, markdown, csv, json, yaml, figures, html; all if left out.")
    ] = None,
    with_published: WithPublished = False,
    reference: Reference = None,
    across: Across = None,
    suite: Suites = None,
    method_files: SuiteMethodFiles = None,
    target_accuracy: TargetAccuracy = None,
    standalone: Annotated[bool, Option("As documents, cropped to the table.", _LATEX)] = False,
    columns: Annotated[
        int, Option("Columns of the paper: 1, or 2 for tables over both.", _LATEX)
    ] = 1,
    caption: Annotated[
        str, Option("Caption, as text; {} stands for what each table shows.", _LATEX)
    ] = "{}",
    label: Annotated[str, Option("What the label of each starts with.", _LATEX)] = "tab:",
    table_columns: Annotated[
        Names | None,
        Option(
            "Columns of LaTeX tables of comparisons, by id or header; all is in as many panels as"
            " fit. Other formats have all.",
            _LATEX,
        ),
    ] = None,
    rows: Annotated[
        Names | None,
        Option(
            "Rows of LaTeX tables of comparisons in this order, by label, method or shown name."
            " Other formats have all.",
            _LATEX,
        ),
    ] = None,
    notes: Annotated[Notes, Option("What stands below a table.", _LATEX)] = "short",
    style: Annotated[
        Venue,
        Option("Font and width of this venue's papers; plain is for screens.", _FIGURES),
    ] = "plain",
    width: Annotated[
        str | None, Option("Width, such as 3.25in or 8cm; column or text of the style.", _FIGURES)
    ] = None,
    font: Annotated[
        str | None, Option("Font, by its family, in place of the style's.", _FIGURES)
    ] = (None),
    methods: Annotated[
        Names | None,
        Option("Show the rows of these alone, by label, method or shown name.", _FIGURES),
    ] = None,
    site_url: Annotated[
        str | None, Option("Where the site will stand, https://…, for the images of shared links.")
    ] = None,
    check: Annotated[bool, Option("Write nothing; exit 1 where the report is stale.")] = False,
    say: Callable[[str], None] = lambda line: None,
) -> Report:
    """Write tables, figures and pages of everything that is recorded.

    Each file is replaced whole, and those that an earlier report left and this one no longer makes
    are removed. A picture that an earlier report drew of the same is not drawn again. ``say`` is
    told what is done, a line at a time. Raises :class:`UserError` for an unknown format, reference,
    axis, suite, style, font, method, row or table column, an option of tables or figures where none
    are written, a caption that several tables would share, a width that is no length between 3 and
    20 inches, a target that is no accuracy, a site's address that is none, a folder without
    records, a record or published numbers that cannot be read, and a folder that cannot be written.
    """
    from regmix_bench.reporting.report import stale, write_report
    from regmix_bench.reporting.report_files import FORMATS

    if check and format is not None:
        raise UserError("--check compares whatever formats the report has: leave --format out")
    source, folder = Path(results), Path(out)
    chosen = tuple(listed("--format", format) or FORMATS)
    layout = Layout(
        standalone,
        columns,
        caption,
        label,
        _tuple(listed("--table-columns", table_columns)),
        _tuple(listed("--rows", rows)),
        notes,
    )
    changed = [one.name for one in fields(layout) if getattr(layout, one.name) != one.default]
    _require("latex", "LaTeX tables", chosen, changed)
    drawn = {"style": style != "plain", "width": width, "font": font, "methods": methods}
    _require("figures", "figures", chosen, [name for name, given in drawn.items() if given])
    choices = report_choices(
        with_published, reference, across, suite, target_accuracy, method_files
    )
    choices["style"] = style_for(style, width, font)
    choices["methods"] = listed("--methods", methods)
    choices["site_url"] = _address(site_url)
    if check:
        return Report(folder, stale=tuple(stale(source, folder, layout=layout, **choices)))
    written = write_report(source, folder, chosen, layout=layout, say=say, **choices)
    return Report(folder, tuple(written))


def _require(format: str, what: str, chosen: Collection[str], options: Sequence[str]) -> None:
    """Raise :class:`UserError` for options that change nothing in the chosen formats.

    The site offers tables and figures to take away, too.
    """
    if options and not {format, "html"} & {*chosen}:
        flag = "--" + options[0].replace("_", "-")
        raise UserError(
            f"{flag} changes {what}, which --format {','.join(chosen)} has not: add {format}"
        )


def _address(text: str | None) -> str | None:
    """Return an address without its last /; raises :class:`UserError` for what is none."""
    if text is not None and not re.fullmatch(r"https?://[^\s/?#\"'<>]+(/[^\s?#\"'<>]*)?", text):
        raise UserError(f"--site-url {text!r} is no address such as https://example.org/regmix")
    return text and text.rstrip("/")


def _tuple(names: list[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)
