"""Images and labels that a program has in memory, as data to score a model on."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from regmix_bench.data.run_data import EvalData
from regmix_bench.data.splits import balanced_sample
from regmix_bench.errors import UserError


def tensor_data(x: Tensor, y: Tensor, n: int | None, device: torch.device) -> EvalData:
    """Return images ``x`` (N, C, H, W) in [0, 1] and labels ``y`` (N,) as data on ``device``.

    A class-balanced sample of ``n`` of them where that is given. There are as many classes as the
    labels need. Raises :class:`UserError` for anything but floating-point pixels in [0, 1] and
    whole numbers from 0 on, one for each image.
    """
    _check(x, y)
    images, labels = x.detach().cpu().float().contiguous(), y.detach().cpu().long()
    hashed = hashlib.sha256(f"{tuple(images.shape)}\n".encode())
    for part in (images, labels):
        hashed.update(part.numpy().tobytes())
    chosen = np.arange(len(labels))
    if n is not None:
        classes = len(labels.unique())
        if not classes <= n <= len(labels):
            raise UserError(f"eval_examples {n}: choose {classes} to {len(labels)} of these images")
        chosen = balanced_sample(labels.numpy(), n)
    index = torch.from_numpy(chosen)
    return EvalData(
        images[index].to(device),
        labels[index].to(device),
        index,
        hashed.hexdigest(),
        int(labels.max()) + 1,
    )


def _check(x: object, y: object) -> None:
    if not isinstance(x, Tensor) or not isinstance(y, Tensor):
        kinds = " and ".join(type(part).__name__ for part in (x, y))
        raise UserError(f"the data is not a pair of tensors (images, labels) but {kinds}")
    if x.ndim != 4 or not x.numel():
        raise UserError(f"the images have shape {tuple(x.shape)}, not (N, C, H, W)")
    if not x.is_floating_point():
        raise UserError(f"the images are {x.dtype}, not floating-point pixels in [0, 1]")
    low, high = float(x.min()), float(x.max())
    if not (0 <= low and high <= 1):  # nor where one is NaN
        raise UserError(f"the images have pixels from {low:g} to {high:g}, not in [0, 1]")
    if y.shape != x.shape[:1]:
        raise UserError(f"the labels have shape {tuple(y.shape)}, not one for each of {len(x)}")
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise UserError(f"the labels are {y.dtype}, not whole numbers")
    if int(y.min()) < 0:
        raise UserError(f"the labels begin at {int(y.min())}, not at 0")
