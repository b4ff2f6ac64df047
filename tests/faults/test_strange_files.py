"""What is no regular file, no image, no array, or means two things at once: each is one line."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support.harness import Answer, cli
from support.synthetic import make_eval_spec, make_spec, write_run

from regmix_bench.specs import MethodSpec

Tell = Callable[[Answer, str], None]


def one_line(found: Answer, *names: object) -> None:
    assert found.status == 2 and len(found.errors.splitlines()) == 1, found
    assert found.errors.startswith("error: ") and len(found.errors) < 1000, found
    assert all(str(name) in found.errors for name in names), found


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder with one record of each kind."""
    write_run(tmp_path / "results", make_spec())
    write_run(tmp_path / "results", make_eval_spec())
    return tmp_path / "results"


def replace(path: Path, kind: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    {
        "a FIFO": lambda: os.mkfifo(path),
        "a link to a device": lambda: path.symlink_to("/dev/zero"),
        "a folder": path.mkdir,
    }[kind]()


KINDS = pytest.mark.parametrize("kind", ["a FIFO", "a link to a device", "a folder"])


@KINDS
@pytest.mark.parametrize(
    "name",
    [
        *("digits/smallcnn/x.json", "published.yaml", "report/manifest.csv", "suite.yaml"),
        *("notes.yaml", "sheet.yaml"),
    ],
)
def test_in_place_of_a_file(results: Path, tell: Tell, name: str, kind: str) -> None:
    path = results / name
    replace(path, kind)
    report = ("report", "--results", results, "--out", results / "report", "--format", "csv")
    asked = {
        "suite.yaml": ("run", path, "--results", results, "--dry-run"),
        "published.yaml": (*report, "--with-published"),
        "sheet.yaml": ("verify", path),
        "notes.yaml": ("verify", results),
    }
    found = cli(*asked.get(name, report))
    one_line(found, path)
    tell(found, "all records; nothing was waited for")


@KINDS
@pytest.mark.parametrize("command", ["list runs", "check", "show"])
def test_in_place_of_a_record(results: Path, tell: Tell, command: str, kind: str) -> None:
    path = results / "digits" / "smallcnn" / "x-0123456789ab.json"
    replace(path, kind)
    asked = {"show": ["show", "0123456789ab"], "check": ["check", "--update"]}
    found = cli(*asked.get(command, command.split()), "--results", results)
    one_line(found, path)
    tell(found, "all records; nothing was waited for")


@KINDS
@pytest.mark.parametrize("name", ["a.pt", "a.safetensors", "a.pt2"])
def test_in_place_of_weights(tmp_path: Path, tell: Tell, name: str, kind: str) -> None:
    replace(tmp_path / name, kind)
    found = cli("eval", tmp_path / name, "--arch", "smallcnn", "--dataset", "digits", "--eps",
                "8/255", "--results", tmp_path / "results", "--device", "cpu")  # fmt: skip
    one_line(found)
    assert not (tmp_path / "results").exists()
    tell(found, "nothing was written, or waited for")


def plan(data: str, folder: Path) -> Answer:
    return cli("run", "--methods", "standard", "--datasets", data, "--archs", "smallcnn",
               "--results", folder / "results", "--dry-run")  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REGMIX_BENCH_CACHE", str(tmp_path / "cache"))
    for split in ("train", "test"):
        for name in "ab":
            (tmp_path / "tree" / split / name).mkdir(parents=True)
            Image.new("L", (8, 8)).save(tmp_path / "tree" / split / name / "0.png")
    return tmp_path / "tree"


@KINDS
@pytest.mark.parametrize("data", ["npz", "image"])
def test_in_place_of_data(tree: Path, tell: Tell, data: str, kind: str) -> None:
    path = tree / "a.npz" if data == "npz" else tree / "train" / "a" / "0.png"
    replace(path, kind)
    found = plan(f"npz:{path}" if data == "npz" else f"folder:{tree}", tree.parent)
    one_line(found, path)
    tell(found, "nothing was written, or waited for")


@pytest.mark.parametrize("form", ["EPS", "PDF", "ICO", "PCX"])
def test_an_image_of_another_format(tree: Path, tell: Tell, form: str) -> None:
    path = tree / "train" / "a" / "0.png"
    Image.new("RGB", (8, 8)).save(path, form)
    found = plan(f"folder:{tree}", tree.parent)
    one_line(found, path, "none of PNG, JPEG, WEBP, BMP, TIFF, GIF, PPM")
    tell(found, "nothing; no other program was started")


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
def test_an_image_of_a_format_that_is_read(tree: Path, tell: Tell, form: str) -> None:
    more = [Image.new("L", (8, 8), 200)]
    options: dict[str, Any] = {"save_all": True, "append_images": more} if form == "GIF" else {}
    Image.new("L", (8, 8), 90).save(tree / "train" / "a" / "0.png", form, **options)
    found = plan(f"folder:{tree}", tree.parent)
    assert found.status == 0, found
    tell(found, "the image, of a GIF the first frame")


def write_npz(path: Path, header: str, method: int = zipfile.ZIP_STORED) -> None:
    """Write an archive whose arrays are of zeros, the training images with this header."""
    whole = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 8, 8), }"
    with zipfile.ZipFile(path, "w", method) as archive:
        for key in ("train_images", "train_labels", "test_images", "test_labels"):
            said = header if key == "train_images" else whole
            start = b"\x93NUMPY\x01\x00\xf6\x00" + said.encode().ljust(245) + b"\n"
            archive.writestr(f"{key}.npy", start + bytes(128))


@pytest.mark.parametrize(
    "kind",
    ["a truth", "10^30", "2^64", "negative", "objects", "unclosed", "nested", "damaged LZMA",
     "damaged bzip2", "a wrong checksum", "a name twice", "a bomb in parts"],
)  # fmt: skip
def test_arrays_that_are_none(tmp_path: Path, tell: Tell, kind: str) -> None:
    path = tmp_path / "a.npz"
    shape = {"a truth": "(True, 8, 8)", "10^30": f"({10**30}, 8, 8)", "negative": "(-2, 8, 8)",
             "2^64": f"({2**32}, {2**32})", "nested": "(" * 99 + ")" * 99}  # fmt: skip
    form = {"damaged LZMA": zipfile.ZIP_LZMA, "damaged bzip2": zipfile.ZIP_BZIP2}
    descr = "|O" if kind == "objects" else "|u1"
    said = shape.get(kind, "(2, 8, 8)")
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {said}, "
    write_npz(path, header + ("" if kind == "unclosed" else "}"), form.get(kind, 0))
    content = bytearray(path.read_bytes())
    if kind.startswith("damaged"):
        content[60:80] = bytes(20)
    if kind == "a wrong checksum":
        content[350] ^= 1
    path.write_bytes(content)
    if kind == "a name twice":
        with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("train_images.npy", b"")
    if kind == "a bomb in parts":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for number in range(9):
                with archive.open(f"{number}.npy", "w") as member:
                    for _ in range(16):
                        member.write(bytes(2**23))
    found = plan(f"npz:{path}", tmp_path)
    one_line(found, path)
    tell(found, "nothing was unpacked that is no array")


SUITE = "methods: [standard]\neps: [8/255]\n"


YAML = {
    "a sexagesimal seed": ("seeds: [1:30]", "1:30"),
    "a seed that is a word": ("seeds: [yes]", "yes"),
    "a seed that is a truth": ("seeds: [true]", "input should be a number"),
    "a seed in hexadecimal": ("seeds: [0x10]", "0x10"),
    "a date": ("recipe: {epochs: 2001-01-01}", "2001-01-01"),
    "a key twice": ("eps: [16/255]", "key 'eps' stands twice"),
    "a key twice below": ("recipe: {lr: 1, lr: 2}", "key 'lr' stands twice"),
    "an endless alias": ("params: &p {standard: *p}", "stand for too many values"),
    "a tag": ("seeds: !!set {0}", "tag tag:yaml.org,2002:set is not read"),
    "a depth of 9,999": ("seeds: " + "[" * 9999, "is not YAML"),
    "a number of 9,999 digits": ("seeds: [" + "9" * 9999 + "]", "is not YAML"),
    "a control character": ("seeds: ['\x1b[2J']", "is not YAML"),
}


@pytest.mark.parametrize("kind", YAML)
def test_yaml_that_means_two_things(tmp_path: Path, tell: Tell, kind: str) -> None:
    line, reason = YAML[kind]
    (tmp_path / "suite.yaml").write_text(f"{SUITE}{line}\n")
    found = cli("run", tmp_path / "suite.yaml", "--results", tmp_path / "r", "--dry-run")
    one_line(found, reason)
    assert "\x1b" not in found.errors
    tell(found, "nothing was written")


def test_a_seed_with_a_zero_before_it(tmp_path: Path, tell: Tell) -> None:
    (tmp_path / "suite.yaml").write_text(f"{SUITE}seeds: [010]\n")
    found = cli("run", tmp_path / "suite.yaml", "--results", tmp_path / "r", "--dry-run")
    header, row = found.out.splitlines()[3:5]
    end = header.index("seed") + len("seed")
    assert found.status == 0 and row[:end].endswith(" 10"), found
    tell(found, "the seed is ten, as in YAML 1.2")


@pytest.mark.parametrize("kind", ["published numbers", "a record", "references"])
def test_a_key_that_stands_twice(results: Path, tell: Tell, kind: str) -> None:
    out = ("--results", results, "--out", results / "report", "--format", "csv")
    if kind == "published numbers":
        path = results / "published.yaml"
        path.write_text("rows: [{label: a, dataset: digits, label: b}]\n")
        found = cli("report", *out, "--with-published")
    elif kind == "a record":
        path = next((results / "digits" / "smallcnn").glob("*.json"))
        path.write_text(path.read_text().replace("{", '{"status": "error",', 1))
        found = cli("report", *out)
    else:
        path = results / "leaderboard.json"
        path.write_text('{"schema_version": 2, "schema_version": 3}')
        found = cli("check", "--results", results, "--reference", path)
    one_line(found, path, "stands twice")
    tell(found, "all records; neither of the two counts")


@pytest.mark.parametrize("kind", ["a number", "a tuple", "bytes", "nested"])
def test_a_state_dict_with_keys_that_are_no_text(tmp_path: Path, tell: Tell, kind: str) -> None:
    weight = torch.zeros(1)
    state: Any = {"a number": {1: weight}, "a tuple": {("a",): weight, "b": weight},
                  "bytes": {b"a": weight}, "nested": {"state_dict": {1: weight}}}  # fmt: skip
    torch.save(state[kind], tmp_path / "a.pt")
    found = cli("eval", tmp_path / "a.pt", "--arch", "smallcnn", "--dataset", "digits", "--eps",
                "8/255", "--results", tmp_path / "results", "--device", "cpu")  # fmt: skip
    one_line(found, tmp_path / "a.pt")
    tell(found, "nothing was written")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("command", ["list runs", "show", "compare", "report"])
def test_labels_that_a_terminal_would_obey(results: Path, tell: Tell, command: str) -> None:
    label = "\x1b]0;owned\x07\x1b[2Jtrades\u202e\x9b31m\u2066"
    method = MethodSpec(name="trades", version=1, params={"beta": label}, label=label)
    path = write_run(results, make_spec(method=method))
    other = write_run(results, make_spec(method=method, seed=1), autoattack=290)
    out = results / "report"
    found = {
        "show": lambda: cli("show", path),
        "compare": lambda: cli("compare", path, other, "--results", results),
        "report": lambda: cli("report", "--results", results, "--out", out,
                              "--format", "csv,markdown,latex,html,json,figures"),
    }.get(command, lambda: cli(*command.split(), "--results", results))()  # fmt: skip
    texts = [found.out, found.errors]
    if command == "report":
        kinds = (".csv", ".md", ".tex", ".html", ".json", ".js")
        pages = [p for p in out.rglob("*") if p.suffix in kinds and p.parent.name != "assets"]
        texts += [page.read_text() for page in pages]
        assert {page.suffix for page in pages} == set(kinds)
    assert found.status in (0, 1), found
    assert any("trades" in text for text in texts)
    for text in texts:
        assert not set(text) & set("\x1b\x07\x9b\u202e\u2066"), text[:500]
    tell(found, "all records; what a terminal would obey is shown by its number")


@pytest.mark.parametrize("kind", ["a library", "a size", "a name", "an operator"])
def test_a_program_that_runs_when_it_is_loaded(
    tmp_path: Path, unharmed: Path, tell: Tell, kind: str
) -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()
    path, harm = tmp_path / "model.pt2", f"__import__('os').mkdir('{unharmed.name}')"
    torch.export.save(torch.export.export(model, (torch.rand(2, 1, 8, 8),)), path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    graph = json.loads(members["model/models/model.json"])
    inside = graph["graph_module"]["graph"]
    if kind == "a library":
        members["model/data/aotinductor/model/model.so"] = b"\x7fELF"
    elif kind == "a size":
        inside["tensor_values"]["input"]["sizes"][0] = {"as_expr": {"expr_str": harm}}
    elif kind == "a name":
        inside["inputs"][-1]["as_tensor"]["name"] = f"input=[{harm}]"
    else:
        inside["nodes"][0]["target"] = "torch.os.mkdir"
        inside["nodes"][0]["inputs"] = [{"name": "", "arg": {"as_string": unharmed.name}}]
    members["model/models/model.json"] = json.dumps(graph).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    found = cli("eval", path, "--dataset", "digits", "--eps", "8/255",
                "--results", tmp_path / "results", "--device", "cpu")  # fmt: skip
    one_line(found, path, "which is not loaded")
    tell(found, "nothing of it was loaded")
