"""Ask pip-audit whether the packages of an interpreter have known vulnerabilities.

    python .ci/audit.py PYTHON

Exit 1 where one is known and a fixed version exists; one that nobody has fixed yet is only named. A
database that cannot be reached is no finding, but is said: nothing was audited then.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def judge(report: dict[str, Any]) -> tuple[list[str], bool]:
    """Lines to print of a pip-audit report, and whether it holds a vulnerability to be fixed."""
    lines, wrong = [], False
    asked = [package for package in report["dependencies"] if "skip_reason" not in package]
    for package in asked:
        for found in package["vulns"]:
            fixed = ", ".join(found["fix_versions"])
            wrong = wrong or bool(fixed)
            remedy = f"fixed in {fixed}" if fixed else "not fixed anywhere yet"
            lines.append(f"{package['name']} {package['version']}: {found['id']}, {remedy}")
    lines.append(
        f"audited {len(asked)} of {len(report['dependencies'])} packages,"
        f" known vulnerabilities: {len(lines)}"
        if asked
        else "dependencies could not be audited: the database knows none of them or is out of reach"
    )
    return lines, wrong


def main() -> int:
    """Audit the packages of the interpreter that the command line names."""
    where = (sys.argv[1], "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    folder = subprocess.run(where, capture_output=True, check=True, text=True).stdout.strip()
    options = ("--format", "json", "--progress-spinner", "off", "--path", folder)
    done = subprocess.run([sys.executable, "-m", "pip_audit", *options], capture_output=True)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no answer"]
        print(f"dependencies could not be audited: {said[-1]}")
        return 0
    lines, wrong = judge(report)
    print("\n".join(lines))
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
