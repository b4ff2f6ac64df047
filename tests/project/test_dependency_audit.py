"""What CI makes of pip-audit's answers."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / ".ci" / "audit.py"
UNKNOWN = {"name": "b", "skip_reason": "Dependency not found on PyPI and could not be audited"}
SAFE = {"name": "a", "version": "1.0", "vulns": []}


def judge(*packages):
    spec = spec_from_file_location("audit", SCRIPT)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.judge({"dependencies": list(packages)})


def vulnerable(*fixes):
    found = {"id": "PYSEC-2026-1", "fix_versions": list(fixes), "aliases": [], "description": ""}
    return {"name": "c", "version": "2.0", "vulns": [found]}


def test_a_vulnerability_with_a_fix_fails():
    lines, wrong = judge(SAFE, UNKNOWN, vulnerable("2.1", "3.0"))
    assert wrong
    assert lines == [
        "c 2.0: PYSEC-2026-1, fixed in 2.1, 3.0",
        "audited 2 of 3 packages, known vulnerabilities: 1",
    ]


def test_one_without_a_fix_is_named_alone():
    lines, wrong = judge(SAFE, vulnerable())
    assert not wrong
    assert lines[0] == "c 2.0: PYSEC-2026-1, not fixed anywhere yet"


def test_no_package_in_the_database_is_no_audit():
    assert judge(UNKNOWN) == (
        ["dependencies could not be audited: the database knows none of them or is out of reach"],
        False,
    )


def test_no_answer_is_said_and_no_finding(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT, sys.executable],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        # A package of this name that fails, in place of one that may be installed.
        env={"PYTHONPATH": str(broken(tmp_path))},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "dependencies could not be audited: no connection\n"


def broken(folder):
    (folder / "pip_audit.py").write_text("raise SystemExit('no connection')\n")
    return folder
