"""Where the lines of a display move: in a notebook, run by a kernel as any front end runs it.

``test_display.py`` has the terminal.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

#: Trainings that last for several frames, of which two are sent in a second, with one thread, as
#: several wait for each other beside other tests.
GRID = """
import torch

from regmix_bench import Display, plot, run

torch.set_num_threads(1)
grid = dict(
    methods="standard", eps="32/255", eval_examples=20, attacks="apgd-ce", device="cpu",
    settings=["recipe.epochs=10"], results="results",
)
with Display() as shown:
    records = run(**grid, seeds="0,1", observer=shown)
records
"""
CELLS = (
    GRID,
    "run(**grid, seeds='2', observer=Display())",  # which nobody leaves
    "import threading\n[thread.name for thread in threading.enumerate()]",
    "plot(records, 'curves')",
    "run(methods='trade')",
)


@pytest.fixture(scope="module")
def run_notebook(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[dict[str, Any]]]:
    """Return the notebook as it is in the end, and the messages that led there."""
    heard: list[dict[str, Any]] = []

    class Client(nbclient.NotebookClient):  # type: ignore[misc,name-defined]
        def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
            heard.append({"cell": cell_index, **msg})
            return super().process_message(msg, cell, cell_index)

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    folder = tmp_path_factory.mktemp("notebook")
    resources = {"metadata": {"path": str(folder)}}
    Client(notebook, timeout=200, allow_errors=True, resources=resources).execute()
    assert Path(folder, "results").is_dir()
    return notebook, heard


def frames(heard: list[dict[str, Any]], cell: int) -> list[str]:
    """Return the text of each frame that a cell has sent."""
    kinds = ("display_data", "update_display_data")
    return [
        message["content"]["data"]["text/plain"]
        for message in heard
        if message["cell"] == cell and message["msg_type"] in kinds
    ]


def test_a_notebook_shows_bars_that_move_in_one_output(run_notebook: Any) -> None:
    notebook, heard = run_notebook
    sent = frames(heard, 0)
    assert sent[0].startswith("grid") and "0/2 runs" in sent[0]
    assert any("Standard" in frame and "epoch" in frame for frame in sent)
    assert any("1/2 runs" in frame for frame in sent)
    moving, table = notebook.cells[0].outputs
    assert moving.data["text/plain"] == sent[-1]
    ended = sent[-1].splitlines()
    assert sum(line.startswith("[") for line in ended) == 2 and "grid" not in sent[-1]
    assert "<p>2 runs</p>" in table.data["text/html"]


def test_a_display_that_nobody_leaves_ends_with_its_last_run(run_notebook: Any) -> None:
    notebook, heard = run_notebook
    assert "grid" in frames(heard, 1)[0] and "grid" not in frames(heard, 1)[-1]
    names = notebook.cells[2].outputs[0].data["text/plain"]
    assert "MainThread" in names and "display" not in names and "waiting list" not in names


def test_what_a_notebook_shows_of_pictures_and_of_mistakes(run_notebook: Any) -> None:
    notebook, _ = run_notebook
    assert "<figcaption>" in notebook.cells[3].outputs[0].data["text/html"]
    (refused,) = notebook.cells[4].outputs
    assert refused.ename == "UserError" and refused.evalue.startswith("unknown method 'trade'")
    assert not [o for cell in notebook.cells for o in cell.outputs if o.get("name") == "stderr"]
