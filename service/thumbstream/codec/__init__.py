"""Encodes pixels to progressive streams and decodes streams and their prefixes to pixels.

This package uses no HTTP, no clock and no settings of the environment. Two families of models share
all modules outside ``lapped/`` and ``iterative/``::

    base            Codec protocol; open_codec opens a model folder as a LappedCodec or an
                    IterativeCodec
    lapped/         default family: a linear transform and networks that add to it, binary planes
    iterative/      the five families of arXiv 1511.06085: binary codes in several iterations

    model_folder    reads and verifies the files of a published model
    runtime         ONNX sessions, single-threaded matrix products
    tensors, alpha  pixels <-> network inputs; transparency as a second layer
    bitstream       header of a stream
    range_coder     binary decisions <-> bytes
    quality         SSIM and PSNR
    prefix_search   targets (a quality or a length) and the shortest prefix that reaches a target
    rate_curve      measured quality of a stream's prefixes, stored next to the stream

docs/bitstream.md is the normative text for the conversion between symbols and bytes.
"""
