"""ONNX Runtime: unavailable devices, invalid networks, several threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest
from codec_folders import ZOO

from thumbstream.codec.iterative.params import IterativeParams
from thumbstream.codec.model_folder import Artifact, open_artifact
from thumbstream.codec.runtime import DEVICES, OnnxNetwork
from thumbstream.errors import ArtifactError, DeviceError
from thumbstream.models import installed_models


def has_cuda(network: bytes) -> bool:
    """Whether ONNX Runtime itself can use CUDA: it may be listed and fail to start."""
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return False
    session = onnxruntime.InferenceSession(network, providers=["CUDAExecutionProvider"])
    return "CUDAExecutionProvider" in session.get_providers()


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return open_artifact(ZOO / "conv-lstm-1")


@pytest.fixture(scope="module")
def network(artifact: Artifact) -> OnnxNetwork:
    return OnnxNetwork(artifact.files["synthesis.onnx"], "cpu")


def inputs_of(
    artifact: Artifact, network: OnnxNetwork, seed: int, rows: int, columns: int
) -> dict[str, np.ndarray]:
    """Random codes and states for one step of the synthesis network."""
    rng = np.random.default_rng(seed)
    shapes = {"codes": (1, network.channels["codes"], rows, columns)}
    for state in IterativeParams.from_artifact(artifact).states["synthesis"]:
        shapes[state.name] = (1, state.channels, state.scale * rows, state.scale * columns)
    return {name: rng.uniform(-1, 1, shape).astype(np.float32) for name, shape in shapes.items()}


def test_inputs_match_the_manifest(artifact: Artifact, network: OnnxNetwork) -> None:
    layout = IterativeParams.from_artifact(artifact)
    states = layout.states["synthesis"]
    assert network.inputs == ("codes", *(state.name for state in states))
    assert network.outputs == ("x_hat", *(f"{state.name}_next" for state in states))
    channels = {"codes": layout.iterations * layout.planes}
    assert network.channels == channels | {state.name: state.channels for state in states}
    assert network.providers == ("CPUExecutionProvider",)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (4, 4)])
def test_output_shapes_follow_input_shapes(
    artifact: Artifact, network: OnnxNetwork, rows: int, columns: int
) -> None:
    inputs = inputs_of(artifact, network, 1, rows, columns)
    x_hat, *states = network.run(inputs)
    assert x_hat.shape == (1, 3, artifact.stride * rows, artifact.stride * columns)
    assert x_hat.dtype == np.float32
    assert [s.shape for s in states] == [inputs[name].shape for name in network.inputs[1:]]


def test_selects_outputs_by_name(artifact: Artifact, network: OnnxNetwork) -> None:
    inputs = inputs_of(artifact, network, 2, 2, 3)
    everything = dict(zip(network.outputs, network.run(inputs), strict=True))
    chosen = network.outputs[2], network.outputs[0]
    for name, found in zip(chosen, network.run(inputs, chosen), strict=True):
        np.testing.assert_array_equal(found, everything[name])


def test_auto_device_is_available(artifact: Artifact) -> None:
    providers = OnnxNetwork(artifact.files["analysis.onnx"], "auto").providers
    assert set(providers) <= set(onnxruntime.get_available_providers())


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_cuda_is_used_or_rejected(artifact: Artifact) -> None:
    if has_cuda(artifact.files["analysis.onnx"]):
        network = OnnxNetwork(artifact.files["analysis.onnx"], "cuda")
        assert network.providers[0] == "CUDAExecutionProvider"
    else:
        with pytest.raises(DeviceError, match="CUDA"):
            OnnxNetwork(artifact.files["analysis.onnx"], "cuda")


@pytest.mark.parametrize("device", ["", "CPU", "tpu", "cuda:0", "CPUExecutionProvider"])
def test_rejects_unknown_device(artifact: Artifact, device: str) -> None:
    with pytest.raises(DeviceError, match="unknown device") as caught:
        OnnxNetwork(artifact.files["analysis.onnx"], device)
    assert all(known in str(caught.value) for known in DEVICES)


def test_rejects_unknown_device_through_the_registry() -> None:
    with pytest.raises(DeviceError, match="unknown device 'abacus'"):
        installed_models("abacus").load()


@pytest.mark.parametrize("device", ["auto", "cpu"])
@pytest.mark.parametrize("how", ["empty", "text", "zeros", "cut", "altered"])
def test_rejects_invalid_network(artifact: Artifact, how: str, device: str) -> None:
    complete = artifact.files["analysis.onnx"]
    data = {
        "empty": b"",
        "text": b"not a network",
        "zeros": bytes(1000),
        "cut": complete[: len(complete) // 2],
        "altered": complete[:20].translate(bytes(range(255, -1, -1))) + complete[20:],
    }[how]
    with pytest.raises(ArtifactError, match="cannot open the network"):
        OnnxNetwork(data, device)


def test_network_is_thread_safe(artifact: Artifact, network: OnnxNetwork) -> None:
    shapes = [(4, 4), (1, 3), (2, 5), (3, 3)]
    inputs = [inputs_of(artifact, network, seed, *shapes[seed % 4]) for seed in range(12)]
    one_by_one = [network.run(value) for value in inputs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            together = list(pool.map(network.run, inputs))
            for expected, found in zip(one_by_one, together, strict=True):
                for a, b in zip(expected, found, strict=True):
                    np.testing.assert_array_equal(a, b)
