"""The pictures of all prefixes of a stream at once, far cheaper than by decoding each.

What prefixes share is done once: the chances along the whole stream, and the state after each whole
iteration. Prefixes that end in the same iteration go through the network as one batch.
"""

from __future__ import annotations

from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.artifact import Artifact
from thumbstream.codec.bitstream import parse_header
from thumbstream.codec.codes import HALVES, coding_rank, grid_of, half_planes
from thumbstream.codec.entropy import Context, ContextModel, read_codes
from thumbstream.codec.networks import Network
from thumbstream.codec.rangecoder import RangeDecoder


class PrefixPictures:
    """Decoder of all prefixes of a stream; a test compares it with the codec."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self.model = ContextModel(artifact.arrays("entropy.npz"))
        self.synthesis = Network(artifact.files["synthesis.onnx"], "cpu")

    def __call__(self, stream: bytes) -> NDArray[np.uint8]:
        """``(len(stream), H, W, 3)``: picture ``n - 1`` is that of ``stream[:n]``.

        Only for one-byte headers: all prefixes of the others do not have one shape.
        """
        header = parse_header(stream)
        assert header.length == 1
        grid = grid_of(header.height, header.width, self.artifact.stride)
        payload = stream[1:]
        codes = read_codes(payload, self.model, grid).codes
        iterations, planes = codes.shape[:2]
        order = np.argsort(coding_rank(grid, planes), axis=None)
        flat = codes.reshape(iterations, -1)[:, order]  # in coding order

        context = Context(self.model, grid)
        chances, ends = [], []  # of every code; and where the half-plane of a code ends
        for t in range(iterations):
            context.next_iteration()
            for plane in range(planes):
                for half, cells in enumerate(half_planes(grid)):
                    chances += context.probabilities(plane, half).tolist()
                    ends += [len(chances)] * (len(chances) - len(ends))
                    context.learn(plane, half, codes[t, plane].reshape(-1)[cells])
        assert len(ends) == codes.size
        assert HALVES == 2

        per_iteration = flat.shape[1]
        known = [_known(payload[:n], chances) for n in range(len(payload) + 1)]
        state = [
            np.zeros((1, s.channels, s.scale * grid.rows, s.scale * grid.columns), np.float32)
            for s in self.artifact.states["synthesis"]
        ]
        pictures = []
        last = [max(0, k - 1) // per_iteration for k in known]
        prefixes = {t: list(group) for t, group in groupby(range(len(known)), last.__getitem__)}
        for t in range(iterations):
            begin = t * per_iteration
            batch = [flat[t]]  # the whole iteration comes first, to carry its state on
            for n in prefixes.get(t, []):
                cut = flat[t].copy()
                end = ends[known[n]] if known[n] < begin + per_iteration else known[n]
                cut[end - begin :] = 0
                expected = np.array(chances[known[n] : end]) / 32768 - 1
                cut[known[n] - begin : end - begin] = expected
                batch.append(cut)
            # Every iteration has channels of its own at the network's input.
            value = np.zeros((len(batch), codes.size), np.float32)
            value[:, begin + order] = batch
            shape = (len(batch), iterations * planes, grid.rows, grid.columns)
            x_hat, *following = self._step(value.reshape(shape), state)
            state = [s[:1] for s in following]
            pictures.append(x_hat[1:])
        x = np.clip(np.rint((np.concatenate(pictures) + 1) * 127.5), 0, 255).astype(np.uint8)
        return x.transpose(0, 2, 3, 1)[:, : header.height, : header.width]

    def _step(
        self, value: NDArray[np.float32], state: list[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        name, *names = self.synthesis.inputs
        shared = {n: np.repeat(s, len(value), axis=0) for n, s in zip(names, state, strict=True)}
        return self.synthesis.run({name: value, **shared})


def _known(data: bytes, chances: list[int]) -> int:
    coder = RangeDecoder(data)
    for count, chance in enumerate(chances):
        if coder.decode(chance) is None:
            return count
    return len(chances)
