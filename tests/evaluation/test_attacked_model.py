"""Attacks run on a copy, verdicts are the model's, and both live with the memory there is."""

from __future__ import annotations

import sys
from copy import deepcopy
from itertools import pairwise

import pandas as pd
import pytest
import torch
from pyautoattack import AutoAttack
from torch import Tensor, nn

from regmix_bench.attacks.white_box import PGD
from regmix_bench.data import EvalData
from regmix_bench.errors import UserError
from regmix_bench.evaluation.attacked_model import AttackedModel, faster_copy
from regmix_bench.evaluation.evaluate import evaluate_threat
from regmix_bench.evaluation.journal import Journal
from regmix_bench.models.classifier import ImageClassifier
from regmix_bench.models.fusion import FusedModel
from regmix_bench.models.predictions import correct
from regmix_bench.specs import Scoring
from regmix_bench.specs.scoring import SearchPrecision
from regmix_bench.system.machine import Execution
from regmix_bench.types import ThreatModel

LINF = ThreatModel("Linf", "24/255")
SCORING = Scoring(autoattack_seed=3, autoattack_batch_size=16)


@pytest.fixture
def test_set(trained) -> EvalData:
    _, x, y = trained(10)
    return EvalData(x, y, torch.arange(len(y)), "d" * 64, 10)


def score(model: nn.Module, test: EvalData, journal: Journal, scoring: Scoring = SCORING):
    return evaluate_threat(
        AttackedModel.of(model, test.x), test, LINF, scoring, "given", journal, True
    )


def test_autoattack_on_the_copy_has_the_flags_of_the_authors_loop(
    trained, quick_attacks, test_set, journal
) -> None:
    model, x, y = trained(10)
    attack = AutoAttack(model, norm="Linf", eps=float(LINF.epsilon), seed=3)
    tracer = sys.gettrace()
    with torch.random.fork_rng([]):
        _, y_adv = attack.run_standard_evaluation(x, y, batch_size=16)
    sys.settrace(tracer)

    result, table, _ = score(model, test_set, journal)

    assert result.scored_copy is not None
    held = table["clean_correct"] & (table["broken_by"] == "")
    assert held.tolist() == (y_adv == y).tolist()
    assert 3 < held.sum() < table["clean_correct"].sum() - 3


def test_attacks_see_the_copy_and_the_model_gives_the_verdicts(
    trained, quick_attacks, test_set, journal, monkeypatch
) -> None:
    model, x, y = trained(10)
    seen = {"model": 0, "gradients": 0}

    def count(_module: nn.Module, _images: object, logits: Tensor) -> None:
        seen["model"] += len(logits)
        seen["gradients"] += logits.requires_grad

    made = faster_copy(model, x)
    assert made is not None
    monkeypatch.setattr("regmix_bench.evaluation.attacked_model.faster_copy", lambda *_: made)
    handle = model.register_forward_hook(count)
    try:
        _, _, cost = score(model, test_set, journal)
    finally:
        handle.remove()

    assert seen["gradients"] == 0
    # What the attacks took is counted, though the model itself did not see it.
    assert cost.backward_images > 20 * len(y) and cost.forward_images > 2 * seen["model"]
    for part in (part for stage in ("pgd", "apgd-ce") for part in journal.batches(stage)):
        broken = part.index[part.broke]
        assert (model(part.images).argmax(1) != y[broken]).all()


def test_an_attack_that_fools_the_copy_alone_breaks_nothing(
    trained, quick_attacks, test_set, journal, monkeypatch
) -> None:
    model, x, y = trained(10)
    made = faster_copy(model, x)
    assert made is not None
    copy, how = made
    with torch.no_grad():
        copy.get_submodule("model.copy.classifier").bias += 100 * torch.eye(10)[4]
    monkeypatch.setattr(
        "regmix_bench.evaluation.attacked_model.faster_copy", lambda *_: (copy, how)
    )

    result, table, _ = score(model, test_set, journal)

    assert table["clean_correct"].tolist() == correct(model, x, y).tolist()
    broken = table["broken_by"] != ""
    assert (table.loc[broken, "adv_margin"] <= 0).all()
    assert result.autoattack_acc == (table["clean_correct"] & ~broken).mean()


def test_a_copy_that_is_another_function_is_not_used(
    trained, quick_attacks, test_set, tmp_path, monkeypatch
) -> None:
    model, x, _ = trained(10)
    refresh = FusedModel.refresh

    def wrong(self: FusedModel, model: nn.Module) -> None:
        refresh(self, model)
        with torch.no_grad():
            next(self.copy.parameters()).mul_(1.01)

    monkeypatch.setattr(FusedModel, "refresh", wrong)
    assert faster_copy(model, x) is None
    said: list[str] = []
    assert AttackedModel.of(model, x, say=said.append).how is None
    assert said == ["attacks run on the model itself: a faster copy gives other logits"]
    fallen_back = score(model, test_set, Journal(tmp_path / "a", {}))
    monkeypatch.setattr("regmix_bench.evaluation.attacked_model.faster_copy", lambda *_: None)
    plain = score(model, test_set, Journal(tmp_path / "b", {}))

    assert fallen_back[0] == plain[0] and plain[0].scored_copy is None
    pd.testing.assert_frame_equal(fallen_back[1], plain[1])


def test_a_strangers_model_is_never_copied(trained) -> None:
    model, x, _ = trained(10)
    assert isinstance(model, ImageClassifier) and faster_copy(model, x) is not None
    assert faster_copy(nn.Sequential(model), x) is None


def test_a_compiled_channels_last_copy_attacks_as_well(trained, monkeypatch) -> None:
    model, x, y = trained(10)
    compiled = nn.Module.compile  # without a C++ compiler, which takes a minute
    monkeypatch.setattr(
        nn.Module, "compile", lambda self, **how: compiled(self, backend="aot_eager", **how)
    )
    made = faster_copy(model, x, execution=Execution(True, True))
    assert made is not None and (made[1].channels_last, made[1].compile) == (True, True)
    for size in (37, 5, 1):
        part, labels = x[:size], y[:size]
        plain = PGD.of(steps=2).perturb(model, part, labels, LINF)
        found = PGD.of(steps=2).perturb(made[0], part, labels, LINF)
        # A sign near zero may round either way.
        assert ((found - plain).abs() < 1e-5).float().mean() > 0.99


def test_every_attack_runs_on_a_compiled_copy(trained, test_set, journal, monkeypatch) -> None:
    model, *_ = trained(10)
    compiled = nn.Module.compile
    monkeypatch.setattr(
        nn.Module, "compile", lambda self, **how: compiled(self, backend="aot_eager", **how)
    )
    attacks = ("apgd-ce", "fab")  # the second goes back through one graph twice
    scoring = Scoring(autoattack_version="custom", attacks=attacks)
    attacked = AttackedModel.of(model, test_set.x, scoring, Execution(compile=True))
    result, _, _ = evaluate_threat(attacked, test_set, LINF, scoring, "given", journal, True)
    assert result.scored_copy is not None and result.scored_copy.compile
    assert set(result.after_attack) == set(attacks)


class Tight(nn.Module):
    """Logits that do not depend on the batch in a single bit; refuses too many images at once."""

    def __init__(self, model: nn.Module, limit: int, also: bool = False) -> None:
        super().__init__()
        self.model, self.limit, self.also = model, limit, also
        self.refused: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.limit and (x.requires_grad or self.also):
            self.refused.append(len(x))
            raise torch.OutOfMemoryError("out of memory")
        return torch.cat([self.model(image) for image in x.split(1)])


@pytest.mark.parametrize("also_without_gradient", [False, True])
def test_every_stage_lives_with_too_little_memory(
    trained, quick_attacks, tmp_path, also_without_gradient: bool
) -> None:
    model, x, y = trained(10)
    test = EvalData(x[:8], y[:8], torch.arange(8), "d" * 64, 10)
    roomy, tight = Tight(model, 8).eval(), Tight(model, 3, also_without_gradient).eval()

    expected = score(roomy, test, Journal(tmp_path / "roomy", {}))
    found = score(tight, test, Journal(tmp_path / "tight", {}))

    assert tight.refused and roomy.refused == []
    assert all(later == size // 2 for size, later in pairwise(tight.refused))
    assert found[0] == expected[0]
    pd.testing.assert_frame_equal(found[1], expected[1])
    assert (found[1]["broken_by"] != "").any()


def test_memory_for_no_image_at_all_is_an_error(trained, test_set, journal) -> None:
    model, _, _ = trained(10)
    with pytest.raises(torch.OutOfMemoryError):
        score(Tight(model, 0, also=True).eval(), test_set, journal)


def test_chunks_begin_at_what_did_not_fit() -> None:
    scored = AttackedModel(Tight(nn.Flatten(), 3, also=True).eval())
    x = torch.rand(9, 1, 2, 2)
    assert torch.equal(scored.chunks.fit(lambda: scored.attacked(x)), x.flatten(1))
    assert scored.chunks.size == 2


class Largest(nn.Module):
    """Logits that do not depend on the batch in a single bit; notes the most images at once."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.most = model, 0

    def forward(self, x: Tensor) -> Tensor:
        self.most = max(self.most, len(x))
        return torch.cat([self.model(image) for image in x.split(1)])


@pytest.mark.parametrize("attacks", [("apgd-ce", "fab-t"), ("apgd-t", "square")])
def test_no_pass_takes_more_images_than_the_user_allows(
    trained, quick_attacks, attacks: tuple[str, ...]
) -> None:
    model, x, y = trained(10)
    test = EvalData(x[:8], y[:8], torch.arange(8), "d" * 64, 10)
    found = {}
    for size in (None, 3):
        watched = Largest(model).eval()
        scoring = Scoring(
            autoattack_version="custom",
            attacks=attacks,
            autoattack_batch_size=8,
            forward_batch_size=size,
        )
        attacked = AttackedModel.of(watched, x[:8], scoring)
        found[size] = watched, evaluate_threat(attacked, test, LINF, scoring)

    (whole, expected), (parts, split) = found[None], found[3]
    assert (whole.most, parts.most) == (8, 3)
    assert split.result == expected.result
    pd.testing.assert_frame_equal(split.outcomes, expected.outcomes)


def test_a_screen_spares_autoattack_what_pgd_broke(
    trained, quick_attacks, test_set, journal
) -> None:
    model, _, _ = trained(10)
    result, table, _ = score(model, test_set, journal, SCORING.model_copy(update={"screen": True}))

    assert result.autoattack_acc is None
    broken_by_pgd = table["clean_correct"] & ~table["pgd_correct"]
    assert broken_by_pgd.sum() > 3
    assert ((table["broken_by"] == "pgd") == broken_by_pgd).all()
    first = next(iter(result.after_attack))
    assert (table[f"{first}_broke"].notna() == table["pgd_correct"]).all()
    held = table["clean_correct"] & (table["broken_by"] == "")
    assert result.screened_acc == held.mean() == list(result.after_attack.values())[-1]
    assert result.screened_acc <= result.pgd_acc


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_attacks_search_in_a_precision_and_verdicts_are_exact(
    trained, test_set, journal, monkeypatch, precision: str
) -> None:
    model, x, _ = trained(10)
    seen: dict[str, set[tuple[bool, torch.dtype]]] = {"attacked": set(), "plain": set()}

    def note(who: str, module: nn.Module) -> object:
        def hook(_module: nn.Module, _images: object, features: Tensor) -> None:
            seen[who].add((torch.backends.cudnn.allow_tf32, features.dtype))

        return module.register_forward_hook(hook)

    scoring = SCORING.model_copy(
        update={
            "search_precision": precision,
            "autoattack_version": "custom",
            "attacks": ("apgd-ce", "fgsm"),
        }
    )
    attacked = AttackedModel.of(model, x, scoring)
    copy = attacked.attacked.get_submodule("model.model.model.copy.trunk")
    handles = [note("attacked", copy), note("plain", model.trunk)]
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # as whoever calls has it
    result, _, _ = evaluate_threat(attacked, test_set, LINF, scoring, "given", journal)
    for handle in handles:
        handle.remove()

    assert seen["plain"] == {(False, torch.float32)}
    inside = torch.bfloat16 if precision == "bf16" else torch.float32
    assert seen["attacked"] == {(precision == "tf32", inside)}
    assert result.scored_copy is not None and result.scored_copy.precision == precision


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_coarse_copy_may_round_and_no_more(
    trained, monkeypatch, precision: SearchPrecision
) -> None:
    model, x, _ = trained(10)
    refresh = FusedModel.refresh

    def taken(share: float, precision: SearchPrecision) -> bool:
        def wrong(self: FusedModel, model: nn.Module) -> None:
            refresh(self, model)
            with torch.no_grad():
                self.copy.get_submodule("classifier").weight.mul_(1 + share)

        monkeypatch.setattr(FusedModel, "refresh", wrong)
        scoring = Scoring(search_precision=precision)
        return faster_copy(model, x, scoring) is not None

    assert taken(0.002, precision) and not taken(0.2, precision)
    assert taken(0.00005, "fp32") and not taken(0.002, "fp32")


def test_a_strangers_model_decides_itself_in_what_it_computes(trained) -> None:
    model, x, _ = trained(10)
    stranger = nn.Sequential(model)
    assert AttackedModel.of(stranger, x, Scoring(search_precision="tf32")).how is None
    with pytest.raises(UserError, match="search_precision bf16"):
        AttackedModel.of(stranger, x, Scoring(search_precision="bf16"))


def test_checkpoints_of_one_run_share_a_copy(trained) -> None:
    model, x, _ = trained(10)
    first, second = deepcopy(model), deepcopy(model)
    with torch.no_grad():
        for weight in second.parameters():
            weight.mul_(1.1)
    attacked = AttackedModel.of(first, x)
    copy = attacked.attacked.get_submodule("model.model")
    assert attacked.refresh(second, x) and attacked.model is second
    assert attacked.attacked.get_submodule("model.model") is copy
    for found in (attacked.plain(x), attacked.attacked(x)):
        torch.testing.assert_close(found, second(x))
    assert not AttackedModel.of(nn.Sequential(first), x).refresh(second, x)


GRAPHS = Execution(graphs=True)


@pytest.mark.parametrize("attack", ["apgd-ce", "apgd-t", "fab", "fab-t", "square", "pgd[steps=9]"])
def test_every_attack_finds_the_same_where_passes_are_replayed(
    trained, quick_attacks, test_set, tmp_path, attack: str
) -> None:
    model, x, _ = trained(10)
    scoring = SCORING.model_copy(update={"autoattack_version": "custom", "attacks": (attack,)})
    found = {}
    for execution in (Execution(), GRAPHS):
        attacked = AttackedModel.of(model, x, scoring, execution)
        journal = Journal(tmp_path / str(execution.graphs), {})
        found[execution] = evaluate_threat(attacked, test_set, LINF, scoring, "given", journal)
    (plain, expected, cost), (result, table, replayed) = found.values()
    assert plain.scored_copy is not None and result.scored_copy is not None
    assert (plain.scored_copy.graphs, result.scored_copy.graphs) == (False, True)
    assert replayed.capture_seconds == pytest.approx(attacked.recording_seconds)
    assert replayed.capture_seconds > 0 == cost.capture_seconds
    assert result.model_copy(update={"scored_copy": plain.scored_copy}) == plain
    pd.testing.assert_frame_equal(table, expected)
    assert (table["broken_by"] == attack).any()
    passes = ("forward_images", "backward_images")
    assert [getattr(replayed, n) for n in passes] == [getattr(cost, n) for n in passes]
    for stage in ("pgd", attack):
        for one, other in zip(
            *(Journal(tmp_path / str(g), {}).batches(stage) for g in (False, True)), strict=True
        ):
            assert torch.equal(one.images, other.images)


def test_budgets_and_checkpoints_share_recordings(trained, test_set) -> None:
    model, x, _ = trained(10)
    scoring = SCORING.model_copy(
        update={"autoattack_version": "custom", "attacks": ("pgd[steps=9]",)}
    )
    attacked = AttackedModel.of(model, x, scoring, GRAPHS)
    evaluate_threat(attacked, test_set, LINF, scoring, with_ensemble=False)
    spent = attacked.recording_seconds
    assert spent > 0
    evaluate_threat(attacked, test_set, ThreatModel("L2", "1"), scoring, with_ensemble=False)
    other = deepcopy(model)
    with torch.no_grad():
        next(other.parameters()).mul_(1.05)
    assert attacked.refresh(other, x)
    found, _, _ = evaluate_threat(attacked, test_set, LINF, scoring, with_ensemble=False)
    assert attacked.recording_seconds == spent
    anew = AttackedModel.of(other, x, scoring)
    expected, _, _ = evaluate_threat(anew, test_set, LINF, scoring, with_ensemble=False)
    assert (found.clean_acc, found.pgd_acc) == (expected.clean_acc, expected.pgd_acc)


class Blending(ImageClassifier):
    """Logits that depend on the rest of the batch, by which padding would tell."""

    def features(self, x: Tensor) -> Tensor:
        features = super().features(x)
        return features + 0.1 * features.mean(0)


def test_a_model_that_sees_the_filling_of_a_batch_is_not_replayed(trained) -> None:
    _, x, _ = trained(10)
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(64, 8))
    model = Blending(trunk, 8, 1, 10, [0.5], [0.5], initialise=False).eval()
    said: list[str] = []
    attacked = AttackedModel.of(model, x, SCORING, GRAPHS, said.append)
    assert attacked.how is not None and not attacked.how.graphs
    assert said == ["attacks run without graphs: an image's logits depend on the rest of its batch"]
