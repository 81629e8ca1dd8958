"""Site-Net written the plain way: the oracle of the ragged model.

It loops over crystals, builds the whole bond tensor [n, N, 2λ+μ], and takes softmax and
pooling over an axis. It reads the weights of a ragged model by name; multiplicities are
taken to be 1. Only the norms look at several crystals at once, because batch norm does.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sitenet_core.families.sitenet.batch import CrystalBatch
from sitenet_core.models.sitenet.config import ModelSection

Rows = list[Tensor]


@dataclass(frozen=True)
class DenseCrystal:
    """One crystal as full matrices."""

    numbers: Tensor
    """(n,)."""
    oxidation: Tensor
    """(n,)."""
    partner: Tensor
    """(n, N) unique site of each atom of the row."""
    distance: Tensor
    """(n, N) in Å."""


class DenseSiteNet:
    """The function that `SiteNet` computes, from its parameters and buffers.

    Args:
        model: architecture.
        values: parameters and buffers by name.
        training: norms use the statistics of the batch.
    """

    def __init__(
        self, model: ModelSection, values: dict[str, Tensor], *, training: bool
    ) -> None:
        self.model = model
        self.values = values
        self.training = training

    def __call__(self, batch: CrystalBatch) -> Tensor:
        """Return predictions (n_crystals, n_targets)."""
        crystals = split(batch)
        sites = [self._site_input(c) for c in crystals]
        pairs = [self._pair_input(c) for c in crystals]
        s = self._unit("site_unit", sites)
        e = self._unit("interaction_unit", pairs)
        outputs = []
        for index in range(self.model.attention_blocks):
            last = index == self.model.attention_blocks - 1
            s, e = self._block(f"blocks.{index}", crystals, (s, e), last=last)
            outputs.append(s)
        joined = [torch.cat(parts, dim=1) for parts in zip(*outputs, strict=True)]
        for k in range(self.model.pre_pooling.depth):
            joined = self._unit(f"pre_pooling.units.{k}", joined)
        pooled = [torch.stack([self._pool(x) for x in joined])]
        for k in range(self.model.post_pooling.depth):
            pooled = self._unit(f"post_pooling.units.{k}", pooled)
        return self._linear("output", pooled[0])

    def _site_input(self, c: DenseCrystal) -> Tensor:
        learned = self.values["features.embedding.weight"][c.numbers]
        properties = self.values["features.elements"][c.numbers]
        return torch.cat([learned, properties, c.oxidation[:, None]], dim=1)

    def _pair_input(self, c: DenseCrystal) -> Tensor:
        z = c.numbers.double()
        zi, zj = z[:, None].expand_as(c.distance), z[c.partner]
        off = zi * zj / (c.distance * 1.8897543773133647)
        x = torch.where(c.distance == 0, 0.5 * zi**2.4, off)
        coulomb = torch.clip(torch.log(x + 1e-8), -10, 10)
        return torch.stack([c.distance, coulomb], dim=-1)

    def _block(
        self,
        name: str,
        crystals: list[DenseCrystal],
        state: tuple[Rows, Rows],
        *,
        last: bool,
    ) -> tuple[Rows, Rows]:
        bonds = [bond_tensor(c, s, e) for c, s, e in zip(crystals, *state, strict=True)]
        first = [self._linear(f"{name}.bond.linear", b) for b in bonds]
        heads, depth = self.model.attention_heads, self.model.attention_weights.depth
        width = self.model.attention_weights.width or heads
        n_values = heads if self.model.values == "per_head" else 1
        n_values *= self.model.site_dim_per_head
        logits = [f[..., :width] for f in first]
        if depth > 0:
            logits = self._norm(f"{name}.weights_norm", [mish(x) for x in logits])
            for k in range(depth - 1):
                logits = self._unit(f"{name}.weights_chain.units.{k}", logits)
            logits = [self._linear(f"{name}.logits", x) for x in logits]
        values = [mish(f[..., width : width + n_values]) for f in first]
        values = self._norm(f"{name}.values_norm", values)
        gathered = [
            self._attend(c, a, v)
            for c, a, v in zip(crystals, logits, values, strict=True)
        ]
        s = self._unit(f"{name}.site_unit", gathered)
        if last:
            return s, state[1]
        new = [mish(f[..., width + n_values :]) for f in first]
        return s, self._norm(f"{name}.interactions_norm", new)

    def _attend(self, c: DenseCrystal, logits: Tensor, values: Tensor) -> Tensor:
        logits = logits + self.model.identity_bias * (c.distance == 0)[..., None]
        if self.model.cutoff is not None:
            far = (c.distance > self.model.cutoff)[..., None]
            logits = logits.masked_fill(far, -torch.inf)
        a = torch.softmax(logits, dim=1)
        n, m, heads = a.shape
        if self.model.values == "per_head":
            values = values.reshape(n, m, -1, heads)
            return torch.einsum("ijh,ijeh->ieh", a, values).reshape(n, -1)
        return torch.einsum("ijh,ije->ieh", a, values).reshape(n, -1)

    def _pool(self, x: Tensor) -> Tensor:
        if self.model.pooling == "mean":
            return x.mean(dim=0)
        if self.model.pooling == "max":
            return x.max(dim=0).values
        queries = self.values["pooling.queries"]
        keys, values = (
            self._linear("pooling.keys", x),
            self._linear("pooling.values", x),
        )
        results = []
        for query in queries:
            parts = []
            for head, vector in enumerate(query):
                columns = slice(head * len(vector), (head + 1) * len(vector))
                scores = keys[:, columns] @ vector / len(vector) ** 0.5
                parts.append(torch.softmax(scores, dim=0) @ values[:, columns])
            results.append(self._linear("pooling.project", torch.cat(parts)))
        return torch.cat(results)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.values[f"{name}.weight"].T + self.values[f"{name}.bias"]

    def _unit(self, name: str, rows: Rows) -> Rows:
        return self._norm(
            f"{name}.norm", [mish(self._linear(f"{name}.linear", x)) for x in rows]
        )

    def _norm(self, name: str, rows: Rows) -> Rows:
        if self.model.normalization == "none":
            return rows
        weight, bias = self.values[f"{name}.weight"], self.values[f"{name}.bias"]
        if self.model.normalization == "layer":
            centre: Callable[[Tensor], Tensor] = lambda x: x.mean(-1, keepdim=True)  # noqa: E731
            var = [centre((x - centre(x)) ** 2) for x in rows]
            return [
                (x - centre(x)) / (v + 1e-5).sqrt() * weight + bias
                for x, v in zip(rows, var, strict=True)
            ]
        every = torch.cat([x.reshape(-1, x.shape[-1]) for x in rows])
        mean, variance = every.mean(0), every.var(0, unbiased=False)
        if not self.training or len(every) == 1:
            mean = self.values[f"{name}.running_mean"]
            variance = self.values[f"{name}.running_var"]
        return [(x - mean) / (variance + 1e-5).sqrt() * weight + bias for x in rows]


def mish(x: Tensor) -> Tensor:
    """Return x·tanh(ln(1 + e^x)), as its definition says."""
    return x * torch.tanh(torch.log1p(torch.exp(x)))


def bond_tensor(c: DenseCrystal, s: Tensor, e: Tensor) -> Tensor:
    """Return B_ij = [s_i | e_ij | s_site(j)], shape (n, N, 2λ+μ)."""
    own = s[:, None, :].expand(-1, c.partner.shape[1], -1)
    return torch.cat([own, e, s[c.partner]], dim=-1)


def split(batch: CrystalBatch) -> list[DenseCrystal]:
    """Return the crystals of a batch whose rows are equally long in each crystal."""
    crystals = []
    for k in range(batch.n_crystals):
        begin, end = int(batch.site_offsets[k]), int(batch.site_offsets[k + 1])
        pairs = slice(int(batch.pair_offsets[begin]), int(batch.pair_offsets[end]))
        shape = (end - begin, -1)
        crystals.append(
            DenseCrystal(
                batch.atomic_numbers[begin:end],
                batch.oxidation_states[begin:end].double(),
                batch.pair_partner[pairs].reshape(shape) - begin,
                batch.pair_distance[pairs].double().reshape(shape),
            )
        )
    return crystals
