"""A module is loaded when something of it is first used, and is then itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = {"__init__.py": "from .part import value\nloaded = True\n", "part.py": "value = 1\n"}


def says(folder: Path, code: str) -> str:
    """What ``code`` prints in a process of its own, where ``slow`` is an importable package."""
    (folder / "slow").mkdir()
    for name, text in PACKAGE.items():
        (folder / "slow" / name).write_text(text)
    start = f"import sys; sys.path.insert(0, {str(folder)!r})\n"
    start += "from regmix_bench.system.deferred import defer; defer('slow')\n"
    command = [sys.executable, "-c", start + code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_importing_alone_loads_nothing(tmp_path: Path) -> None:
    code = "import slow; exec('import slow'); print('loaded' in vars(slow))"
    assert says(tmp_path, code) == "False"


@pytest.mark.parametrize(
    "use",
    [
        "import slow; slow.loaded",
        "from slow import value",
        "import slow.part",
        "from slow import part",
    ],
)
def test_any_use_makes_it_the_module_itself(tmp_path: Path, use: str) -> None:
    code = f"import slow as held\n{use}\nimport slow, types\n"
    code += "print(held is slow, type(held) is types.ModuleType, held.loaded, held.part.value)"
    assert says(tmp_path, code) == "True True True 1"


def test_what_is_not_there_is_left_alone() -> None:
    code = "from regmix_bench.system.deferred import defer; defer('no_such_module');"
    code += "import no_such_module"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ModuleNotFoundError: No module named 'no_such_module'" in finished.stderr


def test_what_is_deferred_inside_a_block_alone_is_absent_after_it_and_loads_when_asked(
    tmp_path: Path,
) -> None:
    (tmp_path / "user.py").write_text("import slow\n")
    code = "del sys.modules['slow']\n"
    code += "from regmix_bench.system.deferred import deferred\n"
    code += "with deferred('slow'):\n    import user\n"
    code += "print('slow' in sys.modules, 'loaded' in vars(user.slow))\n"
    code += "print(user.slow.loaded, user.slow.part.value)\n"
    code += "import slow; print(slow is user.slow, slow.part is user.slow.part)"
    assert says(tmp_path, code).split() == ["False", "False", "True", "1", "False", "True"]


def test_what_was_there_before_a_block_stays(tmp_path: Path) -> None:
    code = "from regmix_bench.system.deferred import deferred\n"
    code += "before = sys.modules['slow']\nwith deferred('slow'):\n    pass\n"
    code += "print(sys.modules['slow'] is before)"
    assert says(tmp_path, code) == "True"
