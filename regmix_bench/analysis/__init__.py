"""What recorded numbers allow one to say: statistics, comparisons, verdicts, references."""
