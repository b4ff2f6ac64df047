# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
"""Batch normalisation of rows in Triton: statistics, normalisation, and the way back.

An image batch with the channels innermost is a matrix of ``n`` rows and ``c`` columns. Columns are
reduced in two stages without atomics, so that sums do not depend on the order of programs: the
first leaves a row of partial results for each ``span`` of rows, in float32, and the second merges
them. Matrices are contiguous; ``c`` and ``n`` need not be multiples of the blocks.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def moments(x, means, squares, n, c, span, ROWS: tl.constexpr, COLS: tl.constexpr):
    """Write the mean, and the sum of squared deviations from it, of each column of a span."""
    part = tl.program_id(0)
    col = tl.program_id(1) * COLS + tl.arange(0, COLS)
    inside = col < c
    first = part.to(tl.int64) * span
    last = tl.minimum(first + span, n)
    # Deviations from some value of the column lose no digits where its mean is far from 0.
    pivot = tl.load(x + first * c + col, mask=inside, other=0.0).to(tl.float32)
    total = tl.zeros((ROWS, COLS), tl.float32)
    square = tl.zeros((ROWS, COLS), tl.float32)
    for start in range(0, span, ROWS):
        row = first + start + tl.arange(0, ROWS)
        there = (row < last)[:, None] & inside[None, :]
        value = tl.load(x + row[:, None] * c + col[None, :], mask=there, other=0.0).to(tl.float32)
        deviation = tl.where(there, value - pivot[None, :], 0.0)
        total += deviation
        square += deviation * deviation
    count = (last - first).to(tl.float32)
    shift = tl.sum(total, axis=0) / count
    tl.store(means + part * c + col, pivot + shift, mask=inside)
    tl.store(squares + part * c + col, tl.sum(square, axis=0) - count * shift * shift, mask=inside)


@triton.jit
def statistics(
    means,
    squares,
    mean,
    scale,
    running_mean,
    running_var,
    batches,
    n,
    c,
    span,
    parts,
    eps,
    momentum,
    PARTS: tl.constexpr,
    COLS: tl.constexpr,
):
    """Merge what ``moments`` wrote into the mean and 1/√(variance + ``eps``) of each column.

    The merge is that of Chan, Golub and LeVeque 1979. Running statistics move by ``momentum``, the
    variance without bias, and ``batches`` grows by one.
    """
    col = tl.program_id(0) * COLS + tl.arange(0, COLS)
    inside = col < c
    total = tl.zeros((PARTS, COLS), tl.float32)
    for start in range(0, parts, PARTS):
        part = start + tl.arange(0, PARTS)
        there = (part < parts)[:, None] & inside[None, :]
        at = part[:, None] * c + col[None, :]
        count = tl.minimum(span, n - part * span).to(tl.float32)
        total += count[:, None] * tl.load(means + at, mask=there, other=0.0)
    centre = tl.sum(total, axis=0) / n
    square = tl.zeros((PARTS, COLS), tl.float32)
    for start in range(0, parts, PARTS):
        part = start + tl.arange(0, PARTS)
        there = (part < parts)[:, None] & inside[None, :]
        at = part[:, None] * c + col[None, :]
        count = tl.minimum(span, n - part * span).to(tl.float32)
        away = tl.load(means + at, mask=there, other=0.0) - centre[None, :]
        found = tl.load(squares + at, mask=there, other=0.0)
        square += tl.where(there, found + count[:, None] * away * away, 0.0)
    summed = tl.sum(square, axis=0)
    tl.store(mean + col, centre, mask=inside)
    tl.store(scale + col, 1.0 / tl.sqrt(summed / n + eps), mask=inside)
    old = tl.load(running_mean + col, mask=inside)
    tl.store(running_mean + col, old + momentum * (centre - old), mask=inside)
    old = tl.load(running_var + col, mask=inside)
    tl.store(running_var + col, old + momentum * (summed / (n - 1) - old), mask=inside)
    if tl.program_id(0) == 0:
        tl.store(batches, tl.load(batches) + 1)


@triton.jit
def normalise(
    x,
    added,
    y,
    mean,
    scale,
    weight,
    bias,
    n,
    c,
    ADD: tl.constexpr,
    RELU: tl.constexpr,
    ROWS: tl.constexpr,
    COLS: tl.constexpr,
):
    """Write (x − mean)·scale·weight + bias, plus ``added`` and cut off below 0 where asked for."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    col = tl.program_id(1) * COLS + tl.arange(0, COLS)
    inside = col < c
    there = (row < n)[:, None] & inside[None, :]
    at = row[:, None] * c + col[None, :]
    centre = tl.load(mean + col, mask=inside, other=0.0)
    slope = tl.load(scale + col, mask=inside, other=0.0) * tl.load(weight + col, inside, 0.0)
    value = tl.load(x + at, mask=there, other=0.0).to(tl.float32) - centre[None, :]
    value = value * slope[None, :] + tl.load(bias + col, mask=inside, other=0.0)[None, :]
    if ADD:
        value += tl.load(added + at, mask=there, other=0.0).to(tl.float32)
    if RELU:
        value = tl.where(value < 0.0, 0.0, value)  # which keeps what is not a number, as torch does
    tl.store(y + at, value.to(y.dtype.element_ty), mask=there)


@triton.jit
def gradient_sums(
    grad,
    x,
    y,
    mean,
    scale,
    sums,
    products,
    n,
    c,
    span,
    RELU: tl.constexpr,
    ROWS: tl.constexpr,
    COLS: tl.constexpr,
):
    """Write each column's sums, over a span, of the gradient and of it times what was normalised.

    With ``RELU`` the gradient passes where ``y`` is above 0.
    """
    part = tl.program_id(0)
    col = tl.program_id(1) * COLS + tl.arange(0, COLS)
    inside = col < c
    first = part.to(tl.int64) * span
    last = tl.minimum(first + span, n)
    centre = tl.load(mean + col, mask=inside, other=0.0)
    total = tl.zeros((ROWS, COLS), tl.float32)
    product = tl.zeros((ROWS, COLS), tl.float32)
    for start in range(0, span, ROWS):
        row = first + start + tl.arange(0, ROWS)
        there = (row < last)[:, None] & inside[None, :]
        at = row[:, None] * c + col[None, :]
        passed = tl.load(grad + at, mask=there, other=0.0).to(tl.float32)
        if RELU:
            passed = tl.where(tl.load(y + at, mask=there, other=0.0) > 0.0, passed, 0.0)
        deviation = tl.load(x + at, mask=there, other=0.0).to(tl.float32) - centre[None, :]
        total += passed
        product += passed * deviation
    slope = tl.load(scale + col, mask=inside, other=0.0)
    tl.store(sums + part * c + col, tl.sum(total, axis=0), mask=inside)
    tl.store(products + part * c + col, tl.sum(product, axis=0) * slope, mask=inside)


@triton.jit
def merged_sums(
    sums,
    products,
    bias_grad,
    weight_grad,
    c,
    parts,
    PARTS: tl.constexpr,
    COLS: tl.constexpr,
):
    """Add up what ``gradient_sums`` wrote: the gradients of bias and weight."""
    col = tl.program_id(0) * COLS + tl.arange(0, COLS)
    inside = col < c
    total = tl.zeros((PARTS, COLS), tl.float32)
    product = tl.zeros((PARTS, COLS), tl.float32)
    for start in range(0, parts, PARTS):
        part = start + tl.arange(0, PARTS)
        there = (part < parts)[:, None] & inside[None, :]
        at = part[:, None] * c + col[None, :]
        total += tl.load(sums + at, mask=there, other=0.0)
        product += tl.load(products + at, mask=there, other=0.0)
    tl.store(bias_grad + col, tl.sum(total, axis=0), mask=inside)
    tl.store(weight_grad + col, tl.sum(product, axis=0), mask=inside)


@triton.jit
def normalised_gradient(
    grad,
    x,
    y,
    mean,
    scale,
    weight,
    bias_grad,
    weight_grad,
    x_grad,
    added_grad,
    n,
    c,
    ADD: tl.constexpr,
    RELU: tl.constexpr,
    ROWS: tl.constexpr,
    COLS: tl.constexpr,
):
    """Write the gradient of the input and, with ``ADD``, that of what was added.

    Ioffe and Szegedy 2015 (arXiv:1502.03167), section 3, with statistics of the batch.
    """
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    col = tl.program_id(1) * COLS + tl.arange(0, COLS)
    inside = col < c
    there = (row < n)[:, None] & inside[None, :]
    at = row[:, None] * c + col[None, :]
    centre = tl.load(mean + col, mask=inside, other=0.0)
    slope = tl.load(scale + col, mask=inside, other=0.0)
    factor = slope * tl.load(weight + col, mask=inside, other=0.0)
    level = tl.load(bias_grad + col, mask=inside, other=0.0) / n
    tilt = tl.load(weight_grad + col, mask=inside, other=0.0) * slope / n
    passed = tl.load(grad + at, mask=there, other=0.0).to(tl.float32)
    if RELU:
        passed = tl.where(tl.load(y + at, mask=there, other=0.0) > 0.0, passed, 0.0)
    if ADD:
        tl.store(added_grad + at, passed.to(added_grad.dtype.element_ty), mask=there)
    deviation = tl.load(x + at, mask=there, other=0.0).to(tl.float32) - centre[None, :]
    value = (passed - level[None, :] - deviation * tilt[None, :]) * factor[None, :]
    tl.store(x_grad + at, value.to(x_grad.dtype.element_ty), mask=there)
