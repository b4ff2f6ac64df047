"""How tables and pages are written: LaTeX, Markdown, CSV."""
