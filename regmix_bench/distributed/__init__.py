"""Processes that share one run: how they start, what they tell each other, how they end."""
