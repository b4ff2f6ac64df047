"""Perturbations inside a threat model: norms, the one PGD loop, starting points, attacks."""
