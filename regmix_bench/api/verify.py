"""``verify``: does a study keep the rules of a fair comparison?"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from regmix_bench.api.options import RECORDS, Option, SuiteMethodFiles, Suites, suite_run_ids, verb

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
    method_files: SuiteMethodFiles = None,
    json: Annotated[str | Path | None, Option("Also write what is found as JSON.")] = None,
    sarif: Annotated[str | Path | None, Option("Also write it as SARIF 2.1.0.")] = None,
) -> "Verification":
    """Hold a study to the rules of a fair comparison; exit 1 where it breaks one without a reason.

    The sheet of a folder is that of its records, as ``report`` writes it, and its numbers are made
    anew from their files. Raises :class:`UserError` for a sheet or a record that cannot be read, an
    unknown key or suite, a rule or a table in ``allow`` that there is not, and files that would be
    written over what is read, or over one another.
    """
    from regmix_bench.errors import UserError
    from regmix_bench.records.store import json_bytes, require_beside
    from regmix_bench.sheets.reader import read_sheet
    from regmix_bench.sheets.sarif import as_json, as_sarif
    from regmix_bench.sheets.verification import hold_to_rules
    from regmix_bench.system.files import require_apart, write_together

    path = Path(path)
    sheet = None if path.is_dir() else read_sheet(path)
    if sheet is None and results is not None:
        raise UserError("--results is for a sheet that is a file: a folder has its own records")
    if sheet is not None and (suite is not None or method_files is not None):
        raise UserError("--suite is for a folder of records: a sheet says itself what it shows")
    folder = path if sheet is None else Path(results) if results is not None else None
    named = {"--json": json, "--sarif": sarif}
    outputs = {option: Path(file) for option, file in named.items() if file is not None}
    require_apart(outputs, [path])
    if folder is not None:
        require_beside(outputs, folder)
    if sheet is not None and folder is None:
        found = hold_to_rules(sheet)
    else:
        from regmix_bench.sheets.recount import hold_to_files

        found = hold_to_files(folder or path, sheet, suite_run_ids(suite, method_files))
    forms = {"--json": partial(as_json, found), "--sarif": partial(as_sarif, found, path)}
    write_together({file: json_bytes(forms[option]()) for option, file in outputs.items()})
    return found
