"""A small training of the lapped family."""

from __future__ import annotations

from thumbstream_models.lapped import config
from thumbstream_models.lapped.config import LappedConfig
from thumbstream_models.training.config import DataConfig

TINY = LappedConfig(
    model_id="thumbstream-2",
    model=config.ModelConfig(
        family="lapped",
        groups=(2, 2, 4),
        analysis_width=8,
        analysis_blocks=1,
        synthesis_widths=(8, 6, 4, 4),
        synthesis_blocks=(1, 0, 1, 1),
        synthesis_bits=4,
        rate_hidden=6,
        rate_middle=4,
    ),
    data=DataConfig(
        size=16, min_crop=0.5, whole_fraction=0.4, max_aspect=1.5, validation_pictures=3
    ),
    crops=config.CropsConfig(
        sizes=(16, 32),
        per_picture=(3, 1),
        frequencies=(0.7, 0.3),
        batch_sizes=(4, 2),
        qualities=((-0.9, 1.5), (-0.9, 0.9)),
    ),
    distortion=config.DistortionConfig(error=(0.35, 0.7), ssim=(500.0, 150.0), chroma=(0.5, 0.5)),
    training=config.TrainingConfig(
        steps=6,
        analysis_speed=0.3,
        decay_steps=3,
        learning_rate=2e-3,
        final_learning_rate=1e-4,
        warmup_steps=2,
        gradient_clip=1.0,
        ema_decay=0.9,
        seed=3,
        validate_every=3,
    ),
    contexts=config.ContextConfig(
        pictures=6,
        steps=4,
        batch_size=4,
        learning_rate=5e-3,
        value_taps=5,
        magnitude_taps=4,
        seed=0,
    ),
)
