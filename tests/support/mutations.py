"""Seeded mutations of the files of a results folder, and everything that reads these files."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.numpy

from regmix_bench import compare, list_entries, load_results, show, verify
from regmix_bench.analysis.references import renew_references
from regmix_bench.analysis.regression import compare_with_references
from regmix_bench.errors import UserError
from regmix_bench.evaluation.audit import audit_record
from regmix_bench.evaluation.transfer import transfer_matrix
from regmix_bench.records import paths, store
from regmix_bench.records.migrations import RECORD
from regmix_bench.records.schema import (
    Alarm,
    CheckpointFile,
    Cost,
    EpochLog,
    EvalRecord,
    MatrixProduct,
    PerturbationLength,
    RunRecord,
    TransferRecord,
    TransferSide,
    Work,
)
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.report import stale
from regmix_bench.specs import Recipe
from regmix_bench.specs.tricks import Tricks
from regmix_bench.system.files import file_digest
from support.hostile import LINF_32, history
from support.reports import write_outputs
from support.saved_views import make_views, save_views
from support.synthetic import make_eval_spec, make_spec, write_run

#: What a mutation puts in the place of a value; text of JSON, since some is no value of Python.
STRANGE = (
    *("null", "true", "-1", "0", "1", "2", "1.5", "-0.5", "1e308", "-1e308", "1e-320", "NaN"),
    *("Infinity", "1" + "0" * 400, "[]", "{}", '""', '"x"', '"0.5"', '"8/255"', '"1e99"'),
    *('"\\ud800"', '"a\\u0000b"', '"../x"', '"\\u001b[31m"', '"' + "long" * 3000 + '"', "[[]]"),
    *(
        "[null]",
        '{"a": null}',
        '["a", "a"]',
        "[" * 300 + "]" * 300,
        '{"a":' * 300 + "1" + "}" * 300,
    ),
)


def fill_small(results: Path) -> None:
    """Write the files of two runs of two seeds, of an evaluation and of a transfer.

    The runs average weights, and have all that a record may have.
    """
    tricks: dict[str, Any] = {"true_class_mass": 0.6, "awp_gamma": 0.01, "gradient_clip": 2.0}
    recipe = Recipe(epochs=3, milestones=(), ema_decay=0.9, ema_start=2, **tricks)
    files = ("selected", "last", "raw-selected", "raw-last")
    common: dict[str, Any] = {
        "reference": "pgd-at",
        "tricks": Tricks(average=0.9, average_start=2, **tricks),
        "history": averaged_history(),
        "alarms": (Alarm(kind="robust-overfitting", epoch=3, message="fell"),),
        "selected_epoch": 2,
        "checkpoints": {
            name: CheckpointFile(epoch=2 + (name[-4:] == "last"), file=f"{name}.x", sha256="0" * 64)
            for name in files
        },
        "training_cost": Cost(seconds=3.0, forward_images=900, backward_images=600),
        "n_train": 100,
        "n_validation": 50,
        "n_test": 20,
        "num_classes": 10,
        "n_parameters": 1000,
        "environment": {"device": "cpu", "threads": 1, "cuda": None},
    }
    right = {"clean": 18, "pgd": 12, "n": 20}
    runs = []
    for name in ("pgd-at", "regmix"):
        for seed in (0, 1):
            spec = make_spec(name, seed=seed, recipe=recipe)
            scored = {"after_attack": {"apgd-ce": 0.5}}
            path = write_run(results, spec, **right, autoattack=10 + seed, scored=scored, **common)
            _score_others(results, path)
            write_outputs(paths.outputs_path(path), seed, images=20)
            runs.append(spec)
    save_views(path, make_views(LINF_32, shown=2))
    write_run(results, make_eval_spec("given"), **right, autoattack=8, checkpoint="given")
    sides = tuple(
        TransferSide(run_id=s.run_id, label=s.label, arch=s.arch, seed=s.seed, sha256="0")
        for s in runs[::2]
    )
    record = TransferRecord(
        run_id="c" * 12,
        dataset="digits",
        data_digest="d" * 64,
        eval_examples=None,
        n_examples=2,
        threat=LINF_32,
        attack="pgd-20",
        seed=0,
        runs=sides,
        clean_acc=(1.0, 1.0),
        accuracy=((0.5, 0.5), (0.5, 0.5)),
    )
    ids = [side.run_id for side in sides]
    pairs = [(a, b) for a in ("", *ids) for b in ids]
    frame = pd.DataFrame(
        [(a, b, i, i == 0 or not a) for a, b in pairs for i in range(2)],
        columns=["source", "target", "index", "correct"],
    )
    file = paths.own_outcomes_path(paths.transfer_path(results, record))
    digest = store.write_parquet(file, frame)
    store.save_record(results, record.model_copy(update={"outcomes_digest": digest}))
    renew_references(results, results / paths.LEADERBOARD)


def averaged_history() -> tuple[EpochLog, ...]:
    """Three epochs that say all that an epoch may say; the average begins with the second."""
    work = Work(
        images=100,
        passes=500,
        flop=1e9,
        product=MatrixProduct(precision="fp32", flop_per_second=1e12),
        peak_memory=10**9,
        energy=50.0,
        processor_seconds=0.9,
    )
    length = PerturbationLength(mean=0.9, max=1.0)
    raw = {"raw_val_clean_acc": 0.7, "raw_val_fgsm_acc": 0.9, "raw_val_pgd_acc": 0.3}
    return tuple(
        log.model_copy(update={"perturbation": length, **(raw if log.epoch > 1 else {})})
        for log in history(3, work)
    )


def _score_others(results: Path, path: Path) -> None:
    """Add to a record scores of its other checkpoints, by PGD alone."""
    record = store.load_run(path)
    (selected,) = record.evaluations
    plain: dict[str, Any] = {"autoattack_acc": None, "after_attack": {}}
    outcomes = pd.read_parquet(paths.outcomes_path(path, "selected"))
    others = []
    for name in ("last", "raw-selected", "raw-last"):
        file = paths.outcomes_path(path, name)
        digest = store.write_parquet(file, outcomes.assign(broken_by=""))
        changes = {"checkpoint": name, "outcomes_digest": digest, **plain}
        others.append(selected.model_copy(update=changes))
    store.save_record(results, record.model_copy(update={"evaluations": (selected, *others)}))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value of some JSON."""
    if path:
        yield path
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*path, key))


def mutated_json(text: str, rng: random.Random) -> str:
    """Return JSON with one to three values replaced, taken out, doubled, or put elsewhere."""
    content = json.loads(text)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        *outer, last = rng.choice(list(places(content)))
        parent = content
        for key in outer:
            parent = parent[key]
        value = parent[last]
        how = rng.random()
        if how < 0.7 and not isinstance(value, str):
            parent[last] = _Literal(rng.choice(STRANGE))
        elif how < 0.7:
            parent[last] = _Literal(rng.choice(STRANGE[-15:]))
        elif how < 0.8:
            del parent[last]
        elif isinstance(parent, list):
            parent.insert(last, copy.deepcopy(value))
        elif isinstance(value, (int, float)):
            parent[last] = value * rng.choice((-1, 0.5, 1.01, 7, 10**6))
        else:
            parent[f"{last}s"] = value
    return _with_its_id(_dumps(content))


class _Literal(str):
    """Text of JSON."""


def _dumps(content: Any) -> str:
    found: list[str] = []

    def hidden(value: Any) -> Any:
        if isinstance(value, _Literal):
            found.append(str(value))
            return f"@{len(found) - 1}@"
        if isinstance(value, dict):
            return {key: hidden(item) for key, item in value.items()}
        return [hidden(item) for item in value] if isinstance(value, list) else value

    text = json.dumps(hidden(content))
    for number, literal in enumerate(found):
        text = text.replace(f'"@{number}@"', literal)
    return text


def _with_its_id(text: str) -> str:
    """Return a record with the run_id of its specification, where that can be told."""
    try:
        content = RECORD.migrate(json.loads(text), Path("x"))
        kind = {"run": RunRecord, "evaluation": EvalRecord}[content["kind"]]
        spec = kind.model_validate({**content, "evaluations": [], "history": []}).spec
    except Exception:  # what it is not, the reader says
        return text
    return text.replace(f'"{content["run_id"]}"', f'"{spec.run_id}"')


def mutated_bytes(data: bytes, rng: random.Random) -> bytes:
    """Return bytes of which a few are changed, the end is cut off, or a part is there twice."""
    content, place = bytearray(data), rng.randrange(len(data))
    if rng.random() < 0.2:
        return bytes(content[:place])
    if rng.random() < 0.2:
        return bytes(content[:place] + content[place // 2 :])
    for _ in range(rng.choice((1, 4, 16))):
        content[rng.randrange(len(content))] = rng.randrange(256)
    return bytes(content)


def _columns(n: int, rng: random.Random) -> pa.Array:
    """Return a column of n rows of some other type."""
    return rng.choice(
        (
            lambda: pa.nulls(n),
            lambda: pa.array([float("nan")] * n),
            lambda: pa.array([float("inf")] * n),
            lambda: pa.array([2**62] * n),
            lambda: pa.array([-1] * n),
            lambda: pa.array([0] * n),
            lambda: pa.array([2**64 - 1] * n, pa.uint64()),
            lambda: pa.array(["x"] * n),
            lambda: pa.array([""] * n),
            lambda: pa.array(["0"] * n).dictionary_encode(),
            lambda: pa.array([b"\xff"] * n),
            lambda: pa.array([b"\xff"] * n).view(pa.string()),
            lambda: pa.array([[1.0, 2.0]] * n),
            lambda: pa.array([[]] * n, pa.list_(pa.float64())),
            lambda: pa.array([[float(k)] * k for k in range(n)]),
            lambda: pa.array([[None, 1.0]] * n),
            lambda: pa.array([{"a": 1}] * n),
            lambda: pa.array([0] * n, pa.timestamp("ns")),
            lambda: pa.array([True] * n),
            lambda: pa.array([None, *[True] * (n - 1)]),
        )
    )()


def mutated_parquet(path: Path, rng: random.Random) -> None:
    """Change a file of Parquet: its bytes, or its columns and rows."""
    if rng.random() < 0.3:
        path.write_bytes(mutated_bytes(path.read_bytes(), rng))
        return
    table, how = pq.read_table(path), rng.random()
    place = rng.randrange(table.num_columns)
    name = table.column_names[place]
    if how < 0.6:
        table = table.set_column(place, name, _columns(table.num_rows, rng))
    elif how < 0.7:
        table = table.remove_column(place)
    elif how < 0.75:
        table = table.append_column(name, table[name])
    elif how < 0.8:
        table = table.slice(0, rng.randrange(table.num_rows))
    elif how < 0.85:
        table = pa.concat_tables([table] * rng.choice((2, 101, 2000)))
    elif how < 0.9:
        table = table.replace_schema_metadata({"pandas": rng.choice(("", "{", "[1]", "null"))})
    else:
        rows = [rng.randrange(table.num_rows) for _ in range(table.num_rows)]
        table = table.take(rows)
    pq.write_table(table, path, compression="zstd")


def mutated_tensors(path: Path, rng: random.Random) -> None:
    """Change a file of views: its bytes, or its arrays and what it says of them."""
    if rng.random() < 0.3:
        path.write_bytes(mutated_bytes(path.read_bytes(), rng))
        return
    arrays = safetensors.numpy.load(path.read_bytes())
    about = {"threat": rng.choice(("", "{", "[]", "null", '{"norm": "L3"}'))}
    if rng.random() < 0.9:
        about = {"threat": json.dumps({"norm": "Linf", "epsilon": rng.choice(("32/255", "1e-9"))})}
    name = rng.choice(sorted(arrays))
    array, how = arrays[name], rng.random()
    if how < 0.15:
        del arrays[name]
    elif how < 0.3:
        arrays = {key: value[:0] for key, value in arrays.items()}
    elif how < 0.4:
        arrays["loss"] = arrays["loss"][:, : rng.randrange(3), : rng.randrange(3)]
    elif how < 0.5:
        for key in ("image", "perturbation"):
            arrays[key] = np.repeat(arrays[key], rng.choice((0, 2, 3, 5)), axis=rng.choice((1, 2)))
    elif how < 0.7:
        arrays[name] = np.full_like(array, rng.choice((0, -1, 1, 100, 60000)))
    elif array.dtype.kind == "f":
        arrays[name] = np.full_like(array, rng.choice((np.nan, np.inf, -np.inf)))
    else:
        arrays[name] = array.astype(rng.choice((np.float32, np.uint8, np.int32)))
    path.write_bytes(safetensors.numpy.save(arrays, about))


def bind(results: Path, file: Path) -> None:
    """Write the digest of a changed file into the records that name it, as a forger would."""
    for record in store.record_files(results):
        if not file.name.startswith(f"{record.stem}."):
            continue
        content = json.loads(record.read_text())
        digest = file_digest(file)
        if file.suffix == ".safetensors":
            content["views_digest"] = digest
        elif content["kind"] == "transfer":
            content["outcomes_digest"] = digest
        elif file.name.endswith(".outcomes.parquet"):
            for score in content["evaluations"]:
                if file.name.endswith(f".{score['checkpoint']}.outcomes.parquet"):
                    score["outcomes_digest"] = digest
        record.write_text(json.dumps(content))


def readers(results: Path, out: Path, changed: Path) -> Iterator[Callable[[], Any]]:
    """Yield everything that reads records; the report in ``out`` is compared, and not written."""
    record = next(p for p in store.record_files(results) if changed.name.startswith(p.stem))
    other = next(path for path in store.record_files(results) if path != record)
    yield lambda: load_results(results)
    yield lambda: show(record)
    yield lambda: list_entries("runs", results=results)
    yield lambda: compare_with_references(results, results / paths.LEADERBOARD)
    yield lambda: renew_references(results, results / paths.LEADERBOARD)
    yield lambda: compare(record, other)
    yield lambda: audit_record(record, device="cpu")
    yield lambda: transfer_matrix([str(record), str(other)], results, device="cpu")
    yield lambda: verify(results)
    yield lambda: stale(results, out)  # the pictures of its pages are collected, too
    yield lambda: Contents.of(results, across=("tricks",)).standings


def refusals(calls: Iterable[Callable[[], Any]]) -> list[str]:
    """Call all of it; returns the lines of those that refuse. What is no refusal is raised."""
    lines = []
    for call in calls:
        try:
            call()
        except UserError as error:
            lines.append(str(error))
    return lines
