"""Models from wherever they come: the same function of the image, and one line where they fail."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from support.saved import make_model, save_run
from support.synthetic import make_eval_spec, make_record
from torch import Tensor, nn

from regmix_bench.attacks.pgd import frozen
from regmix_bench.attacks.white_box import PGD
from regmix_bench.errors import UserError
from regmix_bench.loading.checks import check_model
from regmix_bench.loading.export import export_safetensors
from regmix_bench.loading.model import LoadedModel
from regmix_bench.loading.sources import load_any_model, own_run
from regmix_bench.models.predictions import PassCounter, require_eval_mode
from regmix_bench.models.weights import check_digest, save_checkpoint, state_digest
from regmix_bench.records.store import load_run, save_record
from regmix_bench.types import ThreatModel

SHAPE = (1, 8, 8)
MODEL = make_model()
STATE = MODEL.state_dict()

MODULE = """
import sys
from torch import nn
from regmix_bench.models import build_model
number = 3
def build(): return build_model("smallcnn", (1, 8, 8), 10)
def parallel(): return nn.DataParallel(build())
def linear(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
def words(): return "a model"
def broken(): raise ValueError("no\\nluck")
class Stubborn(nn.Linear):
    def train(self, mode=True): return self
def stubborn(): return Stubborn(64, 10)
def meta(): return nn.Linear(64, 10, device="meta")
def lazy(): return nn.LazyLinear(10)
def leave(): sys.exit("enough")
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a run, and a module that no other test has imported."""
    monkeypatch.chdir(tmp_path)
    save_run(tmp_path / "results", MODEL)
    (tmp_path / f"{module_name(tmp_path)}.py").write_text(MODULE)
    return tmp_path


def module_name(folder: Path) -> str:
    return "mine_" + hashlib.sha256(str(folder).encode()).hexdigest()[:12]


def load(text: str, **changes: Any) -> LoadedModel:
    fields: dict[str, Any] = {
        "results": Path("results"),
        "dataset": "digits",
        "norm": "Linf",
        "image_shape": SHAPE,
        "num_classes": 10,
    }
    return load_any_model(text, **fields | changes)


def record_of(folder: Path) -> Path:
    return next((folder / "results").glob("digits/*/*.json"))


def run_id(folder: Path) -> str:
    return load_run(record_of(folder)).run_id


def sha256(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def own_weights(_: Path) -> LoadedModel:
    save_checkpoint(Path("ours.safetensors"), MODEL, "smallcnn", SHAPE, 10)
    assert load("ours.safetensors", arch="smallcnn").source == load("ours.safetensors").source
    return load("ours.safetensors")


def foreign_weights(_: Path) -> LoadedModel:
    safetensors.torch.save_file(MODEL.state_dict(), "theirs.safetensors")
    return load("theirs.safetensors", arch="smallcnn")


def torch_weights(_: Path) -> LoadedModel:
    torch.save(MODEL.state_dict(), "theirs.pth")
    return load("theirs.pth", arch="smallcnn")


def called(folder: Path) -> LoadedModel:
    torch.save(MODEL.state_dict(), "theirs.pt")
    return load(f"{module_name(folder)}:build", weights=Path("theirs.pt"))


def script(_: Path) -> LoadedModel:
    torch.jit.trace(MODEL, torch.rand(2, *SHAPE)).save("model.pt")
    return load("model.pt")


def frozen_script(_: Path) -> LoadedModel:
    torch.jit.freeze(torch.jit.trace(MODEL, torch.rand(2, *SHAPE))).save("model.pt")
    return load("model.pt")


def graph(_: Path) -> LoadedModel:
    batch = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(MODEL, (torch.rand(2, *SHAPE),), dynamic_shapes=batch)
    torch.export.save(program, "model.pt2")
    return load("model.pt2")


def exported(folder: Path) -> LoadedModel:
    export_safetensors(run_id(folder), Path("results"), Path("folder"))
    return load("folder")


WAYS: dict[str, tuple[Callable[[Path], LoadedModel], str, str, str]] = {
    "run_id": (lambda folder: load(run_id(folder)[:6]), "run", "smallcnn", "trades"),
    "record": (lambda folder: load(str(record_of(folder))), "run", "smallcnn", "trades"),
    "last": (
        lambda folder: load(run_id(folder), checkpoint="last"),
        *("run", "smallcnn", "trades (last)"),
    ),
    "exported": (exported, "run", "smallcnn", "trades"),
    "own weights": (own_weights, "weights", "smallcnn", "ours"),
    "safetensors": (foreign_weights, "weights", "smallcnn", "theirs"),
    "state dict": (torch_weights, "weights", "smallcnn", "theirs"),
    "callable": (called, "callable", "ImageClassifier", ""),
    "script": (script, "program", "ImageClassifier", "model"),
    "frozen script": (frozen_script, "program", "ImageClassifier", "model"),
    "graph": (graph, "program", "ExportedProgram", "model"),
}


@pytest.mark.filterwarnings("ignore")  # of TorchScript, which is deprecated as a whole
@pytest.mark.parametrize("way", WAYS)
def test_the_model_is_the_same_whichever_way_it_comes(here: Path, way: str) -> None:
    find, kind, arch, label = WAYS[way]
    found = find(here)

    require_eval_mode(found.model)
    images = torch.rand(5, *SHAPE)
    torch.testing.assert_close(found.model(images), MODEL(images), rtol=1e-5, atol=1e-6)
    check_model(found.model, images, 10)
    assert (found.source.kind, found.arch) == (kind, arch)
    assert found.label == (label or f"{module_name(here)}:build")
    assert "/" not in found.source.name
    assert make_eval_spec(found.label, model=found.source, arch=found.arch).stem


def test_a_robustbench_model_is_named_by_what_it_weighs(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def zoo(*arguments: object) -> nn.Module:
        asked.append(arguments)
        return MODEL

    monkeypatch.setenv("REGMIX_BENCH_CACHE", str(here / "cache"))
    monkeypatch.setattr("regmix_bench.loading.robustbench.load_zoo_model", zoo)
    found = load("robustbench:Some2020Name", dataset="cifar10", norm="L2")
    assert asked == [("Some2020Name", "cifar10", "L2", here / "cache" / "robustbench")]
    assert found.source.model_dump() == {
        "kind": "robustbench",
        "name": "Some2020Name",
        "sha256": state_digest(MODEL),
    }


def test_a_source_is_bound_to_its_weights(here: Path) -> None:
    run = load_run(record_of(here))
    assert load(run.run_id).source.name == f"{run.run_id}:selected"
    assert load(run.run_id).source.sha256 == run.checkpoints["selected"].sha256
    assert exported(here).source == load(run.run_id).source
    assert torch_weights(here).source.sha256 == sha256("theirs.pth")


def test_a_callable_is_bound_to_its_weights_and_its_code(here: Path) -> None:
    first = called(here).source
    assert called(here).source == first
    with (here / f"{module_name(here)}.py").open("a") as file:
        file.write("# changed")
    changed = called(here).source
    assert changed.sha256 != first.sha256
    save_checkpoint(Path("others.safetensors"), make_model(), "smallcnn", SHAPE, 10)
    assert load(changed.name, weights=Path("others.safetensors")).source != changed


@pytest.mark.filterwarnings("ignore")  # of TorchScript, which is deprecated as a whole
@pytest.mark.parametrize("way", [script, frozen_script])
def test_a_script_is_attacked_and_counted(here: Path, way: Callable[[Path], LoadedModel]) -> None:
    model = way(here).model
    images, labels = torch.rand(4, *SHAPE), torch.arange(4)
    threat = ThreatModel("Linf", "8/255")
    with PassCounter(model) as passes:
        attacked = PGD.of(steps=2).perturb(model, images, labels, threat)
    assert (passes.forward_images, passes.backward_images) == (8, 8)
    expected = PGD.of(steps=2).perturb(MODEL, images, labels, threat)
    torch.testing.assert_close(attacked, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # of TorchScript, which is deprecated as a whole
def test_the_weights_of_a_script_are_within_reach(here: Path) -> None:
    model = script(here).model
    count = sum(parameter.numel() for parameter in MODEL.parameters())
    assert sum(parameter.numel() for parameter in model.parameters()) == count
    assert len(model.state_dict()) == len(MODEL.state_dict())
    with frozen(model):
        assert not model(torch.rand(2, *SHAPE)).requires_grad
    assert model(torch.rand(2, *SHAPE)).requires_grad


@pytest.mark.filterwarnings("error")
def test_a_program_is_not_weights(here: Path) -> None:
    corrupt_zip("script.pt", "model/code/x.py")
    with pytest.raises(UserError, match=r"script\.pt is a TorchScript program: give it as the mod"):
        load(f"{module_name(here)}:build", weights=Path("script.pt"))


def test_a_damaged_graph_is_one_line_alone(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    corrupt_zip("graph.pt2", "model/archive_format")
    with pytest.raises(UserError, match=r"not a torch\.export program"):
        load("graph.pt2")
    assert not caplog.records


class Trap:
    """Unpickling it leaves a trace."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("trapped"),)


@pytest.mark.parametrize("place", ["weights", "constants", "sample_inputs"])
def test_a_pickle_inside_a_graph_is_not_loaded(here: Path, place: str) -> None:
    graph(here)
    with zipfile.ZipFile("model.pt2") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    torch.save(Trap(), "trap.pt")
    trap = Path("trap.pt").read_bytes()
    config_name = f"/{place}/model_{place}_config.json"
    for name, content in list(members.items()):
        if place == "sample_inputs" and f"/{place}/" in name:
            members[name] = trap
        elif name.endswith(config_name):
            config = json.loads(content)
            entry = next(iter(config["config"].values()), {"is_param": False, "tensor_meta": None})
            file = "tensor_999" if place == "constants" else "weight_999"
            config["config"] |= {"trap": entry | {"path_name": file, "use_pickle": True}}
            members[name] = json.dumps(config).encode()
            folder = name.rpartition("/")[0]
            members[f"{folder}/{file}"] = trap
    with zipfile.ZipFile("model.pt2", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(UserError, match=r"cannot load model\.pt2: .*, which is not loaded"):
        load("model.pt2")
    assert not Path("trapped").exists()


def test_a_file_that_cannot_be_read_is_named(
    here: Path, refuse_reading: Callable[[Path], None]
) -> None:
    own_weights(here)
    refuse_reading(Path("ours.safetensors"))
    with pytest.raises(UserError, match=r"^cannot read ours\.safetensors: Permission denied$"):
        load("ours.safetensors")
    with pytest.raises(UserError, match=r"^cannot read ours\.safetensors: Permission denied$"):
        check_digest(Path("ours.safetensors"), "")


def test_a_callable_without_weights_is_bound_to_its_state(here: Path) -> None:
    target = f"{module_name(here)}:build"
    torch.manual_seed(3)
    one = load(target)
    torch.manual_seed(3)
    same, other = load(target), load(target)
    assert one.source == same.source
    assert one.source.sha256 != other.source.sha256


def test_own_run_finds_runs_alone(here: Path) -> None:
    own_weights(here)
    record = own_run(run_id(here), Path("results"))
    assert record is not None and record.run_id == run_id(here)
    assert own_run("ours.safetensors", Path("results")) is None
    assert own_run("robustbench:Wong2020Fast", Path("results")) is None


def test_a_record_named_by_its_path_brings_its_own_results_folder(here: Path) -> None:
    Path("results").rename("elsewhere")
    found = load(str(next(Path("elsewhere").glob("digits/*/*.json"))))
    assert found.source.kind == "run"


def corrupt_zip(name: str, member: str) -> None:
    with zipfile.ZipFile(name, "w") as archive:
        archive.writestr(member, b"nothing")


def prepare_bad_files() -> None:
    weights = MODEL.state_dict()
    safetensors.torch.save_file(weights, "theirs.safetensors")
    save_checkpoint(Path("ours.safetensors"), MODEL, "smallcnn", SHAPE, 10)
    del weights["classifier.bias"]
    weights["classifier.weight"] = torch.zeros(7, 128)
    torch.save(weights | {f"extra.{n}": torch.zeros(1) for n in range(5)}, "other.pt")
    torch.save({"state_dict": weights, "epoch": 3}, "wrapped.pt")
    for name, wrapped in (("parallel", "module."), ("compiled", "module._orig_mod.model.")):
        torch.save({f"{wrapped}{key}": value for key, value in STATE.items()}, f"{name}.pt")
    inside = {key.replace("trunk.", "trunk._orig_mod.module."): STATE[key] for key in STATE}
    torch.save({"net": inside}, "inside.pt")
    torch.save({"epoch": 3, "state_dict": STATE, "model": {"ema": STATE}}, "two.pt")
    torch.save({"epoch": 3, "optimizer": {"state": {0: {"step": torch.ones(3)}}}}, "none.pt")
    torch.save({0: torch.ones(3)}, "numbered.pt")
    whole = {key: value.to(torch.int32) for key, value in MODEL.state_dict().items()}
    torch.save(MODEL.state_dict() | {"classifier.bias": whole["classifier.bias"]}, "whole.pt")
    about = {"arch": "smallcnn", "image_shape": SHAPE, "num_classes": 10**11}
    safetensors.torch.save_file(whole, "huge.safetensors", {"model": json.dumps(about)})
    Path("text.pt").write_text("hello world")
    torch.save(MODEL, "pickled.pt")
    torch.save(torch.zeros(3), "tensor.pt")
    Path("empty.pt").touch()
    Path("noise.safetensors").write_bytes(b"\xff" * 100)
    Path("folder").mkdir()
    Path("blank").mkdir()
    Path("blank/config.json").touch()
    corrupt_zip("script.pt", "model/code/x.py")
    corrupt_zip("graph.pt2", "model/archive_format")
    training = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Dropout()).train()
    torch.export.save(torch.export.export(training, (torch.rand(2, *SHAPE),)), "training.pt2")


@pytest.fixture
def bad(here: Path) -> Path:
    prepare_bad_files()
    return here


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("gone.safetensors", {}, "no model file at gone.safetensors"),
        ("{module}:build", {"weights": Path("gone.safetensors")}, "cannot read gone.safetensors"),
        ("nothing", {}, "unknown run 'nothing'"),
        ("folder", {}, "folder is not an exported model: config.json: No such file"),
        (
            "blank",
            {},
            "blank is not an exported model: config.json does not describe one (Expecting value",
        ),
        ("folder", {"arch": "smallcnn"}, "'folder' is a folder"),
        ("huge.safetensors", {}, "its metadata describes no model (num_classes: input should be"),
        ("parallel.pt", {"arch": "smallcnn"}, "; without 'module.' before its keys it would"),
        (
            "compiled.pt",
            {"arch": "smallcnn"},
            "; without 'module._orig_mod.model.' before its keys it would",
        ),
        (
            "inside.pt",
            {"arch": "smallcnn"},
            "; without '_orig_mod.' and 'module.' in its keys it would",
        ),
        (
            "{module}:parallel",
            {"weights": Path("theirs.safetensors")},
            "; with 'module.' before its keys it would: load it into the inner model",
        ),
        (
            "two.pt",
            {"arch": "smallcnn"},
            "two.pt holds several state dicts, state_dict, model.ema: save the one that is meant",
        ),
        ("none.pt", {"arch": "smallcnn"}, "no state dict, but holds epoch, optimizer alone"),
        ("numbered.pt", {"arch": "smallcnn"}, "no state dict, but holds 0 alone"),
        (
            "whole.pt",
            {"arch": "smallcnn"},
            "1 of another type (classifier.bias torch.int32 instead of torch.float32)",
        ),
        ("theirs.safetensors", {}, "does not say what it holds: name its architecture by --arch"),
        ("theirs.safetensors", {"arch": "smalcnn"}, "did you mean 'smallcnn'"),
        ("ours.safetensors", {"arch": "resnet8"}, "holds a 'smallcnn', not a 'resnet8'"),
        (
            "other.pt",
            {"arch": "smallcnn"},
            "other.pt does not fit the model: 1 missing (classifier.bias); 5 unexpected (extra.0,"
            " extra.1, extra.2, …); 1 of another shape (classifier.weight (7, 128) instead of"
            " (10, {width}))",
        ),
        (
            "wrapped.pt",
            {"arch": "smallcnn"},
            "wrapped.pt does not fit the model: 1 missing (classifier.bias); 1 of another shape",
        ),
        ("pickled.pt", {"arch": "smallcnn"}, "holds more than tensors, which is not loaded"),
        ("tensor.pt", {"arch": "smallcnn"}, "no state dict, but holds Tensor"),
        ("empty.pt", {"arch": "smallcnn"}, "empty.pt is not a file of weights: torch.save did"),
        ("text.pt", {"arch": "smallcnn"}, "text.pt is not a file of weights: torch.save did"),
        ("noise.safetensors", {"arch": "smallcnn"}, "is not a file of weights"),
        ("script.pt", {}, "script.pt is not a TorchScript program"),
        ("graph.pt2", {}, "graph.pt2 is not a torch.export program"),
        ("training.pt2", {}, "training.pt2 was exported in training mode"),
        ("script.pt", {"arch": "smallcnn"}, "--arch belongs to a weights file, and 'script.pt' is"),
        ("ours.safetensors", {"weights": Path("other.pt")}, "--weights fills a module:callable"),
        ("no.such:build", {}, "ModuleNotFoundError: No module named 'no'"),
        ("{module}:bulid", {}, "AttributeError: module '{module}' has no attribute 'bulid'"),
        ("{module}:number", {}, "TypeError: 'int' object is not callable"),
        ("{module}:words", {}, "{module}:words returns str, not a torch.nn.Module"),
        ("{module}:broken", {}, "cannot be called: ValueError: no luck"),
        ("{module}:stubborn", {}, "{module}:stubborn stays in training mode"),
        ("{module}:meta", {}, "{module}:meta cannot be called: its weights have no values"),
        ("{module}:lazy", {}, "{module}:lazy cannot be called: its weights have no values"),
        ("{module}:leave", {}, "{module}:leave cannot be called: SystemExit: enough"),
        ("{module}:build", {"weights": Path("gone.pt")}, "cannot read gone.pt: No such file"),
        (
            "{module}:linear",
            {"weights": Path("theirs.safetensors")},
            "theirs.safetensors does not fit the model: 2 missing (1.bias, 1.weight);",
        ),
    ],
)
def test_what_is_no_model_is_refused_in_one_line(
    bad: Path, text: str, options: dict[str, Any], message: str
) -> None:
    names = {"module": module_name(bad), "width": MODEL.classifier.in_features}
    with pytest.raises(UserError, match=re.escape(message.format(**names))) as refused:
        load(text.format(**names), **options)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (
            {"state_dict": STATE, "epoch": 3, "optimizer": {"state": {0: {"m": torch.ones(2)}}}},
            "state_dict",
        ),
        ({"net": STATE, "acc": 91.5, "metrics": {"loss": torch.tensor(0.3)}}, "net"),
        ({"model": {"ema_state": STATE, "decay": 0.99}}, "model.ema_state"),
    ],
)
def test_an_ordinary_checkpoint_is_taken_and_says_by_which_key(
    here: Path, content: dict[str, Any], key: str
) -> None:
    torch.save(content, "checkpoint.pth.tar")
    weights = Path("checkpoint.pth.tar")
    for loaded in (
        load("checkpoint.pth.tar", arch="smallcnn"),
        load(f"{module_name(here)}:build", weights=weights),
    ):
        assert state_digest(loaded.model) == state_digest(MODEL)
        assert loaded.notes == (f"weights: {key!r} of checkpoint.pth.tar",)


def test_a_run_without_weights_is_refused(here: Path) -> None:
    record = load_run(record_of(here))
    for file in (here / "results" / "artifacts").rglob("*.safetensors"):
        file.unlink()
    with pytest.raises(UserError, match="weights stay on the machine that trained them"):
        load(record.run_id)
    save_record(Path("results"), record.model_copy(update={"checkpoints": {}}))
    with pytest.raises(UserError, match="has no checkpoint 'selected': none"):
        load(record.run_id)


def test_an_evaluation_is_no_run(here: Path) -> None:
    source = load(run_id(here))
    spec = make_eval_spec("again", model=source.source, arch=source.arch)
    save_record(Path("results"), make_record(spec))
    made_of = source.source.name.partition(":")[0]
    with pytest.raises(UserError, match=f"evaluation, not of a training: that is run {made_of}$"):
        load(spec.run_id)


def test_a_folder_that_lacks_a_file_is_refused(here: Path) -> None:
    exported(here)
    (here / "folder" / "graph.pt2").unlink()
    with pytest.raises(UserError, match=r"not a whole export: its graph\.pt2 is missing"):
        load("folder")


def test_an_altered_folder_is_refused(here: Path) -> None:
    exported(here)
    for name in ("model.safetensors", "graph.pt2"):
        content = (here / "folder" / name).read_bytes()
        (here / "folder" / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(UserError, match=rf"{name} is not the recorded one"):
            load("folder")
        (here / "folder" / name).write_bytes(content)
    load("folder")


class Returns(nn.Module):
    def __init__(self, answer: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.answer = answer

    def forward(self, x: Tensor) -> object:
        if x.shape[1:] != SHAPE:
            raise ValueError("another\nsize")
        return self.answer(self.linear(x.flatten(1)))


def nan_at_a_bright_image(logits: Tensor) -> Tensor:
    return torch.where(logits.abs().amax(1, keepdim=True) > 100, torch.nan, logits)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda z: z[:, :9], "logits of shape (1, 9) for 1 images of 10 classes, not (1, 10)"),
        (lambda z: z[..., None], "logits of shape (1, 10, 1)"),
        (lambda z: z.sum(0, keepdim=True), "logits of shape (1, 10) for 500 images"),
        (lambda z: (z, z), "the model returns tuple, not a tensor"),
        (lambda z: z.argmax(1), "the model returns torch.int64, not a tensor"),
        (lambda z: z.to_sparse(), "the model returns a sparse or nested tensor, not a tensor"),
        (lambda z: z.to("meta"), "the model returns values on the meta device, not a tensor"),
        (nan_at_a_bright_image, "NaN or infinite logits for 1 of 100 images"),
        (lambda z: z / 0, "NaN or infinite logits for 1 of 1 images"),
        (lambda z: z.detach(), "no gradient flows back"),
        (lambda z: torch.zeros_like(z, requires_grad=True) + 1, "no gradient flows back"),
    ],
)
def test_a_model_that_cannot_be_scored_is_refused(
    answer: Callable[[Tensor], object], message: str
) -> None:
    images = torch.rand(600, *SHAPE)
    images[555] *= 1e6
    with pytest.raises(UserError, match=re.escape(message)):
        check_model(Returns(answer).eval(), images, 10)


class Trains(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        self.train()
        return self.linear(x.flatten(1))


class Leaves(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise SystemExit(3)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Trains(), "puts itself into training mode"),
        (Leaves(), "does not take images of shape (1, 1, 8, 8): SystemExit: 3"),
        (Returns(lambda z: z if len(z) == 1 else z.detach()), "no gradient flows back"),
    ],
)
def test_what_a_forward_does_is_refused(model: nn.Module, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        check_model(model.eval(), torch.rand(3, *SHAPE), 10)


def test_sizes_that_cannot_be_built_are_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object, **options: object) -> None:
        raise RuntimeError("cannot allocate memory")

    own_weights(here)
    monkeypatch.setattr("regmix_bench.models.weights.build_model", exhausted)
    with pytest.raises(UserError, match=r"cannot build a 'smallcnn' .* and 10 classes: Runtime"):
        load("ours.safetensors")


def test_weights_without_values_have_no_digest() -> None:
    for model in (nn.LazyLinear(3), nn.Linear(2, 3, device="meta")):
        with pytest.raises(UserError, match="weights cannot be read"):
            state_digest(model)


def test_images_that_do_not_fit_are_named() -> None:
    with pytest.raises(UserError) as refused:
        check_model(Returns(lambda z: z).eval(), torch.rand(2, 3, 8, 8), 10)
    assert str(refused.value) == (
        "the model does not take images of shape (1, 3, 8, 8): ValueError: another size"
    )


def test_what_autoattack_checks_passes() -> None:
    images = torch.rand(3, *SHAPE)
    for answer in (lambda z: z, lambda z: z.softmax(1), lambda z: z + torch.rand_like(z)):
        check_model(Returns(answer).eval(), images, 10)
