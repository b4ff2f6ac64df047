"""``verify``: does a study keep the rules of a fair comparison?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from regmix_bench.api.options import RECORDS, Option, Suites, planned_runs, verb

if TYPE_CHECKING:
    from regmix_bench.sheets.verification import Verification


@verb
def verify(
    path: Annotated[
        str | Path, Option("A study sheet of YAML, or a folder of records.", argument=True)
    ],
    *,
    results: Annotated[
        str | Path | None,
        Option("Folder of the records that a sheet names, to make its numbers anew.", RECORDS),
    ] = None,
    suite: Suites = None,
    json: Annotated[str | Path | None, Option("Also write what is found as JSON.")] = None,
    sarif: Annotated[str | Path | None, Option("Also write it as SARIF 2.1.0.")] = None,
) -> "Verification":
    """Hold a study to the rules of a fair comparison; exit 1 where it breaks one without a reason.

    The sheet of a folder is that of its records, as ``report`` writes it, and its numbers are made
    anew from their files. Raises :class:`UserError` for a sheet or a record that cannot be read, an
    unknown key or suite, and a rule or a table in ``allow`` that there is not.
    """
    from regmix_bench.errors import UserError
    from regmix_bench.sheets.reader import read_sheet
    from regmix_bench.sheets.sarif import as_json, as_sarif
    from regmix_bench.sheets.verification import hold_to_rules

    path = Path(path)
    sheet = None if path.is_dir() else read_sheet(path)
    if sheet is None and results is not None:
        raise UserError("--results is for a sheet that is a file: a folder has its own records")
    if sheet is not None and suite is not None:
        raise UserError("--suite is for a folder of records: a sheet says itself what it shows")
    if sheet is not None and results is None:
        found = hold_to_rules(sheet)
    else:
        from regmix_bench.sheets.recount import hold_to_files

        found = hold_to_files(Path(results or path), sheet, planned_runs(suite))
    if json is not None or sarif is not None:
        from regmix_bench.records.store import write_json

        if json is not None:
            write_json(Path(json), as_json(found))
        if sarif is not None:
            write_json(Path(sarif), as_sarif(found, path))
    return found
