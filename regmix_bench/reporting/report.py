"""The report as a set of files: written, and compared with what was written before."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Unpack

from regmix_bench.errors import unknown
from regmix_bench.records.studies import reported_files
from regmix_bench.reporting import site
from regmix_bench.reporting.choices import Choices
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.formats.layout import Layout
from regmix_bench.reporting.inputs import input_digests
from regmix_bench.reporting.manifest import MANIFEST, Manifest
from regmix_bench.reporting.report_files import (
    FORMATS,
    file_formats,
    html_files,
    is_drawn,
    is_ours,
    text_files,
)
from regmix_bench.reporting.report_pictures import SITE, ReportPictures
from regmix_bench.system.files import atomic_write, held_below, sweep
from regmix_bench.system.folders import sole_writer
from regmix_bench.system.garbage import uncollected
from regmix_bench.system.reading import read_bytes


def write_report(
    results: Path,
    out: Path,
    formats: Sequence[str] = FORMATS,
    *,
    layout: Layout | None = None,
    say: Callable[[str], None] = lambda line: None,
    **choices: Unpack[Choices],
) -> list[Path]:
    """Write the report of the records below ``results`` into ``out``; returns the paths written.

    ``layout`` is that of the LaTeX tables, and ``choices`` say what is shown. Each file is replaced
    whole. Files of these formats that an earlier report left in ``out`` and that this one no longer
    makes are removed, and a picture that was drawn of the same is kept. ``say`` is told what is
    done, a line at a time.
    ``"html"`` is the folder ``site``; of a folder without records, one page that says what to run.
    Raises :class:`~regmix_bench.errors.UserError` for an unknown format, reference or method, a
    folder without records, an unreadable record, unreadable published numbers, or an unwritable
    ``out``.
    """
    for name in formats:
        if name not in FORMATS:
            raise unknown("report format", name, FORMATS)
    if "html" in formats and results.is_dir() and not reported_files(results):
        with sole_writer(out):
            return [_write(out, SITE + name, data) for name, data in site.empty_site()]
    with _loaded(results, say, **choices) as contents, sole_writer(out):
        return _write_all(contents, out, formats, layout or Layout())


def _write_all(contents: Contents, out: Path, formats: Sequence[str], layout: Layout) -> list[Path]:
    """Write the files of a report, whose folder must be nobody else's meanwhile."""
    before = Manifest.read(out)
    kept = {name: kind for name, kind in before.outputs.items() if kind not in formats}
    shown = {*formats, *kept.values()}

    pictures = ReportPictures.of(contents, formats)
    ready = pictures.kept(before.marks, lambda name: read_bytes(held_below(out, name)))
    marks: dict[str, str] = {}
    with pictures.drawing(ready, contents.say) as drawn:
        # While other processes draw: all of it, so that nothing is written where any is refused.
        texts = list(text_files(contents, formats, shown, layout))
        pages = html_files(contents, formats, layout, pictures.site)
        written = _write_many(out, {name: text.encode() for _, name, text in texts} | pages)
        for picture, files in zip(pictures.all, drawn, strict=True):
            named = pictures.named(picture, files)
            marks |= pictures.marks(picture, named)
            written += _write_many(out, named)
    outputs = kept | file_formats(texts, pages, pictures)
    manifest = Manifest(input_digests(contents), outputs, {**before.marks, **marks})
    written.append(_write(out, MANIFEST, manifest.text().encode()))
    for name in before.outputs.keys() - outputs.keys():
        if is_ours(name) or (before.outputs[name] == "figures" and is_drawn(name)):
            held_below(out, name).unlink(missing_ok=True)
    for folder in {path.parent for path in written}:
        sweep(folder)
    return written


def stale(
    results: Path,
    out: Path,
    *,
    layout: Layout | None = None,
    **choices: Unpack[Choices],
) -> list[str]:
    """List what in the report at ``out`` no longer matches ``results``; empty if fresh.

    Numbers and input digests count; the bytes of a picture do not. The report must have been
    written with the same ``layout`` and ``choices``.
    """
    with _loaded(results, lambda line: None, **choices) as contents:
        return _differences(contents, out, layout or Layout())


def _differences(contents: Contents, out: Path, layout: Layout) -> list[str]:
    before = Manifest.read(out)
    if not before.outputs:
        return [f"{out}: no report here: `regmix-bench report` writes it"]
    formats = set(before.outputs.values())
    lines = []
    inputs = input_digests(contents)
    for path in sorted(before.inputs.keys() | inputs.keys()):
        then, now = before.inputs.get(path), inputs.get(path)
        if then != now:
            change = "new" if then is None else "gone" if now is None else "changed"
            lines.append(f"{contents.results / path}: {change} since the report was made")
    texts = list(text_files(contents, formats, formats, layout))
    pictures = ReportPictures.of(contents, formats)
    pages = html_files(contents, formats, layout, pictures.site)
    expected = file_formats(texts, pages, pictures)
    files = (path for path in (*out.iterdir(), *(out / SITE).rglob("*")) if path.is_file())
    names = (path.relative_to(out).as_posix() for path in files)
    present = {name for name in names if is_ours(name) or name in before.outputs}
    lines += [f"{out / MANIFEST}: lacks {n}" for n in sorted(expected.keys() - before.outputs)]
    lines += [f"{out / name}: missing" for name in sorted(expected) if not (out / name).is_file()]
    lines += [
        f"{out / name}: not part of this report" for name in sorted(present - expected.keys())
    ]
    for _, name, text in texts:
        if (out / name).is_file():
            lines += _first_difference(out / name, text)
    for name, data in pages.items():
        if (out / name).is_file() and _said(name, read_bytes(out / name)) != _said(name, data):
            lines.append(f"{out / name}: changed")
    return lines


def _said(name: str, data: bytes) -> bytes:
    """Return what a file of the site says besides its pictures, which machines draw unlike."""
    return re.sub(rb"<svg\b.*?</svg>", b"", data, flags=re.DOTALL) if name[-5:] == ".html" else data


@contextmanager
def _loaded(
    results: Path, say: Callable[[str], None], **choices: Unpack[Choices]
) -> Iterator[Contents]:
    """What is reported, its records kept from the garbage collector, as they stay to the end."""
    with uncollected():
        contents = Contents.of(results, say=say, **choices)
        gc.freeze()
    try:
        yield contents
    finally:
        gc.unfreeze()


def _write_many(out: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write files by name, several at a time, since each waits for the disk."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda name: _write(out, name, files[name]), files))


def _write(out: Path, name: str, data: bytes) -> Path:
    path = held_below(out, name)
    with atomic_write(path) as stream:
        stream.write(data)
    return path


def _first_difference(path: Path, text: str) -> list[str]:
    committed = read_bytes(path).decode(errors="replace").splitlines()
    for number, (old, new) in enumerate(zip_longest(committed, text.splitlines()), start=1):
        if old != new:
            return [f"{path}:{number}: {old!r} should be {new!r}"]
    return []
