"""A small model of the lapped family, from a fixed seed, without trained weights."""

from __future__ import annotations

import numpy as np

from thumbstream.codec.lapped.params import (
    CLASSES,
    ContextTables,
    LappedParams,
    LinearTables,
    LookTables,
)
from thumbstream.codec.lapped.stream_model import StreamModel

PARAMS = LappedParams(groups=(3, 2, 4), planes=40, look=28)
HIDDEN, SECOND = 6, 5


def look_tables(params: LappedParams = PARAMS) -> LookTables:
    rng, count = np.random.default_rng(1), params.first
    falling = -3 * np.arange(6)
    scale = -10 + falling[:, None] + falling - 8 * np.arange(count)[:, None, None]
    values = rng.integers(-20, 20, (20, 6))
    magnitudes = rng.integers(-8, 32, (25, 5))
    for taps in (values, magnitudes):
        taps[:, :2] = rng.integers(0, count, (len(taps), 2))
        taps[:, 2:4] = rng.integers(-3, 4, (len(taps), 2))
    return LookTables(
        scale=scale.astype(np.int8),
        slope=rng.integers(-20, 0, count).astype(np.int8),
        activity=rng.integers(-3, 20, (count, count)).astype(np.int8),
        magnitudes=magnitudes.astype(np.int8),
        values=values.astype(np.int8),
    )


def context_tables(params: LappedParams = PARAMS) -> ContextTables:
    rng = np.random.default_rng(2)
    channels, groups = params.channels, len(params.groups) - 1
    coded = channels - params.first
    classes = np.arange(params.first, channels) % CLASSES
    starts = 20 + 4 * rng.integers(0, 2, coded) + classes
    return ContextTables(
        starts=starts.astype(np.uint8),
        w1=rng.integers(-6, 7, (4 * channels, HIDDEN)).astype(np.int8),
        b1=rng.integers(-200, 600, (CLASSES, groups, 2, HIDDEN)).astype(np.int32),
        b1_plane=rng.integers(-10, 10, HIDDEN).astype(np.int16),
        m=rng.integers(-30, 30, (HIDDEN, SECOND)).astype(np.int8),
        bm=rng.integers(-100, 900, (groups, SECOND)).astype(np.int32),
        w2=rng.integers(-20, 20, (2, coded, HIDDEN)).astype(np.int8),
        w3=rng.integers(-20, 20, (2, coded, SECOND)).astype(np.int8),
        b2=rng.integers(-500, 500, (2, 2, coded)).astype(np.int32),
        b2_plane=np.stack([np.full(coded, 64), np.zeros(coded)]).astype(np.int16),
        own=rng.integers(-20, 60, (3, coded)).astype(np.int16),
        predictor=rng.integers(-12, 12, (2 * channels, coded)).astype(np.int8),
        shifts=np.array([3, 5, 6, 9], np.uint8),
    )


def linear_tables(params: LappedParams = PARAMS) -> LinearTables:
    rng = np.random.default_rng(3)
    klt = np.linalg.qr(rng.normal(size=(192, 192)))[0][: params.channels]
    # The strongest rows are the means of lightness and of two differences of colours.
    klt[0] = 1
    rotation = np.linalg.qr(np.eye(4) + 0.2 * rng.normal(size=(4, 4)))[0]
    rotation *= np.sign(np.diag(rotation))
    klt = np.linalg.qr(klt.T)[0].T
    klt *= np.sign(klt.sum(1, keepdims=True))
    scales = np.linspace(1.2, 0.8, params.channels)
    gain = np.full(params.channels, 4.0)
    tables = klt, rotation, scales, gain, -np.ones(params.channels)
    return LinearTables(*(table.astype(np.float32) for table in tables))


def stream_model(params: LappedParams = PARAMS) -> StreamModel:
    return StreamModel(params, look_tables(params), context_tables(params))
