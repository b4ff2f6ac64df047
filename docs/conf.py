"""Sphinx's configuration: ``tox -e docs`` builds the pages, with every warning an error."""

from __future__ import annotations

import os
import re
import sys
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

HERE = Path(__file__).parent
# Notebooks run in one thread: on a machine that is shared, more of them wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(HERE / "make"))

project = "regmix-bench"
author = copyright = "the regmix-bench authors"
release = version = installed("regmix-bench")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]

html_theme = "furo"
html_title = "regmix-bench"
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_js_files = [("pages.js", {"defer": "defer"})]
# Its default, a purple, is too pale on the grey of a dark page for small text.
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0a5ca8", "color-brand-content": "#0a5ca8"},
    "dark_css_variables": {"color-brand-primary": "#7fb8f0", "color-brand-content": "#7fb8f0"},
}

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

copybutton_prompt_text = "$ "

autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
# Names of other projects, whose inventories would have to be downloaded, and of types that are
# spelt in a signature and have no page of their own.
nitpick_ignore_regex = [(r"py:.*", r".*")]


def write_reference(app: Sphinx, config: Config) -> None:
    """Write the pages of ``reference/``, which are made of the package and kept by nobody."""
    import commands
    import methods
    import python
    import schema

    folder = Path(app.srcdir) / "reference"
    folder.mkdir(exist_ok=True)
    pages = {**methods.pages(), **commands.pages(), **python.pages(), **schema.pages()}
    for stale in set(folder.rglob("*.md")) - {folder / name for name in pages}:
        stale.unlink()
    for name, text in pages.items():
        page = folder / name
        page.parent.mkdir(exist_ok=True)
        if not page.is_file() or page.read_text("utf-8") != text:  # else it is read once more
            page.write_text(text, "utf-8")


def resolve_links(app: Sphinx, docname: str, source: list[str]) -> None:
    """Show the files that hosts of code look for in the root, and lead to those outside of docs.

    A link to a file of the repository that is no page leads to a copy of it.
    """
    base = (HERE / docname).parent
    at_root = HERE.parent / f"{docname.upper()}.md"
    if at_root.is_file():
        base = HERE.parent
        app.env.note_dependency(str(at_root))
        source[0] = at_root.read_text("utf-8")

    def resolved(link: re.Match[str]) -> str:
        target = (base / link[1]).resolve()
        page = HERE / target.name.lower()
        opened = link.string.rfind("[", 0, link.start())
        if link.string[opened - 1 : opened] == "!" or not target.exists():
            return link[0]
        if target.parent == HERE.parent and page.is_file():
            target = page
        place = os.path.relpath(target, (HERE / docname).parent)
        inside = target.is_relative_to(HERE)
        return f"]({place}{link[2] or ''})" if inside else f"](path:{place})"

    source[0] = re.sub(r"\]\(([^:)#]+)(#[^)]*)?\)", resolved, source[0])


def level_captions(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Give the captions of the navigation a level, which headings have to have."""
    tree = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = tree.replace(
        'role="heading"', 'role="heading" aria-level="2"'
    )


def setup(app: Sphinx) -> None:
    """Have the reference written before pages are looked for, and files outside found."""
    app.connect("html-page-context", level_captions, priority=900)
    app.connect("config-inited", write_reference)
    app.connect("source-read", resolve_links)
