"""Programs of strangers: what torch would run of one while it loads it never reaches torch."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from regmix_bench.errors import UserError
from regmix_bench.loading.programs import ProgramKind, load_program, program_kind

SHAPE = (1, 8, 8)
GRAPH: ProgramKind = "torch.export program"
SCRIPT: ProgramKind = "TorchScript program"


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten()
        )
        self.head = torch.nn.Linear(144, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            scale = x.shape[0] * 2 + 1
        return self.head(self.body(x)) / scale


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one model as a graph of any number of images and as a script, with its logits."""
    folder = tmp_path_factory.mktemp("programs")
    torch.manual_seed(0)
    model, batch = Net().eval(), torch.export.Dim("batch")
    example = torch.rand(3, *SHAPE)
    graph = torch.export.export(model, (example,), dynamic_shapes={"x": {0: batch}})
    torch.export.save(graph, folder / "model.pt2", extra_files={"notes/a.txt": "hello"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(model).save(folder / "model.pt")
    torch.save((example, model(example)), folder / "logits")
    return folder


@pytest.mark.parametrize(("name", "kind"), [("model.pt2", GRAPH), ("model.pt", SCRIPT)])
def test_a_program_means_what_its_model_does(programs: Path, name: str, kind: ProgramKind) -> None:
    assert program_kind(programs / name) == kind
    model, _ = load_program(programs / name, kind)
    images, logits = torch.load(programs / "logits")
    assert torch.equal(model(images), logits)
    assert model(images[:2]).shape == (2, 10)


def rewritten(
    source: Path, target: Path, changes: Callable[[dict[str, bytes]], dict[str, bytes]]
) -> Path:
    """Write ``source`` with changed members, named without their folder."""
    with zipfile.ZipFile(source) as archive:
        root = archive.namelist()[0].partition("/")[0]
        members = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(target, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, content in changes(members).items():
            archive.writestr(
                name.lstrip("^") if name.startswith("^") else f"{root}/{name}", content
            )
    return target


@pytest.mark.parametrize(
    "member",
    [
        "data/aotinductor/model/model.so",
        "data/aotinductor/model/wrapper.cpp",
        "data/constants/custom_obj_0",
        "data/constants/opaque_obj_0",
        "data/Weights/weight_0",
        "data/weights/../aotinductor/model.so",
        "models/other.json",
        "^other/data/aotinductor/model/model.so",
        "^data/aotinductor/model/model.so",
    ],
)
@pytest.mark.parametrize(("name", "kind"), [("model.pt2", GRAPH), ("model.pt", SCRIPT)])
def test_a_member_that_no_program_has_is_named(
    programs: Path, tmp_path: Path, member: str, name: str, kind: ProgramKind
) -> None:
    path = rewritten(programs / name, tmp_path / name, lambda found: found | {member: b"harm"})
    with pytest.raises(UserError, match=r"cannot load .* which is not loaded") as caught:
        load_program(path, kind)
    assert member.strip("^") in str(caught.value)


def test_a_name_that_stands_twice(programs: Path, tmp_path: Path) -> None:
    path = rewritten(programs / "model.pt2", tmp_path / "model.pt2", lambda found: found)
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("model/archive_format", b"pt2")
    with pytest.raises(UserError, match="'model/archive_format' stands in it twice"):
        program_kind(path)


def test_bytes_before_the_archive_never_reach_torch(programs: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    other = (programs / "model.pt").read_bytes()
    path.write_bytes(other + (programs / "model.pt2").read_bytes())
    images, logits = torch.load(programs / "logits")
    assert program_kind(path) == GRAPH
    assert torch.equal(load_program(path, GRAPH)[0](images), logits)


def placeholder(graph: dict[str, Any], name: str) -> None:
    """Give the images another name, wherever it stands."""
    text = json.dumps(graph["graph_module"]).replace('"x"', json.dumps(name))
    graph["graph_module"] = json.loads(text)


def called(graph: dict[str, Any], target: str) -> None:
    graph["graph_module"]["graph"]["nodes"][0]["target"] = target


def sized(graph: dict[str, Any], expression: str) -> None:
    values = graph["graph_module"]["graph"]["tensor_values"]
    values["x"]["sizes"][0]["as_expr"]["expr_str"] = expression


def structured(graph: dict[str, Any], structure: str) -> None:
    graph["graph_module"]["module_call_graph"][0]["signature"]["in_spec"] = structure


def parameter(graph: dict[str, Any], name: str) -> None:
    spec = graph["graph_module"]["signature"]["input_specs"][0]
    spec["parameter"]["parameter_name"] = name


HARM = "__import__('pathlib').Path('harm').touch()"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (placeholder, f"x=[{HARM}]"),
        (parameter, f'head"), {HARM}, ("weight'),
        (called, "torch.os.system"),
        (called, "torch.ops.load_library"),
        (called, "torch.hub.load"),
        (called, "torch.ops.aten.from_file.default"),
        (called, "torch.ops.aten.__getattr__.__call__"),
        (called, "torch.ops.higher_order.aoti_call_delegate"),
        (called, "_operator.attrgetter"),
        (sized, HARM),
        (sized, f'Add("{HARM}", 1)'),
        (sized, "Symbol('s0').func.__init__"),
        (sized, "[x for x in (1,)][0]"),
        (structured, '[1, {"type": "builtins.list", "context": "{\\"__enum__\\": true, \\"fqn\\":'
                     ' \\"antigravity:x\\", \\"name\\": \\"y\\"}", "children_spec": []}]'),
        (structured, '[1, {"type": "collections.defaultdict", "context": "null",'
                     ' "children_spec": []}]'),
    ],
)  # fmt: skip
def test_a_text_that_torch_would_run(
    programs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[dict[str, Any], str], None],
    text: str,
) -> None:
    def changes(members: dict[str, bytes]) -> dict[str, bytes]:
        graph = json.loads(members["models/model.json"])
        change(graph, text)
        return members | {"models/model.json": json.dumps(graph).encode()}

    monkeypatch.chdir(tmp_path)
    path = rewritten(programs / "model.pt2", tmp_path / "model.pt2", changes)
    with pytest.raises(
        UserError, match=r"its graph has the \w+ ['\"].*, which is not loaded"
    ) as caught:
        load_program(path, GRAPH)
    assert "\n" not in str(caught.value)
    assert not Path("harm").exists()


def test_guards_and_metadata_are_left_out(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changes(members: dict[str, bytes]) -> dict[str, bytes]:
        graph = json.loads(members["models/model.json"])
        graph["guards_code"] = [f"{HARM} is None"]
        graph["graph_module"]["graph"]["nodes"][0]["metadata"] = {"nn_module_stack": HARM}
        return members | {"models/model.json": json.dumps(graph).encode()}

    monkeypatch.chdir(tmp_path)
    path = rewritten(programs / "model.pt2", tmp_path / "model.pt2", changes)
    images, logits = torch.load(programs / "logits")
    assert torch.equal(load_program(path, GRAPH)[0](images), logits)
    assert not Path("harm").exists()


def test_a_graph_of_an_older_torch(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.pt2", "w") as archive:
        archive.writestr("serialized_exported_program.json", b"{}")
    with pytest.raises(UserError, match=r"a torch before 2\.7: export the model anew"):
        program_kind(tmp_path / "model.pt2")
