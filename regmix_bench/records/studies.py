"""The records of tuning below a results folder: ``tuning/<name>/<method>.json``."""

from __future__ import annotations

import hashlib
from pathlib import Path

from regmix_bench.errors import UserError
from regmix_bench.methods.configured import relabelled
from regmix_bench.records.migrations import STUDY
from regmix_bench.records.paths import TUNING
from regmix_bench.records.schema import StudyRecord
from regmix_bench.records.store import record_files, write_json
from regmix_bench.specs.run import MOST_CHARACTERS, slug

#: What `run` takes, beside the studies.
SUITE = "suite.yaml"
JOURNAL = "journal.log"


def tuning_folder(results: Path, name: str) -> Path:
    """Return the folder of the studies that were given the same, below ``results``."""
    return results / TUNING / name


def study_path(folder: Path, label: str) -> Path:
    """Return the file of the study of a method, by its label as it was typed.

    Long labels are cut off in it, so that a digest tells those apart that begin alike.
    """
    name = slug(label)
    if len(name) == MOST_CHARACTERS:
        name = f"{name[:-9]}-{hashlib.sha256(label.encode()).hexdigest()[:8]}"
    return folder / f"{name}.json"


def save_study(folder: Path, study: StudyRecord) -> None:
    """Write the record of a study, atomically."""
    write_json(study_path(folder, study.label), study.model_dump(mode="json"))


def load_study(path: Path) -> StudyRecord:
    """Read the record of a study; raises :class:`UserError` for a file that is none."""
    study = STUDY.parse(STUDY.load(path), StudyRecord, path)
    return study.model_copy(update={"spec": relabelled(study.spec)})


def reported_files(results: Path) -> list[Path]:
    """Return all that a report is made of: the records below ``results``, those of studies too."""
    return [*record_files(results), *study_files(results)]


def study_files(results: Path) -> list[Path]:
    """Return the records of all studies below ``results``, sorted by path.

    Raises :class:`UserError` for a folder that cannot be listed.
    """
    folder = results / TUNING
    try:
        folders = sorted(folder.iterdir()) if folder.is_dir() else []
        return [
            path
            for found in folders
            if found.is_dir()
            for path in sorted(found.iterdir())
            if path.suffix == ".json" and not path.name.startswith(".")
        ]
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from error
