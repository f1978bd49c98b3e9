from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from thumbstream_models.paper import networks
from thumbstream_models.paper.networks import STRIDE, Binarizer, ConvLSTM, ResidualGain
from thumbstream_models.paper.system_config import SystemConfig
from thumbstream_models.training.config import ConfigError


def strong(config: SystemConfig) -> networks.Compressor:
    """Random weights, large enough for every part to matter to what comes out."""
    torch.manual_seed(3)
    made = networks.build(config.model).eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            parameter.mul_(1.0 if "gain" in name else 2.5)
    return made


@pytest.fixture
def net(tiny: SystemConfig) -> networks.Compressor:
    """The convolutional LSTM compressor."""
    return strong(tiny)


@pytest.fixture
def any_net(system: SystemConfig) -> networks.Compressor:
    """Each system of the paper in turn."""
    return strong(system)


def pictures(batch: int, height: int, width: int, seed: int = 0) -> Tensor:
    noise = torch.rand(batch, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return nn.functional.interpolate(noise, (height, width), mode="bilinear")


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(map(torch.equal, a, b))


# Shapes and sizes


@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("columns", [1, 4, 7])
@pytest.mark.parametrize("batch", [1, 3])
def test_any_grid(
    any_net: networks.Compressor, system: SystemConfig, rows: int, columns: int, batch: int
) -> None:
    x = pictures(batch, rows * STRIDE, columns * STRIDE)
    codes, reconstructions = any_net(x, system.model.iterations)
    assert len(codes) == len(reconstructions) == system.model.iterations
    for code, x_hat in zip(codes, reconstructions, strict=True):
        assert code.shape == (batch, system.model.code_planes, rows, columns)
        assert x_hat.shape == x.shape


def parameters(codes: int, encoder: tuple[int, int], decoder: tuple[int, int, int], t: int) -> int:
    """Weights and biases, counted by hand from the diagrams; ``codes`` of all iterations a cell."""

    def lstm(inputs: int, filters: int) -> int:
        return 4 * filters * (9 * inputs + 1 + filters)

    e1, e2 = encoder
    d1, d2, d3 = decoder
    analysis = e1 * (3 * 8 * 8 + 1) + lstm(e1, e2) + codes * (e2 + 1)
    synthesis = d1 * (codes + 1) + lstm(d1, d1) + lstm(d1 // 4, d2)
    synthesis += d3 * (9 * d2 // 4 + 1) + 3 * (9 * d3 // 4 + 1)
    return analysis + synthesis + t


@pytest.mark.parametrize(
    ("encoder", "decoder"), [((8, 8), (8, 8, 8)), ((64, 128), (128, 64, 48)), ((4, 12), (16, 8, 4))]
)
def test_parameter_count(
    tiny: SystemConfig,
    changed: Callable[..., SystemConfig],
    encoder: tuple[int, int],
    decoder: tuple[int, int, int],
) -> None:
    model = changed(tiny, "model", encoder_filters=encoder, decoder_filters=decoder).model
    count = sum(p.numel() for p in networks.build(model).parameters())
    codes = model.code_planes * model.iterations
    assert count == parameters(codes, encoder, decoder, model.iterations)


def test_rejects_unknown_families(tiny: SystemConfig, changed: Callable[..., SystemConfig]) -> None:
    with pytest.raises(ConfigError, match=r"unknown family 'mlp'; known: .*conv_lstm"):
        networks.build(changed(tiny, "model", family="mlp").model)


@pytest.mark.parametrize("family", ["fc_lstm", "conv_lstm"])
def test_rejects_lstm_with_weights_per_stage(
    tiny: SystemConfig, changed: Callable[..., SystemConfig], family: str
) -> None:
    with pytest.raises(ConfigError, match="shared weights"):
        networks.build(changed(tiny, "model", family=family, weights="per_stage").model)


# Binarizer


def pass_through(planes: int = 1) -> Binarizer:
    """A binarizer whose convolution is the identity, for its one iteration."""
    binarizer = Binarizer(planes, planes, 1)
    with torch.no_grad():
        binarizer.conv.weight.copy_(torch.eye(planes)[..., None, None])
        binarizer.conv.bias.zero_()
    return binarizer


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("mode", ["training", "deterministic", "inference"])
def test_codes_are_exactly_minus_or_plus_one(mode: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    binarizer = pass_through(4).to(dtype).train(mode != "inference")
    binarizer.deterministic = mode == "deterministic"
    codes = binarizer(torch.randn(64, 4, 16, 16, dtype=dtype), 0)
    assert codes.dtype == dtype
    assert set(codes.unique().tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize("soft", [-0.9, -0.5, -0.1, 0.0, 0.3, 0.8])
def test_training_rounds_with_the_probability_of_the_paper(soft: float) -> None:
    torch.manual_seed(1)
    count = 200_000
    features = torch.full((1, 1, 1, count), float(np.arctanh(soft)))
    probability = (1 + soft) / 2
    outputs = (pass_through()(features, 0) > 0).float().mean().item()
    assert outputs == pytest.approx(
        probability, abs=5 * (probability * (1 - probability) / count) ** 0.5
    )


def test_codes_are_independent() -> None:
    torch.manual_seed(2)
    codes = pass_through()(torch.zeros(1, 1, 2, 100_000), 0)
    assert abs((codes[..., 0, :] * codes[..., 1, :]).mean().item()) < 0.02
    assert abs((codes[..., 1:] * codes[..., :-1]).mean().item()) < 0.02


@pytest.mark.parametrize("mode", ["deterministic", "inference"])
def test_without_noise_codes_are_signs(mode: str) -> None:
    binarizer = pass_through().train(mode == "deterministic")
    binarizer.deterministic = mode == "deterministic"
    features = torch.tensor([-5.0, -1e-6, -0.0, 0.0, 1e-6, 5.0]).view(1, 1, 1, -1)
    assert binarizer(features, 0).flatten().tolist() == [-1, -1, 1, 1, 1, 1]


@pytest.mark.parametrize("deterministic", [False, True])
def test_gradient_is_straight_through(deterministic: bool) -> None:
    """As if the codes were tanh itself."""
    binarizer = pass_through()
    binarizer.deterministic = deterministic
    features = torch.linspace(-3, 3, 20).view(1, 1, 4, 5).requires_grad_()
    weight = torch.randn(1, 1, 4, 5)
    (binarizer(features, 0) * weight).sum().backward()
    assert features.grad is not None
    expected = weight * (1 - torch.tanh(features.detach()) ** 2)
    torch.testing.assert_close(features.grad, expected)


def test_every_iteration_has_separate_channels(
    net: networks.Compressor, tiny: SystemConfig
) -> None:
    """Of the binarizer's convolution on the way out, and of the decoder's on the way in."""
    planes = tiny.model.code_planes
    binarizer, decoder = net.binarizer, net.decoder
    features = torch.randn(2, tiny.model.encoder_filters[-1], 3, 2)
    activations = torch.tanh(binarizer.conv(features))
    codes = torch.randn(2, planes, 3, 2)
    state = decoder.zero_state(2, 3, 2, codes)
    for t in range(tiny.model.iterations):
        own = slice(planes * t, planes * (t + 1))
        torch.testing.assert_close(binarizer.activation(features, t), activations[:, own])
        slots = torch.zeros_like(activations)
        slots[:, own] = codes
        expected, _ = decoder.synthesize(decoder.conv(slots), t, state)
        torch.testing.assert_close(decoder(codes, t, state)[0], expected)


# Convolutional LSTM


def test_only_the_input_convolution_has_a_stride(net: networks.Compressor) -> None:
    strides = {
        name: module.stride for name, module in net.named_modules() if isinstance(module, nn.Conv2d)
    }
    assert strides.pop("encoder.conv") == (4, 4)
    assert strides.pop("encoder.lstm.input") == (2, 2)
    assert set(strides.values()) == {(1, 1)}


def test_lstm_matches_the_equations_of_the_paper() -> None:
    """Cell by cell, gate by gate, in plain numpy."""
    torch.manual_seed(4)
    lstm = ConvLSTM(2, 3, stride=2)
    x, h, c = torch.randn(1, 2, 4, 6), torch.randn(1, 3, 2, 3), torch.randn(1, 3, 2, 3)
    with torch.no_grad():
        h_next, c_next = lstm(x, h, c)
    w, b = lstm.input.weight.detach().numpy(), lstm.input.bias.detach().numpy()
    u = lstm.hidden.weight.detach().numpy()[:, :, 0, 0]
    padded = np.pad(x[0].numpy(), ((0, 0), (1, 1), (1, 1)))

    def sigmoid(v: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-v))

    for row, column in np.ndindex(2, 3):
        patch = padded[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        gates = (w * patch).sum((1, 2, 3)) + b + u @ h[0, :, row, column].numpy()
        i, f, o, g = gates.reshape(4, 3)
        new_c = sigmoid(f) * c[0, :, row, column].numpy() + sigmoid(i) * np.tanh(g)
        np.testing.assert_allclose(c_next[0, :, row, column], new_c, atol=1e-5)
        new_h = sigmoid(o) * np.tanh(new_c)
        np.testing.assert_allclose(h_next[0, :, row, column], new_h, atol=1e-5)


def test_new_lstm_has_an_open_forget_gate() -> None:
    bias = ConvLSTM(2, 3).input.bias
    assert bias is not None
    assert bias[3:6].tolist() == [1, 1, 1]


# Residual gain


def test_one_gain_per_iteration() -> None:
    gain = ResidualGain(3)
    with torch.no_grad():
        gain.gain.copy_(torch.tensor([1.0, 3.0, 7.0]))
    r = torch.randn(2, 3, 8, 8)
    for t, factor in enumerate((1.0, 3.0, 7.0)):
        assert torch.equal(gain(r, t), r * factor)
    gain(r, 1).sum().backward()
    assert gain.gain.grad is not None
    torch.testing.assert_close(gain.gain.grad, torch.tensor([0.0, float(r.sum()), 0.0]))


def test_initial_gains_increase() -> None:
    start = ResidualGain(16).gain.detach()
    assert start[0] == 1
    assert torch.all(start.diff() > 0)


# Recurrence


def test_inference_is_deterministic_and_training_is_not(any_net: networks.Compressor) -> None:
    x, t = pictures(2, 16, 24), any_net.iterations
    first, again = any_net(x, t), any_net(x, t)
    assert same(first[0], again[0])
    assert same(first[1], again[1])
    any_net.train()
    assert not same(any_net(x, t)[0], any_net(x, t)[0])


def test_pictures_of_a_batch_are_independent(any_net: networks.Compressor) -> None:
    x, t = pictures(3, 16, 16), any_net.iterations
    together = any_net(x, t)[1][-1]
    for i in range(3):
        torch.testing.assert_close(any_net(x[i : i + 1], t)[1][-1][0], together[i])


def test_patches_are_independent(any_net: networks.Compressor, system: SystemConfig) -> None:
    """In a patch-based system a cell is coded alike alone and among others."""
    x, t = pictures(1, 24, 16), any_net.iterations
    codes, together = any_net(x, t)
    alone_codes, alone = any_net(x[:, :, 8:16, 8:16].contiguous(), t)
    independent = torch.allclose(alone[0], together[0][:, :, 8:16, 8:16], atol=1e-5)
    assert independent == (system.model.family in networks.PATCH_FAMILIES)
    if independent:
        for one, all_of_them in zip(alone_codes, codes, strict=True):
            assert torch.equal(one[..., 0, 0], all_of_them[..., 1, 1])


def test_later_iterations_do_not_change_earlier_ones(net: networks.Compressor) -> None:
    x = pictures(2, 16, 16)
    short, long = net(x, 2), net(x, 4)
    assert same(short[0], long[0][:2])
    assert same(short[1], long[1][:2])


def test_iteration_codes_the_residual(any_net: networks.Compressor, system: SystemConfig) -> None:
    net, gains = any_net, [1.0, 2.0, 5.0, 3.0][: any_net.iterations]
    with torch.no_grad():
        net.residual_gain.gain.copy_(torch.tensor(gains))
    x = pictures(2, 24, 16)
    codes, reconstructions = net(x, len(gains))
    encoder, decoder = net.encoder.zero_state(2, 3, 2, x), net.decoder.zero_state(2, 3, 2, x)
    r, before = x, torch.zeros_like(x)
    for t, gain in enumerate(gains):
        features, encoder = net.encoder(r * gain, t, encoder)
        assert torch.equal(net.binarizer(features, t), codes[t])
        outputs, decoder = net.decoder(codes[t], t, decoder)
        additive = system.model.reconstruction == "additive"
        x_hat = before + outputs / gain if additive else outputs
        torch.testing.assert_close(x_hat, reconstructions[t])
        r, before = x - reconstructions[t], reconstructions[t]


def test_each_stage_has_separate_weights(
    any_net: networks.Compressor, system: SystemConfig
) -> None:
    """Or the same ones; and forgetting the last stages changes nothing of the first."""
    features = torch.randn(1, any_net.decoder.conv.out_channels, 2, 2)
    state = any_net.decoder.zero_state(1, 2, 2, features)
    outputs = [any_net.decoder.synthesize(features, t, state)[0] for t in range(any_net.iterations)]
    own = system.model.weights == "per_stage"
    assert all(torch.equal(outputs[0], other) != own for other in outputs[1:])
    x, remaining = pictures(1, 16, 16), max(1, any_net.iterations - 2)
    before = any_net(x, remaining)
    count = sum(p.numel() for p in any_net.parameters())
    any_net.keep_iterations(remaining)
    after = any_net(x, remaining)
    assert any_net.iterations == remaining
    assert same(before[0], after[0])
    assert same(before[1], after[1])
    assert (sum(p.numel() for p in any_net.parameters()) < count) == (len(outputs) > remaining)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
@pytest.mark.parametrize("family", ["conv_lstm", "fc_lstm"])
def test_state_is_carried_over(
    changed: Callable[..., SystemConfig],
    tiny: SystemConfig,
    family: str,
    part: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a part that forgets, the first iteration is the same and later ones are others."""
    filters = (8, 8) if family == "fc_lstm" else tiny.model.decoder_filters
    net = strong(changed(tiny, "model", family=family, decoder_filters=filters))
    x = pictures(8, 16, 16)
    remembering = net(x, 4)[1]
    module = getattr(net, part)
    forward = module.forward
    monkeypatch.setattr(
        module,
        "forward",
        lambda *inputs: forward(*inputs[:-1], [value * 0 for value in inputs[-1]]),
    )
    forgetting = net(x, 4)[1]
    assert torch.equal(remembering[0], forgetting[0])
    assert not torch.equal(remembering[-1], forgetting[-1])


def test_mask_changes_the_last_reconstruction_only(
    net: networks.Compressor, tiny: SystemConfig
) -> None:
    x = pictures(3, 16, 16)
    codes, whole = net(x, 3)
    mask = torch.ones(3, tiny.model.code_planes, 2, 2)
    mask[0, 1:] = 0
    mask[1, -1, -1, -1] = 0
    masked_codes, cut = net(x, 3, mask)
    assert same(masked_codes, codes)
    assert same(cut[:-1], whole[:-1])
    assert not torch.equal(cut[-1][0], whole[-1][0])
    assert not torch.equal(cut[-1][1], whole[-1][1])
    assert torch.equal(cut[-1][2], whole[-1][2])


def test_masked_codes_reach_the_decoder_as_zeros(
    net: networks.Compressor, tiny: SystemConfig
) -> None:
    x = pictures(1, 16, 16)
    nothing = torch.zeros(1, tiny.model.code_planes, 2, 2)
    cut = net(x, 1, nothing)[1][0]
    x_hat, _ = net.decoder(nothing, 0, net.decoder.zero_state(1, 2, 2, x))
    assert torch.equal(cut, x_hat)


def test_every_weight_has_a_gradient(any_net: networks.Compressor) -> None:
    any_net.train()
    x = pictures(2, 16, 16)
    _, reconstructions = any_net(x, any_net.iterations)
    sum((x - x_hat).square().mean() for x_hat in reconstructions).backward()
    for name, parameter in any_net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
