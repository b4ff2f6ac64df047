"""``evaluate`` from Python: live modules and tensors, with and without a results folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from support.harness import cli
from torch import Tensor, nn

from regmix_bench import RunSpec, ThreatModel, UserError, audit, evaluate, load_data, load_results
from regmix_bench.records import paths, store
from regmix_bench.runs.observers import Silent
from regmix_bench.specs import EvalSpec
from regmix_bench.system.files import file_digest

QUICK: dict[str, Any] = {"attacks": "apgd-ce", "settings": ["scoring.autoattack_batch_size=8"]}


class Net(nn.Module):
    """Ten linear classes for digits, of which the logits may be made useless."""

    def __init__(self, classes: int = 10, factor: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(64, classes)
        self.drop = nn.Dropout()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layer(self.drop(x.flatten(1)))
        return logits * self.factor


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Net:
    """A model to score, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return Net().eval()


@pytest.fixture(scope="module")
def pair() -> tuple[Tensor, Tensor]:
    images, labels = load_data("digits", "test")
    return images[:20], labels[:20]


class Heard(Silent):
    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_start(self, spec: RunSpec | EvalSpec) -> None:
        self.told.append(spec.label)

    def on_attack(self, spec: Any, threat: str, attack: str, accuracy: float) -> None:
        self.told.append((threat, attack, accuracy))


def test_a_live_model_is_scored_and_nothing_is_written(net: Net, tmp_path: Path) -> None:
    heard = Heard()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = evaluate(net, "digits", ["8/255", 0.1], eval_examples=20, observer=heard, **QUICK)
    assert list(tmp_path.iterdir()) == []
    first, second = found.record.evaluations
    assert [str(e.threat) for e in (first, second)] == ["Linf 8/255", "Linf 0.1"]
    assert heard.told == [
        "Net",
        *((str(e.threat.epsilon), "apgd-ce", e.robust_acc) for e in (first, second)),
    ]
    assert found.outcomes is not None
    for evaluation, (_, table) in zip(
        (first, second), found.outcomes.groupby("epsilon", sort=False), strict=True
    ):
        assert len(table) == evaluation.n_examples == 20
        assert table["clean_correct"].mean() == evaluation.clean_acc
        right = table["clean_correct"] & (table["broken_by"] == "")
        assert right.mean() == evaluation.robust_acc
    assert found.record.spec.model.kind == "module"
    # The model is the user's: as it was, and still to be trained.
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert next(net.parameters()).grad is None


def test_the_same_weights_are_the_same_evaluation(net: Net, pair: tuple[Tensor, Tensor]) -> None:
    one = evaluate(net, pair, "8/255", **QUICK).record
    assert evaluate(Net().eval(), pair, ["8/255"], **QUICK).record.run_id == one.run_id
    with torch.no_grad():
        net.layer.bias += 1
    assert evaluate(net, pair, "8/255", **QUICK).record.run_id != one.run_id


def test_other_settings_are_another_evaluation(net: Net, pair: tuple[Tensor, Tensor]) -> None:
    def score(model: nn.Module) -> tuple[str, float]:
        record = evaluate(model.eval(), pair, "8/255", results="kept", attacks="fgsm").record
        return record.run_id, record.evaluations[0].clean_acc

    one = score(net)
    assert score(Net()) == one
    turned = score(Net(factor=-1.0))
    assert turned[0] != one[0]
    assert (
        score(nn.Sequential(Net(), nn.Softplus(1.0)))[0]
        != score(nn.Sequential(Net(), nn.Softplus(0.5)))[0]
    )
    counted = Net()
    counted.calls = 0
    counted.register_forward_hook(lambda *_: setattr(counted, "calls", counted.calls + 1))
    assert score(counted) == score(counted)


def test_tensors_are_scored_as_the_data_set_they_are_from(net: Net) -> None:
    images, labels = load_data("digits", "test")
    by_tensors = evaluate(net, (images, labels), "8/255", eval_examples=30, **QUICK)
    by_name = evaluate(net, "digits", "8/255", eval_examples=30, **QUICK)
    assert by_tensors.outcomes is not None
    pd.testing.assert_frame_equal(by_tensors.outcomes, by_name.outcomes)
    assert by_tensors.record.num_classes == by_name.record.num_classes == 10
    assert by_tensors.record.spec.dataset.startswith("tensors-")


def test_a_threat_may_be_a_threat_model(net: Net, pair: tuple[Tensor, Tensor]) -> None:
    threats = [ThreatModel("L2", "0.5"), "8/255"]
    found = evaluate(net, pair, threats, **QUICK)
    assert [str(e.threat) for e in found.record.evaluations] == ["L2 0.5", "Linf 8/255"]


def test_with_a_folder_it_is_recorded_once(net: Net, pair: tuple[Tensor, Tensor]) -> None:
    alone = evaluate(net, pair, "8/255", **QUICK)
    first = evaluate(net, pair, "8/255", results="kept", label="mine", **QUICK)
    (path,) = store.record_files(Path("kept"))
    assert store.load_record(path) == first.record and first.record.spec.label == "mine"
    assert first.record.run_id == alone.record.run_id
    assert alone.outcomes is not None and first.outcomes is not None
    assert first.outcomes["broken_by"].tolist() == alone.outcomes["broken_by"].tolist()
    heard = Heard()
    again = evaluate(net, pair, "8/255", results="kept", observer=heard, **QUICK)
    assert again.record == first.record and heard.told == ["mine"]
    pd.testing.assert_frame_equal(again.outcomes, first.outcomes)
    assert cli("show", first.record.run_id, "--results", "kept").status == 0
    heard = Heard()
    named = evaluate(net, pair, "8/255", results="kept", label="new", observer=heard, **QUICK)
    assert named.record.model_copy(update={"spec": first.record.spec}) == first.record
    assert (
        heard.told == ["new"] == [r.spec.label for r in store.load_records(Path("kept")).values()]
    )
    assert named.outcomes is not None and named.outcomes.equals(first.outcomes)


def test_recorded_outcomes_are_those_of_the_record(net: Net, pair: tuple[Tensor, Tensor]) -> None:
    first = evaluate(net, pair, "8/255", results="kept", **QUICK)
    (path,) = store.record_files(Path("kept"))
    file = paths.outcomes_path(path, "given")
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(UserError, match="its SHA-256 differs"):
        evaluate(net, pair, "8/255", results="kept", **QUICK)
    digest = first.record.evaluations[0].outcomes_digest
    path.write_text(path.read_text().replace(str(digest), file_digest(file)))
    with pytest.raises(UserError, match="is not an outcomes file"):
        evaluate(net, pair, "8/255", results="kept", **QUICK)
    file.unlink()
    assert evaluate(net, pair, "8/255", results="kept", **QUICK).outcomes is None


def test_the_command_and_the_function_find_the_same(net: Net, tmp_path: Path) -> None:
    torch.save(net.state_dict(), "w.pt")
    Path("nets.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        torch.manual_seed(0)\n"
        "        self.layer = nn.Linear(64, 10)\n"
        "    def forward(self, x): return self.layer(x.flatten(1))\n"
    )
    options = {"weights": "w.pt", "eval_examples": 20, **QUICK}
    found = evaluate("nets:Net", "digits", "8/255", **options)
    assert not Path("results").exists()
    shown = cli(
        *("eval", "nets:Net", "--dataset", "digits", "--eps", "8/255", "--weights", "w.pt"),
        *("--eval-examples", "20", "--attacks", "apgd-ce"),
        *("--set", "scoring.autoattack_batch_size=8"),
    )
    assert (shown.status, shown.errors) == (0, "")
    (path,) = store.record_files(Path("results"))
    recorded = store.load_record(path)
    assert recorded.run_id == found.record.run_id
    assert recorded.evaluations[0].robust_acc == found.record.evaluations[0].robust_acc


def test_a_live_model_is_audited_from_where_it_can_be_loaded(net: Net) -> None:
    Path("live.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "def build():\n"
        "    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
        "def other(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    torch.manual_seed(0)
    live = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    options = {"eval_examples": 20, "results": "kept", "save_adversarial": True, **QUICK}
    run_id = evaluate(live, "digits", "8/255", **options).record.run_id
    with pytest.raises(UserError, match="of a live Sequential: say by --model"):
        audit(run_id, results="kept")
    assert audit(run_id, results="kept", model="live:build").findings == ()
    altered = audit(run_id, results="kept", model="live:other").findings
    assert "SHA-256 of the weights" in str(altered[0])


class Interrupting(Silent):
    """Interrupts a scoring after so many attacks."""

    def __init__(self, attacks: int) -> None:
        self.left = attacks

    def on_attack(self, spec: Any, threat: str, attack: str, accuracy: float) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_several_norms_and_their_union_resume_with_the_same_bytes_and_are_audited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "def build():\n"
        "    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    settings = ["scoring.autoattack_batch_size=8"]
    options = {"eval_examples": 20, "attacks": "apgd-ce", "settings": settings}
    threats = ["Linf:1/255", "L2:0.02"]
    whole = evaluate(net, "digits", threats, results="whole", save_adversarial=True, **options)
    for attacks in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            evaluate(
                *(net, "digits", threats),
                results="killed",
                save_adversarial=True,
                observer=Interrupting(attacks),
                **options,
            )
    again = evaluate(net, "digits", threats, results="killed", save_adversarial=True, **options)
    assert again.record.evaluations == whole.record.evaluations, "which have the files' digests"
    (union,) = whole.record.unions
    assert again.record.unions == (union,)
    frame = load_results("whole")
    row = frame[frame["norm"] == "union"].iloc[0]
    assert len(frame) == 3 and row["autoattack_acc"] == union.robust_acc
    assert row["epsilon"] is None or pd.isna(row["epsilon"])
    run_id = whole.record.run_id
    assert audit(run_id, results="whole", model="made:build").findings == ()
    (path,) = store.record_files(Path("whole"))
    content = json.loads(path.read_bytes())
    assert union.clean_acc > 0
    content["unions"][0] |= {"clean_acc": 0.0, "pgd_acc": 0.0, "autoattack_acc": 0.0}
    path.write_text(json.dumps(content))
    (found,) = audit(run_id, results="whole", model="made:build").findings
    assert "another union of given than its outcomes" in str(found)


@pytest.mark.parametrize("answer", ["z / z.abs().max()", "z - z.mean(0)"])
def test_an_audit_and_a_diagnosis_ask_whether_the_batch_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"batchwise_{len(answer)}"
    Path(f"{name}.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "class Batchwise(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        torch.manual_seed(0)\n"
        "        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
        "    def forward(self, x):\n"
        "        z = self.net(x)\n"
        f"        return {answer}\n"
    )
    options = {"eval_examples": 20, "results": "kept", **QUICK}
    found = evaluate(f"{name}:Batchwise", "digits", "8/255", save_adversarial=True, **options)
    (score,) = found.record.evaluations
    assert "batch-dependent-model" in score.checks
    assert "depend on the rest of its batch" in str(
        audit(found.record.run_id, results="kept").findings[0]
    )
    # A score of before there was the question gets the answer with its diagnosis.
    older = found.record.model_copy(
        update={"evaluations": (score.model_copy(update={"checks": ()}),)}
    )
    store.save_record(Path("kept"), older)
    again = evaluate(f"{name}:Batchwise", "digits", "8/255", diagnose=True, **options)
    assert again.record.evaluations[0].checks == ("batch-dependent-model",)


def shift(images: float = 0.0, labels: int = 0) -> Callable[..., tuple[Tensor, Tensor]]:
    return lambda x, y: (x + images, y + labels)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (shift(images=0.5), r"pixels from .* to 1\.5, not in \[0, 1\]"),
        (shift(images=-0.1), r"pixels from -0\.1"),
        (shift(images=float("nan")), "pixels from nan"),
        (shift(labels=5), "labels go up to 14, and the model knows 10 classes"),
        (shift(labels=-1), "labels begin at -1"),
        (lambda x, y: (x, y.float()), "labels are torch.float32"),
        (lambda x, y: (x, y[:-1]), r"labels have shape \(19,\), not one for each of 20"),
        (lambda x, y: (x, nn.functional.one_hot(y)), "looks one-hot: give its argmax"),
        (
            lambda x, y: (x, torch.stack([y, y], 1)),
            r"labels have shape \(20, 2\), not one for each",
        ),
        (lambda x, y: ((255 * x).byte(), y), "images are torch.uint8"),
        (lambda x, y: (x[0], y), r"images have shape \(1, 8, 8\)"),
        (lambda x, y: (x[:0], y[:0]), "images have shape"),
        (lambda x, y: (x.to_sparse(), y), "images are of layout torch.sparse_coo"),
        (lambda x, y: (x, y.to("meta")), "labels are of the meta device"),
        (lambda x, y: x, "not a pair of tensors"),
        (lambda x, y: (x.numpy(), y.numpy()), "but ndarray, ndarray"),
        (lambda x, y: "digitz", "dataset 'digitz'"),
        (lambda x, y: None, "a live model was not trained here: say --dataset"),
    ],
)
def test_bad_data_is_refused(
    net: Net, tmp_path: Path, pair: tuple[Tensor, Tensor], change: Any, said: str
) -> None:
    refused(said, tmp_path, net, change(*pair), "8/255")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda: Net().train(), r"in training mode: call its eval\(\)"),
        (lambda: Net(factor=float("nan")).eval(), "NaN or infinite logits"),
        (lambda: Net(classes=7).eval(), "of 10 classes"),
        (lambda: nn.Linear(3, 10).eval(), "does not take images"),
        (lambda: object(), "neither a module nor a name"),
        (lambda: "3f2a", "unknown run '3f2a'"),
    ],
)
def test_bad_models_are_refused(net: Net, tmp_path: Path, model: Any, said: str) -> None:
    refused(said, tmp_path, model(), "digits", "8/255", eval_examples=20)


class NotFinite(Net):
    """Useless logits for images that are not those of the test set, from the first attack on."""

    def forward(self, x: Tensor) -> Tensor:
        whole = (x * 16 == (x * 16).round()).flatten(1).all(1, keepdim=True)
        return torch.where(whole, super().forward(x), torch.nan)


@pytest.mark.parametrize("attacks", ["fgsm", "square"])
def test_logits_that_are_not_finite_under_attack_alone_are_refused(
    net: Net, tmp_path: Path, attacks: str
) -> None:
    given = {"eval_examples": 20, "attacks": attacks}
    refused("logits that are not finite", tmp_path, NotFinite().eval(), "digits", "8/255", **given)
    evaluate(net, "digits", "8/255", results="results", eval_examples=20, attacks="fgsm")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="not finite"):
        evaluate(NotFinite().eval(), "digits", "8/255", results="results", **given)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"results": "/proc/results"}, "/proc/results"),
        ({"save_adversarial": True, "results": None}, "needs a results folder"),
        ({"weights": "w.pt"}, "a live one is here"),
        ({"settings": ["recipe.lr=1"]}, "--set key 'recipe'"),
        ({"settings": ["data.nonsense=1"]}, "key of data 'nonsense'"),
        ({"attacks": "sqare"}, "did you mean 'square'"),
        ({"norm": "L7"}, "norm 'L7'"),
        ({"threats": []}, "no threat is given"),
        ({"threats": ["8"]}, "epsilon 8 is above 1"),
        ({"threats": [f"{n}/1000" for n in range(1, 102)]}, "101 threats are too many"),
        ({"threats": 8}, "epsilon 8 is above 1"),
        ({"threats": True}, "threats is True, not text"),
        ({"attacks": 5}, "unknown attack '5'"),
        ({"attacks": "pgd-²"}, "unknown attack 'pgd-²'"),
        ({"attacks": "quick-apgd[n_target_classes=10]"}, "needs 11 classes, and there are 10"),
        ({"eval_examples": "all"}, "eval-examples is 'all', not a whole number"),
        ({"device": "gpu"}, "device 'gpu'"),
        ({"eval_examples": 3}, "eval_examples 3"),
        ({"label": " "}, "label is empty"),
    ],
)
def test_bad_options_are_refused(
    net: Net, tmp_path: Path, pair: tuple[Tensor, Tensor], options: dict[str, Any], said: str
) -> None:
    refused(said, tmp_path, net, pair, **{"threats": "8/255", **options})


def refused(said: str, folder: Path, *arguments: Any, **options: Any) -> None:
    with pytest.raises(UserError, match=said) as raised:
        evaluate(*arguments, **{"results": "results", **options})
    assert len(str(raised.value).splitlines()) == 1
    assert list(folder.iterdir()) == []
