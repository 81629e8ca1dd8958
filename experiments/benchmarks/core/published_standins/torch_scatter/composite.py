"""Imported and never called."""

from torch_scatter import scatter_std

__all__ = ["scatter_std"]
