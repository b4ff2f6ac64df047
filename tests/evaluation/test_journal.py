"""A scorer that is killed goes on where it stood, and never with what belongs to something else."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
import weakref
from pathlib import Path

import pandas as pd
import pytest
import torch
from pyautoattack import AutoAttack
from safetensors.torch import load
from support.synthetic import unmeasured

from regmix_bench.data import EvalData
from regmix_bench.errors import UserError
from regmix_bench.evaluation.attacked_model import AttackedModel
from regmix_bench.evaluation.evaluate import evaluate_threat
from regmix_bench.evaluation.journal import Journal
from regmix_bench.evaluation.verdict import BatchOutcome
from regmix_bench.specs import Scoring
from regmix_bench.types import ThreatModel

SCORER = Path(__file__).with_name("scorer_process.py")
KILLS = 5
THREAT = ThreatModel("Linf", "24/255")
SCORING = Scoring(autoattack_seed=3, autoattack_batch_size=16)


def parts(folder: Path) -> int:
    return len(list(folder.glob("journal/[!.]*.safetensors")))


def test_killed_at_five_random_moments_it_ends_with_the_flags_of_a_direct_call(
    trained, quick_attacks, tmp_path
) -> None:
    model, x, y = trained(10)
    torch.save({"weights": model.state_dict(), "x": x, "y": y}, tmp_path / "model.pt")
    chance = random.Random(0)
    # Clean, PGD, and three batches of APGD-CE alone, with at least one of each other attack.
    moments = sorted(chance.sample(range(1, 7), KILLS - 1))
    for kill in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, str(SCORER), str(tmp_path)],
            stderr=subprocess.PIPE,
            env=unmeasured(),
        )
        deadline = time.monotonic() + 120
        # The first is killed while torch is still being loaded, before anything is written down.
        while kill and parts(tmp_path) < moments[kill - 1]:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.002)  # else it takes the core that the scorer needs
        time.sleep(chance.uniform(0, 0.02) if kill else chance.uniform(0.1, 0.9))
        process.kill()
        process.communicate()
        assert not (tmp_path / "result.json").exists()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("journal/[!.]*.safetensors")}
    assert len(before) >= moments[-1]

    subprocess.run([sys.executable, str(SCORER), str(tmp_path)], check=True, env=unmeasured())

    # What was written before is what was used: no batch was measured twice.
    assert (
        before.items()
        <= {
            path: path.stat().st_mtime_ns for path in tmp_path.glob("journal/[!.]*.safetensors")
        }.items()
    )
    attack = AutoAttack(model, norm="Linf", eps=float(THREAT.epsilon), seed=3)
    tracer = sys.gettrace()
    with torch.random.fork_rng([]):
        _, y_adv = attack.run_standard_evaluation(x, y, batch_size=16)
    sys.settrace(tracer)
    killed = pd.read_parquet(tmp_path / "outcomes.parquet")
    robust = killed["clean_correct"] & (killed["broken_by"] == "")
    assert robust.tolist() == (y_adv == y).tolist()
    assert 3 < robust.sum() < killed["clean_correct"].sum() - 3

    test = EvalData(x, y, torch.arange(len(y)), "d" * 64, 10)
    undisturbed = Journal(tmp_path / "undisturbed", {"weights": "w"})
    result, table, cost = evaluate_threat(
        AttackedModel.of(model, test.x), test, THREAT, SCORING, "given", undisturbed, True
    )
    assert json.loads((tmp_path / "result.json").read_text()) == result.model_dump(mode="json")
    pd.testing.assert_frame_equal(killed, table, check_dtype=False)
    assert parts(tmp_path) == len(list((tmp_path / "undisturbed").glob("*")))
    assert cost.forward_images > 0 and cost.backward_images > 0


@pytest.fixture
def scored(trained, journal):
    """Scores ten images without AutoAttack; returns the two files that leaves."""
    model, x, y = trained(10)
    test = EvalData(x[:10], y[:10], torch.arange(10), "d" * 64, 10)

    def score(journal: Journal, test: EvalData = test) -> None:
        evaluate_threat(
            AttackedModel.of(model, test.x), test, THREAT, SCORING, "given", journal, False
        )

    score(journal)
    assert sorted(path.name for path in journal.directory.iterdir()) == [
        "clean-000000.safetensors",
        "pgd-000000.safetensors",
    ]
    return score


def test_a_second_scoring_measures_nothing(scored, journal) -> None:
    def times() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in journal.directory.iterdir()}

    before = times()
    scored(journal)
    assert times() == before
    (journal.directory / "pgd-000000.safetensors").unlink()
    scored(journal)
    assert times().keys() == before.keys() and times() != before


def test_state_of_something_else_is_refused_by_name(scored, journal) -> None:
    for binding, said in (
        ({"weights": "v"}, "its weights is w, not v"),
        ({"weights": "w", "seed": 1}, "its seed is None, not 1"),
        ({}, "its weights is w, not None"),
    ):
        other = Journal(journal.directory, binding)
        with pytest.raises(UserError, match=said) as caught:
            scored(other)
        assert "belongs to another evaluation" in str(caught.value)
        assert str(journal.directory) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"rubbish", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_batch_whose_file_is_none_is_measured_again(scored, journal, content) -> None:
    path = journal.directory / "pgd-000000.safetensors"
    before = load(path.read_bytes())
    path.write_bytes(content)
    scored(journal)
    after = load(path.read_bytes())
    assert all(torch.equal(before[name], after[name]) for name in before | after)


@pytest.mark.parametrize("where", [-7, -100])
def test_a_batch_with_an_altered_byte_is_measured_again(scored, journal, where) -> None:
    path = journal.directory / "pgd-000000.safetensors"
    before, content = load(path.read_bytes()), bytearray(path.read_bytes())
    content[where] ^= 1
    path.write_bytes(content)
    scored(journal)
    assert all(torch.equal(value, before[name]) for name, value in load(path.read_bytes()).items())


def test_state_of_other_images_is_refused(scored, journal, trained) -> None:
    _, x, y = trained(10)
    fewer = EvalData(x[:9], y[:9], torch.arange(9), "d" * 64, 10)
    with pytest.raises(UserError, match="other images"):
        scored(journal, fewer)


def test_images_of_finished_batches_leave_memory(
    trained, quick_attacks, journal, monkeypatch
) -> None:
    """However many images are scored, those of one batch are held at a time."""
    model, x, y = trained(10)
    test = EvalData(x, y, torch.arange(len(y)), "d" * 64, 10)
    images: list[weakref.ref[torch.Tensor]] = []
    held = []
    write = Journal.write

    def watched(self, stage: str, number: int, outcome: BatchOutcome) -> None:
        held.append(sum(image() is not None for image in images))
        write(self, stage, number, outcome)
        images.append(weakref.ref(outcome.images))

    monkeypatch.setattr(Journal, "write", watched)
    scoring = Scoring(autoattack_batch_size=4)
    evaluate_threat(AttackedModel.of(model, test.x), test, THREAT, scoring, "given", journal, True)
    assert len(held) > 10 and max(held) <= 1
