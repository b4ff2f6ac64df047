"""The report of ``results/`` as LaTeX, Markdown, CSV, JSON, figures and pages.

It never trains and never attacks.
"""
