"""Pictures that an earlier report drew of the same: they are not drawn again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from pydantic import BaseModel

from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.reporting.formats.cells import csv
from regmix_bench.system.files import file_digest
from regmix_bench.system.reading import read_bytes


def drawn_from(picture: ReportFigure, style: Style) -> str | None:
    """Return a digest of all that a picture is drawn from, and by.

    That is what its fields hold, files that they name included, the style, and the code of figures
    and of matplotlib. None for a field of a kind that nothing is known of: it is drawn each time.
    """
    digest = hashlib.sha256(f"{_code()}\0{type(picture).__qualname__}\0".encode())
    try:
        for part in (*_parts(picture), *_parts(style)):
            digest.update(len(part).to_bytes(8, "big") + part)
    except TypeError:
        return None
    return digest.hexdigest()


def mark(fingerprint: str | None, content: bytes) -> str:
    """Return the digest of a picture's file together with what it was drawn from, "" for None."""
    if fingerprint is None:
        return ""
    return hashlib.sha256(fingerprint.encode() + content).hexdigest()


def kept_files(
    names: Mapping[str, str],
    fingerprint: str | None,
    marks: Mapping[str, str],
    read: Callable[[str], bytes],
) -> dict[str, bytes] | None:
    """Return the files of a picture by suffix, where those that there are were drawn of the same.

    ``names`` are those of its files by suffix, and ``marks`` those of an earlier report by name.
    None where it has to be drawn.
    """
    found = {}
    for suffix, name in names.items():
        try:
            content = read(name)
        except OSError:
            return None
        if fingerprint is None or marks.get(name) != mark(fingerprint, content):
            return None
        found[suffix] = content
    return found


@cache
def _code() -> str:
    folder = Path(__file__).parent
    sources = (read_bytes(path) for path in sorted(folder.glob("*.py")))
    code = hashlib.sha256(b"\0".join(sources)).hexdigest()
    return f"{code} {matplotlib.__version__} {np.__version__} {pd.__version__}"


def _parts(value: Any) -> Iterator[bytes]:
    """Yield what a value holds, in its order; raises TypeError for a kind that is not known."""
    if isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif isinstance(value, pd.DataFrame):
        yield csv(value).encode()
    elif isinstance(value, Path):
        yield file_digest(value).encode()
    elif isinstance(value, BaseModel):
        yield value.model_dump_json().encode()
    elif is_dataclass(value) and not isinstance(value, type):
        yield type(value).__qualname__.encode()
        for field in fields(value):
            yield field.name.encode()
            yield from _parts(getattr(value, field.name))
    elif isinstance(value, Mapping):
        yield f"{len(value)} pairs".encode()
        for key, content in value.items():
            yield from _parts(key)
            yield from _parts(content)
    elif isinstance(value, tuple | list):
        yield f"{len(value)} values".encode()
        for content in value:
            yield from _parts(content)
    elif value is None or isinstance(value, str | int | float | Fraction):
        yield f"{type(value).__name__} {value}".encode()
    else:
        raise TypeError(type(value).__name__)
