from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.histories import planted_history
from support.synthetic import (
    make_eval_spec,
    make_record,
    make_spec,
    write_corrupted,
    write_run,
)

from regmix_bench.errors import UserError
from regmix_bench.records import find, paths, store
from regmix_bench.records.frame import COLUMNS, load_results
from regmix_bench.records.migrations import RECORD
from regmix_bench.records.schema import Alarm, Budget, StudyRecord, TransferRecord, TrialLog
from regmix_bench.records.studies import save_study, tuning_folder
from regmix_bench.specs import ModelSource, Scoring
from regmix_bench.system.files import NoSuchFile, atomic_write, file_digest
from regmix_bench.types import ThreatModel


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_atomic_write_makes_a_shareable_file_and_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.bin"
    with atomic_write(path) as stream:
        stream.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new" and files(path.parent) == ["file.bin"]
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.parametrize(
    ("failure", "raised", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), UserError, "No space left on device"),
        (ValueError("a bug"), ValueError, "a bug"),
        (KeyboardInterrupt("stopped"), KeyboardInterrupt, "stopped"),
    ],
)
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, failure: BaseException, raised: type[BaseException], message: str
) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(b"old")
    with pytest.raises(raised, match=message), atomic_write(path) as stream:
        stream.write(b"half of the n")
        raise failure
    assert path.read_bytes() == b"old" and files(tmp_path) == ["file.json"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fills_up_late_leaves_the_old_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = write_run(tmp_path, make_spec(), outcomes=False)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(UserError, match=r"cannot write .*: No space left on device"):
        store.save_record(tmp_path, make_record(make_spec(), status="error", error="x"))
    assert path.read_bytes() == before and files(path.parent) == [path.name]


def test_a_really_full_device_is_one_line(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    with (
        pytest.raises(UserError, match="No space left") as caught,
        open("/dev/full", "wb") as full,
        atomic_write(tmp_path / "file") as stream,
    ):
        os.dup2(full.fileno(), stream.fileno())
        stream.write(b"x")
    assert "\n" not in str(caught.value) and files(tmp_path) == []


def test_a_killed_writer_leaves_the_old_record(tmp_path: Path) -> None:
    path = write_run(tmp_path, make_spec(), outcomes=False)
    before = path.read_bytes()
    script = f"""
        import os, signal
        from pathlib import Path
        from regmix_bench.system.files import atomic_write
        with atomic_write(Path({str(path)!r})) as stream:
            stream.write(b"half")
            stream.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(files(path.parent)) == 2  # the half-written one stays, under a hidden name
    assert path.read_bytes() == before
    assert store.record_files(tmp_path) == [path]


@pytest.mark.parametrize("below", ["file/results", "file"])
def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("in the way")
    results = tmp_path / below
    with pytest.raises(UserError, match=r"results folder .* is not a folder"):
        store.check_writable(results)
    with pytest.raises(UserError, match="cannot write"):
        store.save_record(results, make_record(make_spec()))
    assert files(tmp_path) == ["file"]


def test_a_folder_without_permission_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Permissions do not bind root, so the refusal of the system is played.
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(UserError, match=r"cannot be written: Permission denied"):
        store.check_writable(tmp_path)
    with pytest.raises(UserError, match=r"cannot write .*: Permission denied"):
        store.write_json(tmp_path / "x.json", {})


def test_check_writable_leaves_nothing_behind(tmp_path: Path) -> None:
    store.check_writable(tmp_path)
    store.check_writable(tmp_path / "not" / "yet")
    assert files(tmp_path) == []


def test_json_that_no_reader_knows_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        store.write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert files(tmp_path) == []


def test_parquet_round_trips_under_its_digest(tmp_path: Path) -> None:
    frame = pd.DataFrame({"index": [0, 1], "broken_by": ["", "fab-t"]})
    digest = store.write_parquet(tmp_path / "a.parquet", frame)
    assert digest == file_digest(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "a.parquet"), frame)


def test_companions_share_the_stem_of_the_record(tmp_path: Path) -> None:
    spec = make_spec("fgsm-pgi[lambda_=0.5]")
    path = paths.record_path(tmp_path, spec)
    assert path == tmp_path / "digits" / "smallcnn" / f"{spec.stem}.json"
    assert paths.outcomes_path(path, "last").name == f"{spec.stem}.last.outcomes.parquet"
    assert paths.outputs_path(path).name == f"{spec.stem}.outputs.parquet"
    assert paths.views_path(path).name == f"{spec.stem}.views.safetensors"
    assert paths.artifacts_dir(tmp_path, spec.run_id) == tmp_path / "artifacts" / spec.run_id


def test_a_saved_record_is_loaded_equal(tmp_path: Path) -> None:
    alarm = Alarm(kind="non-finite-loss", epoch=3, message="ε → ∞")
    record = make_record(make_spec(), alarms=(alarm,), environment={"threads": 2, "cuda": None})
    path = store.save_record(tmp_path, record)
    assert path == paths.record_path(tmp_path, record.spec)
    assert store.load_record(path) == store.load_record(str(path)) == record


def edited(path: Path, **changes: Any) -> str:
    return json.dumps(json.loads(path.read_text()) | changes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not a record"),
        ("{", "is not a record"),
        ("[" * 100_000, "is not a record"),
        ("\udcff", "is not a record"),
        ("[]", "it has no schema_version"),
        ('{"schema_version": true}', "it has no schema_version"),
        ('{"schema_version": "1"}', "it has no schema_version"),
        ('{"schema_version": 99}', "has schema 99, this version reads up to 5: upgrade"),
        ('{"schema_version": 0}', "has schema 0, which no migration reads"),
        ('{"schema_version": 1}', "is not a record: run_id"),
    ],
)
def test_what_is_no_record_is_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content, errors="surrogateescape")
    with pytest.raises(UserError, match=message) as caught:
        store.load_record(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run_id": "0" * 12}, "run_id '000000000000' is not that of its specification"),
        ({"status": "done"}, "is not a record: status"),
        ({"surprise": 1}, "is not a record: surprise"),
        ({"schema_version": 0}, "has schema 0"),
        ({"kind": "banana"}, "is not a record: unknown kind 'banana'"),
    ],
)
def test_an_edited_record_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write_run(tmp_path, make_spec(), outcomes=False)
    path.write_text(edited(path, **changes))
    with pytest.raises(UserError, match=message):
        store.load_record(path)


def test_a_bad_value_deep_in_a_record_names_the_file(tmp_path: Path) -> None:
    path = write_run(tmp_path, make_spec(), outcomes=False)
    path.write_text(path.read_text().replace("32/255", "32/0"))
    with pytest.raises(UserError, match="is not a record: epsilon '32/0'") as caught:
        store.load_record(path)
    assert str(path) in str(caught.value)


def test_a_record_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read record .*: No such file"):
        store.load_record(tmp_path / "x.json")
    with pytest.raises(UserError, match=r"cannot read record .*: Is a directory"):
        store.load_record(tmp_path)


@pytest.mark.parametrize("version", [1, 2])
def test_a_record_from_before_there_were_views_has_none(tmp_path: Path, version: int) -> None:
    record = make_record(make_spec())
    path = store.save_record(tmp_path, record)
    content = json.loads(path.read_text()) | {"schema_version": version}
    del content["views_digest"]
    if version == 1:
        del content["kind"]
    path.write_text(json.dumps(content))
    assert store.load_run(path) == record
    assert record.views_digest is None


def test_record_files_are_records_only(tmp_path: Path) -> None:
    path = write_run(tmp_path, make_spec())
    store.write_json(tmp_path / paths.LEADERBOARD, {})
    store.write_json(paths.artifacts_dir(tmp_path, "0" * 12) / "state.json", {})
    assert store.record_files(tmp_path) == [path]
    # A misplaced record makes no data set of the results folder that comes with the project.
    shipped = write_run(tmp_path / paths.SHIPPED, make_spec(seed=1))
    store.write_json(shipped.parents[1] / "misplaced.json", {})
    store.write_json(write_run(tmp_path / "fresh", make_spec(seed=2)).parents[2] / "x.json", {})
    assert store.record_files(tmp_path) == [path]
    assert store.record_files(tmp_path / "nowhere") == []
    with pytest.raises(UserError, match="is not a folder"):
        store.record_files(path)


def test_a_record_is_found_however_its_epsilon_was_typed(tmp_path: Path) -> None:
    path = write_run(tmp_path, make_spec(epsilon="8/255"), outcomes=False)
    assert paths.find_record(tmp_path, make_spec(epsilon="8/255")) == path
    assert paths.find_record(tmp_path, make_spec(epsilon="16/510")) == path
    assert paths.find_record(tmp_path, make_spec(epsilon="4/255")) is None
    assert paths.find_record(tmp_path / "nowhere", make_spec()) is None


@pytest.mark.parametrize("below", ["", "digits", "digits/smallcnn"])
def test_a_folder_that_may_not_be_listed_is_not_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    write_run(tmp_path, make_spec(), outcomes=False)
    closed = tmp_path / below
    listed = Path.iterdir

    def refuse(path: Path) -> Iterator[Path]:
        if path == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(UserError, match=f"^cannot read {closed}: Permission denied$"):
        store.record_files(tmp_path)


def test_a_file_below_a_closed_folder_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refuse)
    monkeypatch.setattr(Path, "is_file", refuse)
    for call in (store.check_writable, store.record_files):
        with pytest.raises(UserError, match="Permission denied"):
            call(tmp_path / "results")
    with pytest.raises(UserError, match=r"cannot read record .*x\.json: Permission denied"):
        find.resolve_run(str(tmp_path / "x.json"), tmp_path)


def test_a_name_longer_than_the_system_takes_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no record at|File name too long"):
        find.resolve_run("x" * 300 + ".json", tmp_path)


def test_a_digest_needs_a_file_that_may_be_read(tmp_path: Path, refuse_reading) -> None:
    path = tmp_path / "secret"
    with pytest.raises(NoSuchFile, match=f"^cannot read {path}: No such file or directory$"):
        file_digest(path)
    path.touch()
    refuse_reading(path)
    with pytest.raises(UserError, match=f"^cannot read {path}: Permission denied$"):
        file_digest(path)


def test_a_run_is_named_by_path_id_or_prefix(tmp_path: Path) -> None:
    specs = [make_spec(seed=seed) for seed in range(17)]
    paths = {spec.run_id: write_run(tmp_path, spec, outcomes=False) for spec in specs}
    for run_id, path in paths.items():
        assert find.resolve_run(run_id, tmp_path) == path
        assert find.resolve_run(str(path), tmp_path / "elsewhere") == path
    firsts = [run_id[0] for run_id in paths]
    # Seventeen ids on sixteen digits: two begin alike.
    shared = next(first for first in firsts if firsts.count(first) > 1)
    with pytest.raises(UserError, match=f"run '{shared}' is ambiguous"):
        find.resolve_run(shared, tmp_path)
    unique = next(run_id[:6] for run_id in paths)
    assert find.resolve_run(unique, tmp_path) == paths[specs[0].run_id]


@pytest.mark.parametrize("name", ["another-{}", "../elsewhere/trades-{}"])
def test_a_run_that_is_recorded_twice_is_not_chosen_between(tmp_path: Path, name: str) -> None:
    path = write_run(tmp_path, make_spec(), outcomes=False)
    run_id = paths.run_id_of(path)
    copy = path.parent / f"{name.format(run_id)}.json"
    copy.parent.mkdir(exist_ok=True)
    copy.write_bytes(path.read_bytes())
    with pytest.raises(UserError, match=r"^/.* and /.* record the same run: remove one$"):
        find.resolve_run(run_id[:6], tmp_path)
    assert find.resolve_run(str(path), tmp_path) == path


@pytest.mark.parametrize("run", ["", "zzz", "../x", "*"])
def test_an_unknown_run_points_at_the_list(tmp_path: Path, run: str) -> None:
    write_run(tmp_path, make_spec(), outcomes=False)
    with pytest.raises(
        UserError, match=f"unknown run .*regmix-bench list runs --results {tmp_path}"
    ):
        find.resolve_run(run, tmp_path)
    with pytest.raises(UserError, match=rf"unknown run .*none is recorded in {tmp_path}/none"):
        find.resolve_run(run, tmp_path / "none")


def test_the_id_of_a_trial_or_a_study_is_called_by_its_name(tmp_path: Path) -> None:
    trial = TrialLog(number=3, run_id="ab12cd34ef56", state="complete", values={}, value=0.5)
    study = StudyRecord(
        name="tuned",
        study_id="1234567890ab",
        spec=make_spec(),
        data_digest="d" * 64,
        n_validation=10,
        objective="pgd-10",
        space={},
        budget=Budget(equal="trials", amount=8),
        trials=(trial,),
    )
    save_study(tuning_folder(tmp_path, "tuned"), study)
    for run, said in (("ab12", "'ab12' is trial 3 of the"), ("12345", "'12345' is the")):
        with pytest.raises(UserError, match=f"^{said} study tuned/trades, .*list studies"):
            find.resolve_run(run, tmp_path)
    with pytest.raises(UserError, match=r"^unknown run 'zz': none is recorded in"):
        find.resolve_run("zz", tmp_path)


TRANSFER = {
    "schema_version": RECORD.version,
    "kind": "transfer",
    "run_id": "0" * 12,
    "dataset": "digits",
    "data_digest": "d",
    "eval_examples": None,
    "n_examples": 10,
    "threat": {"norm": "Linf", "epsilon": "8/255"},
    "attack": "pgd-20",
    "seed": 0,
    "runs": [
        {"run_id": name * 12, "label": name, "arch": "smallcnn", "seed": 0, "sha256": "0" * 64}
        for name in "ab"
    ],
    "clean_acc": [0.9, 0.9],
    "accuracy": [[0.5, 0.6], [0.6, 0.5]],
}


@pytest.mark.parametrize("name", ["../../harm", "/tmp/harm", "..", ".hidden", "a/b", "a\n", ""])
@pytest.mark.parametrize(
    "place",
    ["run_id", "dataset", "spec.dataset", "spec.arch", "checkpoints.last.file", "runs.0.run_id"],
)
def test_names_of_a_record_are_no_paths(tmp_path: Path, place: str, name: str) -> None:
    path = write_run(tmp_path, make_spec(), outcomes=False)
    content: Any = json.loads(path.read_text())
    content["checkpoints"] = {"last": {"epoch": 1, "file": "last-0001.safetensors", "sha256": "0"}}
    if place in ("run_id", "dataset", "runs.0.run_id"):
        content = json.loads(json.dumps(TRANSFER))
    path.write_text(json.dumps(content))
    store.load_record(path)
    *outer, last = place.split(".")
    inner = content
    for key in outer:
        inner = inner[int(key) if key.isdigit() else key]
    inner[last] = name
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"is not a record: .*should match pattern"):
        store.load_record(path)


def test_a_path_that_is_no_file_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no record at "):
        find.resolve_run(str(tmp_path / "x.json"), tmp_path)


def test_results_are_one_row_per_run_and_evaluation(tmp_path: Path) -> None:
    threats = (ThreatModel("Linf", "16/255"), ThreatModel("Linf", "32/255"))
    spec = make_spec("fgsm-pgi[lambda_=1]", eval_threats=threats)
    history = planted_history((0.2, 0.4, 0.1), (0.3, 0.5, 0.7))
    extra = {"history": history, "n_validation": 200, "selected_epoch": 2}
    path = write_run(tmp_path, spec, scored={"checks": ("a", "b")}, **extra)
    failed = make_spec("mart")
    store.save_record(tmp_path, make_record(failed, status="error", error="x"))
    frame = load_results(tmp_path)
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == 3
    done = frame[frame["status"] == "success"]
    assert set(done["run_id"]) == {spec.run_id} and set(done["group_id"]) == {spec.group_id}
    assert list(done["epsilon"]) == ["16/255", "32/255"]
    assert list(done["epsilon_value"]) == [16 / 255, 32 / 255]
    row = done.iloc[0]
    assert (row["clean_acc"], row["pgd_acc"]) == (340 / 360, 310 / 360)
    assert row["autoattack_acc"] == 300 / 360
    assert (row["method"], row["label"]) == ("fgsm-pgi", "fgsm-pgi[lambda_=1]")
    assert (row["norm"], row["train_epsilon"], row["epochs"]) == ("Linf", "32/255", 50)
    assert (row["checks"], row["selected_epoch"], row["n_examples"]) == ("a, b", 2, 360)
    assert (row["alarms"], row["onset_epoch"]) == ("catastrophic-overfitting", 3)
    assert row["val_pgd_drop"] == pytest.approx(0.3)
    assert tmp_path / row["record"] == path
    (lost,) = frame[frame["status"] == "error"].itertuples()
    assert lost.run_id == failed.run_id and pd.isna(lost.autoattack_acc)


def test_results_have_a_row_for_what_was_asked_under_corruptions(tmp_path: Path) -> None:
    path = write_corrupted(tmp_path)
    (row,) = load_results(tmp_path).itertuples()
    assert (row.kind, row.corruptions, row.checkpoint) == ("corruptions", "made", "given")
    assert row.corruption_acc == store.load_record(path).mean_accuracy == pytest.approx(0.77)
    assert (row.clean_acc, row.n_examples, row.record) == (
        *(0.9, 100),
        path.relative_to(tmp_path).as_posix(),
    )
    assert pd.isna(row.norm) and pd.isna(row.autoattack_acc) and pd.isna(row.group_id)


def test_results_say_of_a_union_which_threats_it_is_of(tmp_path: Path) -> None:
    one = (ThreatModel("Linf", "8/255"), ThreatModel("L2", "0.5"))
    other = (ThreatModel("Linf", "8/255"), ThreatModel("L1", "10"))
    for threats in (one, other):
        write_run(tmp_path, make_spec(eval_threats=threats))
    frame = load_results(tmp_path)
    unions = frame[frame["norm"] == "union"]
    assert set(unions["threats"]) == {"Linf 8/255, L2 0.5", "Linf 8/255, L1 10"}
    assert set(frame[frame["norm"] == "L2"]["threats"]) == {"L2 0.5"}


def test_results_name_what_gave_the_robust_accuracy(tmp_path: Path) -> None:
    threats = (ThreatModel("Linf", "8/255"), ThreatModel("L2", "0.5"))
    quick = Scoring(autoattack_version="custom", attacks=("quick-apgd",))
    write_run(tmp_path, spec := make_spec(scoring=quick, eval_threats=threats))
    write_run(tmp_path, make_spec(eval_threats=threats))
    write_run(tmp_path, make_spec("mart"), scored={"autoattack_acc": None})
    frame = load_results(tmp_path)
    mine, unscored = frame["run_id"] == spec.run_id, frame["method"] == "mart"
    assert set(frame[mine]["norm"]) == {"Linf", "L2", "union"}
    for chosen, attacks, version in (
        (mine, "quick-apgd", "custom"),
        (~(mine | unscored), "AutoAttack", "standard"),
    ):
        assert set(frame[chosen]["attacks"]) == {attacks}
        assert set(frame[chosen]["autoattack_version"]) == {version}
    assert frame[unscored]["attacks"].isna().all()


def test_results_have_their_columns_without_any_evaluation(tmp_path: Path) -> None:
    assert list(load_results(tmp_path).columns) == list(COLUMNS)
    store.save_record(tmp_path, make_record(make_spec(), status="error", error="x"))
    frame = load_results(str(tmp_path))
    assert list(frame.columns) == list(COLUMNS) and len(frame) == 1
    assert frame["autoattack_acc"].isna().all()


def test_results_stop_at_an_unreadable_record(tmp_path: Path) -> None:
    write_run(tmp_path, make_spec(), outcomes=False).write_text("{")
    with pytest.raises(UserError, match="is not a record"):
        load_results(tmp_path)


def test_states_say_what_a_run_would_find(tmp_path: Path) -> None:
    done, failed, begun, new, retyped = (make_spec(seed=seed) for seed in range(5))
    write_run(tmp_path, done)
    write_run(tmp_path, failed, status="error")
    write_run(tmp_path, make_spec(seed=4, epsilon="64/510"))
    state = paths.artifacts_dir(tmp_path, begun.run_id) / "state-1.pt"
    state.parent.mkdir(parents=True)
    state.touch()
    specs = {spec.run_id: spec for spec in (done, failed, begun, new, retyped)}
    assert list(find.states(specs, tmp_path).values()) == [
        *("done", "failed", "to resume", "to run", "done")
    ]


def test_a_record_that_cannot_be_read_is_no_state(tmp_path: Path) -> None:
    spec = make_spec()
    write_run(tmp_path, spec).write_text("{")
    with pytest.raises(UserError, match="is not a record"):
        find.states({spec.run_id: spec}, tmp_path)


def test_a_record_round_trips_and_finds_its_evaluations(tmp_path: Any) -> None:
    record = store.load_record(write_run(tmp_path, make_spec(epsilon="8/255")))
    assert type(record).model_validate(json.loads(record.model_dump_json())) == record
    found = record.evaluation("selected", ThreatModel("Linf", "16/510"))
    assert found is record.evaluations[0]
    assert record.evaluation("last", found.threat) is None
    assert record.evaluation("selected", ThreatModel("Linf", "4/255")) is None


def test_runs_in_a_transfer_bear_the_labels_of_their_records(tmp_path: Path) -> None:
    record = make_record(make_spec("mart"))
    store.save_record(tmp_path, record)
    sides = [side | {"label": "old"} for side in TRANSFER["runs"]]
    sides[0]["run_id"] = record.run_id
    transfer = TransferRecord.model_validate(TRANSFER | {"runs": sides})
    path = store.save_record(tmp_path, transfer)
    assert [side.label for side in store.load_records(tmp_path)[path].runs] == ["mart", "old"]


def test_results_have_the_types_that_their_columns_say(tmp_path: Path) -> None:
    for epsilon in ("8/255", "4/255", "12/255"):
        write_run(tmp_path, make_spec(epsilon=epsilon))
    (empty := tmp_path / "none").mkdir()
    for frame in (load_results(tmp_path), load_results(empty)):
        assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
            name: column.dtype for name, column in COLUMNS.items()
        }
    for gone in (tmp_path / "gone", str(tmp_path / "none/results")):
        with pytest.raises(UserError, match="there is no results folder"):
            load_results(gone)
    budgets = load_results(tmp_path)["epsilon"]
    assert list(budgets.cat.categories) == ["4/255", "8/255", "12/255"] and budgets.cat.ordered


def test_the_images_of_a_run_are_found_in_an_evaluation_of_its_weights(tmp_path: Path) -> None:
    run = write_run(tmp_path / "shipped", make_spec())
    run_id = make_spec().run_id
    assert find.with_images(run, tmp_path) == run
    for name, scored in ((f"{run_id}:last", {}), (f"{'0' * 12}:selected", {}), (run_id, SAVED)):
        model = ModelSource(kind="run", name=name, sha256="a" * 64)
        last = write_run(tmp_path, make_eval_spec(model=model), checkpoint="given", scored=scored)
    assert find.with_images(run, tmp_path) == last
    assert find.with_images(last, tmp_path) == last
    own = write_run(tmp_path / "own", make_spec(), scored=SAVED)
    assert find.with_images(own, tmp_path) == own


SAVED = {"adversarial_digest": "a" * 64}
