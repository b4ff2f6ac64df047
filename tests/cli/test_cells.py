"""How long the runs of a grid will take, from what is planned and what was measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.synthetic import make_spec

from regmix_bench.cli.cells import Cells
from regmix_bench.records.progress import Progress
from regmix_bench.runs.forecast import Estimate, Forecast

SPECS = [make_spec(seed=seed) for seed in range(4)]


def forecast(jobs: int = 1) -> Forecast:
    """Ten seconds for each run."""
    return Forecast({spec.run_id: Estimate(1, 1, 10.0) for spec in SPECS}, {}, "CPU", jobs)


def halfway(left: float | None, share: float = 0.5) -> Progress:
    return Progress(stage="training", epoch=1, epochs=2, share=share, seconds_left=left)


def test_from_the_first_second_it_is_the_forecast() -> None:
    cells = Cells(total=4)
    assert cells.left(0.0) is None
    cells.forecast(forecast())
    assert (cells.left(0.0), cells.share) == (40.0, 0.0)
    cells.forecast(forecast(jobs=2))
    assert cells.left(0.0) == 20.0
    cells.start(SPECS[0], now=0.0)
    assert cells.cell_left(SPECS[0].run_id, 0.0) == 10.0


def test_what_comes_before_the_first_pass_is_counted_too() -> None:
    cells = Cells(total=4)
    cells.forecast(replace(forecast(), startup=5.0))
    assert cells.left(0.0) == 45.0
    cells.start(SPECS[0], now=0.0)
    assert (cells.left(2.0), cells.cell_left(SPECS[0].run_id, 2.0)) == (43.0, 13.0)
    assert cells.cell_left(SPECS[0].run_id, 9.0) == 10.0  # nothing of it is done


def test_of_a_cluster_passes_say_the_share_and_the_first_runs_the_time() -> None:
    cells = Cells(total=4)
    runs = {spec.run_id: Estimate(1e6, 1e6, None) for spec in SPECS}
    cells.forecast(Forecast(runs, {}, "the cluster at auto", 1))
    cells.start(SPECS[0], 0.0)
    cells.start(SPECS[1], 0.0)
    assert (cells.left(0.0), cells.cell_left(SPECS[0].run_id, 0.0)) == (None, None)
    cells.going[SPECS[0].run_id].hear(halfway(0.0, 0.0), 0.0)
    cells.going[SPECS[0].run_id].hear(halfway(20.0), 20.0)
    assert cells.left(20.0) == pytest.approx((20 + 40 + 2 * 40) / 2)  # two at a time
    assert cells.share == 0.125


def test_what_is_measured_corrects_it() -> None:
    cells = Cells(total=4)
    cells.forecast(forecast())
    cells.start(SPECS[0], 0.0).hear(halfway(None, 0.0), 0.0)
    cells.going[SPECS[0].run_id].hear(halfway(20.0), 20.0)  # 40 s in place of 10
    assert cells.left(20.0) == pytest.approx(20 + 3 * 40)
    assert cells.left(25.0) == pytest.approx(15 + 3 * 40)  # the clock goes on
    assert cells.share == pytest.approx(0.125)
    cells.end(SPECS[0].run_id, failed=False, now=30.0)  # it was 30 in the end
    assert cells.left(30.0) == pytest.approx(3 * 30)
    assert cells.share == 0.25


def test_a_run_that_fails_says_nothing_of_the_others() -> None:
    cells = Cells(total=4)
    cells.forecast(forecast())
    cells.start(SPECS[0], 0.0)
    cells.end(SPECS[0].run_id, failed=True, now=1.0)
    assert (cells.left(1.0), cells.ended, cells.failed) == (30.0, 1, 1)


def test_a_run_that_resumes_is_judged_by_what_is_done_here() -> None:
    cells = Cells(total=2)
    cells.forecast(Forecast({s.run_id: Estimate(1, 1, 10.0) for s in SPECS[:2]}, {}, "CPU", 1))
    cells.start(SPECS[0], 0.0).hear(halfway(10.0, 0.75), 0.0)  # a quarter is left, for 10 s
    assert cells.left(0.0) == pytest.approx(10 + 40)


def test_without_a_forecast_each_run_counts_alike() -> None:
    cells = Cells(total=4)
    cells.start(SPECS[0], 0.0).hear(halfway(20.0, 0.0), 0.0)
    assert cells.left(0.0) == pytest.approx(80.0)


def test_a_stage_is_said_in_fewer_words_where_there_is_less_room() -> None:
    cell = Cells(total=1).start(SPECS[0], 0.0)
    assert list(cell.stages()) == ["starting"]
    cell.hear(
        Progress(
            stage="scoring",
            checkpoint="raw-last",
            threat="8/255",
            attack="square",
            images_done=500,
            images=10_000,
            part=3,
            parts=12,
        ),
        0.0,
    )
    assert list(cell.stages()) == [
        "3/12 raw-last square 500/10,000",
        *["3/12 square 500/10,000"] * 2,
        "square 500/10,000",
        "square 5%",
    ]


def test_hours_are_warned_of_and_no_less() -> None:
    def warning(*seconds: float | None) -> str | None:
        runs = {str(place): Estimate(1, 1, each) for place, each in enumerate(seconds)}
        return Forecast(runs, {}, "CPU", 1).warning

    assert warning(3600, None) is None
    assert warning(3600, 3500) is None
    long = warning(3600, 7200)
    assert long is not None and long.startswith("3 hours or so on CPU: --archs smallcnn")


@pytest.mark.parametrize(("load", "told"), [(1.9, False), (4.0, True), (9.0, True)])
def test_a_machine_that_is_busy_with_other_work_is_said_to_be(monkeypatch, load, told) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0, 0))
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    warning = Forecast({"a": Estimate(1, 1, 7200)}, {}, "CPU", 1).warning
    assert warning is not None and ("OMP_NUM_THREADS=1" in warning) is told
