"""Site-Net written the plain way: the oracle of the ragged model, and its benchmark.

In the style of the published code: rows are padded along j to the longest of the
batch, the whole bond tensor [n, N, 2λ+μ] is built for every part of a block, the whole
batch runs at once, and Mish and layer norm are torch's own. It reads the weights of a
ragged model by name; multiplicities are taken to be 1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from sitenet_core.families.sitenet.batch import CrystalBatch
from sitenet_core.models.sitenet.config import ModelSection


@dataclass(frozen=True)
class DenseCrystals:
    """A batch whose rows are equally long: n unique sites by N atoms."""

    numbers: Tensor
    """(n,)."""
    oxidation: Tensor
    """(n,)."""
    partner: Tensor
    """(n, N) unique site of each atom of the row; 0 in the padding."""
    distance: Tensor
    """(n, N) in Å; 0 in the padding."""
    real: Tensor
    """(n, N) whether it is an atom, not padding."""
    offsets: list[int]
    """First site of each crystal, and the number of sites."""


class DenseSiteNet:
    """The function that `SiteNet` computes, from its parameters and buffers.

    Args:
        model: architecture.
        values: parameters and buffers by name, as `copied_weights` gives them.
        training: norms use the statistics of the batch.
    """

    def __init__(
        self, model: ModelSection, values: dict[str, Tensor], *, training: bool
    ) -> None:
        self.model = model
        self.values = values
        self.training = training

    def __call__(self, batch: CrystalBatch) -> Tensor:
        """Return predictions (n_crystals, n_targets), not clamped."""
        c = padded(batch, self.values["output.weight"].dtype)
        return self.predict(self._site_input(c), self._pair_input(c), c)

    def predict(self, sites: Tensor, pairs: Tensor, c: DenseCrystals) -> Tensor:
        """Return predictions from vectors of sites (n, ·) and pairs (n, N, 2)."""
        s = self._unit("site_unit", sites)
        e = self._unit("interaction_unit", pairs, c.real)
        outputs = []
        for index in range(self.model.attention_blocks):
            last = index == self.model.attention_blocks - 1
            s, e = self._block(f"blocks.{index}", c, (s, e), last=last)
            outputs.append(s)
        joined = torch.cat(outputs, dim=1)
        for k in range(self.model.pre_pooling.depth):
            joined = self._unit(f"pre_pooling.units.{k}", joined)
        ends = zip(c.offsets[:-1], c.offsets[1:], strict=True)
        pooled = torch.stack([self._pool(joined[a:b]) for a, b in ends])
        for k in range(self.model.post_pooling.depth):
            pooled = self._unit(f"post_pooling.units.{k}", pooled)
        return self._linear("output", pooled)

    def _site_input(self, c: DenseCrystals) -> Tensor:
        learned = self.values["features.embedding.weight"][c.numbers]
        properties = self.values["features.elements"][c.numbers]
        return torch.cat([learned, properties, c.oxidation[:, None]], dim=1)

    def _pair_input(self, c: DenseCrystals) -> Tensor:
        z = c.numbers.to(c.distance.dtype)
        zi, zj = z[:, None].expand_as(c.distance), z[c.partner]
        off = zi * zj / (c.distance * 1.8897543773133647)
        x = torch.where(c.distance == 0, 0.5 * zi**2.4, off)
        coulomb = torch.clip(torch.log(x + 1e-8), -10, 10)
        return torch.stack([c.distance, coulomb], dim=-1)

    def _block(
        self, name: str, c: DenseCrystals, state: tuple[Tensor, Tensor], *, last: bool
    ) -> tuple[Tensor, Tensor]:
        s, e = state
        own = s[:, None, :].expand(-1, c.partner.shape[1], -1)
        bonds = torch.cat([own, e, s[c.partner]], dim=-1)
        heads, depth = self.model.attention_heads, self.model.attention_weights.depth
        width = self.model.attention_weights.width or heads
        n_values = heads if self.model.values == "per_head" else 1
        n_values *= self.model.site_dim_per_head
        logits = self._first(name, bonds, slice(0, width))
        if depth > 0:
            logits = self._norm(f"{name}.weights_norm", mish(logits), c.real)
            for k in range(depth - 1):
                logits = self._unit(f"{name}.weights_chain.units.{k}", logits, c.real)
            logits = self._linear(f"{name}.logits", logits)
        values = mish(self._first(name, bonds, slice(width, width + n_values)))
        values = self._norm(f"{name}.values_norm", values, c.real)
        s = self._unit(f"{name}.site_unit", self._attend(c, logits, values))
        if last:
            return s, e
        new = mish(self._first(name, bonds, slice(width + n_values, None)))
        return s, self._norm(f"{name}.interactions_norm", new, c.real)

    def _attend(self, c: DenseCrystals, logits: Tensor, values: Tensor) -> Tensor:
        logits = logits + self.model.identity_bias * (c.distance == 0)[..., None]
        masked = ~c.real
        if self.model.cutoff is not None:
            masked = masked | (c.distance > self.model.cutoff)
        a = torch.softmax(logits.masked_fill(masked[..., None], -torch.inf), dim=1)
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

    def _first(self, name: str, bonds: Tensor, rows: slice) -> Tensor:
        """Return one part of the first layers, which the ragged model keeps as one."""
        weight = self.values[f"{name}.bond.linear.weight"][rows]
        bias = self.values[f"{name}.bond.linear.bias"][rows]
        return functional.linear(bonds, weight, bias)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self.values[f"{name}.weight"], self.values[f"{name}.bias"]
        return functional.linear(x, weight, bias)

    def _unit(self, name: str, rows: Tensor, real: Tensor | None = None) -> Tensor:
        result = mish(self._linear(f"{name}.linear", rows))
        return self._norm(f"{name}.norm", result, real)

    def _norm(self, name: str, rows: Tensor, real: Tensor | None = None) -> Tensor:
        if self.model.normalization == "none":
            return rows
        weight, bias = self.values[f"{name}.weight"], self.values[f"{name}.bias"]
        if self.model.normalization == "layer":
            return functional.layer_norm(rows, weight.shape, weight, bias)
        every = rows if real is None else rows[real]
        mean, variance = every.mean(0), every.var(0, unbiased=False)
        if not self.training or len(every) == 1:
            mean = self.values[f"{name}.running_mean"]
            variance = self.values[f"{name}.running_var"]
        return (rows - mean) / (variance + 1e-5).sqrt() * weight + bias


def mish(x: Tensor) -> Tensor:
    """Return torch's own Mish."""
    return functional.mish(x)


def copied_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of the parameters, with their own gradients, and of the buffers."""
    values = {k: v.detach().clone() for k, v in model.named_buffers()}
    for name, value in model.named_parameters():
        values[name] = value.detach().clone().requires_grad_()
    return values


def padded(batch: CrystalBatch, dtype: torch.dtype) -> DenseCrystals:
    """Return the rows of a batch, padded to the longest; distances as `dtype`.

    Raises:
        ValueError: if a site or a pair of the batch stands for several.
    """
    if (batch.site_multiplicity != 1).any() or (batch.pair_multiplicity != 1).any():
        raise ValueError("the dense model takes batches in which nothing is merged")
    lengths = batch.pair_offsets.diff()
    shape = (batch.n_sites, int(lengths.max()))
    column = torch.arange(len(batch.pair_site), device=lengths.device)
    column = column - batch.pair_offsets[batch.pair_site]
    partner = batch.pair_partner.new_zeros(shape)
    partner[batch.pair_site, column] = batch.pair_partner
    distance = batch.pair_distance.new_zeros(shape, dtype=dtype)
    distance[batch.pair_site, column] = batch.pair_distance.to(dtype)
    real = torch.arange(shape[1], device=lengths.device) < lengths[:, None]
    return DenseCrystals(
        batch.atomic_numbers,
        batch.oxidation_states.to(dtype),
        partner,
        distance,
        real,
        batch.site_offsets.tolist(),
    )
