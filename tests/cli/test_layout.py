"""Tables fit the terminal that they are shown in."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from regmix_bench.cli.layout import aligned

HEADER = ("run", "from", "status", "clean", "what it is")
ROWS = [
    (f"a method of number {k} · digits · smallcnn", "ours", "success", f"{k}.5%", "word " * k)
    for k in range(1, 20, 4)
]


@pytest.mark.parametrize("width", [200, 120, 80, 60, 40])
def test_no_line_is_wider_than_the_terminal_and_no_word_is_lost(width: int) -> None:
    lines = list(aligned([HEADER, *ROWS], width))
    assert max(map(cell_len, lines)) <= width
    shown = " ".join(lines).split()
    assert shown.count("word") == sum(row[-1].count("word") for row in ROWS)
    assert all(row[3] in shown for row in ROWS)


def test_what_all_rows_share_is_said_once_where_room_is_scarce() -> None:
    *rows, last = aligned([HEADER, *ROWS], 80)
    assert last == "all: from ours, status success"
    assert "success" not in " ".join(rows)
    assert sum("success" in line for line in aligned([HEADER, *ROWS], 200)) == len(ROWS)


@pytest.mark.parametrize("rows", [ROWS[:1], ROWS[:2], ROWS])
def test_a_column_that_says_nothing_is_left_out_where_room_is_scarce(
    rows: list[tuple[str, ...]],
) -> None:
    table = [(*row[:4], "", row[4]) for row in rows]
    header = (*HEADER[:4], "tolerance", HEADER[4])
    assert "tolerance" in " ".join(aligned([header, *table], 250))
    narrow = list(aligned([header, *table], 80))
    assert "tolerance" not in " ".join(narrow) and max(map(cell_len, narrow)) <= 80
    assert narrow == list(aligned([HEADER, *rows], 80))


def test_a_pipe_has_every_row_on_one_line() -> None:
    assert len(list(aligned([HEADER, *ROWS]))) == 1 + len(ROWS)


def test_numbers_stand_right_and_wide_letters_count_as_two() -> None:
    lines = list(aligned([("名前", "n"), ("a", "9.5%"), ("漢字漢字", "12.5%")]))
    assert lines == ["名前          n", "a          9.5%", "漢字漢字  12.5%"]
