"""Fixtures of reports."""

from support.reports import record, save

__all__ = ["record", "save"]
