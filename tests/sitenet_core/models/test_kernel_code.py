"""What the compiler made of the kernels."""

import pytest
import torch
from torch import Tensor

from sitenet_core.models.sitenet.fused import (
    Scale,
    SiteParts,
    fused_affine,
    fused_attention,
    fused_moments,
    fused_projection,
    fused_unit,
    kernels,
)

KERNELS = {
    name: value
    for name, value in vars(kernels).items()
    if hasattr(value, "targetdescr") and value.targetoptions.get("inline") != "always"
}


@pytest.fixture(scope="module", autouse=True)
def _every_kernel_was_called_as_in_a_training() -> None:
    """Leave with each kernel the types of arrays that a training step gives it."""
    n, width, heads = 6, 24, 3
    site = torch.arange(n) // 2

    def rows(*shape: int) -> Tensor:
        return torch.ones(*shape).requires_grad_()

    def sites() -> SiteParts:
        return SiteParts(rows(3, width), rows(3, width), site, site)

    scale = Scale(rows(width), rows(width))
    linear = rows(heads, width), rows(heads)
    done = [
        fused_unit(rows(n, 32) + 0, width, None, sites()),
        fused_unit(rows(n, 32) + 0, width, scale, sites()),
        fused_projection(rows(n, 32) + 0, scale, linear, sites()),
        fused_moments(rows(n, 32) + 0, width, torch.ones(n), sites())[1],
        fused_affine(rows(n, 32) + 0, scale, sites()),
        fused_attention(
            rows(n, heads), torch.zeros(n), rows(n, width), torch.tensor([0, 2, n])
        )[0],
    ]
    for result in done:
        result.sum().backward()


@pytest.mark.parametrize("name", KERNELS)
def test_no_kernel_adds_up_in_another_way_where_arrays_lie_close(name: str) -> None:
    fresh = kernels.compiled(KERNELS[name].py_func, cache=False)
    assert KERNELS[name].signatures, "the kernel was not called"
    for signature in KERNELS[name].signatures:
        fresh.compile(signature)
        code = fresh.inspect_llvm(signature)
        assert "vector.body" in code, "the kernel has no vector loop"
        assert "memcheck" not in code
