"""Reductions over rows that belong to numbered segments, without padding.

Sums and softmax run in float32 at least, whatever the arithmetic around them, and give
the same bits in every run on a CPU.
"""

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Return half-precision `values` as float32, others as they are."""
    return values.float() if values.dtype.itemsize < 4 else values


def segment_sum(values: Tensor, segment: Tensor, n_segments: int) -> Tensor:
    """Return the sum of the rows of each segment.

    Args:
        values: (n_rows, ...).
        segment: (n_rows,) int64, the segment of each row.
        n_segments: number of segments; an empty one sums to 0.

    Returns:
        (n_segments, ...), float32 at least.
    """
    values = at_least_float32(values)
    empty = values.new_zeros((n_segments, *values.shape[1:]))
    return empty.index_add(0, segment, values)


def segment_max(values: Tensor, segment: Tensor, n_segments: int) -> Tensor:
    """Return the maximum over the rows of each segment; equal rows share the gradient.

    Args:
        values: (n_rows, width).
        segment: (n_rows,) int64, the segment of each row; every segment has a row.
        n_segments: number of segments.

    Returns:
        (n_segments, width).
    """
    values = at_least_float32(values)
    index = segment.unsqueeze(1).expand_as(values)
    empty = values.new_zeros((n_segments, values.shape[1]))
    return empty.scatter_reduce(0, index, values, "amax", include_self=False)


def segment_softmax(logits: Tensor, segment: Tensor, n_segments: int) -> Tensor:
    """Return the softmax over the rows of each segment, column by column.

    A row of multiplicity c is c equal rows if ln c was added to its logits, and the
    result is then the weight of all c together.

    Args:
        logits: (n_rows, width); -inf excludes a row, never a whole segment.
        segment: (n_rows,) int64, the segment of each row.
        n_segments: number of segments.

    Returns:
        (n_rows, width), float32 at least.
    """
    logits = at_least_float32(logits)
    largest = segment_max(logits.detach(), segment, n_segments)
    weights = torch.exp(logits - largest.index_select(0, segment))
    total = segment_sum(weights, segment, n_segments)
    return weights / total.index_select(0, segment)
