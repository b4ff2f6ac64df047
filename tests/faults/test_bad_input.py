"""Bad input: one line that names the value and what would be valid, exit 2, nothing written."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.harness import answer, cli, start
from support.synthetic import make_spec, write_run

from regmix_bench.analysis.references import renew_references
from regmix_bench.grid.plan import plan
from regmix_bench.records import paths, store

Run = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch) -> Run:
    """Runs the command line, which must refuse; returns its one line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REGMIX_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("REGMIX_BENCH_DATA", str(tmp_path / "data"))

    def run(*arguments: str) -> str:
        before = snapshot(tmp_path)
        found = cli(*arguments)
        assert found.status == 2, found
        assert found.errors.startswith("error: ") and len(found.errors.splitlines()) == 1, found
        assert snapshot(tmp_path) == before
        return found.errors

    return run


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder with its size and time of change."""
    found = {str(path): path.lstat() for path in folder.rglob("*")}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in found.items()}


TRADES = ("run", "--methods", "trades")
EVAL = ("eval", "models:build", "--dataset", "digits", "--eps", "8/255")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "--methods", "tradez"), ["method 'tradez'", "did you mean 'trades'?"]),
        (("run", "--methods", "€"), ["method '€'", "choose from", "pgd-at"]),
        (("run", "--methods", ""), ["methods"]),
        (("run", "--methods", "trades["), ["'trades['", "name[key=value"]),
        (("run", "--methods", "trades[bta=3]"), ["'bta'", "'beta'"]),
        (("run",), ["digits", "--methods"]),
        ((*TRADES, "--norm", "L2"), ["--norm L2 needs --eps"]),
        ((*TRADES, "--graphs", "on", "--device", "cpu"), ["graphs 'on'", "--graphs off"]),
        (("run", "digits", "--methods", "trades", "--norm", "L2"), ["--norm L2 needs --eps"]),
        ((*TRADES, "--set", "scoring.autoattack_seed=-1"), ["autoattack_seed = -1"]),
        ((*TRADES, "--set", f"scoring.autoattack_seed={2**63}"), [f"{2**63}", "less than"]),
        ((*TRADES, "--set", f"scoring.autoattack_batch_size={2**31}"), [f"{2**31}", "less than"]),
        ((*TRADES, "--results", ""), ["results is empty: give text or a path"]),
        ((*TRADES, "--reference", " "), ["reference is empty: give text"]),
        (("tune", ""), ["suite is empty"]),
        (("report", "--out", ""), ["out is empty"]),
        (("tune", "--methods", "trades", "--name", ""), ["name is empty"]),
        (("check", "--update", "--only", "*"), ["--update renews all references", "--only"]),
        (("run", "digit"), ["suite 'digit'", "'digits'"]),
        ((*TRADES, "--datasets", "digit"), ["dataset 'digit'", "'digits'"]),
        ((*TRADES, "--datasets", "../up"), ["'../up'", "folder:PATH"]),
        ((*TRADES, "--archs", "resnet-8"), ["architecture 'resnet-8'", "'resnet8'"]),
        ((*TRADES, "--set", "trades.bta=3"), ["'bta'", "'beta'"]),
        ((*TRADES, "--set", "trade.beta=3"), ["'trade'", "'trades'"]),
        ((*TRADES, "--set", "recipe.epoch=3"), ["'epoch'", "'epochs'"]),
        ((*TRADES, "--set", "trades.beta=much"), ["trades.beta", "'much'", "number"]),
        ((*TRADES, "--set", "trades.beta"), ["'trades.beta'", "trades.beta=3"]),
        ((*TRADES, "--set", "mart.beta=1"), ["'mart'", "trades"]),
        ((*TRADES, "--eps", "-8/255"), ["'-8/255'", "above zero"]),
        ((*TRADES, "--eps", "0"), ["'0'", "above zero"]),
        ((*TRADES, "--eps", "0/255"), ["'0/255'", "above zero"]),
        ((*TRADES, "--eps", "8"), ["epsilon 8", "above 1", "8/255"]),
        ((*TRADES, "--eps", "eight"), ["'eight'", "8/255"]),
        ((*TRADES, "--eps", "nan"), ["'nan'", "8/255"]),
        ((*TRADES, "--eps", "8/0"), ["'8/0'", "8/255"]),
        ((*TRADES, "--eps", ""), ["eps"]),
        ((*TRADES, "--eval-eps", "300/255"), ["300/255", "above 1"]),
        ((*TRADES, "--threats", "L3:1"), ["'L3'", "did you mean"]),
        ((*TRADES, "--threats", "Linf:8/255,Linf:2"), ["epsilon 2 is above 1"]),
        ((*TRADES, "--threats", "L2:9"), ["epsilon 9 is above 8", "1×8×8"]),
        ((*TRADES, "--threats", "Linf:8/255,L1:65"), ["epsilon 65 is above 64", "L1"]),
        ((*TRADES, "--threats", "L1:0..2:1"), ["L1:0..2:1", "Linf:0..16/255:5"]),
        (
            (*TRADES, "--threats", "L1:2", "--set", "scoring.autoattack_version=plus"),
            ["plus", "L1", "standard"],
        ),
        ((*TRADES, "--threats", "L2:1", "--attacks", "apgd-t[use_largereps=true]"), ["L1"]),
        ((*TRADES, "--norm", "L3"), ["'L3'", "L2"]),
        (("run", "--methods", "fgsm-pgi", "--norm", "L2"), ["'fgsm-pgi'", "Linf", "L2"]),
        ((*TRADES, "--seeds", "-1"), ["seeds", "-1"]),
        ((*TRADES, "--seeds", "one"), ["seeds", "'one'"]),
        ((*TRADES, "--set", "recipe.epochs=0"), ["recipe.epochs = 0"]),
        ((*TRADES, "--eval-examples", "3"), ["eval_examples 3", "10 to 360"]),
        ((*TRADES, "--eval-examples", "361"), ["eval_examples 361", "360"]),
        ((*TRADES, "--set", "data.train_examples=11"), ["train_examples", "two are needed"]),
        ((*TRADES, "--evaluate", "best"), ["'best'", "selected"]),
        ((*TRADES, "--device", "gpu"), ["--device", "'gpu'", "'cpu'"]),
        ((*TRADES, "--devices", "0"), ["devices 0", "use 1 to"]),
        ((*TRADES, "--launcher", "slurm"), ["--launcher", "'slurm'", "'ray'"]),
        ((*TRADES, "--address", "auto"), ["--address auto", "--launcher ray"]),
        ((*TRADES, "--set", "recipe.precision=fp16"), ["recipe.precision = 'fp16'", "'bf16'"]),
        ((*TRADES, "--set", "recipe.batches=odd"), ["recipe.batches = 'odd'", "'equal'"]),
        (
            (*TRADES, "--set", "recipe.batches=equal", "--set", "recipe.batch_size=1295"),
            ["recipe.batches = 'equal'", "1294", "a batch of 1295"],
        ),
        (
            (*TRADES, "--set", "recipe.batches=equal", "--set", "data.train_examples=100"),
            ["recipe.batches = 'equal'", "90", "a batch of 128"],
        ),
        (
            (*TRADES, "--set", "scoring.search_precision=fp16"),
            ["scoring.search_precision = 'fp16'", "'tf32'"],
        ),
        (
            (*TRADES, "--device", "cpu", "--set", "scoring.search_precision=tf32"),
            ["scoring.search_precision tf32", "a CPU does not compute in it"],
        ),
        (
            (*EVAL, "--device", "cpu", "--set", "scoring.search_precision=tf32"),
            ["scoring.search_precision tf32", "a CPU does not compute in it"],
        ),
        ((*EVAL, "--set", "scoring.search_precision=half"), ["search_precision = 'half'"]),
        ((*EVAL, "--device", "cpu", "--graphs", "on"), ["graphs 'on'", "--graphs off"]),
        (
            (*TRADES, "--set", "recipe.validation_precision=fp16"),
            ["recipe.validation_precision = 'fp16'", "'tf32'"],
        ),
        (
            (*TRADES, "--device", "cpu", "--set", "recipe.validation_precision=tf32"),
            ["recipe.validation_precision tf32", "a CPU does not compute in it"],
        ),
        ((*TRADES, "--set", "data.nonsense=1"), ["key of data 'nonsense'", "eval_examples"]),
        ((*TRADES, "--set", "data.train_examples=0"), ["data.train_examples = 0", "1"]),
        ((*TRADES, "--set", "dta.train_examples=9"), ["--set key 'dta'", "'data'"]),
        (
            (
                *TRADES,
                "--set",
                "scoring.autoattack_version=custom",
                "--set",
                "scoring.attacks=[pg]",
            ),
            ["attack 'pg'"],
        ),
        ((*TRADES, "--datasets", "cifar10"), ["cifar10", "--data-dir", "--download"]),
        ((*TRADES, "--datasets", "folder:gone"), ["gone"]),
        ((*TRADES, "--datasets", "npz:gone.npz"), ["gone.npz"]),
        ((*TRADES, "--datasets", "npz:two\nlines"), ["there is no two lines"]),
        (("report", "--format", "pdf"), ["'pdf'", "latex"]),
        *(
            (("report", "--target-accuracy", text), [f"--target-accuracy {text} is no share"])
            for text in ("45", "0", "-0.5", "nan")
        ),
        (("report",), ["no records in results"]),
        (("check",), ["leaderboard.json", "--update"]),
        (("list", "method"), ["'method'", "'methods'"]),
        (("show", "3f2a"), ["'3f2a'", "none is recorded in results"]),
        (("show", "gone.json"), ["gone.json"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_refused(refused: Run, arguments: tuple[str, ...], said: list[str]) -> None:
    line = refused(*arguments)
    for part in said:
        assert part in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("methods: [trades", ["not YAML"]),
        ("just words", ["mapping"]),
        ("methods: [trades]\neps: [8/255]\nseed: [0]", ["'seed'", "'seeds'"]),
        ("methods: [trades]\neps: [8/255]\nrecipe: {lrr: 1}", ["'lrr'", "'lr'"]),
        ("methods: [trades]\neps: [8/255]\nrecipe: 3", ["recipe"]),
        ("methods: [trades]", ["eps"]),
        ("!!python/object/apply:os.mkdir [owned]", ["not YAML"]),
        ("\x00", ["not YAML"]),
        ("methods: [trades]\neps: [8/255]\nmethods: [mart]", ["'methods' stands twice"]),
        (
            "methods: [trades]\neps: [8/255]\nrecipe: {lr: 1, lr: 2}",
            ["'lr' stands twice", "line 3"],
        ),
    ],
)
def test_a_suite_that_is_none_is_refused(
    refused: Run, tmp_path: Path, text: str, said: list[str]
) -> None:
    (tmp_path / "my.yaml").write_text(text)
    line = refused("run", "my.yaml")
    for part in said:
        assert part in line


def test_a_suite_that_is_not_text_is_refused(refused: Run, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_bytes(b"\xff\xfe\x00")
    assert "my.yaml" in refused("run", "my.yaml")


def save_image(path: Path, size: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(size).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("fault", ["empty", "one split", "mixed sizes", "truncated"])
def test_a_folder_that_cannot_be_used_is_refused(refused: Run, tmp_path: Path, fault: str) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            for number in range(2 if fault != "empty" else 0):
                save_image(root / split / name / f"{number}.png")
    bad = root / "train" / "dog" / "1.png"
    if fault == "one split":
        save_image(root / "test" / "emu" / "0.png")
    elif fault == "mixed sizes":
        save_image(bad, size=9)
    elif fault == "truncated":
        bad.write_bytes(bad.read_bytes()[:100])
    expected = {"empty": "tree", "one split": "emu", "mixed sizes": "1.png", "truncated": "1.png"}
    assert expected[fault] in refused(*TRADES, "--datasets", f"folder:{root}")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("test_labels", None, "test_labels"),
        ("test_labels", np.array([0, 7]), "7"),
        ("train_labels", np.array([0, -1, 0, 1]), "-1"),
        ("train_labels", np.array([0, np.nan, 0, 1]), "nan"),
        ("train_images", np.full((4, 8, 8), np.nan), "nan"),
        ("train_images", np.array([{"a": 1}] * 4, dtype=object), "train_images"),
    ],
)
def test_an_array_file_that_cannot_be_used_is_refused(
    refused: Run, tmp_path: Path, key: str, value: np.ndarray | None, said: str
) -> None:
    arrays = {
        "train_images": np.zeros((4, 8, 8), np.uint8),
        "train_labels": np.array([0, 1, 0, 1]),
        "test_images": np.zeros((2, 8, 8), np.uint8),
        "test_labels": np.array([0, 1]),
    }
    del arrays[key]
    if value is not None:
        arrays[key] = value
    np.savez(tmp_path / "data.npz", **arrays)
    line = refused(*TRADES, "--datasets", f"npz:{tmp_path / 'data.npz'}")
    assert said in line and "data.npz" in line


@pytest.mark.parametrize(
    ("classes", "method", "mass", "said"),
    [
        (3, "trades", 0.33, "recipe.true_class_mass = 0.33: among 3 classes"),
        (2, "fgsm-pgi", 0.4, "recipe.true_class_mass = 0.4: among 2 classes"),
        (2, "liet", None, "recipe.true_class_mass = method, for liet 0.4: among 2 classes"),
    ],
)
@pytest.mark.parametrize("kind", ["npz", "folder"])
def test_labels_that_favour_a_wrong_class_of_a_user_s_data_are_refused(
    refused: Run, tmp_path: Path, kind: str, classes: int, method: str, mass: float | None, said
) -> None:
    """How many classes there are, the data alone say."""
    images = np.random.default_rng(0).integers(0, 256, (6 * classes, 8, 8, 3), np.uint8)
    labels = np.arange(len(images)) % classes
    data = tmp_path / "tree"
    if kind == "npz":
        data = tmp_path / "data.npz"
        arrays = {"train_images": images, "train_labels": labels}
        np.savez(data, test_images=images[::-1], test_labels=labels[::-1], **arrays)
    else:
        for number, label in enumerate(labels):
            split = "train" if number < 4 * classes else "test"
            save_image(data / split / f"class {label}" / f"{number}.png", size=8)
    settings = () if mass is None else ("--set", f"recipe.true_class_mass={mass}")
    place = ("--datasets", f"{kind}:{data}", "--archs", "smallcnn", "--device", "cpu")
    # What is read of the data is kept, and refused no more.
    assert cli("run", "--methods", "standard", *place, "--dry-run").status == 0
    assert said in refused("run", "--methods", method, *place, *settings)


@pytest.mark.parametrize("command", ["report", "check", "list runs", "show", "run"])
def test_a_record_of_a_newer_schema_is_refused(refused: Run, tmp_path, command: str) -> None:
    # `run` meets only records of its own cells, so this is one that it plans.
    (spec,) = plan([{"methods": ["trades"], "eps": ["8/255"], "recipe": {"precision": "fp32"}}])
    path = write_run(tmp_path / "results", spec)
    renew_references(tmp_path / "results", tmp_path / "results" / paths.LEADERBOARD)
    content = json.loads(path.read_text()) | {"schema_version": 99}
    path.write_text(json.dumps(content))
    arguments = {
        "show": ["show", str(path)],
        "run": ["run", "--methods", "trades", "--eps", "8/255", "--device", "cpu"],
    }.get(command, command.split())
    line = refused(*arguments)
    assert "schema 99" in line and "upgrade regmix-bench" in line


@pytest.mark.parametrize(
    ("command", "results"),
    [
        (TRADES, "file"),
        (TRADES, "file/below"),
        (("list", "runs"), "file"),
        (("report",), "file"),
        (("check",), "file"),
    ],
)
def test_results_that_are_no_folder_are_refused(refused, tmp_path, command, results) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert "file" in refused(*command, "--results", results)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("report", "--style", "nature"), "'nature' is not one of 'plain', 'neurips'"),
        *(
            (("report", "--width", width), f"--width {width!r} is n")
            for width in ("0in", "-3in", "nanin", "3.25", "3.25furlong", "9" * 30 + "cm")
        ),
        (("report", "--font", "No Such"), "unknown font 'No Such'"),
        (("report", "--methods", "tradez"), "unknown method 'tradez': did you mean 'trades'?"),
        (("report", "--methods", ","), "has an empty place"),
        (("report", "--rows", "liet"), "unknown row 'liet'"),
        (
            ("report", "--rows", "liet", "--format", "json"),
            "--rows changes LaTeX tables, which --format json has not",
        ),
        (("report", "--table-columns", "price"), "unknown table column 'price'"),
        (("report", "--notes", "long"), "'long' is not one of 'full'"),
        (("report", "--columns", "0"), "unknown number of columns 0"),
        *(
            ((command, *choice), said)
            for command in ("report", "serve")
            for choice, said in (
                (("--reference", "liet"), "unknown reference 'liet'"),
                (("--across", "colour"), "unknown --across 'colour'"),
                (("--suite", "digitz"), "unknown suite 'digitz'"),
                (("--suite", "digits"), "runs asked for is recorded in results"),
                (("--target-accuracy", "2"), "--target-accuracy 2 is no share"),
            )
        ),
        (("serve", "--style", "icml"), "no such option: --style"),
        (("serve", "--port", "high"), "--port"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else "",
)
def test_what_a_report_cannot_show_is_refused_and_what_lies_there_is_kept(
    refused: Run, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    write_run(tmp_path / "results", make_spec("trades"))
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "table-mine.tex").write_text("somebody's own")
    port = ("--port", "0") if arguments[0] == "serve" and "--port" not in arguments else ()
    assert said in refused(*arguments, *port)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder nobody may write to")
def test_results_that_cannot_be_written_are_refused(refused: Run) -> None:
    assert "/proc/results" in refused(*TRADES, "--results", "/proc/results")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "--bogus"), ["--bogus", "(see regmix-bench run --help)"]),
        (("rn",), ["'rn'", "Did you mean 'run'? (see regmix-bench --help)"]),
        (("run", "--devices", "few"), ["--devices", "integer", "(see regmix-bench run --help)"]),
        (("run", "--seeds"), ["--seeds", "requires an argument"]),
        (("show",), ["'run'", "(see regmix-bench show --help)"]),
        (("show", "3f2a", "91c0"), ["91c0", "(see regmix-bench show --help)"]),
    ],
)
def test_what_cannot_be_parsed_is_refused(
    refused: Run, arguments: tuple[str, ...], said: list[str]
) -> None:
    line = refused(*arguments)
    assert all(part in line for part in said), line


def test_without_a_command_it_says_which_there_are() -> None:
    shown = cli()
    assert (shown.status, shown.errors) == (0, "")
    assert "Usage: regmix-bench" in shown.out and "transfer" in shown.out


def test_a_full_disk_ends_the_grid_and_leaves_earlier_records_whole(tmp_path: Path) -> None:
    results = tmp_path / "results"
    earlier = write_run(results, make_spec())
    before = earlier.read_bytes()
    # Files end at 64 KiB there, less than the weights of one model.
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536));"
        "from regmix_bench.cli import main; main()"
    )
    flags = ["--eps", "128/255", "--set", "recipe.epochs=1", "--device", "cpu"]
    program = (sys.executable, "-c", limited)
    cache = {"REGMIX_BENCH_CACHE": str(tmp_path / "cache")}
    command = ("run", "--methods", "standard", *flags)
    done = answer(start(*command, program=program, env=cache, cwd=tmp_path))
    assert done.status == 2, done
    assert "error: cannot write" in done.errors and "File too large" in done.errors
    assert len(done.errors.splitlines()) == 1
    assert earlier.read_bytes() == before
    assert store.record_files(results) == [earlier]  # a full disk is no failure of the run
    assert not list(results.rglob(".tmp-*"))


def test_a_file_that_may_not_be_read_is_one_line(
    refused, tmp_path, monkeypatch, refuse_reading
) -> None:
    secret = write_run(tmp_path / "results", make_spec())
    refuse_reading(secret)
    for command in (("show", secret.stem[-12:]), ("report",), ("list", "runs")):
        assert secret.name in refused(*command)

    def closed(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", closed)
    assert "gone.json" in refused("show", "gone.json")


@pytest.mark.parametrize("arguments", [("list", "methods"), ("--help",)])
def test_output_that_cannot_be_written_is_one_line(arguments) -> None:
    with Path("/dev/full").open("w") as full:
        found = answer(start(*arguments, stdout=full))
    said = "error: cannot write standard output: No space left on device\n"
    assert (found.status, found.errors) == (2, said)


def test_output_that_knows_no_greek_is_escaped() -> None:
    found = answer(start("list", "methods", env={"PYTHONIOENCODING": "ascii"}))
    assert (found.status, found.errors) == (0, "") and r"\u03b5" in found.out


@pytest.mark.parametrize("command", [("check",), ("check", "--update"), ("report",)])
def test_a_run_recorded_twice_is_no_second_seed(refused: Run, tmp_path: Path, command) -> None:
    path = write_run(tmp_path / "results", make_spec())
    renew_references(tmp_path / "results", tmp_path / "results/leaderboard.json")
    shutil.copy(path, path.with_name(f"copy-{path.name}"))
    assert "record the same run" in refused(*command)


@pytest.mark.parametrize(
    ("command", "option", "setting"),
    [
        ("run", "--precision", "recipe.precision"),
        ("run", "--epochs", "recipe.epochs"),
        ("run", "--train-examples", "data.train_examples"),
        ("run", "--autoattack", "scoring.autoattack_version"),
        ("eval", "--autoattack", "scoring.autoattack_version"),
    ],
)
def test_what_was_an_option_is_told_to_be_a_setting(
    command: str, option: str, setting: str
) -> None:
    found = cli(command, "x", option, "1")
    assert found.status == 2
    assert found.errors == f"error: no such option: {option}: write --set {setting}=…\n"
