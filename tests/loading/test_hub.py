"""The Hugging Face hub, by its real client and a stand-in for the server."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from support.harness import answer, cli, start
from support.hub import COMMIT, READ_ONLY, TOKEN, Hub, local_hub
from support.saved import make_model, save_run

from regmix_bench.errors import UserError
from regmix_bench.loading.export import export_hub
from regmix_bench.loading.hub import Address, parse_address
from regmix_bench.loading.sources import load_any_model
from regmix_bench.records.store import load_run

hub_client = pytest.importorskip("huggingface_hub")

MODEL = make_model()
FILES = {"model.safetensors", "config.json", "README.md"}

#: Commands, each with changes of the environment, as [[changes, words], …]; prints the answers. One
#: process for all, as the client reads the address of the hub when it is imported.
PROGRAM = """
import json, os, sys
from support.harness import cli
found = []
for changes, words in json.loads(sys.argv[1]):
    before = dict(os.environ)
    os.environ.update(changes)
    for name in [name for name, value in changes.items() if not value]:
        del os.environ[name]
    if words[0] == "load_model":
        import torch
        from regmix_bench import load_model
        try:
            torch.save(load_model(words[1]).state_dict(), words[2])
            found.append([0, "", ""])
        except Exception as error:
            found.append([type(error).__name__, "", str(error)])
    else:
        said = cli(*words)
        found.append([said.status, said.out, said.errors])
    os.environ.clear()
    os.environ.update(before)
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Workplace:
    """A folder with a run in ./results, and a hub."""

    folder: Path
    run_id: str
    hub: Hub

    def do(self, *commands: tuple[dict[str, str], list[object]], where: str = "") -> list[Any]:
        """What became of commands: status, output and errors of each."""
        environment = {
            "HF_ENDPOINT": where or self.hub.address,
            "HF_HOME": str(self.folder / "hf"),
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        given = json.dumps([[changes, list(map(str, words))] for changes, words in commands])
        program = (sys.executable, "-c", PROGRAM)
        ended = answer(start(given, program=program, env=environment, cwd=self.folder))
        assert ended.status == 0, ended.errors
        return list(json.loads(ended.out.splitlines()[-1]))


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workplace]:
    monkeypatch.chdir(tmp_path)
    run_id = load_run(save_run(Path("results"), MODEL)).run_id
    with local_hub() as hub:
        yield Workplace(tmp_path, run_id, hub)


def test_a_model_goes_to_the_hub_and_comes_back(workplace: Workplace) -> None:
    pushed, other, loaded, scored = workplace.do(
        ({}, ["export", workplace.run_id, "--format", "hub", "--push", "org/net", "--out", "net"]),
        ({"HF_TOKEN": ""}, ["load_model", "hf:org/net", "loaded.pt"]),
        ({}, ["load_model", f"hf:org/net@{COMMIT}", "again.pt"]),
        (
            {"HF_TOKEN": ""},
            [
                *("eval", "hf:org/net@main", "--dataset", "digits", "--eps", "32/255"),
                *("--attacks", "apgd-ce", "--eval-examples", "10", "--device", "cpu"),
                *("--results", "scored"),
            ],
        ),
    )
    assert pushed[:2] == [0, "written: net\nuploaded: hf:org/net\n"], pushed
    assert workplace.hub.repositories["org/net"].keys() == FILES
    for name, content in workplace.hub.repositories["org/net"].items():
        assert content == Path("net", name).read_bytes()
    assert other[0] == loaded[0] == 0, (other, loaded)
    state = torch.load("loaded.pt")
    assert state.keys() == MODEL.state_dict().keys()
    assert all(torch.equal(value, state[key]) for key, value in MODEL.state_dict().items())
    assert scored[0] == 0, scored
    assert f"hf:org/net@main is at commit {COMMIT}" in scored[1] + scored[2]


def test_what_goes_wrong_is_one_line(workplace: Workplace) -> None:
    hub = workplace.hub
    exported = export_hub(workplace.run_id, Path("results"), Path("net"))
    whole = {path.name: path.read_bytes() for path in exported.iterdir()}
    hub.repositories = {
        "org/whole": whole,
        "org/unloaded": {name: whole[name] for name in FILES - {"model.safetensors"}},
        "org/pickled": {"pytorch_model.bin": b"", "config.json": whole["config.json"]},
        "org/strange": whole | {"config.json": b'{"model_type": "bert"}'},
        "org/altered": whole | {"model.safetensors": whole["model.safetensors"][:-1] + b"\1"},
        "org/vast": whole | {"config.json": b" " * (2**20 + 1)},
    }
    push = ["export", workplace.run_id, "--format", "hub", "--push"]
    cases: list[tuple[dict[str, str], list[object], str]] = [
        ({"HF_TOKEN": ""}, [*push, "org/n1"], "no token of the Hugging Face hub: set HF_TOKEN"),
        ({"HF_TOKEN": "hf_wrong"}, [*push, "org/n2"], "the hub refuses the token: org/n2"),
        ({"HF_TOKEN": READ_ONLY}, [*push, "org/n3"], "the hub does not let this token do that"),
        ({}, [*push, "../n4"], "'../n4' names no repository of the hub: write it like ORG/NAME"),
        ({}, ["load_model", "hf:org/none", "x"], "the hub has no org/none, or it is private"),
        ({"HF_TOKEN": "hf_wrong"}, ["load_model", "hf:org/whole", "x"], "refuses the token"),
        ({}, ["load_model", "hf:org/whole@old", "x"], "org/whole has no revision 'old'"),
        ({}, ["load_model", "hf:org/unloaded", "x"], "it has no model.safetensors"),
        ({}, ["load_model", "hf:org/pickled", "x"], "it has no model.safetensors"),
        ({}, ["load_model", "hf:org/strange", "x"], "is not an exported model: config.json"),
        ({}, ["load_model", "hf:org/altered", "x"], "its SHA-256 differs"),
        ({}, ["load_model", "hf:org/vast", "x"], "a config.json of 1,048,577 bytes, and at most"),
        ({}, ["load_model", "hf:org", "x"], "'org' names no repository of the hub"),
        ({}, ["eval", "hf:org/none", "--dataset", "digits", "--eps", "8/255"], "has no org/none"),
    ]
    for (_, words, expected), (status, out, errors) in zip(
        cases, workplace.do(*[(changes, words) for changes, words, _ in cases]), strict=True
    ):
        assert status in (2, "UserError"), (words, status, out, errors)
        assert expected in errors and errors.strip().count("\n") == 0, (words, errors)
    assert {path.name for path in workplace.folder.iterdir()} <= {
        "results",
        "net",
        "hf",
        "exported",
    }
    assert not any("pytorch_model.bin" in asked for asked in hub.asked)


def test_without_a_network_it_is_one_line(workplace: Workplace) -> None:
    found = workplace.do(
        ({}, ["load_model", "hf:org/net", "x"]),
        ({}, ["eval", "hf:org/net", "--dataset", "digits", "--eps", "8/255"]),
        ({}, ["export", workplace.run_id, "--format", "hub", "--push", "org/net"]),
        where="http://127.0.0.1:9",
    )
    for status, out, errors in found:
        assert (status in (2, "UserError"), out) == (True, ""), errors
        assert "cannot reach the hub for org/net: " in errors
        assert errors.strip().count("\n") == 0


def test_the_hub_reads_the_card(tmp_path: Path) -> None:
    path = save_run(tmp_path / "results", MODEL)
    folder = export_hub(str(path), tmp_path / "results", tmp_path / "net", licence="cc-by-4.0")
    record = load_run(path)
    card = hub_client.ModelCard.load(folder / "README.md")
    data = hub_client.metadata_load(folder / "README.md")
    assert (data["license"], data["pipeline_tag"]) == ("cc-by-4.0", "image-classification")
    scored = record.evaluations[0]
    measured = {r.metric_args["measure"]: r.metric_value for r in card.data.eval_results}
    assert measured == {
        "clean_acc": scored.clean_acc,
        "pgd_acc": scored.pgd_acc,
        "autoattack_acc": scored.autoattack_acc,
    }
    names = [result.metric_name for result in card.data.eval_results]
    assert names == ["Clean", "PGD-20, L∞ 32/255", "AutoAttack, L∞ 32/255"]
    for result in card.data.eval_results:
        assert (result.task_type, result.dataset_type) == ("image-classification", "digits")
    text = card.text
    assert record.run_id in text and "## Threat model" in text and "cc-by-4.0" in text
    assert "@misc{" in text and "regmix-bench}: Adversarial training" in text
    assert "| L∞ 32/255 | 360 |" in text
    loaded = load_any_model(
        str(folder),
        results=tmp_path,
        dataset="digits",
        norm="Linf",
        image_shape=(1, 8, 8),
        num_classes=10,
    )
    assert loaded.source.name == f"{record.run_id}:selected"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf:org/net", Address("org/net")),
        ("hf:org/net@v1.0", Address("org/net", "v1.0")),
        ("hf:org/net@refs/pr/1", Address("org/net", "refs/pr/1")),
    ],
)
def test_an_address_names_a_repository_and_a_revision(text: str, expected: Address) -> None:
    assert parse_address(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    "text",
    ["hf:", "hf:net", "hf:/net", "hf:../net", "hf:org/a/b", "hf:org/net@", "hf:org/net@../main"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="write it like"):
        parse_address(text)


def test_options_of_the_hub_belong_to_its_format(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in (["--push", "org/net"], ["--license", "cc0-1.0", "--format", "robustbench"]):
        answered = cli("export", workplace.run_id, *words)
        assert (answered.status, answered.out) == (2, "")
        assert "--push and --license belong to --format hub" in answered.errors
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for command in (
        ["export", workplace.run_id, "--format", "hub", "--push", "org/net"],
        ["eval", "hf:org/net", "--dataset", "digits", "--eps", "8/255"],
    ):
        answered = cli(*command)
        assert (answered.status, answered.errors.count("\n")) == (2, 1)
        assert re.search(r'not installed: pip install "regmix-bench\[hub\]"', answered.errors)
    assert not Path("exported").exists()
