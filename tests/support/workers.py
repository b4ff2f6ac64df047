"""What worker processes do in tests of launchers; they import it by this name."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import torch

from regmix_bench.errors import UserError
from regmix_bench.grid.plan import PlannedRun
from regmix_bench.records.schema import RunRecord
from regmix_bench.runs.observers import Observer
from support.harness import wait_for
from support.synthetic import make_record


def mortal(cell: PlannedRun, *, observer: Observer) -> RunRecord:
    """Dies with the first two seeds; tells its process and its threads with the others."""
    spec = cell.spec
    if spec.seed == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    if spec.seed == 1:
        os._exit(3)
    observer.on_attack(spec, cell.reference, f"process {os.getpid()}", torch.get_num_threads())
    return make_record(spec)


def refused(cell: PlannedRun, *, observer: Observer) -> RunRecord:
    """Bad input for one seed, once the other, which would go on for ever, has made a file."""
    spec, reference = cell.spec, cell.reference
    if spec.seed == 0:
        observer.on_attack(spec, "", "process", os.getpid())
        Path(reference).touch()
    wait_for(Path(reference).exists)
    if spec.seed == 1:
        raise UserError("no such data")
    while True:
        time.sleep(1)


def patient(cell: PlannedRun, *, observer: Observer) -> RunRecord:
    """As ``refused``; the other makes one more file in its folder when it is ended."""
    folder = Path(cell.reference)
    try:
        return refused(replace(cell, reference=str(folder / "begun")), observer=observer)
    finally:
        (folder / f"ended-{cell.spec.seed}").touch()
