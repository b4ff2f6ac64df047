"""Scales that fit the rows of a comparison."""

from __future__ import annotations

import pytest

from regmix_bench.reporting.site.ruler import Ruler


def test_a_scale_holds_its_rows_and_has_few_ticks() -> None:
    ruler = Ruler.of([[0.52, 0.50, 0.54], [0.58, 0.57, 0.61]])
    assert ruler.low < 50 and ruler.high > 61
    assert ruler.ticks == (50, 55, 60)
    assert ruler.at(0.5) < ruler.at(0.52) < ruler.at(0.61)


def test_a_row_far_away_lies_at_the_rim() -> None:
    near = [[0.50 + number / 100] for number in range(8)]
    ruler = Ruler.of([*near, [0.0]])
    assert ruler.low > 45 and ruler.at(0.0) == 0 and not ruler.holds(0.0) and ruler.holds(0.53)


@pytest.mark.parametrize("rows", [[], [[0.0]], [[1.0]], [[0.5, 0.5]], [[0.0, 1.0]]])
def test_a_scale_stays_within_its_bounds(rows: list[list[float]]) -> None:
    ruler = Ruler.of(rows)
    assert 0 <= ruler.low < ruler.high <= 100
    assert ruler.ticks and all(0 <= ruler.at(tick / 100) <= 100 for tick in ruler.ticks)
