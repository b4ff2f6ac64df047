"""Images and labels that a program has in memory, as data to score a model on."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from regmix_bench.data.run_data import EvalData
from regmix_bench.data.splits import balanced_sample
from regmix_bench.errors import UserError


def tensor_data(pair: tuple[Tensor, Tensor], n: int | None, device: torch.device) -> EvalData:
    """Return images (N, C, H, W) in [0, 1] and labels (N,) or (N, 1) as data on ``device``.

    A class-balanced sample of ``n`` of them where that is given. There are as many classes as the
    labels need, until :func:`with_classes` knows better. Raises :class:`UserError` for anything but
    floating-point pixels in [0, 1] and whole numbers from 0 on, one for each image.
    """
    x, y = _checked(pair)
    images, labels = x.cpu().float().contiguous(), y.cpu().long().contiguous()
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
        classes_from_labels=True,
    )


def with_classes(data: EvalData, num_classes: int) -> EvalData:
    """Return ``data`` with the number of classes that a model knows.

    It is the same where the data know their classes. Raises :class:`UserError` where a label is
    none of them.
    """
    if not data.classes_from_labels:
        return data
    if data.num_classes > num_classes:
        raise UserError(
            f"the labels go up to {data.num_classes - 1}, and the model knows {num_classes} classes"
        )
    return replace(data, num_classes=num_classes, classes_from_labels=False)


def _checked(pair: object) -> tuple[Tensor, Tensor]:
    parts = pair if isinstance(pair, tuple | list) else ()
    if len(parts) != 2 or not all(isinstance(part, Tensor) for part in parts):
        kinds = ", ".join(type(part).__name__ for part in parts) or type(pair).__name__
        raise UserError(f"the data is not a pair of tensors (images, labels) but {kinds}")
    x, y = (part.detach() for part in parts)
    for name, part in (("images", x), ("labels", y)):
        if part.is_meta or part.layout != torch.strided:
            held = "the meta device" if part.is_meta else f"layout {part.layout}"
            raise UserError(f"the {name} are of {held}: give dense tensors with values")
    if x.ndim != 4 or not x.numel():
        raise UserError(f"the images have shape {tuple(x.shape)}, not (N, C, H, W)")
    if not x.is_floating_point():
        raise UserError(f"the images are {x.dtype}, not floating-point pixels in [0, 1]")
    low, high = float(x.min()), float(x.max())
    if not (low >= 0 and high <= 1):  # nor where one is NaN
        raise UserError(f"the images have pixels from {low:g} to {high:g}, not in [0, 1]")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.shape != x.shape[:1]:
        one_hot = y.ndim == 2 and bool((y.count_nonzero(1) == 1).all())
        mend = ", which looks one-hot: give its argmax(1)" if one_hot else ""
        raise UserError(
            f"the labels have shape {tuple(y.shape)}, not one for each of {len(x)}{mend}"
        )
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise UserError(f"the labels are {y.dtype}, not whole numbers")
    if int(y.min()) < 0:
        raise UserError(f"the labels begin at {int(y.min())}, not at 0")
    return x, y
