"""The journal of studies, where its file is not what Optuna wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from regmix_bench.errors import UserError
from regmix_bench.tuning.journal import StudyJournal

pytest.importorskip("optuna")


@pytest.mark.parametrize(
    "content",
    [
        b"my notes\nof June\n",
        b"\xff\xfe\n",
        b"3\n",
        b"[]\n",
        b'{"op_code": 99, "worker_id": "a"}\n',
    ],
)
def test_a_journal_that_is_none_is_said_in_one_line_and_kept(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "journal.log"
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=r"journal\.log is not a journal of Optuna: \w+Error"
    ) as said:
        StudyJournal(tmp_path)
    assert "\n" not in str(said.value) and path.read_bytes() == content
