"""What holds for every test: one thread, no window, and none of the user's own settings."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Before torch is imported, and inherited by every process a test starts: numbers depend on the
# number of threads, and parallel test runs must not fight for cores.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", MPLBACKEND="Agg")
for setting in [name for name in os.environ if name.startswith("REGMIX_BENCH_")]:
    del os.environ[setting]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a CUDA device where there is none."""
    if item.get_closest_marker("cuda") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


@pytest.fixture
def refuse_reading(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Forbids a file to whoever runs the tests: permissions do not bind root."""

    def refuse(forbidden: Path) -> None:
        whole = os.open

        def guarded(file: Any, *arguments: Any, **options: Any) -> Any:
            if os.path.abspath(file) == os.path.abspath(forbidden):
                raise PermissionError(errno.EACCES, "Permission denied", str(file))
            return whole(file, *arguments, **options)

        monkeypatch.setattr(os, "open", guarded)

    return refuse


@pytest.fixture
def forget() -> Iterator[Callable[[], None]]:
    """Forgets what this process was told of, as a new process has not been told of it."""
    from regmix_bench.methods import METHODS

    before = dict(METHODS.registered)

    def forget() -> None:
        METHODS.files.clear()
        METHODS.registered.clear()
        METHODS.registered.update(before)

    forget()
    yield forget
    forget()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A browser to open pages in, one for all tests."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
    if found is None:
        pytest.skip("no chromium on PATH")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield launched
        launched.close()
