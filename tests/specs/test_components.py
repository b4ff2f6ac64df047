"""What plug-ins' data sets and architectures say in a specification, and how they come back."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from support import plug_ins

from regmix_bench.data import DATASETS, canonical_name, load_dataset, prepare
from regmix_bench.errors import UserError
from regmix_bench.grid.plan import plan
from regmix_bench.models import ARCHS, build_model
from regmix_bench.models.weights import load_checkpoint, save_checkpoint
from regmix_bench.specs import Component, RunSpec
from regmix_bench.specs.components import create_component, parse_component

GRID = {"methods": ["trades"], "eps": ["8/255"], "recipe": {"precision": "fp32"}}


@pytest.fixture(autouse=True)
def registered() -> None:
    plug_ins.register()


def spec_of(dataset: str, *archs: str) -> RunSpec:
    grid = {**GRID, "datasets": [dataset], **({"archs": archs} if archs else {})}
    (spec,) = plan([grid], {}, (), canonical_name)
    return spec


def test_what_comes_with_the_package_says_nothing() -> None:
    spec = spec_of("digits", "smallcnn")
    assert spec.components == ()
    assert (spec.component("arch"), spec.arch_words) == (None, "smallcnn")


def test_a_plug_in_enters_with_version_and_parameters() -> None:
    spec = spec_of("stripes[size=30]", "one-layer")
    assert (spec.dataset, spec.arch) == ("stripes", "one-layer")
    assert spec.components == (
        Component(kind="dataset", name="stripes", version=1, params={"size": 30}),
        Component(kind="arch", name="one-layer", version=1, params={"width": 16}),
    )
    assert spec.dataset_words == "stripes[size=30]"
    assert RunSpec.model_validate_json(spec.model_dump_json()) == spec
    specs = {spec.run_id for spec in (spec, spec_of("stripes"), spec_of("stripes[size=31]"))}
    assert len(specs) == 3


def test_another_version_is_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    before = spec_of("stripes")
    monkeypatch.setattr(plug_ins.OneLayer, "version", 2)
    assert spec_of("stripes").run_id != before.run_id
    with pytest.raises(UserError, match=r"'one-layer' is wanted in version 1, and .* version 2"):
        create_component(ARCHS, before.arch, before.component("arch"))


def test_a_data_set_brings_its_architecture_recipe_and_classes() -> None:
    spec = spec_of("stripes")
    assert spec.arch == "one-layer"
    assert (spec.recipe.augmentation, spec.recipe.epochs) == ("none", 2)


def test_the_parameters_reach_the_data() -> None:
    data = prepare(spec_of("stripes[size=30]"), torch.device("cpu"))
    assert len(data.test.y) == 30
    assert load_dataset("stripes").train_images.shape == (60, 1, 6, 6)


@pytest.mark.parametrize("bad", ["size=0", "size=many", "sizes=9", "size"])
def test_bad_parameters_are_one_line(bad: str) -> None:
    with pytest.raises(UserError, match="size") as error:
        spec_of(f"stripes[{bad}]")
    assert "\n" not in str(error.value)


def test_a_builtin_takes_no_parameters() -> None:
    with pytest.raises(UserError, match="unknown key of digits 'size'"):
        spec_of("digits[size=3]")
    with pytest.raises(UserError, match="unknown key of smallcnn 'width'"):
        spec_of("digits", "smallcnn[width=3]")


def test_weights_of_a_plug_in_load_again(tmp_path: Path) -> None:
    name, component = parse_component("arch", ARCHS, "one-layer[width=7]")
    model = build_model(name, (1, 6, 6), 3, component=component)
    path = tmp_path / "weights.safetensors"
    sha256 = save_checkpoint(path, model, name, (1, 6, 6), 3, component)
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    x = torch.rand(4, 1, 6, 6)
    assert torch.equal(load_checkpoint(path, sha256)(x), model.eval()(x))
    sha256 = save_checkpoint(path, model, "gone", (1, 6, 6), 3, component)
    with pytest.raises(UserError, match="unknown architecture 'gone'"):
        load_checkpoint(path, sha256)


def test_what_a_plug_in_returns_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plug_ins.OneLayer, "build", lambda *arguments: torch.nn.Flatten())
    with pytest.raises(UserError, match="this process builds a Flatten, not an ImageClassifier"):
        build_model("one-layer", (1, 6, 6), 3)
    whole = plug_ins.Stripes.load

    def scaled(self, *arguments):
        data = whole(self, *arguments)
        data.test_images[:] *= 255
        return data

    monkeypatch.setattr(plug_ins.Stripes, "load", scaled)
    with pytest.raises(UserError, match="'stripes' of this process is unusable: test_images span"):
        load_dataset("stripes")
    monkeypatch.setattr(plug_ins.Stripes, "load", lambda *arguments: 1 / 0)
    with pytest.raises(UserError, match="'stripes' of this process fails: ZeroDivisionError"):
        load_dataset("stripes")
    assert DATASETS["stripes"].classes[0] == "top"
