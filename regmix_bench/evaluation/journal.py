"""The measurements so far, on disk: a killed evaluation goes on where it stood.

Every finished batch of every stage is one file, written whole, that holds what was measured of its
images and the adversarial ones among them; nothing of it stays in memory.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import safetensors
import safetensors.torch
from torch import Tensor

from regmix_bench.errors import UserError
from regmix_bench.evaluation.verdict import BatchOutcome
from regmix_bench.records.schema import Cost
from regmix_bench.system.files import atomic_write
from regmix_bench.system.reading import open_tensors


class DamagedBatch(UserError):
    """A batch whose file was cut off or altered."""


class Journal:
    """The finished batches of one evaluation, in a folder of its own.

    ``binding`` says what they belong to: the weights, the data, the threat and the scoring. A file
    of anything else is refused by the name of what differs.
    """

    def __init__(self, directory: Path, binding: Mapping[str, object]) -> None:
        self.directory = directory
        self.binding = {name: str(value) for name, value in binding.items()}

    def read(self, stage: str, number: int) -> BatchOutcome | None:
        """Return batch ``number`` of ``stage`` as it is written down; None where it is not.

        A damaged one counts as not written: it is measured again, to the same numbers. Raises
        :class:`UserError` for one of another evaluation.
        """
        try:
            return self._read(self._path(stage, number))
        except (FileNotFoundError, DamagedBatch):
            return None

    def write(self, stage: str, number: int, outcome: BatchOutcome) -> None:
        """Write down batch ``number`` of ``stage``, atomically."""
        tensors = {name: getattr(outcome, name).contiguous() for name in _TENSORS}
        about = {
            "binding": self.binding,
            "checks": outcome.checks,
            "cost": outcome.cost.model_dump(),
            "sha256": _digest(tensors),
        }
        with atomic_write(self._path(stage, number)) as stream:
            stream.write(safetensors.torch.save(tensors, {"journal": json.dumps(about)}))

    def end(self, stage: str, n_batches: int) -> None:
        """Forget batches of ``stage`` beyond its first, which an earlier try with more had."""
        for number in itertools.count(n_batches):
            try:
                self._path(stage, number).unlink()
            except FileNotFoundError:
                return

    def batches(self, stage: str) -> Iterator[BatchOutcome]:
        """Read the batches of a stage that are written down, in order, one at a time."""
        named = re.compile(re.escape(_stem(stage)) + r"-\d{6}\.safetensors")
        for path in sorted(self.directory.glob("*.safetensors")):
            if named.fullmatch(path.name):
                yield self._read(path)

    def _path(self, stage: str, number: int) -> Path:
        return self.directory / f"{_stem(stage)}-{number:06}.safetensors"

    def _read(self, path: Path) -> BatchOutcome:
        try:
            with open_tensors(path, "pt") as file:
                about = json.loads((file.metadata() or {})["journal"])
                tensors = {name: file.get_tensor(name) for name in _TENSORS}
            binding = about["binding"]
            if about["sha256"] != _digest(tensors):
                raise ValueError("its SHA-256 differs")
            checks, cost = tuple(about["checks"]), Cost.model_validate(about["cost"])
        except FileNotFoundError:
            raise
        except (safetensors.SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise DamagedBatch(f"{path} is not a state of scoring: {reason}; remove it") from error
        for name in binding | self.binding:
            was, now = binding.get(name), self.binding.get(name)
            if was != now:
                raise UserError(
                    f"{path} belongs to another evaluation: its {name} is {was}, not {now};"
                    f" remove {self.directory} to start again"
                )
        return BatchOutcome(**tensors, checks=checks, cost=cost)


_TENSORS = ("index", "pred", "margin", "norm", "broke", "images", "queries")


def _stem(stage: str) -> str:
    """A stage's name as it stands in file names: ``pgd[steps=50]`` has brackets."""
    return quote(stage, safe="")


def _digest(tensors: dict[str, Tensor]) -> str:
    return hashlib.sha256(safetensors.torch.save(tensors)).hexdigest()
