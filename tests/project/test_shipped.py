"""What comes with the project stays as it is, whatever the commands of the README do in a clone."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.harness import SUITE, Answer, cli
from support.saved import make_model, save_run
from support.synthetic import make_spec

from regmix_bench import load_data, load_model
from regmix_bench.errors import UserError
from regmix_bench.records import paths, store
from regmix_bench.records.find import resolve_run
from regmix_bench.records.schema import RunRecord

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "results" / paths.SHIPPED
MEGABYTES = 20

pytestmark = pytest.mark.skipif(
    shutil.which("git") is None or not (ROOT / ".git").exists(), reason="needs a git checkout"
)


def git(folder: Path, *arguments: object) -> str:
    command = ("git", "-c", "user.name=x", "-c", "user.email=x@x", "-C", folder, *arguments)
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_weights_and_images_are_those_of_their_records_and_small() -> None:
    tracked = git(ROOT, "ls-files", SHIPPED / paths.ARTIFACTS).splitlines()
    files = [ROOT / name for name in tracked]
    assert sum(file.stat().st_size for file in files) <= MEGABYTES * 10**6
    records = store.load_records(SHIPPED).values()
    runs = {record.run_id: record for record in records if isinstance(record, RunRecord)}
    for file in files:
        record = runs[file.parent.name]
        images = paths.adversarial_path(SHIPPED, record.run_id, "selected")
        weights = [each.file for each in record.checkpoints.values()]
        assert file.name in (images.name, *weights)
        assert not load_model(record.run_id, ROOT / "results").training


def test_the_weights_of_seed_0_and_the_images_of_three_runs_are_shipped() -> None:
    tracked = git(ROOT, "ls-files", SHIPPED / paths.ARTIFACTS).splitlines()
    records = store.load_records(SHIPPED).values()
    first = [
        record
        for record in records
        if isinstance(record, RunRecord)
        and (record.spec.dataset, record.spec.seed, record.status) == ("digits", 0, "success")
    ]
    names = {(Path(name).parent.name, Path(name).name) for name in tracked}
    assert {(run.run_id, run.checkpoints["selected"].file) for run in first} <= names
    assert sum(name == "adversarial-selected.parquet" for _, name in names) == 3


PAGES = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("docs/guide/*.md")]
TEXTS = {str(page.relative_to(ROOT)): page.read_text("utf-8") for page in sorted(PAGES)}


@pytest.mark.parametrize("name", ["docs/guide/continuous-integration.md", "tox.ini"])
def test_a_command_that_trains_one_cell_anew_is_checked_against_one_reference(name: str) -> None:
    """Else a suite that is recorded later with the same cell leaves the check a line to fail by."""
    (only,) = re.findall(r"--only '?([^\s']+)", (ROOT / name).read_text("utf-8"))
    assert len(list(SHIPPED.glob(only))) == 1


@pytest.mark.parametrize("page", TEXTS)
def test_pages_link_to_what_is_there(page: str) -> None:
    tracked = set(git(ROOT, "ls-files").splitlines())
    for link in sorted(set(re.findall(r"\]\(([^):]+)\)", TEXTS[page]))):
        path, _, heading = link.partition("#")
        file = (ROOT / page).parent.joinpath(path).resolve() if path else ROOT / page
        name = file.relative_to(ROOT).as_posix()
        if name.startswith("docs/reference/"):  # made when the documentation is built
            continue
        assert name in tracked, (page, link)
        if heading:
            titles = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
            assert heading in [title.lower().replace(" ", "-") for title in titles], (page, link)


NAMED = {
    found
    for text in TEXTS.values()
    for found in re.findall(r"regmix-bench (\w+) ([0-9a-f]{4}(?: [0-9a-f]{4})*)\b", text)
}


@pytest.mark.parametrize(("verb", "runs"), sorted(NAMED))
def test_pages_name_runs_that_are_shipped(verb: str, runs: str) -> None:
    for run in runs.split():
        record = store.load_run(resolve_run(run, ROOT / "results"))
        folder = paths.artifacts_dir(SHIPPED, record.run_id)
        if folder.exists() and verb not in ("show", "compare"):
            assert (folder / record.checkpoints["selected"].file).is_file()
        if folder.exists() and verb == "audit":
            assert paths.adversarial_path(SHIPPED, record.run_id, "selected").is_file()
            assert all((folder / file.file).is_file() for file in record.checkpoints.values())


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A clone of a project like this one that ships two runs, recorded as the README says."""
    origin = tmp_path_factory.mktemp("origin")
    for name in (".gitignore", "results/shipped/leaderboard.json", "reports/shipped/report.md"):
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, origin / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(origin)
        done(*RUN, "--methods", "standard,fgsm-rs", "--results", "results/shipped")
        _, less = shipped_runs()
        for name in (less.checkpoints["last"].file, "adversarial-selected.parquet"):
            (paths.artifacts_dir(Path("results/shipped"), less.run_id) / name).unlink()
        git(origin, "init", "-q")
        git(origin, "add", "-A")
        git(origin, "commit", "-qm", "all")
        folder = tmp_path_factory.mktemp("cloned") / "clone"
        git(origin, "clone", "-q", origin, folder)
        patch.chdir(folder)
        yield folder


RUN = (
    *("run", "--eps", "96/255", "--eval-examples", "10", "--save-adversarial", "--device", "cpu"),
    *("--attacks", "apgd-ce", "--set", "data.train_examples=100"),
    *(f"--set=recipe.{key}={value}" for key, value in (SUITE["recipe"] | {"epochs": 1}).items()),
)
QUICK = ("--device", "cpu")


def done(*command: object) -> Answer:
    found = cli(*command)
    assert found.status == 0, (command, found.out, found.errors)
    return found


def shipped_runs() -> list[RunRecord]:
    found = map(store.load_record, store.record_files(Path("results/shipped")))
    return [record for record in found if isinstance(record, RunRecord)]


def test_a_clone_has_weights_and_images_and_nothing_else_of_a_run(clone: Path) -> None:
    whole, less = shipped_runs()
    folder = Path("results/shipped")
    assert {file.name for file in paths.artifacts_dir(folder, less.run_id).iterdir()} == {
        less.checkpoints["selected"].file
    }
    assert {file.name for file in paths.artifacts_dir(folder, whole.run_id).iterdir()} == {
        *(file.file for file in whole.checkpoints.values()),
        "adversarial-selected.parquet",
    }


def test_a_shipped_run_is_doubted_from_a_clone_which_stays_clean(clone: Path) -> None:
    one, two = (record.run_id for record in shipped_runs())
    assert "audited: 10 of 10" in done("audit", one, *QUICK).out
    assert "audited: 10 of 10" in done("audit", one, "--results", "results/shipped", *QUICK).out
    done("show", two[:6])
    done("compare", one, two)
    done("inspect", two, *QUICK)
    done("export", two)
    assert list(Path("exported").glob("*/model.safetensors"))
    assert load_model(two)(load_data("digits", "test")[0][:4]).shape == (4, 10)
    done("transfer", one, two, *QUICK)
    done("eval", two, "--eps", "64/255", "--attacks", "apgd-ce", *QUICK)
    recorded = {path.parent.name for path in store.record_files(Path("results"))}
    assert recorded == {paths.TRANSFER, paths.EVALUATED}
    last = cli("export", two, "--checkpoint", "last")
    assert last.status == 2 and "weights stay on the machine" in last.errors
    unproven = cli("audit", two, *QUICK)
    assert unproven.status == 2 and "on the machine that made" in unproven.errors
    assert git(clone, "status", "--porcelain") == ""


def test_what_a_user_makes_leaves_a_clone_clean(clone: Path) -> None:
    done(*RUN, "--methods", "standard", "--seeds", "5")
    done("report", "--format", "latex,markdown,csv,json")
    done("report", "--check")
    done("check", "--update")
    done("check")
    listed = done("list", "runs").out
    assert "seed 5" in listed and "seed 0" not in listed
    assert list(Path("reports").glob("table-digits-*.tex"))
    assert git(clone, "status", "--porcelain") == ""


def test_shipped_runs_join_those_of_a_user_where_they_are_copied(clone: Path) -> None:
    before = store.record_files(Path("results"))
    shutil.copytree("results/shipped", "joined", dirs_exist_ok=True)
    shutil.copytree("results", "joined", dirs_exist_ok=True)
    assert len(store.record_files(Path("joined"))) == len(before) + 2
    shutil.rmtree("joined")


def test_the_users_own_run_is_taken_first(tmp_path: Path) -> None:
    own = save_run(tmp_path, make_model())
    theirs = save_run(tmp_path / paths.SHIPPED, make_model())
    other = save_run(tmp_path / paths.SHIPPED, make_model(), seed=1)
    assert resolve_run(make_spec().run_id, tmp_path) == own != theirs
    assert resolve_run(make_spec(seed=1).run_id, tmp_path) == other
    with pytest.raises(UserError, match=r"shows all 1 and .*shipped` shows all 2"):
        resolve_run("zzz", tmp_path)
