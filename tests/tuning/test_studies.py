"""Studies: the same trials however a tuning is cut into pieces, and no trial lost or done twice."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.tuning import ended, make_study, values_of, work_off

from regmix_bench.errors import UserError
from regmix_bench.methods import METHODS
from regmix_bench.records.locks import is_held
from regmix_bench.records.schema import Budget, StudyRecord
from regmix_bench.tuning.studies import Study


def peak(values: Mapping[str, float]) -> float:
    """Best at λ = 3, and bad from 100 on."""
    return math.exp(-(math.log(values["fgsm-pgi.lambda_"] / 3) ** 2))


def trials(study: StudyRecord) -> list[tuple[int, str | None, str, float | None]]:
    return [(t.number, t.run_id, t.state, t.value) for t in study.trials]


def in_a_child(work: Callable[[], None]) -> int:
    """Run ``work`` in a process of its own and return how that ended."""
    if not (child := os.fork()):
        try:
            work()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1]


def killed_at(folder: Path, number: int) -> Callable[[], None]:
    """Go on with a study until trial ``number`` is being trained, and be killed there."""

    def work() -> None:
        study = make_study(folder)
        while (trial := study.claim()) is not None:
            if trial.number == number:
                os.kill(os.getpid(), signal.SIGKILL)
            study.tell(trial.number, ended(trial, peak(values_of(study, trial))), None)

    return work


def test_the_same_seed_gives_the_same_trials_and_another_gives_others(tmp_path: Path) -> None:
    first = work_off(make_study(tmp_path / "a"), peak)
    assert trials(work_off(make_study(tmp_path / "b"), peak)) == trials(first)
    assert trials(work_off(make_study(tmp_path / "c", seed=1), peak)) != trials(first)
    assert len({trial.run_id for trial in first.trials}) == len(first.trials) == 8
    assert first.trials[0].values == {"fgsm-pgi.lambda_": 10.0}
    assert first.finished and first.passes == 8000 and first.seconds == 24


def test_killed_five_times_it_ends_with_the_trials_of_an_undisturbed_one(tmp_path: Path) -> None:
    undisturbed = work_off(make_study(tmp_path / "a"), peak)
    for number in (0, 2, 2, 5, 7):
        assert os.WTERMSIG(in_a_child(killed_at(tmp_path / "b", number))) == signal.SIGKILL
    with (tmp_path / "b" / "journal.log").open("ab") as journal:
        journal.write(b'{"op_code":5,"wor')  # of a line that was being written
    study = make_study(tmp_path / "b")
    assert [trial.state for trial in study.record().trials] == ["complete"] * 7 + ["running"]
    assert trials(work_off(study, peak)) == trials(undisturbed)
    assert study.claim() is None


def test_two_processes_share_a_study_without_loss(tmp_path: Path) -> None:
    done = tmp_path / "done"
    done.mkdir()

    def work() -> None:
        study = make_study(tmp_path / "a", budget=Budget(equal="trials", amount=12))
        while (trial := study.claim()) is not None:
            with (done / str(trial.number)).open("x"):  # that no other does the same
                study.tell(trial.number, ended(trial, 0.5), None)

    children = []
    for _ in range(2):
        if not (child := os.fork()):
            try:
                work()
            finally:
                os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    found = make_study(tmp_path / "a", budget=Budget(equal="trials", amount=12)).record()
    assert found.finished and [trial.state for trial in found.trials] == ["complete"] * 12
    assert sorted(int(path.name) for path in done.iterdir()) == list(range(12))


def test_what_a_process_holds_no_other_is_given(tmp_path: Path) -> None:
    mine = make_study(tmp_path / "a", budget=Budget(equal="trials", amount=2))
    first = mine.claim()
    other = make_study(tmp_path / "a", budget=Budget(equal="trials", amount=2))
    second = other.claim()
    assert first and second and (first.number, second.number) == (0, 1)
    assert mine.claim() is None and other.claim() is None
    mine.leave(0)
    again = other.claim()
    assert again is not None and again.run_id == first.run_id


def test_a_bad_default_is_found_out_and_left_behind(tmp_path: Path) -> None:
    study = make_study(tmp_path / "a", budget=Budget(equal="trials", amount=20))
    bad = make_study(
        tmp_path / "b",
        params={"lambda_": 1000.0},
        budget=Budget(equal="trials", amount=20),
    )
    assert study.blank.space["fgsm-pgi.lambda_"].high == 100
    found = work_off(bad, peak)
    assert found.space["fgsm-pgi.lambda_"].high == 1000  # so that it holds the start
    assert found.trials[0].values == {"fgsm-pgi.lambda_": 1000.0}
    assert found.trials[0].value == pytest.approx(0, abs=1e-9)
    assert found.best and found.best.values["fgsm-pgi.lambda_"] < 10
    assert found.best.value and found.best.value > 0.8


def test_pruned_and_failed_trials_count_and_are_never_the_best(tmp_path: Path) -> None:
    study = make_study(tmp_path / "a", budget=Budget(equal="trials", amount=3))
    for pruned, error in ((False, None), (True, None), (False, "out of memory")):
        trial = study.claim()
        assert trial is not None
        value = None if pruned or error else 0.1
        study.tell(trial.number, ended(trial, value, pruned=pruned), error)
    found = study.record()
    assert [trial.state for trial in found.trials] == ["complete", "pruned", "failed"]
    assert found.finished and found.best and found.best.number == 0
    assert found.trials[2].error == "out of memory" and found.passes == 3000


@pytest.mark.parametrize(
    ("budget", "expected"),
    [(Budget(equal="passes", amount=3500), 3), (Budget(equal="seconds", amount=2), 1)],
)
def test_a_cost_ends_a_study_before_it_is_exceeded_by_a_trial(
    tmp_path: Path, budget: Budget, expected: int
) -> None:
    found = work_off(make_study(tmp_path / "a", budget=budget), peak)
    assert len(found.trials) == expected and found.finished


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data_digest": "e" * 64}, "other data"),
        ({"seed": 3}, "another seed"),
        ({"objective": "apgd-ce"}, "another objective"),
        ({"held": ()}, "another search space"),
        ({"include": ("recipe.lr",)}, "another search space"),
    ],
)
def test_a_study_of_something_else_is_refused_and_stays_as_it_is(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    make_study(tmp_path / "a").claim()
    before = (tmp_path / "a" / "journal.log").read_bytes()
    with pytest.raises(UserError, match=f"the study of fgsm-pgi in .* is of {words}"):
        make_study(tmp_path / "a", **changes)
    assert (tmp_path / "a" / "journal.log").read_bytes() == before


def test_a_study_of_another_version_of_the_method_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_study(tmp_path / "a")
    monkeypatch.setattr(METHODS["fgsm-pgi"], "version", 99)
    with pytest.raises(UserError, match=r"is of another version of the method: give another"):
        make_study(tmp_path / "a")


def test_more_trials_go_on_from_those_there_are(tmp_path: Path) -> None:
    few = work_off(make_study(tmp_path / "a", budget=Budget(equal="trials", amount=3)), peak)
    more = work_off(make_study(tmp_path / "a"), peak)
    assert trials(more)[:3] == trials(few)
    assert trials(more) == trials(work_off(make_study(tmp_path / "b"), peak))


def test_a_study_that_has_had_more_than_its_budget_is_refused(tmp_path: Path) -> None:
    work_off(make_study(tmp_path / "a"), peak)
    before = (tmp_path / "a" / "journal.log").read_bytes()
    for less in (Budget(equal="trials", amount=7), Budget(equal="passes", amount=7999)):
        with pytest.raises(UserError, match=r"study of fgsm-pgi in .* has had more than"):
            make_study(tmp_path / "a", budget=less)
    assert (tmp_path / "a" / "journal.log").read_bytes() == before
    assert make_study(tmp_path / "a", budget=Budget(equal="passes", amount=8000)).record().finished

    begun = make_study(tmp_path / "b")
    trial = begun.claim()
    assert trial is not None
    begun.tell(0, ended(trial, 0.5), None)
    few = make_study(tmp_path / "b", budget=Budget(equal="trials", amount=1))
    assert few.record().finished


def test_no_older_record_replaces_a_newer_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(tmp_path / "a")
    kept_out: list[bool] = []
    monkeypatch.setattr(
        "regmix_bench.tuning.studies.save_study",
        lambda folder, record: kept_out.append(is_held(folder / "lock")),
    )
    study.save()
    assert kept_out == [True] and not is_held(tmp_path / "a" / "lock")


def test_what_several_processes_overspent_together_is_read_again(tmp_path: Path) -> None:
    cost = Budget(equal="seconds", amount=9)
    study = make_study(tmp_path / "a", budget=cost)
    first = study.claim()
    assert first is not None
    study.tell(0, ended(first, 0.5, seconds=3.0), None)
    pair = study.claim(), study.claim()
    for trial in pair:
        assert trial is not None
        study.tell(trial.number, ended(trial, 0.5, seconds=8.0), None)
    assert study.record().finished
    again = make_study(tmp_path / "a", budget=cost)
    assert again.record() == study.record()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data_digest": "e" * 64}, "other data"),
        ({"objective": "apgd-ce"}, "another objective"),
        ({"halving": True}, "another rule for ending trials"),
    ],
)
def test_another_method_beside_it_is_tuned_on_the_same(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    make_study(tmp_path / "a")
    with pytest.raises(UserError, match=f"the study of fgsm-pgi in .* is of {words}"):
        make_study(tmp_path / "a", method="regmix", **changes)
    make_study(tmp_path / "a", method="regmix")


def test_importance_says_which_of_several_matters(tmp_path: Path) -> None:
    study: Study = make_study(tmp_path / "a", held=(), budget=Budget(equal="trials", amount=20))
    found = work_off(study, peak)
    assert found.importance["fgsm-pgi.lambda_"] > found.importance["fgsm-pgi.reset"]
    assert sum(found.importance.values()) == pytest.approx(1)
