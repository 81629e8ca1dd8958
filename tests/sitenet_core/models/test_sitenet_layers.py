"""Norms, embedding, output activation, and arithmetic of lower precision."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from support.sitenet_records import (
    TINY,
    Shape,
    make_batch,
    make_model,
    make_record,
    mixed_batch,
    relative_difference,
)

from sitenet_core.models.sitenet.config import ModelSection
from sitenet_core.models.sitenet.features import ElementEmbedding
from sitenet_core.models.sitenet.network import OutputSection, SiteNet, clamp_forward
from sitenet_core.models.sitenet.norms import RowWeights, WeightedBatchNorm
from sitenet_core.models.sitenet.ragged import segment_softmax


def test_the_papers_configuration_has_285545_parameters() -> None:
    model = SiteNet(ModelSection(), torch.zeros(104, 8), OutputSection())
    assert sum(p.numel() for p in model.parameters()) == 285_545


def test_the_last_block_has_no_interaction_update() -> None:
    blocks = make_model().blocks
    assert blocks[0].interactions_norm is not None
    assert blocks[1].interactions_norm is None
    assert blocks[0].bond.linear.out_features == 5 + 2 + 6
    assert blocks[1].bond.linear.out_features == 5 + 2


def test_batch_norm_with_weights_of_one_is_torchs_own() -> None:
    torch.manual_seed(0)
    ours, theirs = WeightedBatchNorm(3).double(), torch.nn.BatchNorm1d(3).double()
    for _ in range(3):
        rows = 2 * torch.randn(7, 3, dtype=torch.float64) + 1
        weight = torch.ones(7, dtype=torch.float64)
        torch.testing.assert_close(ours(rows, RowWeights(weight)), theirs(rows))
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    ours.eval()
    theirs.eval()
    torch.testing.assert_close(ours(rows, RowWeights(weight)), theirs(rows))


def test_batch_norm_of_one_row_uses_running_statistics_and_keeps_them() -> None:
    norm = WeightedBatchNorm(2)
    norm.running_mean.copy_(torch.tensor([1.0, 2.0]))
    norm.running_var.copy_(torch.tensor([4.0, 9.0]))
    result = norm(torch.tensor([[3.0, 5.0]]), RowWeights(torch.ones(1)))
    torch.testing.assert_close(result, torch.ones(1, 2))
    assert norm.running_mean.tolist() == [1.0, 2.0]
    assert norm.running_var.tolist() == [4.0, 9.0]


def test_embedding_rows_stay_within_norm_one_while_training() -> None:
    torch.manual_seed(0)
    embedding = ElementEmbedding(5)
    optimizer = torch.optim.SGD(embedding.parameters(), lr=10.0)
    numbers = torch.tensor([1, 8, 8, 26])
    for _ in range(3):
        optimizer.zero_grad()
        vectors = embedding(numbers)
        assert float(vectors.detach().norm(dim=1).max()) <= 1 + 1e-6
        vectors.square().sum().neg().backward()
        optimizer.step()
    assert float(embedding.weight.detach().norm(dim=1).max()) > 2


def test_evaluation_writes_no_weight_and_reads_the_projected_row() -> None:
    embedding = ElementEmbedding(4)
    with torch.no_grad():
        embedding.weight.mul_(3.0)
    before = embedding.weight.detach().clone()
    with torch.inference_mode():
        evaluated = embedding.eval()(torch.tensor([3]))
    assert torch.equal(embedding.weight, before)
    torch.testing.assert_close(evaluated, embedding.train()(torch.tensor([3])))


def test_threads_that_share_a_table_read_rows_shortened_once() -> None:
    torch.manual_seed(0)
    embedding = ElementEmbedding(16)
    long_rows = 3 * torch.randn(embedding.weight.shape)
    numbers = torch.arange(len(long_rows))

    def read(_: int) -> torch.Tensor:
        return embedding(numbers).detach()

    with ThreadPoolExecutor(
        2, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        for _ in range(500):
            embedding.weight.data.copy_(long_rows)
            both = list(pool.map(read, range(2)))
            lengths = embedding.weight.detach().norm(dim=1)
            torch.testing.assert_close(lengths, torch.ones_like(lengths))
            assert torch.equal(both[0], both[1])


def test_clamp_passes_the_gradient_of_the_identity() -> None:
    values = torch.tensor([-2.0, 0.5], requires_grad=True)
    clamped = clamp_forward(values)
    assert clamped.tolist() == [0.0, 0.5]
    clamped.sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [1.0, 1.0]


def test_a_non_negative_target_clamps_predictions_and_keeps_gradients() -> None:
    section = ModelSection.model_validate(TINY)
    batch = mixed_batch()
    model = SiteNet(section, torch.zeros(104, 8), OutputSection(non_negative=True))
    torch.nn.init.constant_(model.output.bias, -50.0)
    predicted = model(batch)
    assert predicted.tolist() == [[0.0]] * batch.n_crystals
    predicted.sum().backward()
    assert model.output.bias.grad is not None
    assert model.output.bias.grad.item() == pytest.approx(batch.n_crystals)


def test_softmax_excludes_rows_of_minus_infinity() -> None:
    logits = torch.tensor([[0.0], [-torch.inf], [800.0], [800.0]], requires_grad=True)
    weights = segment_softmax(logits, torch.tensor([0, 0, 1, 1]), 2)
    assert weights.flatten().tolist() == [1.0, 0.0, 0.5, 0.5]
    weights.square().sum().backward()
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision_stays_near_full_precision(
    norm: str, dtype: torch.dtype
) -> None:
    changes = {
        "normalization": norm,
        "pooling": "self_attention",
        "pooling_heads": 2,
        "pooling_queries": 1,
    }
    model = make_model(changes).float()
    batch = mixed_batch()
    full = model(batch)
    with torch.autocast("cpu", dtype=dtype):
        mixed = model(batch)
    assert mixed.dtype == torch.float32
    assert 0 < relative_difference(mixed, full) < 0.1
    mixed.sum().backward()
    assert all(
        p.grad is not None and bool(torch.isfinite(p.grad).all())
        for p in model.parameters()
    )


def test_two_runs_give_the_same_bits() -> None:
    results = []
    for _ in range(2):
        model = make_model({"normalization": "batch", "pooling": "max"}).float()
        predicted = model(mixed_batch())
        predicted.sum().backward()
        gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        results.append(torch.cat([predicted.detach().flatten(), *gradients]))
    assert torch.equal(*results)


def test_a_crystal_of_more_than_1200_sites_is_predicted() -> None:
    record = make_record(Shape(1201, 1), 0)
    with torch.no_grad():
        predicted = make_model({"attention_blocks": 1}).float()(make_batch([record]))
    assert bool(torch.isfinite(predicted).all())


def test_the_cutoff_keeps_a_site_itself() -> None:
    record = make_record(Shape(3, 2), 0)
    predicted = make_model({"cutoff": 0.5})(make_batch([record]))
    assert bool(torch.isfinite(predicted).all())
