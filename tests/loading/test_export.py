"""Exports: what others read is what was measured, and nothing of theirs is overwritten."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from support.harness import cli
from support.saved import make_model, save_run
from support.synthetic import unmeasured

import regmix_bench
from regmix_bench.analysis.statistics import wilson_interval
from regmix_bench.errors import UserError
from regmix_bench.loading.export import export_hub, export_robustbench, export_safetensors
from regmix_bench.loading.folders import from_folder
from regmix_bench.loading.robustbench import import_robustbench
from regmix_bench.records.store import load_run
from regmix_bench.specs import DataNames, Scoring
from regmix_bench.types import ThreatModel

SHAPE = (1, 8, 8)
MODEL = make_model()
FILES = {"model.safetensors", "graph.pt2", "config.json", "README.md"}


@pytest.fixture
def run_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A digits run whose record lies in ./results."""
    monkeypatch.chdir(tmp_path)
    return load_run(save_run(Path("results"), MODEL)).run_id


def export(run: str, **changes: Any) -> Path:
    return export_safetensors(run, Path("results"), **changes)


# Runs a card's code where regmix_bench cannot be imported, and saves what the model computes.
STRANGER = """
import sys
sys.modules["regmix_bench"] = sys.modules["regmix_baselines"] = None
{code}
images = torch.load({data!r})["images"].requires_grad_()
logits = model(images)
gradient, = torch.autograd.grad(logits.square().sum(), images)
torch.save({{"logits": logits.detach(), "gradient": gradient, "shape": list(
    model(torch.rand(1, 1, 8, 8)).shape)}}, {out!r})
"""


def test_the_code_of_the_card_runs_without_this_package(run_id: str, tmp_path: Path) -> None:
    folder = export(run_id)
    code = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert len(code) == 1 and len(code[0].splitlines()) <= 10
    images = torch.rand(3, *SHAPE)
    data, out = str(tmp_path / "data.pt"), str(tmp_path / "out.pt")
    torch.save({"images": images}, data)

    finished = subprocess.run(
        [sys.executable, "-c", STRANGER.format(code=code[0], data=data, out=out)],
        cwd=folder,
        env=unmeasured(),
        capture_output=True,
        text=True,
    )

    assert finished.returncode == 0, finished.stderr
    theirs = torch.load(out)
    images.requires_grad_()
    logits = MODEL(images)
    (gradient,) = torch.autograd.grad(logits.square().sum(), images)
    torch.testing.assert_close(theirs["logits"], logits.detach(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(theirs["gradient"], gradient, rtol=1e-6, atol=1e-6)
    assert theirs["shape"] == [1, 10]


def test_the_card_holds_what_was_measured(tmp_path: Path) -> None:
    scored = {"checks": ("zero-gradients",), "after_attack": {"apgd-ce": 0.9, "square": 300 / 360}}
    run = str(save_run(tmp_path / "results", MODEL, scored=scored))
    card = (export(run, out=tmp_path / "model") / "README.md").read_text()
    cells = []
    for right in (340, 310, 300):
        low, high = wilson_interval(right, 360)
        cells.append(f"{right / 3.6:.1f} [{100 * low:.1f}, {100 * high:.1f}]")
    assert f"| L∞ 32/255 | 360 | {' | '.join(cells)} |" in card.replace("\\", "")
    assert "AutoAttack version standard (apgd-ce, square), seed 0, batches of 500" in card
    assert "AutoAttack raised zero-gradients" in card
    assert "L∞ 32/255" in card and "50 epochs" in card and "epoch 7 of 50" in card
    assert "beta = 6.0" in card


def test_the_card_of_a_screened_run_holds_its_robust_accuracy(tmp_path: Path) -> None:
    scored = {"autoattack_acc": None, "screened_acc": 216 / 360}
    scoring = Scoring(screen=True)
    run = str(save_run(tmp_path / "results", MODEL, scored=scored, scoring=scoring))
    card = (export(run, out=tmp_path / "model") / "README.md").read_text().replace("\\", "")
    (header,) = (line for line in card.splitlines() if line.startswith("| Threat"))
    (row,) = (line for line in card.splitlines() if line.startswith("| L∞ 32/255"))
    assert header.split(" | ")[-1] == "PGD → AutoAttack |"
    assert row.split(" | ")[-1].startswith("60.0 [")
    assert "AutoAttack version standard, seed 0" in card


def test_data_of_a_path_are_called_by_their_name(tmp_path: Path) -> None:
    own = {"dataset": "npz-593afea0f413", "data_names": DataNames(title="Ward 3")}
    folder = export(str(save_run(tmp_path / "results", MODEL, **own)), out=tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    assert (config["dataset"], config["dataset_name"]) == ("npz-593afea0f413", "Ward 3")
    assert "Ward 3" in (folder / "README.md").read_text()


def test_a_checkpoint_that_was_not_scored_says_so(run_id: str) -> None:
    folder = export(run_id, checkpoint="last")
    assert folder.name.endswith("-last")
    assert "This checkpoint was not scored." in (folder / "README.md").read_text()


def test_no_path_of_the_machine_leaves_it(run_id: str, tmp_path: Path) -> None:
    folder = export(run_id, out=Path("model"))
    homes = (
        str(tmp_path),
        str(Path(regmix_bench.__file__).parent),
        str(Path(torch.__file__).parent),
    )
    for file in folder.iterdir():
        content = file.read_bytes()
        assert not [home for home in homes if home.encode() in content], file.name


def test_a_description_that_was_altered_is_refused(run_id: str) -> None:
    folder = export_hub(run_id, Path("results"), Path("net"))
    written = json.loads((folder / "config.json").read_text())
    altered: list[tuple[str, object, str]] = [
        ("arch", "resnet8", "arch is 'resnet8' in config.json, and 'smallcnn' in model.safetens"),
        ("image_shape", [3, 8, 8], "image_shape is (3, 8, 8) in config.json, and (1, 8, 8) in"),
        ("num_classes", -1, "num_classes is -1 in config.json, and 10 in model.safetensors"),
        ("run_id", "../../etc", "config.json does not describe one (run_id: "),
        ("label", "", "config.json does not describe one (label: input should not be empty"),
        ("epoch", -5, "config.json does not describe one (epoch: "),
    ]
    for key, value, said in altered:
        (folder / "config.json").write_text(json.dumps(written | {key: value}))
        with pytest.raises(UserError, match=re.escape(f"net is not an exported model: {said}")):
            from_folder(folder)


@pytest.mark.parametrize("key", ["clean_acc", "autoattack_acc"])
def test_numbers_that_were_edited_reach_no_card(tmp_path: Path, key: str) -> None:
    results = tmp_path / "results"
    path = save_run(results, MODEL)
    export_hub(str(path), results, tmp_path / "whole")
    content = json.loads(path.read_text())
    content["evaluations"][0][key] = 0.97
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="does not hold the outcomes that its record counts"):
        export_hub(str(path), results, tmp_path / "net")
    assert not (tmp_path / "net").exists()


def test_an_export_replaces_an_older_one(run_id: str) -> None:
    folder = export(run_id)
    (folder / "README.md").write_text("old")
    (folder / "graph.pt2").unlink()
    assert export(run_id) == folder
    assert {path.name for path in folder.iterdir()} == FILES
    assert "## Measured" in (folder / "README.md").read_text()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_the_export_of_another_run_is_left_alone(run_id: str) -> None:
    folder = export(run_id, out=Path("mine"))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    other = load_run(save_run(Path("results"), MODEL, seed=1)).run_id
    with pytest.raises(UserError, match=f"holds the export of run {run_id}: choose another --out"):
        export(other, out=folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_folder_that_cannot_be_read_is_one_line(run_id: str) -> None:
    with pytest.raises(UserError, match=r"^cannot write .*: File name too long$"):
        export(run_id, out=Path("n" * 300))


@pytest.mark.parametrize("name", ["notes.txt", "README.md", "config.json"])
def test_a_folder_of_something_else_is_left_alone(run_id: str, name: str) -> None:
    folder = Path("mine")
    folder.mkdir()
    (folder / name).write_text("{}")
    with pytest.raises(UserError, match="mine"):
        export(run_id, out=folder)
    assert [path.read_text() for path in folder.iterdir()] == ["{}"]
    with pytest.raises(UserError, match="is a file"):
        export(run_id, out=folder / name)


def test_an_interrupted_export_leaves_the_older_one(
    run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = export(run_id)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def interrupt(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("regmix_bench.loading.export.model_card", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export(run_id)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert list(folder.parent.iterdir()) == [folder]
    with pytest.raises(KeyboardInterrupt):
        export(run_id, out=Path("new"))
    assert not Path("new").exists()


@pytest.fixture
def leaderboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of a CIFAR-10 run, in the working folder."""
    monkeypatch.chdir(tmp_path)
    shape = (3, 8, 8)
    model = make_model("resnet8", shape)
    run = {"dataset": "cifar10", "arch": "resnet8", "epsilon": "8/255", "label": "fgsm-pgi[a_=1]"}
    return save_run(tmp_path / "results", model, shape, scored={"n_examples": 200}, **run)


def test_robustbench_reads_the_entry(leaderboard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = export_robustbench(str(leaderboard), Path("results"))
    assert path.parts[:3] == ("model_info", "cifar10", "Linf")
    utils = import_robustbench("robustbench.utils")
    dataset, linf = utils.BenchmarkDataset.cifar_10, utils.ThreatModel.Linf

    assert set(json.loads(path.read_text())) <= set(utils.ModelInfo.__dataclass_fields__)
    latex = utils.get_leaderboard_latex(dataset, linf)
    assert latex.endswith(
        r"\citet{fgsm-pgi-a-1-Linf-8-255-s0-"
        + path.stem.split("-")[-1].partition("_")[0]
        + r"} & 94.44 & 83.33 & N & resnet8 & N/A & N/A\\"
    )
    entries, _ = utils.get_leaderboard_bibtex(dataset, linf)
    assert entries == set()  # no paper, no citation

    utils.update_json(dataset, linf, path.stem, 0.5, 0.25, 8 / 255)
    updated = json.loads(path.read_text())
    assert (updated["clean_acc"], updated["autoattack_acc"]) == ("50.0", "25.0")
    assert updated["footnote"].startswith("200 of 360 test images. Selected checkpoint, epoch 7.")


def test_robustbench_lists_the_entry_once_its_zoo_has_the_model(
    leaderboard: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = export_robustbench(str(leaderboard), Path("results"))
    utils = import_robustbench("robustbench.utils")
    dataset, linf = utils.BenchmarkDataset.cifar_10, utils.ThreatModel.Linf
    monkeypatch.setitem(utils.all_models[dataset][linf], path.stem, {})
    utils.list_available_models(dataset, linf)
    row = capsys.readouterr().out.splitlines()[-1]
    assert path.stem in row and "94.44%" in row and "83.33%" in row and "resnet8" in row


def test_the_fields_that_robustbench_prints(leaderboard: Path) -> None:
    entry = json.loads(export_robustbench(str(leaderboard), Path("results")).read_text())
    del entry["name"], entry["footnote"]
    assert entry == {
        "link": "",
        "authors": "",
        "additional_data": False,
        "number_forward_passes": 1,
        "dataset": "cifar10",
        "venue": "N/A",
        "architecture": "resnet8",
        "eps": "8/255",
        "clean_acc": "94.44",
        "reported": "83.33",
        "autoattack_acc": "83.33",
    }


def test_an_entry_is_not_overwritten(leaderboard: Path) -> None:
    path = export_robustbench(str(leaderboard), Path("results"))
    path.write_text("{}")
    with pytest.raises(UserError, match="stands already"):
        export_robustbench(str(leaderboard), Path("results"))
    assert path.read_text() == "{}"


def test_what_robustbench_has_no_place_for(run_id: str, leaderboard: Path) -> None:
    for run, epsilon, message in (
        (run_id, None, "no leaderboard of 'digits', only of cifar10 and cifar100"),
        (str(leaderboard), "4/255", "no score of its selected checkpoint .* at Linf 4/255"),
        (str(leaderboard), "four", "epsilon 'four' is not a number"),
    ):
        with pytest.raises(UserError, match=message):
            export_robustbench(run, Path("results"), epsilon=epsilon)
    assert not Path("model_info").exists()


def test_only_the_standard_attack_counts(tmp_path: Path) -> None:
    model = make_model("resnet8", (3, 8, 8))
    run = {"dataset": "cifar10", "arch": "resnet8", "scored": {"autoattack_version": "plus"}}
    path = save_run(tmp_path / "results", model, (3, 8, 8), **run)
    with pytest.raises(UserError, match="AutoAttack's standard version at Linf 32/255"):
        export_robustbench(str(path), tmp_path / "results", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_budget_has_a_name_of_its_own(tmp_path: Path) -> None:
    threats = (ThreatModel("Linf", "32/255"), ThreatModel("Linf", "8/255"))
    run = {"dataset": "cifar100", "arch": "resnet8", "eval_threats": threats}
    record = save_run(tmp_path / "results", make_model("resnet8", (3, 8, 8)), (3, 8, 8), **run)
    paths = {
        export_robustbench(str(record), tmp_path, tmp_path, epsilon=epsilon)
        for epsilon in (None, "8/255")
    }
    assert sorted(json.loads(path.read_text())["eps"] for path in paths) == ["32/255", "8/255"]


def test_the_command_writes_both_forms(leaderboard: Path) -> None:
    def command(*arguments: str) -> str:
        printed = cli("export", leaderboard, *arguments)
        assert printed.status == (2 if printed.errors else 0)
        return printed.out + printed.errors

    assert "written: model\n" in command("--out", "model")
    assert {path.name for path in Path("model").iterdir()} == FILES
    assert "fill in its link and authors" in command("--format", "robustbench")
    assert len(list(Path("model_info/cifar10/Linf").glob("*.json"))) == 1
    assert "not one of 'safetensors', 'robustbench'" in command("--format", "robustbnch")
    assert "--eps chooses the score of a robustbench entry" in command("--eps", "8/255")
