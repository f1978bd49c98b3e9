from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from thumbstream_models.paper import networks, train_system
from thumbstream_models.paper.system_config import SystemConfig
from thumbstream_models.training.config import ConfigError
from thumbstream_models.training.muon import RMS, Muon, orthogonal

CPU = torch.device("cpu")


@pytest.mark.parametrize(("rows", "columns"), [(6, 6), (4, 30), (30, 4), (1, 5)])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_singular_values_become_one(rows: int, columns: int, scale: float) -> None:
    matrices = torch.randn(3, rows, columns, generator=torch.Generator().manual_seed(1))
    made = orthogonal(scale * matrices)
    assert made.shape == matrices.shape
    assert made.dtype == matrices.dtype
    values = torch.linalg.svdvals(made)
    assert values.max() < 1.3
    assert values.mean() > 0.6


def test_singular_vectors_stay() -> None:
    matrix = torch.randn(5, 9, generator=torch.Generator().manual_seed(2))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    rotated = u.T @ orthogonal(matrix[None])[0] @ v.T
    off_diagonal = rotated - torch.diag(rotated.diagonal())
    assert off_diagonal.abs().max() < 0.1
    assert rotated.diagonal().min() > 0.3


def test_a_matrix_of_zeros_stays() -> None:
    assert torch.equal(orthogonal(torch.zeros(1, 3, 4)), torch.zeros(1, 3, 4))


def test_updates_have_the_size_of_those_of_adam() -> None:
    weight = nn.Parameter(torch.zeros(64, 16, 3, 3))
    weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(3))
    Muon([(weight, 4)], [], lr=0.01).step()
    assert float(weight.detach().square().mean().sqrt()) == pytest.approx(0.01 * RMS, rel=0.3)


def test_matrices_along_the_rows_are_independent() -> None:
    grad = torch.randn(8, 5, generator=torch.Generator().manual_seed(4))
    together, apart = nn.Parameter(torch.zeros(8, 5)), nn.Parameter(torch.zeros(4, 5))
    together.grad, apart.grad = grad.clone(), grad[:4].clone()
    Muon([(together, 2), (apart, 1)], [], lr=1.0).step()
    assert torch.equal(together[:4], apart)


def test_the_others_are_left_to_adam() -> None:
    start = torch.randn(7, generator=torch.Generator().manual_seed(5))
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    muon, adam = Muon([], [ours], lr=0.1), torch.optim.Adam([theirs], lr=0.1)
    for step in range(5):
        for parameter, optimizer in ((ours, muon), (theirs, adam)):
            parameter.grad = torch.sin(parameter.detach() + step)
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


def test_a_parameter_without_a_gradient_stays() -> None:
    matrix, vector = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))
    Muon([(matrix, 1)], [vector], lr=1.0).step()
    assert torch.equal(matrix, torch.ones(2, 2))
    assert torch.equal(vector, torch.ones(2))


def test_hidden_matrices_of_every_system(system: SystemConfig) -> None:
    net = networks.build(system.model)
    matrices = dict(net.hidden_matrices())
    names = {name for name, parameter in net.named_parameters() if parameter in matrices}
    assert names
    assert not names & {"binarizer.conv.weight", "decoder.conv.weight", "encoder.conv.weight"}
    for parameter, count in matrices.items():
        assert parameter.ndim == 4
        assert len(parameter) % count == 0
        assert min(parameter.shape[:2]) > 3
    gated = {name for name, p in net.named_parameters() if matrices.get(p) == 4}
    assert all("lstm" in name for name in gated)
    assert bool(gated) == system.model.family.endswith("lstm")


def test_stopping_and_going_on_changes_no_bit(
    system: SystemConfig, changed: Callable[..., SystemConfig], picture_folder: Path, tmp_path: Path
) -> None:
    config = changed(system, "training", optimizer="muon", steps=3)
    straight = train_system.train(config, [picture_folder], tmp_path / "a", device_name="cpu")
    train_system.train(config, [picture_folder], tmp_path / "b", max_minutes=0, device_name="cpu")
    run = train_system.train(config, [picture_folder], tmp_path / "b", device_name="cpu")
    for name, value in straight.net.state_dict().items():
        assert torch.equal(value, run.net.state_dict()[name]), name


def test_an_unknown_optimizer_is_an_error(
    tiny: SystemConfig, changed: Callable[..., SystemConfig]
) -> None:
    with pytest.raises(ConfigError, match="sgd"):
        changed(tiny, "training", optimizer="sgd")
