from __future__ import annotations

import pytest
from support.figures import drawn, pictures_of
from support.synthetic import make_spec, write_run

from regmix_bench.specs import Scoring

LEFT = {"apgd-ce": 306 / 360, "apgd-t": 302 / 360, "fab-t": 302 / 360, "square": 300 / 360}


def picture_of(results):
    found = pictures_of("cascade", results)
    return found[0] if found else None


def test_each_attack_takes_from_what_those_before_it_left(tmp_path):
    write_run(tmp_path, make_spec("trades"), scored={"after_attack": LEFT})
    lower = {name: share - 0.1 for name, share in LEFT.items()}
    write_run(tmp_path, make_spec("trades", seed=1), scored={"after_attack": lower})
    picture = picture_of(tmp_path)
    assert picture.frame["stage"].tolist() == ["clean", "PGD-20", *LEFT]
    assert set(picture.frame["n"]) == {2}
    lost = picture.frame.set_index("stage")["lost"].dropna()
    assert lost.to_dict() == pytest.approx(
        {
            "apgd-ce": 34 / 360 + 0.05,
            "apgd-t": 4 / 360,
            "fab-t": 0,
            "square": 2 / 360,
        }
    )
    assert picture.frame["accuracy"].iloc[-1] == pytest.approx(300 / 360 - 0.05)
    right = drawn(picture).axes[1]
    assert [text.get_text() for text in right.texts[:4]] == ["14.4", "1.1", "0.0", "0.6"]


def test_where_pgd_screens_it_is_the_first_to_take(tmp_path):
    scored = {"autoattack_acc": None, "screened_acc": 300 / 360, "after_attack": LEFT}
    write_run(tmp_path, make_spec(scoring=Scoring(screen=True)), scored=scored)
    picture = picture_of(tmp_path)
    lost = picture.frame.set_index("stage")["lost"]
    assert lost["PGD-20"] == pytest.approx(30 / 360)
    assert lost["apgd-ce"] == pytest.approx(4 / 360)
    assert "PGD-20 first" in picture.caption


def test_a_row_without_stages_is_left_out_and_attacks_of_ones_own_are_shown(tmp_path):
    own = Scoring(autoattack_version="custom", attacks=("square",))
    write_run(tmp_path, make_spec("mart", scoring=own))
    assert picture_of(tmp_path) is None
    scored = {"after_attack": {"square": 300 / 360}}
    write_run(tmp_path, make_spec("trades", scoring=own), scored=scored)
    picture = picture_of(tmp_path)
    assert set(picture.frame["label"]) == {"trades"}
    assert [t.get_text() for t in drawn(picture).axes[1].get_xticklabels()] == ["square"]
