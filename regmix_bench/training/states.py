"""The states of a training on disk: what a resumed run needs, and nothing that could run.

A state bears its own digest in its name. The newest two are kept, with the weights that they refer
to, so that a damaged file costs the epochs between the two and not the run.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, cast

import torch

from regmix_bench.errors import UserError
from regmix_bench.models.weights import check_digest
from regmix_bench.records.migrations import TRAINING_STATE
from regmix_bench.records.schema import CheckpointFile
from regmix_bench.system.files import atomic_write, held_below
from regmix_bench.system.reading import open_regular
from regmix_bench.types import TrainedCheckpoint


class States:
    """Keep the states of the run ``run_id`` in ``directory``."""

    def __init__(self, directory: Path, run_id: str) -> None:
        self.directory, self.run_id = directory, run_id
        self._newest: set[str] = set()  # the newest state and its weights, by their names

    def save(
        self,
        epoch: int,
        content: Mapping[str, Any],
        checkpoints: Mapping[TrainedCheckpoint, CheckpointFile],
    ) -> None:
        """Write the state after ``epoch``, then drop what neither it nor the one before needs.

        ``checkpoints`` are weights that lie in the directory already.
        """
        state = {
            **content,
            "schema_version": TRAINING_STATE.version,
            "run_id": self.run_id,
            "checkpoints": {name: file.model_dump() for name, file in checkpoints.items()},
        }

        def path() -> Path:
            return self.directory / f"state-{epoch:04d}-{hashed.digest()}.pt"

        with atomic_write(self.directory / f"state-{epoch:04d}.pt", path) as stream:
            hashed = _HashedStream(stream)
            torch.save(state, cast(IO[bytes], hashed))
            if hashed.refused:
                raise hashed.refused
        before, self._newest = self._newest, _names(path(), checkpoints)
        for pattern in ("state-*.pt", "*.safetensors"):
            for old in self.directory.glob(pattern):
                if old.name not in self._newest | before:
                    old.unlink(missing_ok=True)

    def load(
        self, device: torch.device, say: Callable[[str], None]
    ) -> tuple[dict[str, Any], dict[TrainedCheckpoint, CheckpointFile]] | None:
        """Load the newest state that is whole, with weights that are whole too; None without one.

        ``say`` gets a line for each that is not. Raises :class:`UserError` where the newest that is
        whole was written by a newer version of this package.
        """
        paths = sorted(self.directory.glob("state-*.pt"), reverse=True)
        for path in paths:
            try:
                state = load_state(path, self.run_id, device)
                checkpoints = {
                    name: CheckpointFile.model_validate(file)
                    for name, file in state["checkpoints"].items()
                }
                for file in checkpoints.values():
                    check_digest(held_below(self.directory, file.file), file.sha256)
            except UserError as error:
                say(f"{error}; going back one state")
                continue
            state = TRAINING_STATE.migrate(state, path)
            self._newest = _names(path, checkpoints)
            return state, checkpoints
        if paths:
            say("no state is whole: training starts anew")
        return None


def load_state(path: Path, run_id: str, device: torch.device) -> dict[str, Any]:
    """Read the saved state of a run.

    Raises :class:`UserError` for an altered or foreign file, and :class:`PermissionError`, since a
    file that may not be read can be whole.
    """
    try:
        with open_regular(path) as stream:
            content = stream.read()
    except PermissionError:
        raise
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if _digest(hashlib.sha256(content)) != path.stem.rsplit("-", 1)[-1]:
        raise UserError(f"{path} was altered or cut off")
    try:
        state = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(f"{path} is not a training state") from error
    owner = state.get("run_id") if isinstance(state, dict) else None
    if owner != run_id:
        raise UserError(f"{path} belongs to run {owner}, not to {run_id}")
    return cast(dict[str, Any], state)


class _HashedStream:
    """A stream that hashes what it writes: a state may be too large to be made in memory first.

    ``refused`` is the error of the stream, if any: torch, to which it would be raised, would make
    another of it when it ends the file.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.hashed = stream, hashlib.sha256()
        self.refused: OSError | None = None

    def write(self, content: bytes) -> int:
        if self.refused is None:
            self.hashed.update(content)
            try:
                self.stream.write(content)
            except OSError as error:
                self.refused = error
        return len(content)

    def flush(self) -> None:
        """Leave that to the stream's owner."""

    def digest(self) -> str:
        return _digest(self.hashed)


def _digest(hashed: hashlib._Hash) -> str:
    return hashed.hexdigest()[:16]


def _names(path: Path, checkpoints: Mapping[TrainedCheckpoint, CheckpointFile]) -> set[str]:
    return {path.name, *(file.file for file in checkpoints.values())}
