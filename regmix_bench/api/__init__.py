"""One function for each verb: what the package exports, and what the command line calls."""
