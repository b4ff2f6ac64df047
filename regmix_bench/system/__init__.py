"""The machine and its files: what every part uses and none of them owns."""
