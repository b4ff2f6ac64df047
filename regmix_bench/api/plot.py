"""``plot``: the pictures of a report in Python, as figures of Matplotlib."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, get_args

from regmix_bench.api.options import Names, listed, report_choices, verb
from regmix_bench.errors import UserError, abridged, unknown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from regmix_bench.records.schema import AnyRecord
    from regmix_bench.reporting.figures.venues import Venue

    #: A folder of records, rows of ``load_results``, or records and run_ids.
    Plotted: TypeAlias = str | Path | pd.DataFrame | AnyRecord | Iterable[AnyRecord | str]


class Pictures(dict[str, "Figure"]):
    """Figures by the names that a report gives their files; a notebook shows them all.

    ``captions`` has the text under each.
    """

    def __init__(self, figures: dict[str, Figure], captions: dict[str, str]) -> None:
        super().__init__(figures)
        self.captions = captions

    def _repr_html_(self) -> str:
        return "".join(self._shown(stem, figure) for stem, figure in self.items())

    def _shown(self, stem: str, figure: Figure) -> str:
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=150)
        image = base64.b64encode(stream.getvalue()).decode()
        caption = html.escape(self.captions.get(stem, ""))
        return (
            f'<figure><img alt="{html.escape(stem)}" src="data:image/png;base64,{image}"'
            f' style="max-width:100%"><figcaption>{caption}</figcaption></figure>'
        )


@verb
def plot(
    source: Plotted = "results",
    figure: Names | None = "forest",
    *,
    results: str | Path | None = None,
    reference: str | None = None,
    across: Names | None = None,
    methods: Names | None = None,
    style: Venue = "plain",
    width: str | None = None,
    font: str | None = None,
) -> Pictures:
    """Draw pictures of a report as Matplotlib figures, which need no display and change no setting.

    ``source`` is a folder of records; or rows of :func:`load_results`, records of ``run`` and
    ``load_record``, or run_ids, which lie in the folder ``results`` (that of the records of a
    ``run``, else ``results``), and of which whole runs are shown. ``figure`` names one or several
    of ``list figures``, None all. The other options are those of ``report``. Returns the figures by
    name, such as ``forest-digits-…``; none where there is nothing to draw. Raises
    :class:`UserError` for an unknown figure, method, reference or style, and for records that are
    not there or cannot be read.
    """
    from regmix_bench.reporting.contents import Contents
    from regmix_bench.reporting.figures import FIGURES, figure_names
    from regmix_bench.reporting.figures.gallery import laid_out
    from regmix_bench.reporting.figures.style import applied
    from regmix_bench.reporting.figures.venues import Venue, style_for
    from regmix_bench.reporting.narrowing import for_figures

    names = figure_names() if figure is None else listed("figure", figure) or []
    for name in names:
        if name not in figure_names():
            raise unknown("figure", name, figure_names())
    if style not in get_args(Venue):
        raise unknown("style", style, get_args(Venue))
    folder, only = _chosen(source, results)
    choices = report_choices(False, reference, across, None, None)
    choices["only"] = only
    choices["style"] = look = style_for(style, width, font)
    choices["methods"] = listed("methods", methods)
    contents = for_figures(Contents.of(folder, **choices))
    figures: dict[str, Figure] = {}
    captions: dict[str, str] = {}
    for name in names:
        for picture in FIGURES[name].of(contents):
            with applied(look):
                figures[picture.stem] = laid_out(picture, look)
            captions[picture.stem] = picture.caption
    return Pictures(figures, captions)


def _chosen(source: Plotted, results: str | Path | None) -> tuple[Path, set[str] | None]:
    """Return the folder of what is shown, and the run_ids of it; None for all of them."""
    if isinstance(source, str | os.PathLike):
        return Path(source), None
    import pandas as pd

    from regmix_bench.records.paths import results_of
    from regmix_bench.records.sequence import Records

    several: Iterable[object]
    if isinstance(source, pd.DataFrame):
        if "run_id" not in source.columns:
            raise UserError("the table has no column run_id: give rows of load_results")
        several = source["run_id"]
    elif hasattr(source, "run_id") or not isinstance(source, Iterable):
        several = [source]
    else:
        several = source
    ids = {getattr(each, "run_id", each) for each in several}
    for each in ids:
        if not isinstance(each, str):
            raise UserError(f"{abridged(each)} is neither a record nor a run_id")
    if results is None and isinstance(source, Records) and source.paths:
        results = results_of(source.paths[0])
    return Path("results" if results is None else results), {str(each) for each in ids}
