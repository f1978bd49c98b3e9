"""Runs that wait for each other's end become one; nobody gets another's result, or waits for ever.

A stand-in network that a gate holds shows what was run together, and the published networks on the
CPU that rows of a batch are what they are alone.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from codec_folders import ZOO
from numpy.typing import NDArray

from thumbstream import published_models as zoo
from thumbstream.codec import runtime as networks
from thumbstream.codec.base import open_codec
from thumbstream.codec.batching import Batcher, Inputs, Outputs, _Call, bucket, buckets
from thumbstream.codec.model_folder import open_artifact
from thumbstream.codec.runtime import Network

PATIENCE = 20
"""Seconds that a test waits for what should happen at once."""


class Doubler:
    """Gives back twice its input ``x``, and can be held at its first run, or broken."""

    def __init__(self) -> None:
        self.gate, self.entered = threading.Event(), threading.Event()
        self.gate.set()
        self.batches: list[tuple[int, ...]] = []
        self.asked: list[Sequence[str] | None] = []
        self.at_once = 0
        self.errors: dict[int, BaseException] = {}
        """By the number of the run."""

    def __call__(self, inputs: Inputs, outputs: Sequence[str] | None) -> Outputs:
        self.at_once += 1
        assert self.at_once == 1, "two runs at a time"
        number = len(self.batches)
        self.batches.append(inputs["x"].shape)
        self.asked.append(outputs)
        self.entered.set()
        try:
            assert self.gate.wait(PATIENCE)
            if number in self.errors:
                raise self.errors[number]
            return [2 * inputs["x"], inputs["x"].sum(1)]
        finally:
            self.at_once -= 1


def block(value: float, rows: int = 1, columns: int = 3) -> dict[str, NDArray[np.float32]]:
    return {"x": np.full((rows, columns), value, np.float32)}


def waiting(batcher: Batcher, count: int) -> None:
    """Return when so many calls wait for the one that runs."""
    tick = threading.Event()
    for _ in range(PATIENCE * 1000):
        if len(batcher._waiting) == count:
            return
        tick.wait(0.001)
    raise AssertionError(f"{len(batcher._waiting)} calls wait, not {count}")


@pytest.fixture
def network() -> Doubler:
    return Doubler()


@contextmanager
def held(network: Doubler, batcher: Batcher) -> Iterator[Callable[..., Future[Outputs]]]:
    """Calls that arrive, one after the other, during a run: of ``block(-1)``."""
    network.gate.clear()
    with ThreadPoolExecutor(40) as pool:
        try:
            first = pool.submit(batcher.run, block(-1))
            assert network.entered.wait(PATIENCE)
            count = 0

            def call(*args: Any) -> Future[Outputs]:
                nonlocal count
                count += 1
                future = pool.submit(batcher.run, *args)
                waiting(batcher, count)
                return future

            yield call
        finally:
            network.gate.set()
    if 0 not in network.errors:
        assert (first.result(0)[0] == -2).all()
    assert not batcher._waiting
    assert not batcher._busy


def test_buckets() -> None:
    assert [bucket(rows) for rows in (1, 2, 3, 4, 5, 8, 9, 16, 17)] == [
        1,
        2,
        4,
        4,
        8,
        8,
        16,
        16,
        32,
    ]
    assert buckets(16) == (1, 2, 4, 8, 16)
    assert buckets(12) == (1, 2, 4, 8, 16)
    assert buckets(2) == (1, 2)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 15, 16])
def test_those_who_wait_run_together(network: Doubler, count: int) -> None:
    batcher = Batcher(network, 16)
    with held(network, batcher) as call:
        futures = [call(block(value)) for value in range(count)]
    assert network.batches == [(1, 3), (bucket(count), 3)]
    for value, future in enumerate(futures):
        double, total = future.result(0)
        np.testing.assert_array_equal(double, np.full((1, 3), 2 * value))
        np.testing.assert_array_equal(total, [3 * value])


def test_no_more_than_the_maximum_run_together(network: Doubler) -> None:
    batcher = Batcher(network, 4)
    with held(network, batcher) as call:
        futures = [call(block(value)) for value in range(10)]
    assert network.batches == [(1, 3), (4, 3), (4, 3), (2, 3)]
    assert [future.result(0)[0][0, 0] for future in futures] == [2 * value for value in range(10)]


def test_calls_of_several_rows(network: Doubler) -> None:
    """5 rows find no room beside 3 + 1 of 8, so 2 that came later take it; 20 run alone."""
    batcher = Batcher(network, 8)
    sizes = (3, 1, 5, 20, 2)
    with held(network, batcher) as call:
        futures = [call(block(value, rows)) for value, rows in enumerate(sizes)]
    assert network.batches == [(1, 3), (8, 3), (8, 3), (32, 3)]
    for value, (rows, future) in enumerate(zip(sizes, futures, strict=True)):
        np.testing.assert_array_equal(future.result(0)[0], np.full((rows, 3), 2 * value))


def test_other_shapes_types_and_outputs_run_apart_in_their_turn(network: Doubler) -> None:
    batcher = Batcher(network, 16)
    doubles = {"x": np.ones((1, 3), np.float64)}
    with held(network, batcher) as call:
        wide = [call(block(1, columns=4)), call(block(2, columns=4))]
        narrow = [call(block(3)), call(block(4))]
        others = [call(doubles), call(block(5), ["y"]), call(block(6, columns=4))]
    assert network.batches == [(1, 3), (4, 4), (2, 3), (1, 3), (1, 3)]
    assert network.asked == [None, None, None, None, ["y"]]
    found = [future.result(0)[0][0, 0] for future in wide + narrow + others]
    assert found == [2, 4, 6, 8, 2, 10, 12]
    assert others[0].result(0)[0].dtype == np.float64


def test_padding_is_zeros_and_not_seen(network: Doubler) -> None:
    seen: list[NDArray[np.float32]] = []

    def spy(inputs: Inputs, outputs: Sequence[str] | None) -> Outputs:
        seen.append(inputs["x"])
        return network(inputs, outputs)

    double, total = Batcher(spy, 16).run(block(7, rows=3))
    np.testing.assert_array_equal(seen[0], [[7] * 3] * 3 + [[0] * 3])
    assert (double.shape, total.shape) == ((3, 3), (3,))


def test_whoever_is_alone_is_not_copied(network: Doubler) -> None:
    seen: list[Inputs] = []

    def spy(inputs: Inputs, outputs: Sequence[str] | None) -> Outputs:
        seen.append(inputs)
        return network(inputs, outputs)

    inputs = block(7, rows=4)
    Batcher(spy, 16).run(inputs)
    assert seen[0]["x"] is inputs["x"]


def test_an_error_is_that_of_all_who_ran_together_and_of_nobody_else(network: Doubler) -> None:
    batcher = Batcher(network, 4)
    network.errors[1] = RuntimeError("out of memory")
    with held(network, batcher) as call:
        futures = [call(block(value)) for value in range(6)]
    for future in futures[:4]:
        with pytest.raises(RuntimeError, match="out of memory"):
            future.result(0)
    assert [future.result(0)[0][0, 0] for future in futures[4:]] == [8, 10]
    assert (batcher.run(block(9))[0] == 18).all()


def test_an_error_of_the_first_leaves_the_others_alone(network: Doubler) -> None:
    batcher = Batcher(network, 16)
    network.errors[0] = RuntimeError("no luck")
    with held(network, batcher) as call:
        futures = [call(block(value)) for value in range(3)]
    assert [future.result(0)[0][0, 0] for future in futures] == [0, 2, 4]


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"x": np.ones((2, 3), np.float32), "y": np.ones((1, 3), np.float32)},
        {"x": np.ones((0, 3), np.float32)},
        {"x": np.array(1, np.float32)},
    ],
    ids=["none", "of different heights", "empty", "a number"],
)
def test_what_is_no_batch_is_left_to_the_network(inputs: Inputs) -> None:
    seen: list[Inputs] = []

    def run(given: Inputs, _outputs: Sequence[str] | None) -> Outputs:
        seen.append(given)
        raise ValueError("the runtime's own words")

    with pytest.raises(ValueError, match="own words"):
        Batcher(run, 16).run(inputs)
    assert seen == [inputs]


def test_a_leader_that_is_interrupted_takes_nobody_along(network: Doubler) -> None:
    """The run of a batch is interrupted: the others of that batch run again, without it."""
    batcher = Batcher(network, 16)
    network.errors[1] = KeyboardInterrupt()
    with held(network, batcher) as call:
        futures = [call(block(value)) for value in range(4)]
    with pytest.raises(KeyboardInterrupt):
        futures[0].result(0)
    assert [future.result(0)[0][0, 0] for future in futures[1:]] == [2, 4, 6]
    assert network.batches == [(1, 3), (4, 3), (4, 3)]


@pytest.mark.parametrize("others", [0, 3])
def test_one_who_is_interrupted_while_it_waits_leaves(network: Doubler, others: int) -> None:
    # Who is started in the background by a shell ignores the signal.
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        _interrupt_one_of(network, others)
    finally:
        signal.signal(signal.SIGINT, usual)


def _interrupt_one_of(network: Doubler, others: int) -> None:
    batcher = Batcher(network, 16)
    with held(network, batcher) as call:
        futures = [call(block(value)) for value in range(others)]

        def interrupt() -> None:
            waiting(batcher, others + 1)
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, signal.SIGINT)

        helper = threading.Thread(target=interrupt)
        helper.start()
        with pytest.raises(KeyboardInterrupt):
            batcher.run(block(9))
        helper.join()
        assert len(batcher._waiting) == others
    assert [future.result(0)[0][0, 0] for future in futures] == [2 * v for v in range(others)]


def test_one_who_is_interrupted_when_it_should_lead_hands_on(network: Doubler) -> None:
    batcher = Batcher(network, 16)
    first, second = (_Call(block(value), None, 1, ()) for value in (1, 2))
    batcher._busy = True
    batcher._waiting.extend([first, second])
    batcher._hand_over()
    assert first.leads

    def interrupted() -> bool:
        raise KeyboardInterrupt

    first.turn.wait = interrupted  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        batcher._wait(first)
    assert second.leads
    assert second.turn.is_set()
    assert list(batcher._waiting) == [second]


def test_many_threads_for_a_while(network: Doubler) -> None:
    """Whatever comes together by chance, everybody gets their own."""
    batcher = Batcher(network, 8)
    start = threading.Barrier(12)

    def work(seed: int) -> int:
        rng, wrong = np.random.default_rng(seed), 0
        start.wait(PATIENCE)
        for _ in range(200):
            rows, columns = rng.integers(1, 4), rng.integers(2, 4)
            x = rng.standard_normal((rows, columns)).astype(np.float32)
            wrong += not np.array_equal(batcher.run({"x": x})[0], 2 * x)
        return wrong

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(work, range(12))) == 0
    assert not batcher._busy


# Published networks, on the CPU

MODELS = ("thumbstream-1", "conv-lstm-1", "fc-residual-1")
"""One run of each network, one with state for each iteration, and many networks."""


def latents(rows: int, columns: int) -> dict[str, tuple[int, ...]]:
    return dict.fromkeys(("values", "levels"), (96, rows, columns))


def shapes_of(name: str, rows: int, columns: int) -> dict[str, tuple[int, ...]]:
    """Of the inputs of a network of the default model."""
    pixels = {"pixels": (3, 8 * rows, 8 * columns)}
    return {
        "analysis": pixels,
        "synthesis": latents(rows, columns),
        "search": latents(rows, columns) | pixels,
    }[name]


def inputs_of(name: str, number: int) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(number)
    return {
        key: rng.uniform(-1, 1, (number, *shape)).astype(np.float32)
        for key, shape in shapes_of(name, 4, 3).items()
    }


@pytest.fixture(scope="module", params=["analysis", "synthesis", "search"])
def pair(request: pytest.FixtureRequest) -> tuple[str, Network, Network]:
    """A network of the default model that runs batches, and one that does not."""
    data = open_artifact(ZOO / "thumbstream-1").files[f"{request.param}.onnx"]
    return request.param, Network(data, "cpu", 16), Network(data, "cpu", 1)


@pytest.mark.parametrize("rows", [*buckets(16), 3, 5, 7, 13, 15, 19])
def test_rows_of_a_batch_are_what_they_are_alone(
    pair: tuple[str, Network, Network], rows: int
) -> None:
    name, batched, plain = pair
    inputs = inputs_of(name, rows)
    alone = [plain.run({key: v[row, None] for key, v in inputs.items()}) for row in range(rows)]
    for found, expected in zip(batched.run(inputs), zip(*alone, strict=True), strict=True):
        np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-4, atol=2e-4)


def test_threads_share_runs_of_a_network(
    pair: tuple[str, Network, Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six who come while the first runs are served by one run more, of eight rows."""
    name, batched, plain = pair
    batcher = batched._batcher
    assert batcher is not None
    run, sizes = batcher._run, []

    def counted(inputs: Inputs, outputs: Sequence[str] | None) -> Outputs:
        sizes.append(len(next(iter(inputs.values()))))
        if len(sizes) == 1:
            waiting(batcher, 6)
        return run(inputs, outputs)

    monkeypatch.setattr(batcher, "_run", counted)
    everything = inputs_of(name, 7)
    alone = [{key: v[row, None] for key, v in everything.items()} for row in range(7)]
    with ThreadPoolExecutor(7) as pool:
        found = list(pool.map(batched.run, alone))
    assert sizes == [1, 8]
    for inputs, outputs in zip(alone, found, strict=True):
        for output, expected in zip(outputs, plain.run(inputs), strict=True):
            np.testing.assert_allclose(output, expected, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("model_id", MODELS)
def test_a_codec_in_many_threads(model_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are really shared; what is written reads back, and looks as it does without batches."""
    sizes: set[int] = set()
    run, ready = Network._run, threading.Event()

    def counted(self: Network, inputs: Inputs, outputs: Sequence[str] | None) -> Outputs:
        if ready.is_set() and self._batcher is not None:
            if not sizes:
                waiting(self._batcher, 5)  # the other threads begin with the same network
            sizes.add(len(next(iter(inputs.values()))))
        return run(self, inputs, outputs)

    monkeypatch.setattr(Network, "_run", counted)

    batched = open_codec(ZOO / model_id, device="cpu", batch=8)
    plain = open_codec(ZOO / model_id, device="cpu")
    assert (batched.batch, plain.batch) == (8, 1)
    rng = np.random.default_rng(7)
    pictures = [
        np.repeat(np.repeat(rng.integers(0, 256, (2, 2, 3), np.uint8), 8, 0), 8, 1)
        for _ in range(12)
    ]
    start = threading.Barrier(6)
    ready.set()

    def work(pixels: NDArray[np.uint8]) -> tuple[bytes, NDArray[np.uint8]]:
        start.wait(PATIENCE)
        stream = batched.encode(pixels, max_bytes=48)
        return stream, batched.decode(stream)

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(work, pictures))
    assert 8 in sizes  # the five
    assert sizes <= set(buckets(8))
    for pixels, (stream, picture) in zip(pictures, found, strict=True):
        assert np.abs(picture.astype(int) - plain.decode(stream)).max() <= 1
        own = plain.decode(plain.encode(pixels, max_bytes=48))
        assert abs(_error(picture, pixels) - _error(own, pixels)) < 0.02 * 255


def _error(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(np.sqrt(np.mean((a.astype(float) - b) ** 2)))


@pytest.mark.parametrize("model_id", zoo.available())
def test_every_published_model_can_be_batched_and_warmed_up(
    model_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every network meets every size, on the grid of the picture; and no other."""
    met: dict[int, set[tuple[int, ...]]] = {}
    run = Network._run

    def noted(self: Network, inputs: Inputs, outputs: Sequence[str] | None) -> Outputs:
        met.setdefault(id(self), set()).add(next(iter(inputs.values())).shape)
        return run(self, inputs, outputs)

    monkeypatch.setattr(Network, "_run", noted)
    codec = open_codec(ZOO / model_id, device="cpu", batch=4)
    assert codec.batch == 4
    met.clear()
    codec.warm_up(16, 7)
    files = [name for name in open_artifact(ZOO / model_id).files if name.endswith(".onnx")]
    assert len(met) == len(files)
    assert all(sorted(shape[0] for shape in shapes) == [1, 2, 4] for shapes in met.values())
    after = {key: set(shapes) for key, shapes in met.items()}
    codec.decode(codec.encode(np.zeros((16, 7, 3), np.uint8)))
    assert met == after


def test_off_by_default_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """No batcher is made, calls go straight to the session, and there is nothing to warm up."""
    data = open_artifact(ZOO / "thumbstream-1").files["analysis.onnx"]
    plain, one = Network(data, "cpu"), Network(data, "cpu", 1)
    assert plain.batch == one.batch == 1
    assert plain._batcher is None
    assert one._batcher is None
    ran = []
    monkeypatch.setattr(plain, "_run", lambda *call: ran.append(call))
    plain.warm_up(inputs_of("analysis", 1))
    assert not ran
    plain.run(inputs_of("analysis", 3))
    [(inputs, _)] = ran
    assert inputs["pixels"].shape[0] == 3


def test_on_by_default_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a session that says it runs on CUDA, as no test machine needs to have one."""

    asked: list[object] = []

    class Session(onnxruntime.InferenceSession):  # type: ignore[misc]
        def __init__(self, model: bytes, options: object, providers: list[object]) -> None:
            asked.append(providers[0])
            super().__init__(model, options, ["CPUExecutionProvider"])

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    monkeypatch.setattr(networks.onnxruntime, "InferenceSession", Session)
    data = open_artifact(ZOO / "thumbstream-1").files["analysis.onnx"]
    assert Network(data, "cuda").batch == networks.CUDA_BATCH
    assert Network(data, "cuda", 4).batch == 4
    assert Network(data, "cuda", 1)._batcher is None
    assert asked == 3 * [("CUDAExecutionProvider", {"use_tf32": "0"})]


def graph(rows: object, results: object) -> bytes:
    """``y = relu(x)``, with these first dimensions in what it says of itself."""
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [rows, 3])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [results, 3])
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    made = onnx.helper.make_graph([node], "relu", [x], [y])
    opset = onnx.helper.make_opsetid("", 17)
    return onnx.helper.make_model(made, opset_imports=[opset], ir_version=8).SerializeToString()


@pytest.mark.parametrize(
    ("rows", "results", "batch"),
    [("batch", "batch", 16), (1, 1, 1), (16, 16, 1), ("batch", "other", 1), (None, None, 1)],
)
def test_the_graph_says_whether_rows_are_free(rows: object, results: object, batch: int) -> None:
    assert Network(graph(rows, results), "cpu", 16).batch == batch
