"""The command line: ``thumbstream-models train | publish | evaluate | ...``."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from thumbstream.codec.prefix_search import Target
from thumbstream.models import installed_models
from thumbstream_models.evaluate import command, pictures
from thumbstream_models.lapped import config as lapped_config
from thumbstream_models.paper import bit_assignment, system_config
from thumbstream_models.training import graphics
from thumbstream_models.training.config import read_toml

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    args = _parser().parse_args(arguments)
    command: Command = args.command
    try:
        return command(args)
    except (ValueError, OSError) as error:
        print(f"thumbstream-models: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="thumbstream-models", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a model or resume a training")
    train.set_defaults(command=_train)
    train.add_argument(
        "config", type=Path, help="TOML file, for example models/configs/conv-lstm-1.toml"
    )
    train.add_argument("data", type=Path, nargs="+", help="tar shards or folders of pictures")
    train.add_argument("--out", type=Path, default=Path("runs"), help="folder for the checkpoint")
    train.add_argument("--resume", type=Path, help="checkpoint to resume from")
    train.add_argument("--start", type=Path, help="checkpoint whose weights a new run starts with")
    train.add_argument(
        "--steps", type=int, help="number of steps (default: that of the configuration)"
    )
    train.add_argument(
        "--max-minutes", type=float, help="write a checkpoint and stop after this time"
    )
    train.add_argument("--device", help="cpu or cuda (default: cuda if available)")

    drawn = commands.add_parser("draw-graphics", help="draw screenshots, plots, logos to train on")
    drawn.set_defaults(command=_draw_graphics)
    drawn.add_argument("out", type=Path, help="tar for the pictures, PNG")
    drawn.add_argument("--count", type=int, default=3000, help="pictures (default 3000)")
    drawn.add_argument("--seed", type=int, default=0, help="of the random choices (default 0)")

    search = commands.add_parser("search-rates", help="compare learning rates in short trainings")
    search.set_defaults(command=_search)
    search.add_argument("config", type=Path, help="TOML file")
    search.add_argument("data", type=Path, nargs="+", help="tar shards or folders of pictures")
    search.add_argument("--rates", type=_rates, default=(5e-4, 1e-3, 2e-3, 4e-3), metavar="R,R,...")
    search.add_argument("--steps", type=int, default=300, help="steps of each training")
    search.add_argument("--device", default="cpu", help="cpu or cuda")

    publish = commands.add_parser("publish", help="write the model folder of a checkpoint")
    publish.set_defaults(command=_publish)
    publish.add_argument("checkpoint", type=Path)
    publish.add_argument("data", type=Path, nargs="+", help="the pictures of its training")
    publish.add_argument("--zoo", type=Path, default=Path("models/zoo"))
    publish.add_argument(
        "--pictures",
        type=int,
        default=20_000,
        help="crops for the context model of a model of the paper",
    )
    publish.add_argument(
        "--entropy-steps", type=int, default=500, help="steps per iteration of a model of the paper"
    )
    publish.add_argument(
        "--sources",
        type=Path,
        default=Path("models/SOURCES.md"),
        help="text about the pictures, for the model card",
    )
    publish.add_argument("--notes", default="", help="notes on the training, for the model card")

    compact = commands.add_parser("compact", help="write a smaller checkpoint")
    compact.set_defaults(command=_compact)
    compact.add_argument("checkpoint", type=Path)
    compact.add_argument("out", type=Path)
    compact.add_argument(
        "--weights-only", action="store_true", help="without the optimizer's moments"
    )

    ablate = commands.add_parser("ablate", help="measure the parts of a model of the lapped family")
    ablate.set_defaults(command=_ablate)
    ablate.add_argument("model", type=Path, help="model folder")
    ablate.add_argument("pictures", type=Path, nargs="+", help="folders, tars or .npz of pictures")
    ablate.add_argument("--checkpoint", type=Path, help="what the folder was published from")
    ablate.add_argument("--size", type=int, default=32, help="side of the squares (default 32)")
    ablate.add_argument("--limit", type=int, default=48, help="pictures (default 48)")
    ablate.add_argument("--out", type=Path, help="file for the table, Markdown")

    layouts = commands.add_parser(
        "graph-layouts", help="time step graphs and an unrolled graph (ADR 3)"
    )
    layouts.set_defaults(command=_graph_layouts)
    layouts.add_argument("checkpoint", type=Path)
    layouts.add_argument("--runs", type=int, default=30)

    reach = commands.add_parser(
        "bit-assignment", help="measure what cells that stop early save, by target"
    )
    reach.set_defaults(command=_bit_assignment)
    reach.add_argument("model", help="id of an installed model with independent cells")
    reach.add_argument("pictures", type=Path, nargs="+", help="folders, tars or .npz of pictures")
    reach.add_argument(
        "--targets", type=_parse_targets, required=True, metavar="psnr:20,bytes:64,..."
    )
    reach.add_argument("--size", type=int, default=32, help="long side of the grid (default 32)")
    reach.add_argument("--limit", type=int, default=48, help="pictures (default 48)")

    client = commands.add_parser("client", help="write the files of the JavaScript client")
    client.set_defaults(command=_client)
    client.add_argument("model", type=Path, help="model folder")
    client.add_argument("folder", type=Path, help="folder for the files")

    measure = commands.add_parser("evaluate", help="measure rate and distortion, with other codecs")
    measure.set_defaults(command=command.main)
    command.add_arguments(measure)
    return parser


def _train(args: argparse.Namespace) -> int:
    out = args.out
    if lapped_config.is_lapped(read_toml(args.config)):
        return _train_lapped(args)
    from thumbstream_models.paper.train_system import train

    config = system_config.load(args.config)
    if args.steps is not None:
        training = dataclasses.replace(config.training, steps=args.steps)
        config = dataclasses.replace(config, training=training)
    train(
        config,
        args.data,
        out / config.model_id if out == Path("runs") else out,
        resume=args.resume,
        start=args.start,
        max_minutes=args.max_minutes,
        device_name=args.device,
    )
    return 0


def _train_lapped(args: argparse.Namespace) -> int:
    from thumbstream_models.lapped.training import train

    config = lapped_config.load(args.config)
    if args.steps is not None:
        training = dataclasses.replace(config.training, steps=args.steps)
        config = dataclasses.replace(config, training=training)
    train(
        config,
        args.data,
        args.out / config.model_id if args.out == Path("runs") else args.out,
        resume=args.resume,
        max_minutes=args.max_minutes,
        device_name=args.device,
    )
    return 0


def _draw_graphics(args: argparse.Namespace) -> int:
    graphics.write(args.out, args.count, args.seed)
    return 0


def _rates(text: str) -> tuple[float, ...]:
    rates = tuple(float(part) for part in text.split(","))
    if min(rates) <= 0:
        raise argparse.ArgumentTypeError("learning rates must be positive")
    return rates


def _search(args: argparse.Namespace) -> int:
    from thumbstream_models.paper.learning_rate_search import mean_psnr, search

    config = system_config.load(args.config)
    found = search(config, args.data, args.rates, args.steps, device_name=args.device)
    for rate, point in found:
        print(f"{rate:8.2g}  mean PSNR {mean_psnr(point):.2f} dB")
    return 0


def _publish(args: argparse.Namespace) -> int:
    from thumbstream_models.paper.publish_system import publish
    from thumbstream_models.training import runs

    texts = {"notes": args.notes, "sources_text": args.sources.read_text(encoding="utf-8")}
    if lapped_config.is_lapped(runs.config_of(args.checkpoint)):
        from thumbstream_models.lapped import publish as publish_lapped

        folder = publish_lapped.publish(args.checkpoint, args.data, args.zoo, **texts)
    else:
        folder = publish(
            args.checkpoint,
            args.data,
            args.zoo,
            pictures=args.pictures,
            entropy_steps=args.entropy_steps,
            **texts,
        )
    print(f"published {folder}")
    return 0


def _compact(args: argparse.Namespace) -> int:
    from thumbstream_models.training import runs

    runs.compact(args.checkpoint, args.out, weights_only=args.weights_only)
    print(f"{args.out}: {args.out.stat().st_size} of {args.checkpoint.stat().st_size} bytes")
    return 0


def _ablate(args: argparse.Namespace) -> int:
    from thumbstream_models.lapped import ablation

    subset = pictures.subsample(pictures.load(args.pictures, args.size, "crop"), args.limit)
    found = ablation.ablate(args.model, np.stack(subset.pixels), args.checkpoint)
    text = ablation.report(args.model.name, subset, found)
    print(text)
    if args.out is not None:
        args.out.write_text(text + "\n", encoding="utf-8")
    return 0


def _parse_targets(text: str) -> tuple[Target, ...]:
    try:
        return tuple(Target.parse(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _bit_assignment(args: argparse.Namespace) -> int:
    subset = pictures.subsample(pictures.load(args.pictures, args.size, "crop"), args.limit)
    print(
        bit_assignment.table(
            bit_assignment.compare(installed_models().load(args.model), subset.pixels, args.targets)
        )
    )
    return 0


def _client(args: argparse.Namespace) -> int:
    from thumbstream.codec.model_folder import open_artifact
    from thumbstream_models.lapped import client_file, encoder_tables

    artifact = open_artifact(args.model)
    client_file.write(artifact, args.folder)
    encoder_tables.write(artifact, args.folder)
    return 0


def _graph_layouts(args: argparse.Namespace) -> int:
    from thumbstream_models.paper.graph_layouts import compare

    print(compare(args.checkpoint, args.runs))
    return 0
