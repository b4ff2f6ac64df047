"""Tables of models under several threats."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.synthetic import make_eval_spec, make_spec, write_run

from regmix_bench.records import store
from regmix_bench.records.schema import UnionScore
from regmix_bench.reporting.contents import Contents
from regmix_bench.types import ThreatModel

NORMS = (ThreatModel("Linf", "32/255"), ThreatModel("L1", "2"))
BUDGETS = tuple(ThreatModel("Linf", f"{n}/255") for n in (32, 8, 24, 16))


def add_union(path: Path, share: float) -> None:
    record = store.load_record(path)
    first = record.evaluations[0]
    union = UnionScore(
        checkpoint=first.checkpoint,
        threats=record.spec.eval_threats,
        n_examples=first.n_examples,
        clean_acc=first.clean_acc,
        pgd_acc=share,
        autoattack_acc=share,
    )
    bare = tuple(e.model_copy(update={"outcomes_digest": None}) for e in record.evaluations)
    changed = record.model_copy(update={"unions": (union,), "evaluations": bare})
    for file in path.parent.glob(f"{path.stem}*.parquet"):
        file.unlink()
    path.write_bytes(store.json_bytes(changed.model_dump(mode="json")))


def test_methods_have_their_accuracy_under_each_threat_and_under_all(tmp_path: Path) -> None:
    for seed, share in enumerate((0.2, 0.3)):
        add_union(write_run(tmp_path, make_spec(seed=seed, eval_threats=NORMS)), share)
    turned = make_spec("pgd-at", eval_threats=NORMS[::-1])  # typed in the other order
    add_union(write_run(tmp_path, turned), 0.4)
    contents = Contents.of(tmp_path)
    (panel,) = contents.threat_panels
    (section,) = contents.chapters["Under several threats"]
    headers = [column.header for column in section.table.columns]
    assert headers == ["Method", "Clean", "L1 2", "L∞ 32/255", "Union"]
    assert section.table.columns[-1].kind == "mean"
    (*_, other), (*_, union) = section.table.rows
    assert (union.value, union.count, other.value) == (pytest.approx(0.25), 2, 0.4)
    assert section.stem == panel.stem
    assert contents.tables[panel.stem] is section.table


def test_one_norm_has_no_union_and_methods_under_it_a_comparison_each(tmp_path: Path) -> None:
    write_run(tmp_path, make_spec(eval_threats=BUDGETS))
    assert Contents.of(tmp_path).threat_panels == ()
    write_run(tmp_path, make_eval_spec(eval_threats=BUDGETS), checkpoint="given")
    (section,) = Contents.of(tmp_path).chapters["Under several threats"]
    assert section.table.columns[-1].header == "L∞ 32/255"
    assert "Union" not in section.table.notes[0]
