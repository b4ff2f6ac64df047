"""What `tune` prints of trials and studies."""

from __future__ import annotations

from pathlib import Path

from support.tuning import ended, make_study

from regmix_bench.api.tune import Tuning
from regmix_bench.cli.tune import trial_line, tuning_lines
from regmix_bench.records.schema import Budget


def test_lines_name_method_values_and_what_chance_gives(tmp_path: Path) -> None:
    study = make_study(tmp_path / "a", budget=Budget(equal="trials", amount=3))
    lines = []
    for value, error in ((0.5, None), (0.52, None), (None, "out of memory")):
        trial = study.claim()
        assert trial is not None
        log = study.tell(trial.number, ended(trial, value), error)
        lines.append(trial_line(log, study.record()))
    assert lines[0] == "FGSM-PGI, trial 0: λ = 10: 50.0%, the best so far"
    assert lines[2].endswith(": out of memory")
    said = list(tuning_lines(Tuning((study.record(),), tmp_path / "a", None)))
    assert said[0] == "FGSM-PGI: 3 trials, 0.003 M images, 0:09"
    assert said[1].startswith("  best 52.0%, trial 1: λ = ")
    assert said[2] == (
        "  2.0 points above the values to start from: fewer than 20 trials cannot tell this from"
        " chance"
    )
