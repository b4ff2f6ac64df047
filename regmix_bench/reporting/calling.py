"""Names that the rows of a report go by where they are asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from regmix_bench.analysis.cohorts import Group
from regmix_bench.errors import unknown


def labels_called(
    asked: Collection[str], groups: Iterable[Group], names: Mapping[str, str], what: str
) -> list[str]:
    """Return the labels of the rows asked for, in that order.

    A row goes by its label, its method, its shown name (of ``names``, by label) and the labels of
    its runs. Raises :class:`UserError` for what no row goes by, which it calls an unknown ``what``.
    """
    labels: dict[str, list[str]] = {}
    for group in groups:
        for alias in {group.label, group.method, names[group.label], *group.names}:
            labels.setdefault(alias, []).append(group.label)
    for name in asked:
        if name not in labels:
            raise unknown(what, name, labels)
    return list(dict.fromkeys(label for name in asked for label in labels[name]))
