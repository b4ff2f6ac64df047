"""The tests of a module are where the module is: tests/<room>/test_<module>.py."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"

#: What belongs to no one room: the project as a whole, faults from outside, a stranger's package.
ACROSS = {"faults", "plug_in", "project"}
#: What several modules of a room do together, each with its reason.
TOGETHER = {
    "api/test_progress.py": "what an observer hears of the verbs that look at runs once more",
    "evaluation/test_autoattack.py": "the stages of one AutoAttack, as the authors run them",
    "evaluation/test_flags.py": "the flags of whole evaluations, as one call of theirs gives them",
    "reporting/site/test_browser.py": "the pages in a browser",
    "reporting/site/test_front_page.py": "the first window of the front page",
    "training/test_cuda.py": "steps of every method on a CUDA device, replayed and eager",
}


def misplaced(test: Path) -> bool:
    """True where a test's name is neither a module of its room nor the room itself."""
    room, name = test.parent, test.stem.removeprefix("test_")
    if (room.parts and room.parts[0] in ACROSS) or test.as_posix() in TOGETHER:
        return False
    if room.parts and room.parts[0] == "baselines":
        return not (ROOT / room / f"{name}.py").is_file()
    subject = ROOT / "regmix_bench" / room / name
    is_room = subject.is_dir() or (room.parts and name == room.name)
    return not is_room and not subject.with_suffix(".py").is_file()


def test_every_test_file_is_where_its_module_is() -> None:
    tests = [path.relative_to(TESTS) for path in TESTS.rglob("test_*.py")]
    assert [test.as_posix() for test in tests if misplaced(test)] == []
    assert {name for name in TOGETHER if not (TESTS / name).is_file()} == set()


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("records/test_store.py", False),
        ("reporting/site/test_site.py", False),
        ("test_types.py", False),
        ("baselines/test_mart.py", False),
        ("project/test_names.py", False),
        ("records/test_stores.py", True),
        ("grid/test_store.py", True),
        ("test_store.py", True),
        ("baselines/test_regmix.py", True),
    ],
)
def test_a_test_elsewhere_is_found(path: str, found: bool) -> None:
    assert misplaced(Path(path)) == found
