"""Transfer between runs: the matrix, what is recorded, and runs that cannot be compared."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from support.harness import cli
from support.saved import save_run
from support.synthetic import make_eval_spec, make_spec
from torch import nn

from regmix_bench.attacks.white_box import PGD
from regmix_bench.data import EvalData, load_data, prepare_eval
from regmix_bench.errors import UserError
from regmix_bench.evaluation import surrogates, transfer
from regmix_bench.models import build_model
from regmix_bench.models.predictions import accuracy, correct
from regmix_bench.records import paths, store
from regmix_bench.records.schema import RunRecord, TransferRecord
from regmix_bench.replay.tape import TapeRecorder
from regmix_bench.reporting.report import write_report
from regmix_bench.specs import ModelSource, Scoring
from regmix_bench.system.files import file_digest
from regmix_bench.system.machine import Execution
from regmix_bench.types import ThreatModel


def quickly_trained(seed: int) -> nn.Module:
    x, y = load_data("digits", "train")
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = build_model("smallcnn", (1, 8, 8), 10)
        optimizer = torch.optim.Adam(model.parameters(), 3e-3)
        for _ in range(40):
            batch = torch.randint(len(x), (64,))
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    return model.eval()


@pytest.fixture(scope="module")
def models() -> dict[str, nn.Module]:
    return {"trades": quickly_trained(0), "mart": quickly_trained(1)}


@pytest.fixture(scope="module")
def test_images() -> EvalData:
    return prepare_eval("digits", 60, torch.device("cpu"))


def save(results: Path, model: nn.Module, label: str, **changes: object) -> Path:
    """A run of digits with its real digest, unless ``data_digest`` is another."""
    real = prepare_eval("digits", None, torch.device("cpu")).digest
    digest = changes.pop("data_digest", real)
    path = save_run(results, model, label=label, **{"eval_examples": 60} | changes)
    store.save_record(results, store.load_run(path).model_copy(update={"data_digest": digest}))
    return path


@pytest.fixture
def runs(tmp_path: Path, models: dict[str, nn.Module]) -> list[str]:
    return [str(save(tmp_path, model, label)) for label, model in models.items()]


def run_id(path: str) -> str:
    return store.load_run(path).run_id


def written(results: Path) -> list[Path]:
    return sorted(results.glob(f"*/{paths.TRANSFER}/*"))


def test_the_matrix_is_that_of_pgd_on_each_model(
    tmp_path: Path, runs: list[str], models: dict[str, nn.Module], test_images: EvalData
) -> None:
    record = transfer.transfer_matrix(runs, tmp_path, epsilon="24/255", device="cpu")
    threat, x, y = ThreatModel("Linf", "24/255"), test_images.x, test_images.y
    assert (record.threat, record.attack, record.n_examples) == (threat, "pgd-20", 60)
    assert [side.label for side in record.runs] == ["trades", "mart"]
    for i, source in enumerate(models.values()):
        images = PGD().perturb(source, x, y, threat)
        for j, target in enumerate(models.values()):
            right = correct(target, x, y)
            assert record.clean_acc[j] == accuracy(right)
            assert record.accuracy[i][j] == accuracy(right & correct(target, images, y))
    for i in range(2):  # what is crafted on a model breaks it best
        assert record.accuracy[i][i] < min(record.clean_acc[i], record.accuracy[1 - i][i])


def test_replayed_passes_give_the_same_matrix(
    tmp_path: Path, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, recorders = [], []

    def record(device: torch.device) -> TapeRecorder:
        recorders.append(TapeRecorder())
        return recorders[-1]

    monkeypatch.setattr("regmix_bench.evaluation.attacked_model.recorder_for", record)
    for execution in (Execution(), Execution(graphs=True)):
        monkeypatch.setattr(
            "regmix_bench.evaluation.attacked_model.choose_execution", lambda *_, e=execution: e
        )
        record_of = transfer.transfer_matrix(runs, tmp_path, epsilon="24/255", device="cpu")
        found.append(record_of.accuracy)
        for path in written(tmp_path):
            path.unlink()
    assert found[0] == found[1]
    (shared,) = recorders  # by both sources
    assert shared.seconds > 0


def test_the_outcome_of_every_image_is_kept(
    tmp_path: Path, runs: list[str], test_images: EvalData
) -> None:
    record = transfer.transfer_matrix(runs, tmp_path, device="cpu")
    path = paths.transfer_path(tmp_path, record)
    assert store.load_record(path) == record
    assert record.threat == make_spec().train_threat
    outcomes = paths.own_outcomes_path(path)
    assert record.outcomes_digest == file_digest(outcomes)
    frame = pd.read_parquet(outcomes)
    assert list(frame.columns) == ["source", "target", "index", "correct"]
    names = [run_id(run) for run in runs]
    shares = frame.groupby(["source", "target"])["correct"].mean()
    for j, target in enumerate(names):
        assert shares["", target] == pytest.approx(record.clean_acc[j])
        for i, source in enumerate(names):
            assert shares[source, target] == pytest.approx(record.accuracy[i][j])
    for _, group in frame.groupby(["source", "target"]):
        assert group["index"].tolist() == test_images.index.tolist()


def test_what_is_recorded_is_returned(
    tmp_path: Path, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = transfer.transfer_matrix(runs, tmp_path, epsilon="4/85", device="cpu")
    before = {path: path.stat().st_mtime_ns for path in written(tmp_path)}
    assert len(before) == 2
    monkeypatch.setattr(transfer, "craft", lambda *_: pytest.fail("computed again"))
    ids = [run_id(run)[:8] for run in reversed(runs)]
    assert transfer.transfer_matrix(ids, tmp_path, epsilon="12/255", device="cpu") == first
    assert {path: path.stat().st_mtime_ns for path in written(tmp_path)} == before


def test_lost_or_altered_outcomes_are_noticed(tmp_path: Path, runs: list[str]) -> None:
    record = transfer.transfer_matrix(runs, tmp_path, device="cpu")
    path = paths.transfer_path(tmp_path, record)
    outcomes = paths.own_outcomes_path(path)

    def refused() -> str:
        with pytest.raises(UserError) as again:
            transfer.transfer_matrix(runs, tmp_path, device="cpu")
        with pytest.raises(UserError) as reported:
            write_report(tmp_path, tmp_path / "reports", ["csv"])
        assert str(again.value) == str(reported.value)
        assert not (tmp_path / "reports").exists()
        return str(again.value)

    outcomes.write_bytes(outcomes.read_bytes() + b" ")
    assert refused().startswith(f"{outcomes} is not the outcomes file of its record")
    outcomes.unlink()
    assert refused().startswith(f"{outcomes} is missing")
    path.unlink()  # as the message says
    assert transfer.transfer_matrix(runs, tmp_path, device="cpu") == record
    assert file_digest(outcomes) == record.outcomes_digest


def test_a_file_in_the_way_is_noticed_before_any_work(
    tmp_path: Path, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "digits" / paths.TRANSFER).write_text("in the way")
    monkeypatch.setattr(transfer, "load_checkpoint", lambda *_: pytest.fail("work was done"))
    with pytest.raises(UserError, match="is not a folder"):
        transfer.transfer_matrix(runs, tmp_path, device="cpu")


def test_the_command_prints_the_matrix(tmp_path: Path, runs: list[str]) -> None:
    found = cli("transfer", *runs, "--results", tmp_path, "--device", "cpu")
    assert (found.status, found.errors) == (0, "")
    begun = found.out.splitlines()[:2]
    assert begun[0].startswith("[1/2] TRADES") and begun[1].startswith("[2/2] MART")
    again = cli("transfer", *runs, "--results", tmp_path, "--device", "cpu").out
    assert "started" not in again and found.out.endswith(again)
    (path,) = tmp_path.glob(f"digits/{paths.TRANSFER}/*.json")
    record = store.load_record(path)
    assert isinstance(record, TransferRecord)
    # Rows are in the order of the reports' tables, in which TRADES comes before MART.
    shown = [line.split() for line in found.out.splitlines()]
    percent = [[f"{100 * share:.1f}" for share in row] for row in record.accuracy]
    assert ["1", "TRADES", *percent[0]] in shown
    assert ["2", "MART", *percent[1]] in shown
    assert ["no", "attack", *(f"{100 * share:.1f}" for share in record.clean_acc)] in shown
    assert shown[-1] == ["recorded", "as", str(path)]


def test_runs_that_cannot_be_compared_are_named(
    tmp_path: Path, runs: list[str], models: dict[str, nn.Module]
) -> None:
    model = models["mart"]
    others = {
        "eval_examples is None, not 60": save(tmp_path, model, "mart", eval_examples=None),
        "dataset is cifar10, not digits": save(tmp_path, model, "mart", dataset="cifar10"),
        f"SHA-256 is {'e' * 64}, not": save(
            tmp_path, model, "standard", data_digest="e" * 64, seed=5
        ),
    }
    for reason, other in others.items():
        with pytest.raises(UserError, match=reason) as error:
            transfer.transfer_matrix([*runs, str(other)], tmp_path, device="cpu")
        assert run_id(str(other)) in str(error.value)
    assert written(tmp_path) == []


def test_bad_input_is_one_line_and_leaves_nothing(
    tmp_path: Path, runs: list[str], models: dict[str, nn.Module]
) -> None:
    def refused(*named: str, epsilon: str | None = None) -> str:
        with pytest.raises(UserError) as error:
            transfer.transfer_matrix(named, tmp_path, epsilon=epsilon, device="cpu")
        assert written(tmp_path) == []
        return str(error.value)

    assert refused(runs[0]) == "a transfer needs two runs or more, and 1 is named"
    assert "is named twice" in refused(runs[0], runs[1], run_id(runs[0]))
    assert "unknown run 'fff'" in refused(runs[0], "fff")
    assert "above 1" in refused(*runs, epsilon="8")
    assert "is not a number" in refused(*runs, epsilon="much")
    rounded = [
        str(save(tmp_path, model, label, train_threat=ThreatModel("L2", "1/2")))
        for label, model in models.items()
    ]
    too_large = refused(*rounded, epsilon="8.1")
    assert too_large.startswith(
        "epsilon 8.1 is above 8, the largest difference in L2 of two images"
    )

    twin = str(save(tmp_path, models["trades"], "trades", scoring=Scoring(screen=True)))
    assert refused(runs[1], runs[0], twin) == (
        f"run {run_id(twin)} has the weights of {run_id(runs[0])}: nothing is transferred from one"
        " to the other"
    )

    strange = [
        str(save(tmp_path, model, label, data_digest="e" * 64, seed=3))
        for label, model in models.items()
    ]
    assert f"is not that of run {run_id(strange[0])}" in refused(*strange)

    record = store.load_run(runs[1])
    weights = paths.artifacts_dir(tmp_path, record.run_id) / record.checkpoints["selected"].file
    weights.unlink()
    assert "weights stay on the machine that trained them" in refused(*runs)


class TestChooseSurrogate:
    """The run that `--diagnose` crafts images on."""

    @pytest.fixture
    def model(self, models: dict[str, nn.Module]) -> nn.Module:
        return models["trades"]

    def chosen(self, results: Path, record: RunRecord) -> Path | None:
        weights = "0" * 64
        return surrogates.choose_surrogate(results, record.spec, record.data_digest or "", weights)

    def test_another_method_comes_first_then_the_same_threat(
        self, tmp_path: Path, model: nn.Module
    ) -> None:
        me = store.load_run(save(tmp_path, model, "trades"))
        assert self.chosen(tmp_path, me) is None
        in_order = [  # each is better than those before it
            save(tmp_path, model, "trades", epsilon="48/255", seed=1),
            save(tmp_path, model, "trades", seed=1),
            save(tmp_path, model, "mart", epsilon="48/255"),
            save(tmp_path, model, "pgd-at"),
            save(tmp_path, model, "mart"),
        ]
        contents = [path.read_bytes() for path in in_order]
        for path in in_order:
            path.unlink()
        for path, content in zip(in_order, contents, strict=True):
            path.write_bytes(content)
            assert self.chosen(tmp_path, me) == path

    def test_a_run_without_its_weights_or_of_other_data_is_passed_over(
        self, tmp_path: Path, model: nn.Module
    ) -> None:
        me = store.load_run(save(tmp_path, model, "trades"))
        for label, spoiled in (("fgsm-pgi", b""), ("fgsm-rs", None)):
            record = store.load_run(save(tmp_path, model, label))
            file = record.checkpoints["selected"].file
            weights = paths.artifacts_dir(tmp_path, record.run_id) / file
            weights.unlink() if spoiled is None else weights.write_bytes(spoiled)
        save(tmp_path, model, "mart", data_digest="e" * 64)
        assert self.chosen(tmp_path, me) is None
        other = save(tmp_path, model, "pgd-at")
        assert self.chosen(tmp_path, me) == other

    def test_a_run_is_no_surrogate_for_a_score_of_its_own_weights(
        self, tmp_path: Path, model: nn.Module, test_images: EvalData
    ) -> None:
        mine = store.load_run(save(tmp_path, model, "trades"))
        source = ModelSource(kind="run", name=f"{mine.run_id}:last", sha256="0" * 64)
        given = make_eval_spec().model_copy(update={"model": source})
        assert surrogates.load_surrogate(tmp_path, given, test_images, "0" * 64) is None
        other = save(tmp_path, model, "mart")
        found = surrogates.load_surrogate(tmp_path, given, test_images, "0" * 64)
        assert found is not None
        assert found.name == f"mart (run {run_id(str(other))})"
        assert torch.equal(found.model(test_images.x), model(test_images.x))

    def test_a_run_with_the_weights_that_are_scored_is_no_surrogate(
        self, tmp_path: Path, models: dict[str, nn.Module]
    ) -> None:
        me = store.load_run(save(tmp_path, models["trades"], "trades"))
        twin = store.load_run(
            save(tmp_path, models["trades"], "trades", scoring=Scoring(screen=True))
        )
        other = save(tmp_path, models["mart"], "trades", epsilon="48/255", seed=1)
        mine = me.checkpoints["selected"].sha256
        assert mine == twin.checkpoints["last"].sha256 and me.run_id != twin.run_id
        chosen = surrogates.choose_surrogate(tmp_path, me.spec, me.data_digest or "", mine)
        assert chosen == other
