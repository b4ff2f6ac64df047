"""Weights that a training starts from: kept by their digest, and a part of its identity."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from regmix_bench.data import prepare
from regmix_bench.errors import UserError
from regmix_bench.grid.fit import check_fit
from regmix_bench.grid.plan import plan
from regmix_bench.grid.settings import file_digests
from regmix_bench.loading.initial import fill_initial, keep_initial
from regmix_bench.models import build_model
from regmix_bench.models.weights import save_checkpoint
from regmix_bench.specs import RunSpec
from regmix_bench.system.files import file_digest
from regmix_bench.system.machine import Execution
from regmix_bench.training.setup import make_trainer

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("REGMIX_BENCH_CACHE", str(folder))
    return folder


def weights(folder: Path, ending: str, seed: int = 3) -> tuple[Path, dict[str, torch.Tensor]]:
    torch.manual_seed(seed)
    model, path = build_model("smallcnn", (1, 8, 8), 10), folder / f"start{ending}"
    if ending == ".safetensors":
        save_checkpoint(path, model, "smallcnn", (1, 8, 8), 10)
    else:
        torch.save({"epoch": 3, "state_dict": model.state_dict()}, path)
    return path, model.state_dict()


def spec_of(init: object, **more: object) -> RunSpec:
    data, recipe = {"train_examples": 60, "eval_examples": 10}, {"epochs": 1, "init": str(init)}
    grid = {"methods": ["standard"], "eps": ["8/255"], "data": data, "recipe": recipe, **more}
    return plan([grid], digests=file_digests(None))[0]


@pytest.mark.parametrize("ending", [".safetensors", ".pt", ".pth"])
def test_a_training_starts_from_them_and_needs_no_path_any_more(tmp_path: Path, ending) -> None:
    path, state = weights(tmp_path, ending)
    spec = spec_of(path)
    assert spec.recipe.init == file_digest(path) == keep_initial(str(path))
    moved = path.rename(tmp_path / f"moved{ending}")
    assert spec_of(moved).run_id == spec.run_id == spec_of(spec.recipe.init).run_id
    moved.unlink()
    check_fit([spec], None, False)
    trainer = make_trainer(spec, prepare(spec, CPU), tmp_path / "run", CPU, Execution())
    found = trainer.model.state_dict()
    assert all(torch.equal(found[name], value) for name, value in state.items())
    other, _ = weights(tmp_path, ending, seed=4)
    assert spec_of(other).run_id != spec.run_id


def test_what_does_not_fit_or_is_not_there_is_refused(tmp_path: Path, cache_dir: Path) -> None:
    path, _ = weights(tmp_path, ".pt")
    with pytest.raises(UserError, match=r"recipe.init .* does not fit the model"):
        check_fit([spec_of(path, archs=["resnet8"])], None, False)
    with pytest.raises(UserError, match="there is no such file of weights"):
        spec_of(tmp_path / "nowhere.pt")
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(UserError, match=r"is not a file of weights|no state dict"):
        spec_of(tmp_path / "text.pt")
    with pytest.raises(UserError, match="no weights 000000000000 are in the cache"):
        spec_of("0" * 64)
    (kept,) = (cache_dir / "weights").iterdir()
    kept.write_bytes(kept.read_bytes()[:-1])
    with pytest.raises(UserError, match="its SHA-256 differs"):
        fill_initial(build_model("smallcnn", (1, 8, 8), 10), kept.stem)
