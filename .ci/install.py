"""Install each built distribution by itself, and try what a user types first.

python .ci/install.py DIST: with the Python that has the libraries. Wheel and sdist have to hold the
same files.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path


def installed(archive: Path, folder: Path) -> set[str]:
    """Install an archive into a folder, run the command line of it, and return its files."""
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder)
    subprocess.run([*map(str, pip), str(archive)], check=True)
    env = os.environ | {"PYTHONPATH": str(folder)}
    program = "import sys; from regmix_bench.cli import main; sys.argv[0] = 'regmix-bench'; main()"
    for arguments in (["--version"], ["list", "methods"], ["run", "smoke", "--dry-run"]):
        command = [sys.executable, "-c", program, *arguments]
        subprocess.run(command, check=True, env=env, cwd=folder.parent, stdout=subprocess.DEVNULL)
    packages = (folder / "regmix_bench", folder / "regmix_baselines")
    files = {path.relative_to(folder).as_posix() for root in packages for path in root.rglob("*.*")}
    return {name for name in files if "__pycache__" not in name}


def main(dist: Path) -> int:
    """Compare what wheel and sdist install."""
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as folder:
        built = installed(wheel, Path(folder, "wheel"))
        unpacked = installed(sdist, Path(folder, "sdist"))
    differing = sorted(built ^ unpacked)
    print(f"{len(built)} files in each" if not differing else f"not in both: {differing}")
    return bool(differing)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
