"""Tasks of Ray end with the numbers of the local launcher, whatever happens to their workers."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from support import plug_ins
from support.harness import SUITE, answer, cli, recorded, start, wait_for

from regmix_bench import tune
from regmix_bench.cli.display import Display
from regmix_bench.errors import UserError
from regmix_bench.grid import ray as ray_launcher
from regmix_bench.grid.launchers import Placement
from regmix_bench.grid.plan import PlannedRun, plan_runs
from regmix_bench.grid.ray_cluster import connected
from regmix_bench.records import find, store
from regmix_bench.records.schema import EpochLog, RunRecord
from regmix_bench.runs import observers

pytestmark = pytest.mark.alone

ray = pytest.importorskip("ray", reason="ray is not installed")

CPU = torch.device("cpu")
GRID = SUITE | {"methods": ["fgsm-rs"], "seeds": [0, 1]}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the local launcher makes of the grid."""
    folder = tmp_path_factory.mktemp("local")
    suite = folder / "suite.yaml"
    suite.write_text(yaml.safe_dump(GRID))
    assert cli("run", suite, "--device", "cpu", "--results", folder / "r").status == 0
    return folder / "r"


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster of two CPUs that outlives the grids."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")  # else its workers stand still on a busy machine
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def launched(
    cluster: None, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Path, Any], list[observers.Ending]]:
    """Run the grid on the cluster, which stays, and return how its runs ended."""

    def launch(
        results: Path, work: Any, observer: type[Display] = Display
    ) -> list[observers.Ending]:
        with monkeypatch.context() as patch:
            patch.setattr(ray, "init", lambda **_: None)
            patch.setattr(ray, "shutdown", lambda: None)
            cells = plan_runs([GRID])
            work = partial(work, device="cpu")
            place = Placement(results, CPU, jobs=1, address="auto")
            with observer() as display:
                display.on_plan({}, len(cells))
                return list(ray_launcher.launch(cells, work, place, display))

    return launch


def test_the_command_gives_the_records_of_the_local_launcher(
    local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # a cluster that nobody asked for
    suite, results = local.parent / "suite.yaml", tmp_path / "r"
    options = ("--launcher", "ray", "--jobs", "2", "--device", "cpu", "--results", results)
    found = answer(start("run", suite, *options))
    assert found.status == 0, found
    assert recorded(results) == recorded(local)
    assert "Traceback" not in found.errors
    assert not [path.name for path in results.iterdir() if path.name.startswith(".")]


def test_a_tuning_has_the_trials_of_the_local_launcher(
    cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "init", lambda **_: None)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    data = plug_ins.write_stripes(tmp_path / "bars.npz")
    options: dict[str, Any] = {"methods": "fgsm-pgi", "datasets": f"npz:{data}", "eps": "32/255"}
    options |= {"trials": 3, "device": "cpu", "settings": ["recipe.epochs=1"]}
    there = tune(launcher="ray", address="auto", results=tmp_path / "r", **options).studies
    here = tune(results=tmp_path / "l", **options).studies
    for study, other in zip(there, here, strict=True):
        assert [(t.run_id, t.value, t.passes) for t in study.trials] == [
            (t.run_id, t.value, t.passes) for t in other.trials
        ]
        assert study.finished and {trial.state for trial in study.trials} == {"complete"}


@pytest.mark.parametrize(("told", "taken"), [({}, "0"), ({"RAY_worker_niceness": "9"}, "9")])
def test_workers_are_as_urgent_as_their_driver(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, str], taken: str
) -> None:
    started: list[dict[str, str]] = []
    monkeypatch.setattr(os, "environ", dict(os.environ) | told)
    monkeypatch.setattr(ray, "init", lambda **_: started.append(dict(os.environ)))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with connected(None, 2):
        pass
    assert [found["RAY_worker_niceness"] for found in started] == [taken]


def test_a_worker_killed_twice_costs_an_epoch(
    local: Path, launched: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deaths, heard = tmp_path / "deaths", tmp_path / "heard"
    deaths.mkdir()
    heard.mkdir()

    class Listener(Display):
        def on_epoch(self, spec: Any, log: Any) -> None:
            super().on_epoch(spec, log)
            (heard / f"{spec.seed}-{log.epoch}").touch()

    def dying(cell: Any, *, observer: Any, **options: Any) -> Any:
        class Killer(observers.Silent):
            def on_epoch(self, spec: Any, log: Any) -> None:
                observer.on_epoch(spec, log)
                died = len(list(deaths.iterdir()))
                if spec.seed == 0 and log.epoch == died + 1 and died < 2:
                    (deaths / str(log.epoch)).touch()
                    while not (heard / f"0-{log.epoch}").exists():  # the news of it
                        time.sleep(0.05)
                    os.kill(os.getpid(), signal.SIGKILL)

        return cell.run(observer=Killer(), **options)

    ended = launched(tmp_path / "r", dying, Listener)
    assert [one.error for one in ended] == [None, None]
    assert sorted(path.name for path in deaths.iterdir()) == ["1", "2"]
    assert recorded(tmp_path / "r") == recorded(local)
    assert capsys.readouterr().out.count("its worker was lost: started again") == 2


def test_a_long_grid_leaves_nothing_in_the_driver(
    cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "init", lambda **_: None)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(ray_launcher, "WINDOW", 20)
    ahead: list[int] = []
    wait = ray.wait
    monkeypatch.setattr(
        ray, "wait", lambda refs, **rest: ahead.append(len(refs)) or wait(refs, **rest)
    )
    told: dict[str, list[int]] = {}

    class Heard(Display):
        def on_epoch(self, spec: Any, log: EpochLog) -> None:
            super().on_epoch(spec, log)
            told.setdefault(spec.run_id, []).append(log.epoch)

    def stub(cell: Any, *, results: Path, observer: Any, **_: Any) -> RunRecord:
        spec = cell.spec
        logs = [
            EpochLog(
                epoch=e, lr=1, loss=1, val_clean_acc=1, val_fgsm_acc=1, val_pgd_acc=1, seconds=1
            )
            for e in range(1, 6)
        ]
        for log in logs:
            observer.on_epoch(spec, log)
        # Its own: what Ray starts imports no module of the tests.
        record = RunRecord(
            run_id=spec.run_id, status="success", spec=spec, data_digest="d" * 64, history=logs
        )
        store.save_record(results, record)
        return record

    cells = plan_runs([GRID | {"seeds": list(range(300))}])
    endings: list[weakref.ref[observers.Ending]] = []
    place = Placement(tmp_path, CPU, jobs=2, address="auto")
    with Heard() as display:
        display.on_plan({}, len(cells))
        for ended in ray_launcher.launch(cells, stub, place, display):
            display.on_end(ended)
            endings.append(weakref.ref(ended))
            if len(endings) == 100:
                before = resident()
    del ended
    grown = resident() - before
    assert len(endings) == len(store.record_files(tmp_path)) == 300
    assert max(ahead) == 20
    assert set(find.states({c.run_id: c.spec for c in cells}, tmp_path).values()) == {"done"}
    # What was told came in its order, if it came before the end.
    assert all(epochs == list(range(1, len(epochs) + 1)) for epochs in told.values())
    gc.collect()
    assert not any(ended() for ended in endings)
    assert not any(type(kept) is ray_launcher.Outcome for kept in gc.get_objects())
    assert grown < 20 * 2**20  # 200 cells; the figure is in benchmarks/ray_driver.py


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_results_come_back_from_nodes_that_do_not_see_the_folder(
    local: Path, launched: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_launcher, "shared_home", partial(Unseen, tmp_path.name))
    launched(tmp_path / "r", PlannedRun.run)
    assert recorded(tmp_path / "r") == recorded(local)
    here, there = (
        {path.relative_to(root) for path in root.rglob("*") if path.is_file()}
        for root in (tmp_path / "r", local)
    )
    assert here <= there
    assert all(name.name == "lock" or name.name.startswith("state-") for name in there - here)


class Unseen:
    """A folder whose token lies elsewhere, as on a node that does not mount it."""

    def __init__(self, name: str, results: Path) -> None:
        self.home = ray_launcher.Home(results.absolute(), f"none-{name}", Path.cwd())

    def __enter__(self) -> ray_launcher.Home:
        return self.home

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.home.folder)


def test_bad_input_of_a_run_reaches_the_user(launched: Any, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise UserError("this data does not fit")

    with pytest.raises(UserError, match=r"^this data does not fit$"):
        launched(tmp_path / "r", refuse)


def test_a_bug_in_a_task_is_no_loss_of_its_worker(launched: Any, tmp_path: Path) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("out of luck")

    with pytest.raises(ZeroDivisionError, match="out of luck"):
        launched(tmp_path / "r", broken)


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (signal.SIGINT, 130, "interrupted: the same command resumes at the last checkpoint\n"),
        (signal.SIGTERM, 143, "terminated: the same command goes on from what is finished\n"),
    ],
)
def test_a_signal_ends_all_with_one_line(
    tmp_path: Path, number: signal.Signals, status: int, said: str
) -> None:
    suite, results = tmp_path / "suite.yaml", tmp_path / "r"
    suite.write_text(yaml.safe_dump(GRID | {"recipe": SUITE["recipe"] | {"epochs": 500}}))
    process = start(
        *("run", suite, "--launcher", "ray", "--jobs", "2", "--device", "cpu"),
        *("--results", results),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for(lambda: len({path.parent for path in results.rglob("state-*")}) == 2, process)
    process.send_signal(number)
    found = answer(process)
    assert found.status == status, found
    assert found.errors == said
    epochs = sorted(path.name for path in results.rglob("state-*"))
    time.sleep(2)
    assert epochs == sorted(path.name for path in results.rglob("state-*"))  # no worker stays


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--address", "auto"), "needs --launcher ray"),
        (("--launcher", "slurm"), "'slurm' is not one of 'local', 'ray'"),
        (("--launcher", "ray", "--address", "127.0.0.1:1"), "no cluster of Ray at 127.0.0.1:1"),
        (
            ("--launcher", "ray", "--address", "ray://nowhere.invalid:1"),
            "no cluster of Ray at ray:",
        ),
        (("--launcher", "ray", "--address", "nonsense"), "no cluster of Ray at nonsense"),
        # RAY_ADDRESS says what auto is.
        (("--launcher", "ray", "--address", "auto"), "no cluster of Ray at auto: Connection"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], said: str
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    given = ("--methods", "standard", "--eps", "8/255", "--results", tmp_path / "r")
    found = answer(start("run", *given, "--device", "cpu", *options))
    assert found.status == 2 and said in found.errors, found
    assert len(found.errors.splitlines()) == 1


def test_what_a_run_asks_for() -> None:
    small, large = (
        plan_runs([GRID | {"archs": [arch]}])[0].spec for arch in ("smallcnn", "wrn-34-10")
    )
    cuda = torch.device("cuda")
    assert ray_launcher.resources(small, CPU, 2) == {"num_cpus": 2, "num_gpus": 0, "memory": 2**30}
    assert ray_launcher.resources(small, cuda, 1)["num_gpus"] == 0.25
    assert ray_launcher.resources(large, cuda, 1)["num_gpus"] == 1
    asked = ray_launcher.resources(small, cuda, 1, devices=2)
    assert asked == {"num_cpus": 2, "num_gpus": 2, "memory": 2 * 2**30}
    assert ray_launcher.resources(large, CPU, 3, devices=2)["num_cpus"] == 3
