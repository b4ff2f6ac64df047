"""Formats that values are written in: LaTeX, Markdown, CSV, JSON."""
