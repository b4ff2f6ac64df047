"""The parameters of the verbs as they stand on the command line, each said once.

A verb annotates a parameter with an :class:`Option`; its name, type and default are those of the
function, so that function and command cannot differ. A parameter without one belongs to Python
alone. The modules of verbs therefore do without ``from __future__ import annotations``: what the
command line reads has to be there, and is quoted where only torch or pandas could say it.
"""

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, ParamSpec, TypeVar, get_args

from regmix_bench.errors import UserError
from regmix_bench.system.signatures import typed

if TYPE_CHECKING:
    from regmix_bench.reporting.choices import Choices

#: The panels of ``--help``, in the order they are shown.
GRID = "Axes of the grid"
MODEL = "The model, and what it is scored on"
SCORING = "Scoring"
EXECUTION = "Where and how it is executed"
RECORDS = "Records"
OUTPUT = "What is shown or written"


@dataclass(frozen=True)
class Option:
    """A parameter on the command line: what help says of it, and in which panel.

    ``flag`` is its name there, where that is not the parameter's. An ``argument`` has none: it is
    known by its place. ``alias`` is another name of the parameter, here and there.
    """

    help: str
    panel: str = OUTPUT
    flag: str | None = None
    alias: str | None = None
    argument: bool = False
    envvar: str | None = None


P = ParamSpec("P")
R = TypeVar("R")


def verb(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function of a module of ``api`` one that the command line calls, too.

    It refuses values that are not of its types; a keyword may be the alias of a parameter.
    """
    aliases = dict(_aliases(function))
    checked = typed(function)

    @functools.wraps(checked)
    def called(*arguments: P.args, **options: P.kwargs) -> R:
        for alias in aliases.keys() & options.keys():
            if aliases[alias] in options:
                raise UserError(f"{alias} is another name of {aliases[alias]}: give one of them")
            options[aliases[alias]] = options.pop(alias)
        return checked(*arguments, **options)

    return called


def _aliases(function: Callable[..., object]) -> Iterator[tuple[str, str]]:
    for name, parameter in inspect.signature(function).parameters.items():
        for about in get_args(parameter.annotation)[1:]:
            if isinstance(about, Option) and about.alias is not None:
                yield about.alias, name


#: One or several, as text with commas or as a sequence; a seed or a budget also as a number.
Names = str | float | Iterable[object]

RunName = Annotated[
    str | Path, Option("A record's path, a run_id or the start of one.", argument=True)
]
RunNames = Annotated[
    Iterable[str | Path],
    Option("Records' paths, run_ids or the starts of some.", argument=True),
]
_METHOD_FILES = "FILE.py:CLASS of methods that the suite names, whose code this runs."
MethodFiles = Annotated[Names | None, Option(_METHOD_FILES, GRID)]
Results = Annotated[str | Path, Option("Folder of the records.", RECORDS)]
DeviceName = Annotated[
    Literal["auto", "cpu", "cuda"], Option("Where models run; auto is CUDA if there is.", EXECUTION)
]
Graphs = Annotated[
    Literal["auto", "on", "off"],
    Option("Record CUDA graphs of what is done again and again; auto does on CUDA.", EXECUTION),
]
Address = Annotated[
    str | None,
    Option("With --launcher ray: the cluster, or auto; else one is started here.", EXECUTION),
]
DataDir = Annotated[
    str | Path | None, Option("Folder of the datasets.", EXECUTION, envvar="REGMIX_BENCH_DATA")
]
DataName = Annotated[
    str | None,
    Option("What tables call data that a path names; its file's name if left out.", GRID),
]
Download = Annotated[bool, Option("Fetch data that is missing.", EXECUTION)]
Force = Annotated[bool, Option("Discard what is recorded and start again.", RECORDS)]
Norm = Annotated[str | None, Option("Norm of budgets that name none: Linf, L2 or L1.", GRID)]
Attacks = Annotated[
    Names | None,
    Option("Attacks instead of AutoAttack's standard ones, such as apgd-ce,square.", SCORING),
]
Screen = Annotated[
    bool, Option("Spare AutoAttack what PGD-20 broke; a number of its own.", SCORING)
]
SaveAdversarial = Annotated[bool, Option("Keep the adversarial images, for audit.", SCORING)]
Diagnose = Annotated[bool, Option("Also ask whether the gradients mislead.", SCORING)]
EvalExamples = Annotated[
    int | None, Option("Score a class-balanced sample of the test set.", SCORING)
]
Reference = Annotated[
    str | None, Option("Row that the others are compared with; its suite's own if left out.")
]
Across = Annotated[
    Names | None, Option("Let the rows of a table differ in these, and show them: tricks, labels.")
]
Suites = Annotated[Names | None, Option("Take the runs of this suite alone, or of several.")]
#: Beside suites of which records are taken, and not run.
SuiteMethodFiles = Annotated[Names | None, Option(_METHOD_FILES)]
TargetAccuracy = Annotated[
    float | None,
    Option("PGD-10 accuracy, 0 to 1, to compare costs at; the reference's less an error."),
]
WithPublished = Annotated[
    bool, Option("Add the numbers of published.yaml, in tables of their own.")
]


def listed(option: str, value: Names | None) -> list[str] | None:
    """Return the names in a list, each text of it split at commas that stand outside brackets.

    None stays None. Raises :class:`UserError` for an empty name.
    """
    if value is None:
        return None
    items = [value] if isinstance(value, str) or not isinstance(value, Iterable) else value
    texts = [str(item) for item in items]
    parts = [part.strip() for text in texts for part in re.split(r",(?![^\[]*\])", text)]
    if not all(parts):
        shown = value if isinstance(value, str) else ",".join(texts)
        raise UserError(f"{option} {shown!r} has an empty place: separate names by single commas")
    return parts


def scoring_keys(attacks: Names | None, screen: bool) -> dict[str, object]:
    """Return the keys of :class:`~regmix_bench.specs.Scoring` that these options set."""
    names = listed("--attacks", attacks)
    chosen = {} if names is None else {"autoattack_version": "custom", "attacks": names}
    return chosen | ({"screen": True} if screen else {})


def known_methods(methods: Names | None) -> list[str] | None:
    """Return the names of methods, of files too, which are loaded; None for none.

    Raises :class:`UserError` for a file that cannot be loaded.
    """
    from regmix_bench.methods import METHODS

    names = listed("--methods", methods)
    return None if names is None else [METHODS.loaded(text) for text in names]


def load_method_files(files: Names | None) -> None:
    """Make known the methods of files by the names that they have; none for None.

    Raises :class:`UserError` for what is no ``FILE.py:CLASS``, or cannot be loaded.
    """
    from regmix_bench.methods import METHODS
    from regmix_bench.methods.files import names_file

    for text in listed("--method-files", files) or ():
        if not names_file(text):
            raise UserError(f"--method-files {text!r} is not like my_method.py:TwoStep")
        METHODS.canonical(text)


def suite_run_ids(suites: Names | None, method_files: Names | None = None) -> set[str] | None:
    """Return the run_ids that suites plan, by name or path; None for all that there are.

    Raises :class:`UserError` for a suite that is unknown or cannot be planned, and for a method
    file that cannot be loaded.
    """
    names = listed("--suite", suites)
    if names is None:
        if method_files is not None:
            raise UserError("--method-files is for the methods that a suite names: add --suite")
        return None
    load_method_files(method_files)
    from regmix_bench.data import canonical_name
    from regmix_bench.grid.plan import plan
    from regmix_bench.grid.settings import file_digests
    from regmix_bench.grid.suite_files import load_suite

    return {
        spec.run_id
        for name in names
        for spec in plan(
            load_suite(name), canonical_name=canonical_name, digests=file_digests(None)
        )
    }


def report_choices(
    with_published: bool,
    reference: str | None,
    across: Names | None,
    suites: Names | None,
    target_accuracy: float | None,
    method_files: Names | None = None,
) -> "Choices":
    """Return what a report shows, on paper or served, as these options choose it.

    Raises :class:`UserError` for an axis, a suite or a method file that there is not, and a target
    that is no accuracy.
    """
    from regmix_bench.analysis.tricks import crossed

    if target_accuracy is not None and not 0 < target_accuracy <= 1:
        raise UserError(f"--target-accuracy {target_accuracy:g} is no share of images, as 0.45 is")
    return {
        "with_published": with_published,
        "reference": reference,
        "across": crossed(listed("--across", across)),
        "only": suite_run_ids(suites, method_files),
        "target_accuracy": target_accuracy,
    }
