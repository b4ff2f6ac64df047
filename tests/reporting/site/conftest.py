"""A site of made-up records, some of them hostile, written to disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.hostile import fill
from support.sites import write_site

from regmix_bench.reporting.contents import Contents


@pytest.fixture(scope="session")
def contents(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    results = tmp_path_factory.mktemp("records") / "results"
    fill(results)
    return Contents.of(results, site_url="https://example.org/board")


@pytest.fixture(scope="session")
def pages(contents: Contents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(tmp_path_factory.mktemp("site"), contents)
