"""The tables of a report: what each row and column says."""
