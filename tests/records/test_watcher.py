"""What goes on in a results folder, told from its files alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.synthetic import make_spec

from regmix_bench.records.locks import Busy, run_lock
from regmix_bench.records.paths import artifacts_dir
from regmix_bench.records.progress import Progress
from regmix_bench.records.running import GridFile, StatusFile
from regmix_bench.records.watcher import RunWatcher
from regmix_bench.records.words import spec_words
from regmix_bench.specs import RunSpec

FIRST, SECOND = make_spec("trades"), make_spec("regmix")
EPOCH = Progress(stage="training", epoch=2, epochs=3, epoch_share=0.5, share=0.25)


@contextmanager
def going_on(results: Path, spec: RunSpec) -> Iterator[StatusFile]:
    with run_lock(results, spec.run_id, print):
        status = StatusFile(results, spec, iter(range(0, 10_000, 2)).__next__)
        status.write(EPOCH)
        yield status


def standings(watcher: RunWatcher) -> dict[str, str]:
    return {run.name: run.standing for run in watcher.look()}


def test_a_run_goes_on_while_its_process_holds_it_and_is_interrupted_after(tmp_path: Path) -> None:
    watcher = RunWatcher(tmp_path)
    assert watcher.look() == []
    with going_on(tmp_path, FIRST) as status:
        (run,) = watcher.look()
        assert (run.standing, run.run_id, run.progress) == ("running", FIRST.run_id, EPOCH)
        status.write(later := EPOCH.model_copy(update={"share": 0.5}))
        assert watcher.look()[0].progress == later
    assert [run.standing for run in watcher.look()] == ["interrupted"]
    status.remove()
    assert watcher.look() == []


def test_it_is_written_once_a_second(tmp_path: Path) -> None:
    times = iter((10.0, 10.5, 10.9, 11.0))
    status = StatusFile(tmp_path, FIRST, lambda: next(times))
    written = []
    for share in (0.1, 0.2, 0.3, 0.4):
        status.write(EPOCH.model_copy(update={"share": share}))
        progress = RunWatcher(tmp_path).look()[0].progress
        written.append(progress and progress.share)
    assert written == [0.1, 0.1, 0.1, 0.4]


def test_a_grid_tells_what_waits_runs_and_has_failed(tmp_path: Path) -> None:
    watcher = RunWatcher(tmp_path)
    grid = GridFile(tmp_path, {FIRST.run_id: "first", SECOND.run_id: "second"})
    other = GridFile(tmp_path, {"c": "third"})
    assert standings(watcher) == {"first": "waiting", "second": "waiting", "third": "waiting"}
    grid.begin(FIRST.run_id)
    other.begin("c")
    other.end("c", None)
    assert standings(watcher) == {"first": "running", "second": "waiting"}
    with going_on(tmp_path, FIRST):
        assert [run.progress for run in watcher.look()] == [EPOCH, None]
    grid.end(FIRST.run_id, "the disk is full")
    assert [run.reason for run in watcher.look()] == ["the disk is full", ""]
    grid.close()
    other.close()
    assert standings(watcher) == {spec_words(FIRST, symbols=True): "interrupted"}


def test_a_grid_that_was_killed_has_nothing_to_say_and_is_swept_by_the_next(tmp_path: Path) -> None:
    grid = GridFile(tmp_path, {"a": "first"})
    content = grid.path.read_bytes()
    grid.close()
    grid.path.write_bytes(content)
    assert RunWatcher(tmp_path).look() == []
    GridFile(tmp_path, {}).close()
    assert not grid.path.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"null", b'{"run_id": "../../x"}', b"[" * 100_000],
    ids=["empty", "cut off", "no text", "null", "leads out", "deep"],
)
def test_files_that_are_damaged_say_nothing(tmp_path: Path, content: bytes) -> None:
    grid = GridFile(tmp_path, {"a": "first"})
    with going_on(tmp_path, FIRST) as status:
        status.path.write_bytes(content)
        grid.path.write_bytes(content)
        (artifacts_dir(tmp_path, FIRST.run_id) / "train.jsonl").write_bytes(content)
        assert RunWatcher(tmp_path).look() == []
    grid.close()


def test_a_look_takes_no_lock_from_a_run_that_begins(tmp_path: Path) -> None:
    watcher = RunWatcher(tmp_path)
    with going_on(tmp_path, FIRST):
        watcher.look()
        with pytest.raises(Busy), run_lock(tmp_path, FIRST.run_id, print):
            pass
    watcher.look()
    with run_lock(tmp_path, FIRST.run_id, print):
        assert [run.standing for run in watcher.look()] == ["running"]
