"""Figures in a column of a paper: text of seven points or more, and none on another."""

from __future__ import annotations

import re
import zlib

import pytest
from support.figures import overlaps
from support.reports import trained_record, write_outputs
from support.saved_views import make_views, save_views
from support.synthetic import make_spec, write_run
from support.transfers import make_transfer, sides

from regmix_bench.methods import METHODS
from regmix_bench.records import paths
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.figures import BUILT_IN, FIGURES
from regmix_bench.reporting.figures.gallery import laid_out, rendered
from regmix_bench.reporting.figures.style import applied
from regmix_bench.reporting.figures.venues import style_for
from regmix_bench.reporting.narrowing import for_figures
from regmix_bench.types import ThreatModel

ICML = style_for("icml")
LABELS = [*METHODS.names(), "fgsm-pgi[lambda_=3]"]
FIVE = ["pgd-at", "trades", "regmix", "fgsm-pgi[lambda_=3]", "regmix-amr"]
THIRTEEN = [*FIVE, *[name for name in LABELS if name not in FIVE][:8]]
THREATS = tuple(ThreatModel("Linf", f"{k}/255") for k in (8, 16, 24, 32))
KINDS = ["tradeoff", "robustness-vs-epsilon", "curves", "race", "cascade", "classes", "surface"]
KINDS += ["examples", "transfer", "tsne", "features"]
#: Those whose own tests ask the same of 5, 13 and 25 rows, as they need other results.
ELSEWHERE = {"forest", "pareto", "strip", "epochs", "critical-difference", "queries"}
ELSEWHERE |= {"tuning", "importance", "coordinates", "corruptions", "budgets"}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Two seeds of 25 methods, the last of which are significantly worse than the reference."""
    folder = tmp_path_factory.mktemp("results")
    for place, label in enumerate(LABELS):
        for seed in (0, 1):
            model = trained_record("pgd-at", seed=seed, pgd=0.5 + 0.01 * place)
            right = 300 - place if place < 20 else 100 - 5 * place // 4
            path = write_run(
                folder,
                make_spec(label, seed=seed, eval_threats=THREATS),
                clean=340 - place % 7,
                autoattack=right,
                scored={"after_attack": {"apgd-ce": 0.9, "apgd-t": 0.85, "square": right / 360}},
                reference="pgd-at",
                **{name: getattr(model, name) for name in ("history", "training_cost")},
                **{name: getattr(model, name) for name in ("n_train", "n_validation")},
                **{"num_classes": 10, "selected_epoch": 3},
            )
            if seed == 0:
                save_views(path, make_views(ThreatModel("Linf", "32/255"), bend=1 + place / 9))
                write_outputs(paths.outputs_path(path), seed, images=20)
    moved = make_transfer(*sides(*THIRTEEN))
    path = paths.transfer_path(folder, moved)
    path.parent.mkdir(parents=True)
    path.write_text(moved.model_dump_json())
    return folder


def test_every_figure_of_ours_is_asked_here_or_in_its_own_tests():
    assert {*KINDS} | ELSEWHERE == {*BUILT_IN}


@pytest.fixture(scope="module", params=[FIVE, THIRTEEN, None], ids=["5", "13", "25"])
def contents(request, results):
    return for_figures(Contents.of(results, style=ICML, methods=request.param))


@pytest.mark.parametrize("kind", KINDS)
def test_no_name_lies_on_another(contents, kind):
    pictures = list(FIGURES[kind].of(contents))
    assert pictures
    for picture in pictures:
        with applied(ICML):
            figure = laid_out(picture, ICML)
            assert overlaps(figure) == []
        assert figure.get_figwidth() == ICML.width


@pytest.mark.parametrize("kind", KINDS[:-2])  # maps take seconds, and share all their text
def test_no_text_of_a_pdf_is_below_seven_points(contents, kind):
    for picture in FIGURES[kind].of(contents):
        sizes, width = read_pdf(rendered(picture, ICML)[".pdf"])
        assert sizes and min(sizes) >= 7
        assert width == pytest.approx(72 * ICML.width)


def read_pdf(content):
    """Return the sizes of the text in points, and the width of the page; nothing scales it."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)
    sizes = []
    for stream in streams:
        try:
            drawn = zlib.decompress(stream)
        except zlib.error:
            continue
        if b" Tf" not in drawn:
            continue
        sizes += [float(size) for size in re.findall(rb"/\S+ ([0-9.]+) Tf", drawn)]
        turned = re.findall(rb"(\S+) (\S+) \S+ \S+ \S+ \S+ Tm", drawn)
        assert all(float(a) ** 2 + float(b) ** 2 == pytest.approx(1, abs=1e-3) for a, b in turned)
    (box,) = re.findall(rb"/MediaBox\s*\[\s*0 0 ([0-9.]+)", content)
    return sizes, float(box)
