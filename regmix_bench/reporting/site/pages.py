"""The pages: what a template is given, and how text becomes markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import jinja2

from regmix_bench.analysis.methods import FEWEST_SEEDS, LEVEL
from regmix_bench.analysis.words import norm_words, threat_words
from regmix_bench.methods import declared
from regmix_bench.records.accuracies import ROBUST, attack_words, titles
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.formats.bibtex import bibtex, suite_entry
from regmix_bench.reporting.formats.cells import short, text
from regmix_bench.reporting.headline import SUBJECT
from regmix_bench.reporting.paper import named
from regmix_bench.reporting.site import facts
from regmix_bench.reporting.site.definitions import Definition
from regmix_bench.reporting.site.downloads import TABLE_FORMATS
from regmix_bench.reporting.site.formulas import is_formula, mathml
from regmix_bench.reporting.site.leaderboard import Ranking, Rankings
from regmix_bench.reporting.site.method_pages import MethodPage, method_file
from regmix_bench.reporting.site.pictures import SitePictures
from regmix_bench.reporting.site.runs import RunPage
from regmix_bench.reporting.site.text import file_name, on_dark
from regmix_bench.reporting.values import Cell
from regmix_bench.specs.parameters import value_words
from regmix_bench.system.text import visible

if TYPE_CHECKING:
    from regmix_bench.methods.protocol import Citation

_NO_NUMBER = -1e9


@dataclass(frozen=True)
class Preview:
    """The image that others show where a page is linked to.

    They take whole addresses alone, so that there is none of a site of which nobody has said where
    it will stand.
    """

    site_url: str | None = None
    image: str = ""

    @property
    def address(self) -> str:
        """The address of the image, empty where there is none."""
        return f"{self.site_url}/{self.image}" if self.site_url and self.image else ""

    def of(self, image: str) -> Preview:
        """Return that of a page with an image of its own, if it has one."""
        return replace(self, image=image or self.image)


def index_page(
    board: Rankings, pictures: SitePictures, runs: Sequence[RunPage], preview: Preview
) -> bytes:
    """Write the front page: the comparison that leads, and a list of all.

    Here and below ``preview`` tells which image others show where a page is linked to.
    """
    ranking = next(iter(board.rankings), None)
    return _render(
        "index.html",
        preview,
        board=board,
        ranking=ranking,
        pictures=pictures.beside.get(ranking.stem, ()) if ranking else (),
        failed=[page for page in runs if page.failed],
    )


def comparison_page(
    board: Rankings, ranking: Ranking, pictures: SitePictures, preview: Preview
) -> bytes:
    """Write the page of one comparison."""
    return _render(
        "comparison.html",
        preview.of(pictures.preview(ranking.stem)),
        board=board,
        ranking=ranking,
        pictures=pictures.beside.get(ranking.stem, ()),
    )


def tables_page(contents: Contents, pictures: SitePictures, preview: Preview) -> bytes:
    """Write the report's tables beside those of methods, and the pictures that belong to them."""
    chapters = {
        title: [part._replace(table=named(part.table, contents.names)) for part in chapter]
        for title, chapter in contents.chapters.items()
    }
    stems = {section.stem for chapter in chapters.values() for section in chapter}
    beside = {
        stem: [each for each in pictures.others if each.picture.beside == stem] for stem in stems
    }
    further = [each for each in pictures.others if each.picture.beside not in stems]
    return _render("tables.html", preview, chapters=chapters, beside=beside, further=further)


def runs_page(found: Sequence[RunPage], preview: Preview) -> bytes:
    """Write every run in one table."""
    return _render("runs.html", preview, runs=found, titles=titles(), attack=_attack(found))


def run_page(page: RunPage, preview: Preview) -> bytes:
    """Write the page of one run."""
    record = page.run.record
    shown = page.examples.shown if page.examples else ()
    return _render(
        "run.html",
        preview.of(f"images/{page.id}-0.png" if shown else ""),
        page=page,
        attack=_attack([page]),
        specification=facts.specification_facts(page.run),
        cost=facts.cost_facts(record),
        environment=facts.environment_facts(record),
        digests=facts.digest_facts(record),
    )


def method_page(definition: Definition, page: MethodPage, preview: Preview) -> bytes:
    """Write the page of one method."""
    return _render("method.html", preview, page=page, definition=definition)


def methods_page(methods: Sequence[tuple[Definition, MethodPage]], preview: Preview) -> bytes:
    """Write the index of methods, and what to cite."""
    own = paper(SUBJECT)
    regmix = bibtex(own) if own else ""
    return _render("methods.html", preview, methods=methods, suite=suite_entry(), regmix=regmix)


def compare_page(found: Sequence[RunPage], preview: Preview) -> bytes:
    """Write the page that a script fills with the rows or runs which its address names."""
    return _render("compare.html", preview, attack=_attack(found))


def _attack(found: Sequence[RunPage]) -> str:
    """Name what gave all these runs their robust accuracies; nothing where they differ in it."""
    attacks = {attack_words(page.run.spec.scoring) for page in found}
    return attacks.pop() if len(attacks) == 1 else ""


def empty_page() -> bytes:
    """Write what to do where nothing is recorded yet."""
    return _render("empty.html", Preview())


def order(cell: Cell) -> float:
    """Return what a cell is sorted by: its number, below all others where it holds none."""
    return cell.value if isinstance(cell.value, int | float) else _NO_NUMBER


def paper(name: str) -> Citation | None:
    """Return the paper of an installed method, if it declares one."""
    method = declared(name)
    return method.citation if method else None


def capital(title: str) -> str:
    """Return a title as the header of a column."""
    return title[:1].upper() + title[1:]


def _render(template: str, preview: Preview, **context: object) -> bytes:
    # Pages one folder down reach the others, and the assets, through it.
    root = "../" if template in ("comparison.html", "run.html", "method.html") else ""
    page = (
        _environment().get_template(template).render(root=root, preview=preview.address, **context)
    )
    return page.encode()


def _shown(value: object) -> object:
    # Of its own class, as markup stays markup.
    return type(value)(visible(value)) if isinstance(value, str) else value


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("regmix_bench.reporting.site"),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "ROBUST": ROBUST,
        "LEVEL": LEVEL,
        "FEWEST_SEEDS": FEWEST_SEEDS,
        "TABLE_FORMATS": TABLE_FORMATS,
    }
    environment.filters |= {
        "short": short,
        "order": order,
        "text": text,
        "capital": capital,
        "paper": paper,
        "on_dark": on_dark,
        "value_words": value_words,
        "method_file": method_file,
        "file_name": file_name,
        "mathml": mathml,
        "is_formula": is_formula,
        "bibtex": bibtex,
        "norm_words": norm_words,
        "threat_words": threat_words,
    }
    return environment
