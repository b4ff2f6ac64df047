"""The file that the studies of a tuning share, and which process has which trial.

It is Optuna's journal (Akiba et al. 2019), to which lines are added, so that a process that is
killed loses no line of another. What is looked at and added together is done under a lock of our
own, which ends with its process, and so does the hold of a trial.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from regmix_bench.errors import UserError, reason
from regmix_bench.records.locks import is_held
from regmix_bench.records.studies import JOURNAL
from regmix_bench.system.files import CannotWrite, require_sole

if TYPE_CHECKING:
    from optuna.storages import JournalStorage

#: Seconds after which the lock file of a killed process is taken for what it is.
_GRACE = 5


def require_optuna() -> None:
    """Raise :class:`UserError`, with the line that installs it, where Optuna is not there."""
    try:
        import optuna
    except ImportError as error:
        raise UserError(
            'tuning needs a package that is not installed: pip install "regmix-bench[tune]"'
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


class StudyJournal:
    """The journal in ``folder``, and the trials that this process holds.

    Raises :class:`UserError` where Optuna is not installed, and :class:`CannotWrite` where the
    folder refuses a file, or its file system locks.
    """

    def __init__(self, folder: Path) -> None:
        require_optuna()
        self.folder, self.path = folder, folder / JOURNAL
        self._held: dict[str, filelock.FileLock] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotWrite(f"cannot write {folder}: {error.strerror}") from error
        self._alone = filelock.FileLock(require_sole(folder / "lock"), fallback_to_soft=False)
        with self.alone():
            self.storage = self._open()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep all other processes from the journal while the block goes on."""
        try:
            with self._alone:
                self._mend()
                yield
        except OSError as error:
            raise CannotWrite(f"cannot write {self.path}: {error.strerror or error}") from error

    def hold(self, trial: str) -> bool:
        """Hold a trial until it is :meth:`released`, unless this process or another does."""
        path = self._hold_path(trial)
        if trial in self._held or is_held(path):
            return False
        path.parent.mkdir(exist_ok=True)
        lock = filelock.FileLock(path, fallback_to_soft=False)
        lock.acquire(timeout=0)
        self._held[trial] = lock
        return True

    def release(self, trial: str) -> None:
        """Give a trial back."""
        self._hold_path(trial).unlink(missing_ok=True)
        self._held.pop(trial).release()

    def close(self) -> None:
        """Give back all trials that are still held; another process may go on with them."""
        for trial in list(self._held):
            self.release(trial)

    def _hold_path(self, trial: str) -> Path:
        return self.folder / "running" / trial

    def _mend(self) -> None:
        """Remove the half of a line that a process left when it was killed."""
        if not self.path.exists() or not (size := self.path.stat().st_size):
            return
        with open(require_sole(self.path), "rb+") as stream:
            stream.seek(-1, os.SEEK_END)
            if stream.read(1) == b"\n":
                return
            stream.seek(0)
            stream.truncate(stream.read(size).rfind(b"\n") + 1)

    def _open(self) -> JournalStorage:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        path = str(require_sole(self.path))
        lock = JournalFileOpenLock(path, grace_period=_GRACE)
        try:
            return JournalStorage(JournalFileBackend(path, lock_obj=lock))
        except OSError:
            raise
        except Exception as error:  # of a damaged file Optuna may raise anything
            raise UserError(f"{self.path} is not a journal of Optuna: {reason(error)}") from error
