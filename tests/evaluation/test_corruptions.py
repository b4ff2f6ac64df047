"""Accuracy on corrupted images: recorded, resumed, audited, and falling with severity."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from regmix_bench import evaluate
from regmix_bench.data import EvalData, load_data
from regmix_bench.data.corruptions import Corrupted, Made
from regmix_bench.errors import UserError
from regmix_bench.evaluation.corruptions import audit_corruptions, evaluate_corruptions
from regmix_bench.records import paths, store
from regmix_bench.records.corrupted import accuracies_of, read_corrupted
from regmix_bench.records.progress import uncounted
from regmix_bench.records.schema import CorruptionRecord
from regmix_bench.specs import CorruptionSpec, EvalSpec, ModelSource
from regmix_bench.specs.corruptions import CORRUPTIONS
from regmix_bench.types import ThreatModel

CPU = torch.device("cpu")


class Noisy(Corrupted):
    """More noise with each severity; it counts how often it is asked."""

    def __init__(self, test: EvalData, breaks_at: int = 1000) -> None:
        self.test, self.asked, self.breaks_at = test, 0, breaks_at

    def images(self, corruption: str, severity: int) -> Tensor:
        if self.asked == self.breaks_at:
            raise KeyboardInterrupt
        self.asked += 1
        generator = torch.Generator().manual_seed(len(corruption))
        noise = torch.randn(self.test.x.shape, generator=generator)
        return (self.test.x + 0.15 * severity * noise).clamp(0, 1)


def setting(trained) -> tuple[nn.Module, EvalData, CorruptionSpec]:
    model, x, y = trained(10)
    source = ModelSource(kind="weights", name="w.pt", sha256="a" * 64)
    spec = CorruptionSpec(
        model=source, label="net", dataset="digits", arch="smallcnn", corruptions="made"
    )
    return model, EvalData(x, y, torch.arange(len(y)), "d" * 64, 10), spec


def test_a_killed_scoring_goes_on_and_ends_with_the_same(trained, tmp_path: Path) -> None:
    model, test, spec = setting(trained)
    whole, outcomes = evaluate_corruptions(model, spec, test, Noisy(test), None, CPU)
    with pytest.raises(KeyboardInterrupt):
        evaluate_corruptions(model, spec, test, Noisy(test, breaks_at=40), tmp_path, CPU)
    rest = Noisy(test)
    record, again = evaluate_corruptions(model, spec, test, rest, tmp_path, CPU)
    assert rest.asked == 75 - 40
    assert again.equals(outcomes) and record.accuracy == whole.accuracy
    # What is recorded is returned as it is.
    found, read = evaluate_corruptions(model, spec, test, Noisy(test, 0), tmp_path, CPU)
    assert found == record and accuracies_of(read) == (record.clean_acc, record.accuracy)
    assert store.load_records(tmp_path) == {paths.corruption_path(tmp_path, spec): record}
    right = [model(Noisy(test).images("fog", s)).argmax(1) == test.y for s in range(1, 6)]
    assert record.accuracy["fog"] == tuple(int(flags.sum()) / len(test.y) for flags in right)


class Remade(Noisy):
    """Noise that another package makes."""

    @property
    def origin(self) -> dict[str, str]:
        return {"noise-maker": "2.0"}


def test_what_made_the_images_is_recorded_and_none_of_them_is_joined_with_others(
    trained, tmp_path: Path
) -> None:
    model, test, spec = setting(trained)
    with pytest.raises(KeyboardInterrupt):
        evaluate_corruptions(model, spec, test, Noisy(test, breaks_at=4), tmp_path, CPU)
    with pytest.raises(UserError, match=r"its noise-maker is None, not 2\.0"):
        evaluate_corruptions(model, spec, test, Remade(test), tmp_path, CPU)
    record, _ = evaluate_corruptions(model, spec, test, Remade(test), tmp_path, CPU, force=True)
    assert record.environment["noise-maker"] == "2.0" and record.run_id == spec.run_id
    assert "device" in record.environment


def test_an_audit_asks_the_model_of_every_image(trained, tmp_path: Path) -> None:
    model, test, spec = setting(trained)
    record, _ = evaluate_corruptions(model, spec, test, Noisy(test), tmp_path, CPU)
    path = paths.corruption_path(tmp_path, spec)
    audit = audit_corruptions(path, record, model, test, Noisy(test), uncounted(spec))
    assert audit.findings == () and audit.n_passed == audit.n_images == 76 * len(test.y)
    better = {**record.accuracy, "fog": (1.0,) * 5}
    lied = record.model_copy(update={"accuracy": better})
    (finding,) = audit_corruptions(path, lied, model, test, Noisy(test), uncounted(spec)).findings
    assert finding.reason.startswith("fog is (1.0")
    file = paths.own_outcomes_path(path)
    table = read_corrupted(file)
    table.loc[5, "correct"] = not table.loc[5, "correct"]
    store.write_parquet(file, table)
    found = audit_corruptions(path, record, model, test, Noisy(test), uncounted(spec))
    assert found.n_passed == found.n_images - 1
    assert "SHA-256" in str(found.findings[0]) and "by the model" in str(found.findings[1])


def test_its_identity_is_that_of_no_attack(trained) -> None:
    _, _, spec = setting(trained)
    fields = {"model": spec.model, "label": "net", "dataset": "digits", "arch": "smallcnn"}
    attacked = EvalSpec(**fields, eval_threats=(ThreatModel("Linf", "8/255"),))
    official = spec.model_copy(update={"corruptions": "cifar10c"})
    assert len({spec.run_id, official.run_id, attacked.run_id}) == 3


def test_a_record_without_all_corruptions_is_refused(trained) -> None:
    model, test, spec = setting(trained)
    record, _ = evaluate_corruptions(model, spec, test, Noisy(test), None, CPU)
    for accuracy in (dict(list(record.accuracy.items())[:-1]), {**record.accuracy, "fog": (1.0,)}):
        content = {**record.model_dump(mode="json"), "accuracy": accuracy}
        with pytest.raises(ValueError, match="corruption"):
            CorruptionRecord.model_validate(content)


class Enlarged(nn.Module):
    """A network of the digits at four times their side."""

    def __init__(self) -> None:
        super().__init__()
        layers = nn.AvgPool2d(4), nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def enlarged(x: Tensor) -> Tensor:
    return nn.functional.interpolate(x, size=(32, 32), mode="nearest")


def test_accuracy_falls_with_severity(tmp_path: Path) -> None:
    x, y = load_data("digits", "train")
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = Enlarged()
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        for _ in range(100):
            optimizer.zero_grad()
            # Its first layer makes small images again of those that are enlarged.
            nn.functional.cross_entropy(model.layers[1:](x), y).backward()
            optimizer.step()
    images, labels = load_data("digits", "test")
    data = enlarged(images[:6]), labels[:6]
    found = evaluate(model.eval(), data, corruptions="made", results=tmp_path)
    record = found.record
    assert isinstance(record, CorruptionRecord) and record.spec.corruptions == "made"
    mean = [sum(each[s] for each in record.accuracy.values()) / 15 for s in range(5)]
    assert record.clean_acc > mean[0] > mean[2] > mean[4]
    assert record.mean_accuracy == pytest.approx(sum(mean) / 5)
    again = Made(EvalData(*data, torch.arange(6), "", 10), seed=0)
    right = model(again.images("snow", 5)).argmax(1) == labels[:6]
    cell = found.outcomes.query("corruption == 'snow' and severity == 5")
    assert cell["correct"].tolist() == right.tolist() and set(CORRUPTIONS) == set(record.accuracy)
    # Under another label nothing is scored anew, and the label is what it is called from then on.
    for label, called in (("new name", "new name"), (None, "new name")):
        named = evaluate(model, data, corruptions="made", results=tmp_path, label=label)
        assert named.record.spec.label == called
        assert named.record.model_copy(update={"spec": record.spec}) == record
    assert list(store.load_records(tmp_path).values()) == [named.record]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"corruptions": "made"}, "32×32 pixels or more, and these are 8×8"),
        ({"corruptions": "cifar10c"}, "cifar10c is of cifar10"),
        ({"corruptions": "made", "threats": "8/255"}, "leave out --threats"),
        ({"corruptions": "made", "attacks": "square", "diagnose": True}, "--attacks, --diagnose"),
        ({"corruptions": "cifar100c"}, "corruptions"),
    ],
)
def test_what_has_no_corruptions_is_refused_in_one_line(
    trained, tmp_path: Path, options: dict, said: str
) -> None:
    model, x, y = trained(10)
    with pytest.raises(UserError, match=said) as error:
        evaluate(model, (x, y), results=tmp_path, **options)
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())
