"""The budgets and test images that a model is asked to be scored on; a run's own if left out."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from regmix_bench.api.options import Names, listed
from regmix_bench.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from regmix_bench.data import EvalData
    from regmix_bench.records.schema import RunRecord
    from regmix_bench.specs import Component, DataNames
    from regmix_bench.types import ThreatModel


class AskedData(NamedTuple):
    """Data to score on: its name and component, what readers call it, how many images are drawn."""

    name: str
    component: "Component | None"
    names: "DataNames | None"
    n: int | None
    test: "EvalData"


def asked_threats(
    given: Names | None, norm: str | None, run: "RunRecord | None"
) -> "list[ThreatModel]":
    """Return the threats that are given, else those that ``run`` was scored under.

    Raises :class:`UserError` for what is no budget, a norm that there is not, none at all and too
    many.
    """
    from regmix_bench.specs.threats import parse_threats, threat_text
    from regmix_bench.types import DEFAULT_NORM, NORMS, ThreatModel

    if norm is not None:
        _ = NORMS[norm]  # refused where there is none of this name
    own = run.spec.eval_threats if run else ()
    if given is None:
        if norm is not None and norm != own[0].norm:
            raise UserError(
                f"--norm {norm} needs --threats: {own[0].epsilon} is a budget of {own[0].norm}"
            )
        return list(own)
    chosen = norm or (own[0].norm if own else DEFAULT_NORM)
    texts: list[str] = []
    for item in given if isinstance(given, Iterable) and not isinstance(given, str) else [given]:
        if isinstance(item, ThreatModel):
            texts.append(threat_text(item))
        else:
            texts += listed("--threats", str(item)) or []
    if not texts:
        raise UserError("no threat is given: write it like Linf:8/255")
    return list(parse_threats(texts, chosen))


def asked_data(
    dataset: "str | tuple[Tensor, Tensor] | None",
    n: int | None,
    run: "RunRecord | None",
    device: "torch.device",
    data_dir: str | Path | None,
    download: bool,
    say: Callable[[str], None],
    title: str | None = None,
) -> "AskedData":
    """Return the data to score on: ``dataset``, else what ``run`` was trained on.

    That must not have changed since. ``title`` is what readers call data without a name of their
    own. Raises :class:`UserError` for data that is not there or does not fit.
    """
    from regmix_bench.data import canonical_name, prepare_eval
    from regmix_bench.data.sources import data_names, dataset_component, titled
    from regmix_bench.data.tensors import tensor_data

    if dataset is not None and not isinstance(dataset, str):
        test = tensor_data(dataset, n, device)
        called = None if title is None else titled(title)
        return AskedData(f"tensors-{test.digest[:12]}", None, called, n, test)
    folder = None if data_dir is None else Path(data_dir)
    own = (run.spec.dataset, run.spec.component("dataset")) if run else ("", None)
    chosen = own if dataset is None else dataset_component(canonical_name(dataset, folder, say))
    name, component = chosen
    if n is None and run is not None and chosen == own:
        n = run.spec.eval_examples
    test = prepare_eval(name, n, device, folder, download, component)
    if run is not None and chosen == own:
        test.require(run.data_digest, name, f"run {run.run_id}")
    names = run.spec.data_names if run and chosen == own and title is None else None
    return AskedData(name, component, names or data_names(name, title), n, test)
