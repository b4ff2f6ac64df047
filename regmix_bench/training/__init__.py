"""The training of one model: its epochs, its history, its states on disk."""
