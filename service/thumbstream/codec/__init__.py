"""Pixels to progressive streams and back. No HTTP, no environment, no clock.

Two families of models share everything except the transform and the order of their symbols::

    base            Codec protocol, open_codec: model folder -> EmbeddedCodec | IterativeCodec
    embedded/       the default: one transform, embedded quantizer, rate-distortion optimization
    iterative/      the systems of arXiv 1511.06085: binary codes, one iteration after another

    model_folder    verified files of a published model
    runtime         ONNX sessions, reproducible matrix products
    tensors, alpha  pixels <-> network inputs; transparency as a second layer
    bitstream       the header
    range_coder     binary decisions <-> bytes
    quality         SSIM and PSNR
    prefix_search   targets, and the shortest prefix that reaches one
    rate_curve      measured quality of prefixes, as stored beside a stream

docs/bitstream.md is the normative text for everything between symbols and bytes.
"""
