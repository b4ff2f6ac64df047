"""The manifest of a report: what it was made of, and which files are its own."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from regmix_bench.errors import UserError
from regmix_bench.reporting.formats import cells
from regmix_bench.reporting.report_files import FORMATS
from regmix_bench.system.files import held_below
from regmix_bench.system.reading import read_bytes

MANIFEST = "manifest.csv"
_COLUMNS = ("kind", "path", "format", "sha256")


@dataclass(frozen=True)
class Manifest:
    """The digest of each input, the format of each output, and the mark of each picture's file.

    All are by name: inputs below the results, the others in the folder of the report.
    """

    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    marks: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, out: Path) -> Manifest:
        """Read the manifest of a report at ``out``, an empty one where there is none.

        Raises :class:`UserError` for what cannot be read, is no manifest, or leads out of ``out``.
        """
        path = out / MANIFEST
        try:
            frame = pd.read_csv(io.BytesIO(read_bytes(path)), dtype=str, keep_default_na=False)
            rows = list(zip(*(frame[name] for name in _COLUMNS), strict=True))
            for kind, name, *_ in rows:
                if kind == "output":
                    held_below(out, name)
        except (FileNotFoundError, NotADirectoryError):
            return cls()
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, KeyError, UserError) as error:
            raise UserError(f"{path} is not the manifest of a report: {error}") from error
        return cls(
            {path: digest for kind, path, _, digest in rows if kind == "input"},
            {path: form for kind, path, form, _ in rows if kind == "output" and form in FORMATS},
            {path: mark for kind, path, _, mark in rows if kind == "output" and mark},
        )

    def text(self) -> str:
        """Return the manifest as it is written."""
        rows = [("input", path, "", digest) for path, digest in self.inputs.items()]
        outputs = sorted(self.outputs.items())
        rows += [("output", name, kind, self.marks.get(name, "")) for name, kind in outputs]
        return cells.csv(pd.DataFrame(rows, columns=list(_COLUMNS)))
