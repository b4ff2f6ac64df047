"""``check_contract``, on the command line ``test``: whether a plug-in keeps its contract."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from regmix_bench.api.options import DataDir, Download, Option, Results, verb
from regmix_bench.errors import UserError, unknown
from regmix_bench.system.shown import Shown, Summary


@dataclass(frozen=True, repr=False)
class ContractReport(Shown):
    """The rules of a contract, in words, each with what breaks it; None where it is kept."""

    kind: str
    name: str
    origin: str
    rules: dict[str, str | None]
    #: On how rules are kept, where there is something to say.
    notes: dict[str, str]

    @property
    def kept(self) -> int:
        """The number of rules that are kept."""
        return sum(reason is None for reason in self.rules.values())

    def summary(self) -> Summary:
        line = (
            f"{self.kind} {self.name} of {self.origin}: {self.kept} of {len(self.rules)} rules kept"
        )
        broken = [(rule, why) for rule, why in self.rules.items() if why is not None]
        return Summary(line, ("rule", "what breaks it"), broken)


@verb
def check_contract(
    name: Annotated[
        str,
        Option("A plug-in, FILE.py:CLASS, or what comes with the package.", argument=True),
    ],
    *,
    kind: Annotated[
        Literal["method", "dataset", "arch", "attack", "figure", "logger"] | None,
        Option("What is tested, where several kinds have the name."),
    ] = None,
    results: Results = "results",
    data_dir: DataDir = None,
    download: Download = False,
) -> ContractReport:
    """Test whether a plug-in keeps the contract of its kind.

    ``name`` may have parameters in brackets; ``data_dir`` and ``download`` are for data sets, and
    the records in ``results`` are what a figure is drawn of.
    Raises :class:`UserError` for a name that is unknown or cannot be loaded, for refused
    parameters, and for a name of several kinds of which none is said.
    """
    from regmix_bench.methods import METHODS
    from regmix_bench.registry import parse_name
    from regmix_bench.testing import CONTRACTS, Subject
    from regmix_bench.testing.contract import Failure, findings, words

    kinds = [kind] if kind else list(CONTRACTS)
    loaded = METHODS.loaded(name)
    name, kind = loaded, kind if loaded == name else "method"
    bare, _ = parse_name("plug-in", name)
    known = {each: CONTRACTS[each].registry.names() for each in kinds}
    having = [each for each, names in known.items() if bare in names]
    if not having:
        everything = {other for names in known.values() for other in names}
        raise unknown(kind or "plug-in", bare, everything)
    if len(having) > 1:
        raise UserError(f"{bare!r} is a {' and a '.join(having)}: say which by --kind")
    contract = CONTRACTS[having[0]]
    folder = None if data_dir is None else Path(data_dir)
    subject = Subject(name, contract.registry, folder, download, Path(results))
    subject.require_usable()
    rules: dict[str, str | None] = {}
    notes: dict[str, str] = {}
    found = findings(subject, contract.rules)
    for rule, said in zip(map(words, contract.rules), found, strict=True):
        rules[rule] = said.reason if isinstance(said, Failure) else None
        if isinstance(said, str):
            notes[rule] = said
    return ContractReport(having[0], name, contract.registry.origin(bare), rules, notes)
