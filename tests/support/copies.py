"""Results folders of any size, made in seconds: recorded runs under other seeds."""

from __future__ import annotations

import json
import shutil
from itertools import count, islice
from pathlib import Path

from regmix_bench.records import store
from regmix_bench.records.schema import RunRecord


def copy_runs(source: Path, results: Path, number: int) -> list[Path]:
    """Record ``number`` runs below ``results`` and return their records' paths.

    The first are the trainings below ``source`` themselves, and those after them their copies under
    other seeds, with the same scores and the files that lie beside them.
    """
    recorded = [
        (path, record, json.loads(path.read_bytes()), list(path.parent.glob(f"{path.stem}.*")))
        for path in store.record_files(source)
        if isinstance(record := store.load_record(path), RunRecord)
    ]
    every = ((1000 * turn, *run) for turn in count() for run in recorded)
    made = []
    for shift, path, record, content, files in islice(every, number):
        spec = record.spec.model_copy(update={"seed": record.spec.seed + shift})
        copy = results / spec.dataset / spec.arch / f"{spec.stem}.json"
        copy.parent.mkdir(parents=True, exist_ok=True)
        for file in files:
            if file != path:
                shutil.copyfile(file, copy.with_name(copy.stem + file.name[len(path.stem) :]))
        content["run_id"], content["spec"]["seed"] = spec.run_id, spec.seed
        copy.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
        made.append(copy)
    return made
