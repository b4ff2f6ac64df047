"""Zip archives of strangers: what lies in one is looked at before any of it is unpacked."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regmix_bench.system.reading import open_regular

#: A member that unpacks to more than so many times its size is dense: deflate reaches a thousand
#: with zeros, and with images ten.
DENSEST_MEMBER = 200
#: The bytes that all dense members of an archive may unpack to.
LARGEST_DENSE = 2**30


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive in which each member has a name and bytes of its own.

    Raises :class:`OSError` as :func:`open_regular` does, :class:`zipfile.BadZipFile` where the file
    is no archive, and :class:`ValueError` where a name stands twice, where members share bytes, and
    where dense members unpack to more than 1 GiB, together.
    """
    with open_regular(path) as stream, zipfile.ZipFile(stream) as archive:
        members = archive.infolist()
        counts = Counter(member.filename for member in members)
        if twice := [name for name, count in counts.items() if count > 1]:
            raise ValueError(f"{twice[0]!r} stands in it twice")
        packed = sum(member.compress_size for member in members)
        if packed > os.fstat(stream.fileno()).st_size:
            raise ValueError("its members share their bytes")
        dense = [m for m in members if m.file_size > DENSEST_MEMBER * m.compress_size]
        if (unpacked := sum(member.file_size for member in dense)) > LARGEST_DENSE:
            raise ValueError(
                f"{dense[0].filename}: {sum(m.compress_size for m in dense):,} bytes that unpack"
                f" to {unpacked:,} may be a decompression bomb: save it without compression"
            )
        yield archive
