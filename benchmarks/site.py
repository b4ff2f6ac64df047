"""What the site costs with 500 and with 2,000 runs: to build, in bytes, and how soon it is seen.

The records are made up: ten methods on two architectures, at five training budgets and with five or
twenty seeds each, 110 epochs of history, two attacked budgets and test images of noise, which
compress worst. Building starts from the files of the records and ends with the last file of the
site. Pages are had from ``serve`` over 10 Mbit/s with 40 ms there and back, in a window of
1,280 × 900 and a fresh browser each time. The first view is its first contentful paint; a table
stands when it can be sorted, and a chart when it is drawn. Given are the medians. Needs playwright
and a chromium on PATH.

Two-core AVX512 CPU that had five to six times the work it has cores for, most of it of a higher
priority, three times each (27 November 2026; of 2,000 runs every question for news was refused,
which cost 500 runs up to a fifth). Before, under a load of three times, charts were drawn by Plotly
and tables sorted by DataTables, nothing was compressed or kept, and the front page held every
comparison:

===================================  ========  ========  ==========  ==========
..                                   500 runs    before  2,000 runs      before
===================================  ========  ========  ==========  ==========
built, seconds on the processor          11.3       5.5        36.4        20.5
size, MB                                 37.4      24.1       137.1        80.6
first view of the front page, s          0.48      0.28        0.55        0.29
its table stands, s                      0.46      0.94        0.52        1.21
first view of the list of runs, s        0.34      0.32        0.54        0.32
its table stands, s                      0.42      0.78        1.82        1.98
first chart of a run, s (at most 1)      0.44      5.37        0.50        5.36
===================================  ========  ========  ==========  ==========

    python benchmarks/site.py [--runs 500] [--times 5]
"""

from __future__ import annotations

import argparse
import gc
import itertools
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

from playwright.sync_api import sync_playwright

from regmix_bench.methods import METHODS
from regmix_bench.records.schema import EpochLog
from regmix_bench.reporting import site
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.site.pictures import PictureFiles, SitePictures
from regmix_bench.reporting.site.server import Server, State
from regmix_bench.specs import Recipe
from regmix_bench.types import ThreatModel

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.saved_views import make_views, save_views
from support.synthetic import make_spec, write_run

EPOCHS = 110
ATTACKS = {"apgd-ce": 0.84, "apgd-t": 0.82, "fab-t": 0.82, "square": 0.82}
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
#: 10 Mbit/s, and 40 ms there and back.
NETWORK = {
    "offline": False,
    "latency": 40,
    "downloadThroughput": 10e6 / 8,
    "uploadThroughput": 10e6 / 8,
}
#: When what is waited for stands in the page.
WATCH = """
new MutationObserver((_, watcher) => {
  if (!document.querySelector("SELECTOR")) return;
  window.drawnAfter = performance.now();
  watcher.disconnect();
}).observe(document, { childList: true, subtree: true });
"""


def record(results: Path, runs: int) -> None:
    """Write so many records and their outcomes per image."""
    grid = itertools.product(
        ("smallcnn", "resnet18"), (8, 16, 24, 32, 40), METHODS.names()[:10], range(runs // 100 or 1)
    )
    for number, (arch, epsilon, label, seed) in enumerate(itertools.islice(grid, runs)):
        own, larger = (ThreatModel("Linf", f"{budget}/255") for budget in (epsilon, epsilon + 8))
        history = tuple(
            EpochLog(
                epoch=epoch,
                lr=0.1,
                loss=2.3 / epoch,
                metrics={"ce": 2.0 / epoch, "kl": 0.3 / epoch},
                val_clean_acc=0.9 - (number % 97) / epoch / 200,
                val_fgsm_acc=0.7 - (number % 89) / epoch / 200,
                val_pgd_acc=0.6 - (number % 83) / epoch / 200,
                seconds=1.0,
            )
            for epoch in range(1, EPOCHS + 1)
        )
        path = write_run(
            results,
            make_spec(
                label,
                f"{epsilon}/255",
                arch=arch,
                seed=seed,
                recipe=Recipe(epochs=EPOCHS),
                eval_threats=(own, larger),
            ),
            autoattack=240 + number % 60,
            scored={"after_attack": ATTACKS},
            history=history,
            selected_epoch=EPOCHS - 3,
            reference="pgd-at",
            n_train=1000,
            environment={"device": "cpu", "threads": 1, "torch": "2.15.0", "python": "3.11"},
        )
        save_views(path, make_views(own, seed=number, shape=(3, 32, 32)))


def build(results: Path) -> State:
    """Write the site into memory as ``serve`` does, its pictures drawn when they are asked for."""
    contents = Contents.of(results)
    gc.freeze()  # as the report does
    pictures = SitePictures.of(contents)
    files = dict(site.undrawn_files(contents, pictures))
    return State(files, "0", drawn=PictureFiles(pictures, contents.style))


def view(url: str, drawn: str) -> tuple[float, float]:
    """Milliseconds to the first paint, and to what ``drawn`` selects, in a fresh browser."""
    chromium = shutil.which("chromium") or shutil.which("chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        window = browser.new_page(viewport={"width": 1280, "height": 900})
        network = window.context.new_cdp_session(window)
        network.send("Network.enable")
        network.send("Network.emulateNetworkConditions", NETWORK)
        window.add_init_script(WATCH.replace("SELECTOR", drawn))
        window.goto(url)
        window.wait_for_function("window.drawnAfter !== undefined")
        found = float(window.evaluate(PAINT)), float(window.evaluate("window.drawnAfter"))
        browser.close()
    return found


def main() -> None:
    """Print what was measured beside what is allowed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--times", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Server(0) as server:
        results = Path(folder) / "results"
        record(results, arguments.runs)
        started, computed = time.perf_counter(), time.process_time()
        state = build(results)
        files = state.files
        seconds, of_it = time.perf_counter() - started, time.process_time() - computed
        size = sum(map(len, files.values()))
        print(f"{arguments.runs} runs: built in {seconds:.1f} s, {of_it:.1f} s on the processor")
        print(f"{len(files)} files, {size / 1e6:.1f} MB")
        server.site = SimpleNamespace(state=state, runs={})
        threading.Thread(target=server.serve_forever, daemon=True).start()
        run = next(name for name in files if name.startswith("runs/"))
        for page, drawn in (
            ("index.html", "th button"),
            ("runs.html", "th button"),
            (run, ".chart svg"),
        ):
            times = [view(server.url + page, drawn) for _ in range(arguments.times)]
            paint, ready = (statistics.median(column) for column in zip(*times, strict=True))
            print(
                f"{page}: first view {paint:.0f} ms, {drawn} {ready:.0f} ms (at most 1,000);"
                f" {len(files[page]):,} bytes"
            )
        server.shutdown()


if __name__ == "__main__":
    main()
