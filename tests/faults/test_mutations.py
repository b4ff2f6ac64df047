"""A thousand seeded mutations of records, and some of the files beside them: no traceback anywhere.

Each changed file is refused in one line, or goes through whatever reads it. The digests are made to
fit, so that the content is what is looked at; pictures are made, and not drawn.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.harness import Answer
from support.mutations import (
    bind,
    fill_small,
    mutated_json,
    mutated_parquet,
    mutated_tensors,
    readers,
    refusals,
)

from regmix_bench import load_results
from regmix_bench.records import paths, store
from regmix_bench.reporting.report import write_report

Tell = Callable[[Answer, str], None]

BLOCK = 100
TEXTS = ("latex", "markdown", "csv", "json", "html")


def mutated_record(path: Path, rng: random.Random) -> None:
    path.write_text(mutated_json(path.read_text(), rng))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``results`` and ``reports``, which every mutation leaves as it was."""
    folder = tmp_path_factory.mktemp("mutations")
    fill_small(folder / "results")
    write_report(folder / "results", folder / "reports", TEXTS)
    return folder


@pytest.fixture
def restored(folder: Path) -> Iterator[Callable[[], None]]:
    """Put back all files of the results folder, at the end and when it is called."""
    before = {path: path.read_bytes() for path in (folder / "results").rglob("*") if path.is_file()}

    def restore() -> None:
        for path, content in before.items():
            if path.read_bytes() != content:
                path.write_bytes(content)

    yield restore
    restore()


@pytest.mark.parametrize(
    ("files", "mutate", "share", "block"),
    [
        pytest.param(files, mutate, share, block, id=f"{name}-{block}")
        # A record has a hundred values; a file beside it has ten columns or arrays, and is slower.
        for name, files, mutate, share, blocks in (
            ("record", "*.json", mutated_record, BLOCK, 10),
            ("parquet", "*.parquet", mutated_parquet, 75, 3),
            ("tensors", "*.safetensors", mutated_tensors, 25, 3),
        )
        for block in range(blocks)
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_mutations(
    folder: Path,
    restored: Callable[[], None],
    files: str,
    mutate: Callable[[Path, random.Random], None],
    share: int,
    block: int,
    tell: Tell,
) -> None:
    results = folder / "results"
    candidates = sorted(p for p in results.rglob(files) if p.name != paths.LEADERBOARD)
    for seed in range(block * BLOCK, block * BLOCK + share):
        rng = random.Random(seed)
        changed = rng.choice(candidates)
        mutate(changed, rng)
        if files != "*.json":
            bind(results, changed)
        lines = refusals([lambda: load_results(results)])
        if not lines or seed % 20 == 0:  # what one reader of records refuses, the others do
            lines += refusals(readers(results, folder / "reports", changed))
        for line in lines:
            assert "\n" not in line and len(line) < 2000, (seed, line)
        restored()
    assert store.load_records(results)
    said = f"{share} mutations, and no traceback"
    tell(Answer(0, said, ""), "all records: each was refused in one line, or read")
