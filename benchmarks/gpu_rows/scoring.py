"""Rows of scoring: AutoAttack against the authors' call, its time, and what TF32 changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import autoattack
from gpu_rows.bench import THREAT, Bench
from gpu_rows.table import Figure

from regmix_bench.specs import Scoring


def against_bare(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """A search in TF32 with verdicts in float32, against the authors' under torch's defaults."""
    n, every = bench.scale.scored[0], bench.scored
    test = replace(every, x=every.x[:n], y=every.y[:n], index=every.index[:n])
    scoring = _scoring(bench, "tf32")
    ours = autoattack.ours(bench.model, test, THREAT, scoring, bench.execution)
    bare = autoattack.bare(bench.model.requires_grad_(True), test, THREAT, scoring)
    bench.model.requires_grad_(False)
    differing = int((ours.held != bare.held).sum())
    note = (
        f"{n} images, bare {bare.seconds:.1f} s, ours {ours.seconds:.1f} s;"
        f" {float(bare.held.float().mean()):.1%} hold, {differing} flags differ"
    )
    details = {"bare_seconds": bare.seconds, "seconds": ours.seconds, "differing": differing}
    yield "autoattack-200", Figure(bare.seconds / ours.seconds, note, details)


def whole(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """The time of 1,000 images from that of one of their two batches, which are alike."""
    side = _searched(bench, "tf32")
    hold = float(side.held.float().mean())
    note = f"projected: twice the time of a batch of {len(side.held)}, of which {hold:.1%} hold"
    yield "autoattack-1000", Figure(2 * side.seconds, note, {"seconds": side.seconds})


def flags(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """Images that a search in TF32 and one in strict float32 judge unlike, with both margins."""
    sides = {"TF32": _searched(bench, "tf32"), "float32": _searched(bench, "fp32")}
    lines = autoattack.differences(bench.model, bench.scored, sides)
    note = f"of {len(bench.scored.y)} images" + "".join(f"\n    {line}" for line in lines)
    yield "flags", Figure(len(lines), note, {"lines": lines})


def _searched(bench: Bench, precision: str) -> autoattack.Side:
    """The scorer's side on one batch; a search serves the time and the flags."""
    if precision not in bench.searched:
        scoring = _scoring(bench, precision)
        bench.searched[precision] = autoattack.ours(
            bench.model, bench.scored, THREAT, scoring, bench.execution
        )
    return bench.searched[precision]


def _scoring(bench: Bench, precision: str) -> Scoring:
    """AutoAttack's standard version, or the attacks of a small trial."""
    keys: dict[str, Any] = {"search_precision": precision}
    if bench.scale.attacks:
        keys |= {"autoattack_version": "custom", "attacks": bench.scale.attacks}
    return Scoring(**keys)
