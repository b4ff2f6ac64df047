"""Train and score as much of a suite as ends in so many minutes, and pack its records.

The runs of the suite begin in the order RegMix, FGSM-PGI, PGD-AT, TRADES, FGSM-RS, MART, FGSM-PGK,
RegMix-PGD, and what else it has. How long a run takes is known of one that has ended under another
seed; of others a few epochs are timed, and scoring takes as long as the longest so far. A run that
cannot end is not begun, or stopped, and its state stays in the results folder for the next time. In
the end, and after each run, the whole records lie in archives of at most ``--archive-size``, with
the files beside them and without weights. Started again with the results folder, or with
``--from`` the archives, the study goes on with the next run; `regmix-bench report` and `check` read
the folder. What is wrong is one line, and exit status 2.

    python benchmarks/study.py --minutes 60 --data-dir DIR
    python benchmarks/study.py --minutes 60 --data-dir DIR --from study/records-*.zip
    python benchmarks/study.py --minutes 240 --data-dir DIR --suite matched-cifar10-30
    python benchmarks/study.py --minutes 5 --suite my-suite.yaml --device cpu
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import signal
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regmix_bench import run
from regmix_bench.api.planned import Plan
from regmix_bench.cli.display import Display, duration
from regmix_bench.cli.printing import say
from regmix_bench.errors import UserError
from regmix_bench.grid.plan import PlannedRun
from regmix_bench.records.find import states
from regmix_bench.records.paths import NO_DATASETS
from regmix_bench.records.schema import Cost, EpochLog, RunRecord
from regmix_bench.records.store import check_writable, load_record, record_files
from regmix_bench.records.words import spec_words
from regmix_bench.runs.observers import Ending
from regmix_bench.specs import RunSpec
from regmix_bench.system.archives import open_archive
from regmix_bench.system.files import atomic_write, held_below
from regmix_bench.system.signals import Termination, handle_signals

ORDER = (
    *("regmix", "fgsm-pgi", "pgd-at", "trades"),
    *("fgsm-rs", "mart", "fgsm-pgk", "regmix-pgd"),
)

MIB = 2**20

#: What is left of the time for packing: this share of it, and so many seconds at most.
RESERVE, LONGEST_RESERVE = 0.05, 30.0

#: A run takes longer than its record says: data are loaded, kernels compiled, states written.
MARGIN = 1.15


class OutOfTime(BaseException):
    """A run is stopped, as it would not end; no error, so that none is recorded."""


class Pace(Display):
    """Follows runs, and stops one at the end of an epoch where it would not end by ``ends``.

    ``needed`` are the seconds that a run takes in all, by its run_id, as far as that was seen.
    """

    def __init__(self, ends: float) -> None:
        super().__init__()
        self.ends, self.needed = ends, dict[str, float]()
        self._scoring, self._marks = 0.0, list[float]()

    def expect(self, scoring: float) -> None:
        """Expect another run, whose scoring is thought to take so many seconds."""
        self._scoring, self._marks = scoring, []

    def on_epoch(self, spec: RunSpec, log: EpochLog) -> None:
        super().on_epoch(spec, log)
        self._marks.append(time.monotonic())
        timed = len(self._marks) - 1  # the first epoch begins with what is done once
        if not timed:
            return
        pace = (self._marks[-1] - self._marks[0]) / timed
        left = pace * (spec.recipe.epochs - log.epoch) + self._scoring
        self.needed[spec.run_id] = pace * spec.recipe.epochs + self._scoring
        if self._marks[-1] + left > self.ends:
            raise OutOfTime(f"{duration(left)} more are needed: its state stays for the next time")


@dataclass
class Study:
    """The runs of a suite, whose records go into ``results``; ``options`` are those of ``run``."""

    cells: Sequence[PlannedRun]
    results: Path
    options: Mapping[str, Any]
    ended: int = 0
    failed: int = 0

    def waiting(self) -> list[PlannedRun]:
        """Return the runs without a whole record, in the order of the study."""
        found = states({cell.run_id: cell.spec for cell in self.cells}, self.results)
        rank = {name: place for place, name in enumerate(ORDER)}
        left = [cell for cell in self.cells if found[cell.run_id] != "done"]
        return sorted(left, key=lambda cell: rank.get(cell.spec.method.name, len(ORDER)))

    def work(self, pace: Pace, archives: Archives) -> None:
        """Do what can be done by the time at which ``pace`` ends, and pack each run that is."""
        waiting = self.waiting()
        pace.on_plan({}, len(waiting))
        for cell in waiting:
            known = list(_whole_runs(self.results))
            scoring = MARGIN * max((_wall(record.scoring_cost) for record in known), default=0.0)
            total = _seconds(cell.spec, known) or scoring
            if time.monotonic() + total > pace.ends:
                pace.needed[cell.run_id] = total
                pace.say(f"{spec_words(cell.spec)}: not begun, as it takes {duration(total)}")
                continue
            pace.expect(scoring)
            options = {**self.options, "results": self.results, "reference": cell.reference}
            try:
                record = run(cell.spec, observer=pace, **options)
            except OutOfTime as stopped:
                pace.on_end(Ending(cell.spec, left=str(stopped)))
                continue
            assert isinstance(record, RunRecord)
            whole = record.status == "success"
            self.ended, self.failed = self.ended + whole, self.failed + (not whole)
            archives.pack(self.results)


@dataclass(frozen=True)
class Archives:
    """The archives ``records-01.zip``, … in ``folder``, of at most ``size`` bytes each."""

    folder: Path
    size: int

    def pack(self, results: Path) -> list[Path]:
        """Write all whole records below ``results``, in the place of the archives of before.

        Raises :class:`UserError` where one record alone does not fit.
        """
        parts: list[dict[str, bytes]] = [{}]
        held = 0
        for record in _whole_records(results):
            members = {p.relative_to(results).as_posix(): p.read_bytes() for p in _files(record)}
            if (alone := len(_zipped(members))) > self.size:
                raise UserError(
                    f"--archive-size {self.size / MIB:.3g}: the record of {record.stem} takes"
                    f" {alone / MIB:.2g} MiB; all records are in {results}"
                )
            if held + alone > self.size:  # together they take less than one by one
                parts.append({})
                held = 0
            parts[-1] |= members
            held += alone
        written = []
        for number, members in enumerate(filter(None, parts), start=1):
            written.append(self.folder / f"records-{number:02}.zip")
            with atomic_write(written[-1]) as stream:
                stream.write(_zipped(members))
        for old in set(self.folder.glob("records-[0-9][0-9].zip")) - set(written):
            old.unlink()
        return written


def unpack(path: Path, results: Path) -> None:
    """Write what an archive of records holds below ``results``, and leave what is there.

    Raises :class:`UserError` for a file that is no such archive, before anything is written.
    """
    try:
        with open_archive(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (zipfile.BadZipFile, ValueError, RuntimeError, zlib.error) as error:
        raise UserError(f"{path} is no archive of records: {error}") from error
    for name in members:
        held_below(results, name)
        if name.count("/") != 2 or name.split("/")[0] in NO_DATASETS:
            raise UserError(f"{path} is no archive of records: {name[:80]!r} is none")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        _write_missing(members, made)
        try:
            belonging = [file for record in _whole_records(made) for file in _files(record)]
        except UserError as error:
            where = str(error).replace(f"{made}/", "")
            raise UserError(f"{path} is no archive of records: {where}") from error
    if strange := members.keys() - {file.relative_to(made).as_posix() for file in belonging}:
        name = min(strange)
        raise UserError(f"{path} is no archive of records: {name[:80]!r} belongs to none")
    _write_missing(members, results)


def _write_missing(members: Mapping[str, bytes], folder: Path) -> None:
    for name, content in members.items():
        if not (place := held_below(folder, name)).exists():
            with atomic_write(place) as stream:
                stream.write(content)


def _files(record: Path) -> list[Path]:
    """Return a record and the files beside it."""
    return sorted(p for p in record.parent.iterdir() if p.name.startswith(f"{record.stem}."))


def _zipped(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)  # without a date
    return buffer.getvalue()


def _whole_records(results: Path) -> Iterator[Path]:
    for path in record_files(results):
        if getattr(load_record(path), "status", "success") == "success":
            yield path


def _whole_runs(results: Path) -> Iterator[RunRecord]:
    for path in _whole_records(results):
        if isinstance(record := load_record(path), RunRecord):
            yield record


def _seconds(spec: RunSpec, known: Sequence[RunRecord]) -> float | None:
    """Return how long a run takes, where one has ended that differs by its seed alone."""
    alike = [record for record in known if record.spec.group_id == spec.group_id]
    found = [_wall(record.training_cost) + _wall(record.scoring_cost) for record in alike]
    return MARGIN * max(found) if found else None


def _wall(cost: Cost) -> float:
    return cost.seconds + cost.compile_seconds + cost.capture_seconds


@contextlib.contextmanager
def terminated_at(ends: float) -> Iterator[None]:
    """Raise :class:`Termination` in the block at ``ends``, as SIGTERM does: runs are used to it."""
    handle_signals()
    before = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGTERM))
    signal.setitimer(signal.ITIMER_REAL, max(ends - time.monotonic(), 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def study(options: argparse.Namespace) -> int:
    """Plan, work, pack; returns the exit status."""
    began = time.monotonic()
    seconds = 60 * options.minutes
    if not 0 < seconds < math.inf:
        raise UserError(f"--minutes {options.minutes:g}: give a number above zero")
    if not 1 <= MIB * options.archive_size < math.inf:
        raise UserError(f"--archive-size {options.archive_size:g}: give a size above zero, in MiB")
    check_writable(options.archives)
    if options.data_dir is not None and not options.data_dir.is_dir():
        raise UserError(f"--data-dir {options.data_dir} is no folder")
    shared = {"data_dir": options.data_dir, "device": options.device}
    plan = run(options.suite, results=options.results, dry_run=True, **shared)
    assert isinstance(plan, Plan)
    for archive in options.archives_before:
        unpack(archive, options.results)
    found = Study(plan.cells, options.results, shared)
    archives = Archives(options.archives, round(MIB * options.archive_size))
    archives.pack(options.results)
    ends = began + seconds - min(RESERVE * seconds, LONGEST_RESERVE)
    stopped: BaseException | None = None
    begun = bool(found.waiting())
    with Pace(ends) as pace:
        try:
            with terminated_at(ends):
                found.work(pace, archives)
        except (KeyboardInterrupt, Termination) as error:
            stopped = error
    for path in archives.pack(options.results):
        say(f"{path}: {path.stat().st_size / MIB:.2f} MiB")
    left = len(found.waiting())
    goes_on = "; the same command goes on" if left else ""
    say(f"{len(plan.cells) - left} of {len(plan.cells)} runs are whole{goes_on}")
    if stopped is not None and time.monotonic() < ends:
        return 130 if isinstance(stopped, KeyboardInterrupt) else 143
    if begun and not found.ended + found.failed:
        shortest = min(pace.needed.values(), default=None)
        raise UserError(
            f"--minutes {options.minutes:g}: too few for one run, "
            + ("which was stopped" if shortest is None else f"of {duration(shortest)} or more")
        )
    return 1 if found.failed else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, required=True, help="that it may take in all")
    parser.add_argument("--data-dir", type=Path, help="folder of the datasets")
    parser.add_argument("--suite", default="cifar10-30", help="its name, or a YAML file")
    parser.add_argument("--results", type=Path, default=Path("study/results"))
    parser.add_argument("--archives", type=Path, default=Path("study"), help="folder of these")
    parser.add_argument("--archive-size", type=float, default=16, help="MiB at most, of each")
    parser.add_argument(
        "--from",
        dest="archives_before",
        type=Path,
        nargs="*",
        default=[],
        metavar="ARCHIVE",
        help="archives of an earlier study, whose records are taken over",
    )
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    try:
        return study(parser.parse_args(arguments))
    except UserError as error:
        say(f"error: {' '.join(str(error).split())}", error=True)
        return 2


if __name__ == "__main__":
    sys.exit(main())
