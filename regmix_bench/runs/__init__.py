"""One run from its specification to its record: train or resume, score, write."""
