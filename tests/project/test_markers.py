"""What a test needs is said by a marker, by which it is chosen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

#: A test that skips itself without CUDA is not found by ``pytest -m cuda``.
OWN_SKIP = re.compile(r"skip\w*\([^)]*cuda\.is_available", re.DOTALL)


def test_whatever_needs_cuda_bears_its_marker() -> None:
    files = [path for path in TESTS.rglob("*.py") if path != Path(__file__)]
    assert [path.name for path in files if OWN_SKIP.search(path.read_text("utf-8"))] == []


@pytest.mark.parametrize(
    "text",
    [
        '@pytest.mark.skipif(not torch.cuda.is_available(), reason="")',
        "pytestmark = pytest.mark.skipif(\n    not torch.cuda.is_available(), reason=''\n)",
    ],
)
def test_a_skip_of_its_own_is_found(text: str) -> None:
    assert OWN_SKIP.search(text)
