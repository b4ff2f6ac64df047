from __future__ import annotations

from pathlib import Path

import pytest

from regmix_bench import UserError, report


@pytest.mark.parametrize(
    ("formats", "options", "said"),
    [
        ("markdown", {"rows": "trades"}, r"--rows changes LaTeX tables, .* markdown .*add latex"),
        ("csv,figures", {"table_columns": "clean"}, r"--table-columns .* csv,figures has not"),
        ("latex", {"width": "8cm"}, "--width changes figures, .* latex has not: add figures"),
        ("json", {"methods": "trades"}, "--methods changes figures"),
    ],
)
def test_an_option_of_what_is_not_written_is_refused(
    tmp_path: Path, formats: str, options: dict[str, str], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        report(results=tmp_path / "none", out=tmp_path / "out", format=formats, **options)
    with pytest.raises(UserError, match="no records in"):  # the site offers both
        report(results=tmp_path / "none", out=tmp_path / "out", format="html", **options)
    assert not (tmp_path / "out").exists()
