"""What the fused operations take, and the sums over bonds that they share."""

from typing import Any, NamedTuple

import torch
from torch import Tensor


class SiteParts(NamedTuple):
    """The parts of a linear layer on bonds that are computed once per site."""

    own: Tensor
    """(n_rows, width), added to the pairs of each row."""
    partner: Tensor
    """(n_sites, width), added to the pairs with each site."""
    pair_site: Tensor
    """(n_pairs,) int64, index into `own`."""
    pair_partner: Tensor
    """(n_pairs,) int64, index into `partner`."""


class Scale(NamedTuple):
    """The learned part of a layer norm."""

    scale: Tensor
    """(width,)."""
    shift: Tensor
    """(width,)."""


def can_fuse(rows: Tensor) -> bool:
    """Return whether the kernels take these rows; others go the plain way."""
    return (
        rows.device.type == "cpu"
        and rows.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def array_of(tensor: Tensor) -> Any:
    """Return the numbers of a tensor without a copy."""
    return tensor.detach().numpy()


class AddedSites:
    """What is added to the rows of pairs, and where its gradient goes."""

    def __init__(self, sites: tuple[Tensor | None, ...]) -> None:
        self.tensors = [t.contiguous() for t in sites if t is not None]

    def add_to(self, rows: Any, begin: int, end: int) -> None:
        """Add the sites' parts to rows `begin` to `end` of all pairs."""
        from sitenet_core.models.sitenet.fused import kernels

        if self.tensors:
            own, partner, site, other = map(array_of, self.tensors)
            kernels.add_site_parts(
                rows, own, partner, site[begin:end], other[begin:end]
            )


class SiteGradients:
    """Sums over the pairs of each site, one slice per part: parts do not meet."""

    def __init__(
        self, like: Tensor, shapes: list[tuple[int, int]], n_parts: int
    ) -> None:
        self._sums = [like.new_zeros((n_parts, *shape)) for shape in shapes]

    def add(self, part: int, rows: Any, pairs: list[Any]) -> None:
        """Add the gradient of the rows of `pairs`, their sites and partners."""
        from sitenet_core.models.sitenet.fused import kernels

        if self._sums:
            own, partner = (array_of(t)[part] for t in self._sums)
            kernels.add_to_sites(rows, *pairs, own, partner)

    def totals(self) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients of own and partner parts."""
        if not self._sums:
            return None, None
        own, partner = (t.sum(0) for t in self._sums)
        return own, partner
