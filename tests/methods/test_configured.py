"""Methods with their parameters, into records and out of them."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from support.synthetic import make_eval_spec, make_spec

from regmix_bench.errors import UserError
from regmix_bench.methods import METHODS, register_method
from regmix_bench.methods.configured import all_params, make_method, method_spec, relabelled
from regmix_bench.methods.protocol import Method
from regmix_bench.specs import MethodSpec
from regmix_bench.types import Frozen, Later


@pytest.fixture
def grown(monkeypatch: pytest.MonkeyPatch) -> type[Method]:
    """A method one of whose parameters came later, and whose default then changed."""
    monkeypatch.setattr(METHODS, "registered", {})

    @register_method
    class Grown(Method):
        name = "grown"

        class Config(Frozen):
            beta: float = 6.0
            start: Annotated[bool, Later(True)] = False
            place: str | None = None

        def step(self, model: Any, batch: Any, threat: Any, generator: Any) -> Any:
            raise NotImplementedError

    return Grown


OLD = MethodSpec(name="grown", version=1, params={"beta": 6.0, "place": None}, label="grown")


def test_a_label_says_what_differs_from_the_defaults_as_it_is_typed(grown: type[Method]) -> None:
    assert method_spec("grown", {}).label == "grown"
    said = method_spec("grown", {"beta": 3.0, "start": True, "place": "here"})
    assert said.label == "grown[beta=3,start=true,place=here]"


def test_the_value_of_older_runs_is_not_written_down(grown: type[Method]) -> None:
    assert method_spec("grown", {"start": True}).params == OLD.params
    assert method_spec("grown", {}).params == OLD.params | {"start": False}
    new, old = (make_spec(method=method_spec("grown", {"start": x})) for x in (False, True))
    assert old.run_id == make_spec(method=OLD).run_id != new.run_id


def test_an_old_record_is_shown_and_trained_as_it_was(grown: type[Method]) -> None:
    assert all_params(OLD) == {"beta": 6.0, "start": True, "place": None}
    assert list(all_params(OLD)) == ["beta", "start", "place"]
    assert make_method(OLD).config.start is True


def test_an_old_record_gets_the_label_of_today_and_keeps_its_name(grown: type[Method]) -> None:
    spec = make_spec(method=OLD)
    today = relabelled(spec)
    assert today.label == "grown[start=true]"
    assert (today.run_id, today.stem) == (spec.run_id, spec.stem)
    assert today.model_dump() == spec.model_dump()
    assert relabelled(today) == today


@pytest.mark.parametrize(
    "method",
    [
        OLD.model_copy(update={"name": "gone", "label": "gone[x=1]"}),
        OLD.model_copy(update={"params": {"beta": 3.0}, "label": "grown[beta=3]"}),
        OLD.model_copy(update={"params": OLD.params | {"alpha": 1}, "label": "grown[alpha=1]"}),
    ],
    ids=["not installed", "lacks a parameter", "has another parameter"],
)
def test_what_today_does_not_know_keeps_its_label(grown: type[Method], method: MethodSpec) -> None:
    spec = make_spec(method=method)
    assert relabelled(spec) is spec
    assert method.params.items() <= all_params(method).items()


def test_what_was_not_trained_has_the_label_that_it_was_given() -> None:
    spec = make_eval_spec("mine")
    assert relabelled(spec) is spec


def test_what_cannot_be_trained_is_one_line(grown: type[Method]) -> None:
    with pytest.raises(UserError, match="unknown method 'gone'"):
        make_method(OLD.model_copy(update={"name": "gone"}))
    with pytest.raises(UserError, match="unknown key of grown 'alpha'"):
        make_method(OLD.model_copy(update={"params": {"alpha": 1}}))
    with pytest.raises(UserError, match="unknown key of grown 'bta': did you mean 'beta'"):
        method_spec("grown", {"bta": 1})
