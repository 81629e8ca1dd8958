"""Input vectors of sites and pairs, computed from atomic numbers and distances."""

import threading

import torch
from torch import Tensor, nn

from sitenet_core.models.sitenet.inputs import CrystalInputs

N_EMBEDDED = 119
"""Rows of the embedding table, indexed by atomic number; row 0 is unused."""
N_PAIR_FEATURES = 2
"""Distance in Å and log-Coulomb value."""

_BOHR_PER_ANGSTROM = 1.8897543773133647
_LARGEST_LOG_COULOMB = 10.0
_SMALLEST_COULOMB = 1e-8
_ROUNDING = 1e-6
_PROJECTING = threading.Lock()
"""Groups of a batch may come to one table at once. A thread that met half a shortened
row would shorten it again. (A module cannot hold a lock and be copied.)"""


class ElementEmbedding(nn.Module):
    """A learned vector per element, kept at L2 norm 1 or below.

    The table is projected at the start of every training step, before it is read. In
    evaluation nothing is written: rows are projected as they are read. A checkpoint
    therefore continues with the same bits wherever in an epoch it was written.

    Args:
        width: length of a vector.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(N_EMBEDDED, width))
        self.project()

    @torch.no_grad()
    def project(self) -> None:
        """Shorten the rows that are longer than 1 to length 1."""
        with _PROJECTING:
            self.weight.copy_(_within_unit_ball(self.weight))

    def forward(self, atomic_numbers: Tensor) -> Tensor:
        """Return (n_sites, width) for (n_sites,) int64 atomic numbers."""
        if self.training:
            self.project()
            return self.weight.index_select(0, atomic_numbers)
        return _within_unit_ball(self.weight).index_select(0, atomic_numbers)


class InputFeatures(nn.Module):
    """The input vectors of sites and pairs (arXiv:2209.08190, section 2.2).

    Args:
        embedding_dim: length of the learned embedding of an element.
        elements: (n_elements, n_properties) elemental properties, row Z, already
            scaled as they shall enter the network.
    """

    elements: Tensor

    def __init__(self, embedding_dim: int, elements: Tensor) -> None:
        super().__init__()
        self.embedding = ElementEmbedding(embedding_dim)
        self.register_buffer("elements", elements.to(torch.get_default_dtype()))

    @property
    def site_width(self) -> int:
        """Length of a site's vector: embedding, properties, oxidation state."""
        return self.embedding.weight.shape[1] + self.elements.shape[1] + 1

    def forward(self, batch: CrystalInputs) -> tuple[Tensor, Tensor]:
        """Return site vectors (n_sites, site_width) and pair vectors (n_pairs, 2)."""
        dtype = self.elements.dtype
        properties = self.elements.index_select(0, batch.atomic_numbers)
        oxidation = batch.oxidation_states.to(dtype).unsqueeze(1)
        learned = self.embedding(batch.atomic_numbers)
        distance = batch.pair_distance.to(dtype)
        charges = batch.atomic_numbers.to(dtype)
        coulomb = log_coulomb(
            charges.index_select(0, batch.pair_site),
            charges.index_select(0, batch.pair_partner),
            distance,
        )
        sites = torch.cat([learned, properties, oxidation], dim=1)
        return sites, torch.stack([distance, coulomb], dim=1)


def log_coulomb(z_i: Tensor, z_j: Tensor, distance: Tensor) -> Tensor:
    """Return the clipped logarithm of the Coulomb matrix elements of pairs.

    Z_i Z_j / d in atomic units, 0.5 Z_i^2.4 for a site with itself (distance 0).

    Args:
        z_i: (n_pairs,) atomic numbers of the sites i.
        z_j: (n_pairs,) atomic numbers of the atoms j.
        distance: (n_pairs,) in Å; 0 only for a site with itself.
    """
    itself = distance == 0
    bohr = torch.where(itself, 1.0, distance) * _BOHR_PER_ANGSTROM
    element = torch.where(itself, 0.5 * z_i**2.4, z_i * z_j / bohr)
    logarithm = torch.log(element + _SMALLEST_COULOMB)
    return logarithm.clamp(-_LARGEST_LOG_COULOMB, _LARGEST_LOG_COULOMB)


def _within_unit_ball(rows: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    # A row that was shortened is left alone, so that doing it again, for another group
    # of the batch or in another thread that reads the row meanwhile, writes the same
    # bits.
    return rows / torch.where(length > 1 + _ROUNDING, length, 1.0)
