"""Tables of Parquet, read in one place: of so many rows at most, and of the types that are named.

A file of two megabytes can hold sixty million rows; its end says how many there are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import pyarrow as pa
from pyarrow.parquet import ParquetFile

from regmix_bench.system.reading import open_regular

# Of pyarrow, whose OSError says in several lines that the bytes are not what they should be.
_UNREADABLE = (
    *(pa.ArrowException, OSError, ValueError, LookupError, TypeError),
    *(NotImplementedError, OverflowError),
)


def has_columns(path: Path, names: Collection[str]) -> bool:
    """Return whether a file is Parquet with all of the named columns."""
    try:
        with open_regular(path) as stream, ParquetFile(stream) as source:
            return set(names) <= set(source.schema_arrow.names)
    except _UNREADABLE:
        return False


def read_columns(
    path: Path,
    columns: Mapping[str, pa.DataType | None],
    most: int,
    nullable: Collection[str] = (),
) -> pa.Table:
    """Read the named columns of a file, each as its type, or as it is where that is None.

    Raises :class:`OSError` where the file cannot be opened, and ``ValueError`` where it is no
    Parquet, has no rows or more than ``most``, lacks a column, or holds in one what is not of its
    type, or nothing where it is not ``nullable``.
    """
    names = list(columns)
    try:
        with open_regular(path) as stream, ParquetFile(stream) as source:
            rows = source.metadata.num_rows
            if not 1 <= rows <= most:
                raise ValueError(f"it has {rows:,} rows, where 1 to {most:,} belong")
            # Without metadata, by which pandas would make an index or types of its own.
            table = source.read(columns=names, use_threads=False).replace_schema_metadata(None)
        table = table.select(names)
        table.validate(full=True)
        types = (kind or table.schema.field(name).type for name, kind in columns.items())
        table = table.cast(pa.schema(zip(names, types, strict=True)))
    except _UNREADABLE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(" ".join(str(error).split())) from error
    for name in names:
        if name not in nullable and table[name].null_count:
            raise ValueError(f"its {name} is missing in some rows")
    return table
