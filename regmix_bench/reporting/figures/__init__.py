"""The figures of a report: what each draws, and the numbers beside it."""
