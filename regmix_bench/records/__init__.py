"""The results folder: what a record holds, where its files lie, how they are written and read."""
