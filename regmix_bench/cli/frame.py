"""The lines that a terminal shows of a grid while it goes on, each of which fits its width.

The bar, the stage and the time left are never given up: names are shortened for them, and numbers
are shown where there is room.
"""

from __future__ import annotations

from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from regmix_bench.cli.cells import Cells, RunLine
from regmix_bench.cli.layout import GAP, runs_words
from regmix_bench.cli.times import duration
from regmix_bench.specs import RunSpec
from regmix_bench.system.text import one_line

#: Columns of a stage and of a time at most, and of a bar at least and at most.
_STAGE, _TIME, _BAR = 26, 12, (10, 24)
#: Columns that a name is given before a bar grows, and that numbers need.
_NAME, _NEWS = 24, 20


class _Widths(NamedTuple):
    name: int
    bar: int
    stage: int
    time: int
    news: int

    @classmethod
    def of(cls, width: int, longest: int) -> _Widths:
        """Divide a line of so many columns; a name has ``longest`` of them at most."""
        stage, time = (_STAGE, _TIME) if width >= 72 else (16, 8)
        rest = width - stage - time - 3 * len(GAP)
        bar = max(4, min(_BAR[0], rest - 8))
        name = max(0, min(longest, rest - bar))
        more = rest - bar - name
        bar = min(_BAR[1], bar + more)
        news = rest - bar - name - len(GAP)
        return cls(name, bar, stage, time, news if news >= _NEWS else 0)


def grid_frame(cells: Cells, now: float, width: int, height: int, plain: bool = False) -> Text:
    """Return the lines at the time ``now``: one for the grid and one for each run that goes on.

    Without a plan there is none for the grid. There are less than ``height``; ``plain`` draws bars
    of ASCII.
    """
    going = list(cells.going.items())
    names = {run_id: _name_parts(cell, cells) for run_id, cell in going}
    longest = max((cell_len(name + tail) for name, tail in names.values()), default=_NAME)
    widths = _Widths.of(width, longest)
    lines = []
    if cells.total:
        failed = f", {cells.failed} failed" if cells.failed else ""
        count = f"{cells.ended}/{runs_words(cells.total, cells.unit)}{failed}"
        left = _left(cells.left(now))
        lines.append(_line(widths, "grid", "", cells.share, [count], left, "", plain))
    room = max(1, height - 2)
    for run_id, cell in going[: room if len(going) <= room else room - 1]:
        name, tail = names[run_id]
        left = _left(cells.cell_left(run_id, now))
        stages = list(cell.stages())
        lines.append(_line(widths, name, tail, cell.share, stages, left, cell.news, plain))
    if len(going) > room:
        lines.append(Text(f"and {len(going) - room + 1} more", "dim"))
    return Text("\n").join(lines)


def _line(
    widths: _Widths,
    name: str,
    tail: str,
    share: float,
    stages: list[str],
    left: str,
    news: str,
    plain: bool,
) -> Text:
    stage = next((text for text in stages if cell_len(text) <= widths.stage), stages[-1])
    line = Text(no_wrap=True, end="")
    line.append(_shortened(name, tail, widths.name) + GAP)
    line.append_text(_bar(share, widths.bar, plain))
    line.append(GAP + set_cell_size(stage, widths.stage) + GAP)
    line.append((left if len(left) <= widths.time else left.split()[0]).rjust(widths.time), "cyan")
    if widths.news:
        line.append(GAP + _begun(one_line(news), widths.news), "dim")
    return line


def _bar(share: float, width: int, plain: bool) -> Text:
    full, empty = ("#", ".") if plain else ("━", "─")
    done = min(width, int(share * width))
    return Text.assemble((full * done, "green"), (empty * (width - done), "dim"))


def _begun(news: str, width: int) -> str:
    """Return as many of the numbers as there is room for, none of them cut."""
    parts = news.split(GAP)
    while parts and cell_len(GAP.join(parts)) > width:
        parts.pop()
    return GAP.join(parts)


def _left(seconds: float | None) -> str:
    return "…" if seconds is None else f"{duration(max(1.0, seconds))} left"


def _name_parts(cell: RunLine, cells: Cells) -> tuple[str, str]:
    """Return the name of a run, and what else tells it from the others that go on."""
    if cell.called is not None:
        return cell.called, ""
    spec = cell.spec
    words = []
    if isinstance(spec, RunSpec):
        others = [other.spec for other in cells.going.values()]
        words += [spec.dataset_words] if len({o.dataset_words for o in others}) > 1 else []
        words += [spec.arch_words] if len({o.arch_words for o in others}) > 1 else []
        words += [str(spec.train_threat.epsilon), f"s{spec.seed}"]
    return one_line(cell.name), "".join(f" · {one_line(word)}" for word in words)


def _shortened(name: str, tail: str, width: int) -> str:
    """Return a name in just ``width`` columns; it is cut before its tail is."""
    if cell_len(name + tail) > width:
        room = max(0, width - cell_len(tail) - 1)
        name = set_cell_size(name, room).rstrip() + "…"
    return set_cell_size(name + tail, width)
