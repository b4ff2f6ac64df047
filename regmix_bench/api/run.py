"""``run``: train and score a grid."""

from collections.abc import Iterable
from contextlib import closing
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from regmix_bench.api.again import lacking, score_again
from regmix_bench.api.options import (
    EXECUTION,
    GRID,
    OUTPUT,
    RECORDS,
    SCORING,
    Address,
    Attacks,
    DataDir,
    DataName,
    DeviceName,
    Diagnose,
    Download,
    EvalExamples,
    Force,
    Graphs,
    MethodFiles,
    Names,
    Norm,
    Option,
    Results,
    SaveAdversarial,
    Screen,
    known_methods,
    listed,
    load_method_files,
    scoring_keys,
    verb,
)
from regmix_bench.api.planned import Plan, planned_runs
from regmix_bench.errors import UserError
from regmix_bench.grid.launchers import LauncherName
from regmix_bench.system.deferred import defer
from regmix_bench.system.signals import no_signal_lost
from regmix_bench.types import Evaluated

if TYPE_CHECKING:
    from regmix_bench.records.schema import RunRecord
    from regmix_bench.records.sequence import Records
    from regmix_bench.runs.forecast import Forecast
    from regmix_bench.runs.observers import Observer
    from regmix_bench.specs import RunSpec


#: How a run is executed, where that can be said of an evaluation, too.
_OF_EVALUATIONS = ("save_adversarial", "diagnose", "data_dir", "device", "compile", "graphs")


@verb
def run(
    suite: Annotated[
        "str | Path | RunSpec | None",
        Option("A packaged suite's name, or a YAML file.", argument=True),
    ] = None,
    *,
    methods: Annotated[
        Names | None,
        Option(
            "Methods, with parameters in brackets: trades,fgsm-pgi[lambda_=1]; FILE.py:CLASS is one"
            " of your own, whose code it runs.",
            GRID,
        ),
    ] = None,
    method_files: MethodFiles = None,
    datasets: Annotated[
        Names | None, Option("digits, cifar10, npz:PATH, folder:PATH, …", GRID)
    ] = None,
    name: DataName = None,
    archs: Annotated[Names | None, Option("Architectures; see list archs.", GRID)] = None,
    eps: Annotated[Names | None, Option("Training budgets, such as 8/255.", GRID)] = None,
    threats: Annotated[
        Names | None,
        Option(
            "Threats to score under, Linf:8/255,L2:0.5,L1:12 or 0..16/255:5 for five budgets; each"
            " run's own if left out.",
            GRID,
            alias="eval_eps",
        ),
    ] = None,
    pgd_eps: Annotated[
        Names | None, Option("Further ones to score under, without AutoAttack.", GRID)
    ] = None,
    norm: Norm = None,
    seeds: Annotated[Names | None, Option("Seeds, such as 0,1,2.", GRID)] = None,
    settings: Annotated[
        Iterable[str],
        Option(
            "Any key of recipe, scoring or data, or of a method: recipe.epochs=30,"
            " data.train_examples=500, trades.beta=3; may be repeated.",
            GRID,
            flag="--set",
        ),
    ] = (),
    eval_examples: EvalExamples = None,
    evaluate: Annotated[
        Evaluated | None,
        Option(
            "Of which checkpoints AutoAttack scores; selected if left out, all for raw weights"
            " beside averages.",
            SCORING,
        ),
    ] = None,
    attacks: Attacks = None,
    screen: Screen = False,
    save_adversarial: SaveAdversarial = False,
    diagnose: Diagnose = False,
    reference: Annotated[
        str | None, Option("The method that tables compare the others with.", RECORDS)
    ] = None,
    results: Results = "results",
    force: Force = False,
    retry_failed: Annotated[bool, Option("Try failed runs again.", RECORDS)] = False,
    dry_run: Annotated[bool, Option("Stop after the plan.", RECORDS)] = False,
    device: DeviceName = "auto",
    devices: Annotated[
        int,
        Option(
            "Devices that share a run, by torch's distributed engine: GPUs, or processes on a CPU,"
            " each with its part of the threads. The recipe's batch size is that of all together,"
            " and its learning rate stays: a run is the same on any number of them.",
            EXECUTION,
        ),
    ] = 1,
    jobs: Annotated[
        str | int,
        Option(
            "Runs at a time, in processes that share the cores: a number or auto. On a cluster each"
            " run takes this share of this machine's cores.",
            EXECUTION,
        ),
    ] = 1,
    launcher: Annotated[
        LauncherName, Option("Who starts the runs: ray is for a cluster.", EXECUTION)
    ] = "local",
    address: Address = None,
    compile: Annotated[
        Literal["auto", "on", "off"],
        Option("Compile the network, which takes a minute or two; auto does not.", EXECUTION),
    ] = "auto",
    graphs: Graphs = "auto",
    channels_last: Annotated[
        Literal["auto", "on", "off"],
        Option("Keep an image's channels together in memory; auto by the images.", EXECUTION),
    ] = "auto",
    sync_bn: Annotated[
        Literal["auto", "on", "off"],
        Option("Batch statistics over all GPUs of a run; auto is yes.", EXECUTION),
    ] = "auto",
    data_dir: DataDir = None,
    download: Download = False,
    log: Annotated[
        Names | None,
        Option("Loggers that hear how runs go on, such as csv; see list loggers.", OUTPUT),
    ] = None,
    observer: "Observer | None" = None,
) -> "Plan | Records | RunRecord":
    """Train and score a grid of methods, datasets, architectures, budgets and seeds.

    What the options say replaces what the suite says, and what is recorded already is not run
    again: its weights are scored again where ``save_adversarial`` or ``diagnose`` ask for what the
    record lacks, which an evaluation beside it then has.

    Returns the grid's :class:`Records`, among which a run that failed has the status "error"; with
    ``dry_run`` its :class:`Plan`. A ``suite`` that is a :class:`RunSpec` is one run, whose record
    is returned; the axes of the grid and scoring are its own.

    Killed or interrupted, the same call goes on where it stood. Raises :class:`UserError`, before
    anything is written, for what does not exist or does not fit: a suite, a method, data, a device,
    a key of ``settings``; and for a results folder that cannot be written.
    """
    defer("torch")  # takes seconds to load, and a finished grid does without
    from regmix_bench.data.sources import split_names
    from regmix_bench.grid.launchers import Placement, load_launcher
    from regmix_bench.grid.local import auto_jobs, parse_jobs
    from regmix_bench.methods import METHODS
    from regmix_bench.records import find, paths, store
    from regmix_bench.records.sequence import Records
    from regmix_bench.runs.loggers import create_loggers, logged
    from regmix_bench.runs.observers import listener
    from regmix_bench.runs.waiting import WaitingList
    from regmix_bench.specs import RunSpec
    from regmix_bench.system import machine

    load_method_files(method_files)
    data_folder = None if data_dir is None else Path(data_dir).absolute()
    given = {
        "methods": known_methods(methods),
        "datasets": None if datasets is None else split_names("--datasets", datasets, data_folder),
        "archs": listed("--archs", archs),
        "eps": listed("--eps", eps),
        "threats": listed("--threats", threats),
        "pgd_eps": listed("--pgd-eps", pgd_eps),
        "norm": norm,
        "seeds": listed("--seeds", seeds),
        "evaluate": evaluate,
        "data": _said(eval_examples=eval_examples, name=name) or None,
        "scoring": scoring_keys(attacks, screen) or None,
    }
    given = {key: value for key, value in given.items() if value is not None}
    execution: dict[str, Any] = {
        # Absolute, as workers of a cluster stand in folders of their own.
        "data_dir": data_folder,
        "device": device,
        "devices": devices,
        "force": force,
        "save_adversarial": save_adversarial,
        "diagnose": diagnose,
        "compile": compile,
        "channels_last": channels_last,
        "sync_bn": sync_bn,
        "graphs": graphs,
    }
    folder, heard = Path(results), listener(observer)
    loggers = create_loggers(listed("--log", log) or ())
    if isinstance(suite, RunSpec):
        if given or settings or dry_run:
            raise UserError("a specification says all of its run: leave out the options of a grid")
        with logged(heard, loggers, folder) as told:
            return _run_alone(
                suite, told, results=folder, reference=reference, download=download, **execution
            )
    if suite is None and methods is None:
        raise UserError("nothing to run: name a suite, such as digits, or --methods")
    if address is not None and launcher == "local":
        raise UserError(f"--address {address} is that of a cluster: it needs --launcher ray")
    launch, at_a_time = load_launcher(launcher), parse_jobs(jobs)
    target = cache(partial(machine.choose_device, device))
    if device == "cuda":
        target()

    def place() -> Placement:
        at_once = at_a_time or auto_jobs(target(), devices)
        return Placement(folder, target(), at_once, devices, address)

    if devices != 1 and address is None:  # the nodes of a cluster have their own
        machine.check_devices(target(), devices)
    if reference is not None:
        given["reference"] = METHODS.loaded(reference)
    notes: list[str] = []
    cells = planned_runs(suite, given, settings, data_folder, device, notes.append)
    store.check_writable(folder)
    states = find.states({cell.run_id: cell.spec for cell in cells}, folder)
    again = {"to run", "to resume"} | ({"failed"} if retry_failed else set())
    waiting = [cell for cell in cells if force or states[cell.run_id] in again]
    specs = () if force else tuple(cell.spec for cell in cells)
    scored_again = tuple(lacking(specs, states, folder, save_adversarial, diagnose))
    heard.on_plan(states, len(waiting) + len(scored_again))
    for note in notes:
        heard.on_note(cells[0].spec, note)
    if dry_run:

        def ahead() -> "Forecast":
            from regmix_bench.grid import fit, look_ahead

            specs = [cell.spec for cell in waiting]
            return look_ahead.look_ahead(specs, place(), fit.sizes_of(specs, data_folder))

        return Plan(cells, states, tuple(waiting), ahead)
    if waiting:
        from regmix_bench.grid import fit, look_ahead  # here, because they need torch
        from regmix_bench.grid.plan import PlannedRun
        from regmix_bench.runs import runner

        waited_for = [cell.spec for cell in waiting]
        if address is None:  # the nodes of a cluster have their own
            for spec in waited_for:
                runner.require_precisions(spec, target())
            # What is asked for and is not here is refused before any run is begun.
            machine.choose_execution(target(), 0, channels_last, compile, sync_bn, devices, graphs)
        sizes = fit.check_fit(waited_for, data_folder, download)
        heard.on_forecast(partial(look_ahead.look_ahead, waited_for, place(), sizes))
        work = partial(PlannedRun.run, results=folder, **execution)
        listed_waiting = {WaitingList.name: WaitingList(waited_for)}
        with (
            no_signal_lost(),
            logged(heard, listed_waiting | loggers, folder) as told,
            closing(launch(waiting, work, place(), told)) as endings,
        ):
            for ending in endings:
                told.on_end(ending)
    asked = {name: execution[name] for name in _OF_EVALUATIONS}
    for spec in scored_again:
        score_again(spec, folder, heard, download=download, **asked)
    found = (paths.find_record(folder, cell.spec) for cell in cells)
    return Records([path for path in found if path is not None])


def _said(**options: object) -> dict[str, object]:
    return {key: value for key, value in options.items() if value is not None}


def _run_alone(spec: "RunSpec", observer: "Observer", **options: Any) -> "RunRecord":
    """Run one specification in this process."""
    from regmix_bench.runs.observers import Ending
    from regmix_bench.runs.runner import run_spec

    observer.on_start(spec)
    record = run_spec(spec, observer=observer, **options)
    observer.on_end(Ending(spec, record, record.error))
    return record
