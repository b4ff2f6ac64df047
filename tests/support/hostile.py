"""Records of every kind that a report has something to say about, some of them hostile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from regmix_bench.records.schema import Alarm, Cost, EpochLog, PerturbationLength, Work
from regmix_bench.specs import MethodSpec
from regmix_bench.types import ThreatModel
from support.saved_views import make_views, save_views
from support.synthetic import make_eval_spec, make_spec, write_run

SCRIPT = "<script>window.harmed = 1</script><img src=x onerror='window.harmed = 1'>"
HOSTILE = (SCRIPT, "../../../harm", "=cmd()", "long" * 2500)
LINF_32, LINF_48 = ThreatModel("Linf", "32/255"), ThreatModel("Linf", "48/255")


def history(epochs: int = 6, work: Work | None = None) -> tuple[EpochLog, ...]:
    return tuple(
        EpochLog(
            epoch=epoch,
            lr=0.1,
            loss=2.0 / epoch,
            val_clean_acc=1 - 0.5 / epoch,
            val_fgsm_acc=0.8 - 0.4 / epoch,
            val_pgd_acc=0.7 - 0.4 / epoch,
            seconds=1.0,
            work=work,
        )
        for epoch in range(1, epochs + 1)
    )


def method(name: str, label: str | None = None, **params: Any) -> MethodSpec:
    return MethodSpec(name=name, version=1, params=params, label=label or name)


def fill(results: Path) -> None:
    """Write the records below a results folder."""
    said = {
        "metrics": dict.fromkeys(HOSTILE, 1.0),
        "perturbation": PerturbationLength(mean=2.0, max=3.0),
    }
    logs = tuple(log.model_copy(update=said) for log in history())
    common: dict[str, Any] = {
        "reference": "pgd-at",
        "history": logs,
        "selected_epoch": 4,
        "n_train": 1000,
        "alarms": (Alarm(kind="non-finite-loss", epoch=6, message=SCRIPT),),
        "training_cost": Cost(seconds=6.0, forward_images=9000, backward_images=6000),
        "environment": {
            **{"device": "cpu", "threads": 1, "cuda": None, "note": SCRIPT},
            "method_origin": SCRIPT,
        },
    }
    collapsed = {"val_fgsm_acc": 0.9, "val_pgd_acc": 0.1}
    whole, (fifth, last) = logs[:4], logs[4:]
    overfitted = (*whole, fifth.model_copy(update=collapsed), last)
    attacks = {"after_attack": {"apgd-ce": 0.85, "apgd-t": 0.84, "square": 0.83}}
    counts = {"standard": 40, "pgd-at": 280, "trades": 290, "regmix": 300, "elsewhere": 200}
    for name, right in counts.items():
        for seed in (0, 1):
            for threats in ((LINF_32,), (LINF_32, LINF_48)):
                spec = make_spec(
                    method=method(name, beta=6.0),
                    seed=seed,
                    eval_threats=threats,
                    arch="smallcnn" if len(threats) == 1 else "resnet8",
                )
                checks = ("zero-gradients",) if name == "standard" else ()
                caught = {"history": overfitted} if name == "trades" and seed else {}
                scored = {**attacks, "checks": checks}
                path = write_run(
                    results,
                    spec,
                    pgd=right + 10,
                    autoattack=right + seed,
                    scored=scored,
                    **common | caught,
                )
                if seed:
                    save_views(path, make_views(LINF_32, shape=(3, 32, 32)))
    for text in HOSTILE:
        spec = make_spec(method=method(text, beta=text), arch="smallcnn", seed=7)
        write_run(results, spec, autoattack=100, **common)
        failed = make_spec(method=method("trades", f"trades[note={text}]"), seed=len(text))
        write_run(results, failed, status="error", error=f"{text}\n{text}", outcomes=False)
    write_run(results, make_eval_spec("given"))
    write_run(results, make_eval_spec(SCRIPT, epsilon="16/255"))
