"""Conclusions that recorded numbers allow: statistics, comparisons, verdicts, references."""
