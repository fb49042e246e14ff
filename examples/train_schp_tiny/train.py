"""Train schp-tiny, the small human parser behind `--parser schp`, on rendered people. See README.md for the command.

A run that is stopped goes on from its last checkpoint when the same command is given again; the random choices of a step depend
on (seed, step) alone, so the result is the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from losses import label_weights, parsing_loss, sampling_chances
from pairs import Pair, load_pairs, split_by_identity
from quality import measure
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from scenes import training_example
from torch import Tensor

from reidclip_schp import PARSER
from reidclip_schp.settings import SchpSettings
from reidclip_schp.tiny_network import TinyParserNet, fuse
from reidclip_schp.tiny_session import normalise
from reidclip_schp.tiny_weights import write_weights

INPUT = (192, 96)  # height, width in pixels
AVERAGE = 0.998  # decay of the running average of the weights, which is what is kept
CHECKPOINT_STEPS = 200
# The balanced loss makes rare labels too likely. Taking log(weight) off the scores undoes that; this much of it gave the best mean IoU
# on training pictures.
UNBALANCE = 0.85
LIMITS = (
    "Trained on rendered people alone. No labelled real pictures were used, so its quality on real ones is known by eye only: on 20 real "
    "pedestrian crops of 128 x 64 pixels the clothes of about 17 were covered well; failures were bare legs taken for trousers, legs "
    "behind a bicycle, carried things and street furniture taken for clothes.",
    "A rim of about one pixel of the clothes often stays visible; mask setting dilation 1 or 2 hides it.",
    "Gloves are not found, scarves and glasses seldom; specks of hat, glasses or scarf appear on real heads and necks.",
    "Left and right arms, legs and shoes are exchanged in 15 to 20 % of their pixels; coats and other tops are often confused. Neither "
    "matters for masks of clothes.",
    "One person per picture, upright and mostly visible, as a detector crops pedestrians.",
)


def main() -> None:
    """Read the command line, train, measure, write weights and model card."""
    options = _options()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    pairs = load_pairs(options.data, height=256, limit=options.limit)
    train, test = split_by_identity(pairs, held_out=0.1, seed=options.seed)
    print(f"{len(train)} pictures to train on, {len(test)} of other identities held out", flush=True)
    network, seconds = fit(train, options)
    options.out.mkdir(parents=True, exist_ok=True)
    weights = options.out / "schp-tiny.safetensors"
    write_weights(weights, fuse(network), INPUT)
    weights.chmod(0o644)
    session = PARSER.open(SchpSettings(weights=weights), torch.device("cpu"))
    plain = measure(session, test)
    hard = measure(session, _randomised(test, options.seed))
    write_card(options, weights, network, len(train), len(test), seconds, plain, hard)
    print(json.dumps({"as rendered": plain, "randomised": hard}, indent=1))


def fit(train: list[Pair], options: argparse.Namespace) -> tuple[TinyParserNet, float]:
    """Train from scratch, or on from the checkpoint; returns the averaged network and the processor seconds spent."""
    torch.manual_seed(options.seed)
    network = TinyParserNet().to(memory_format=torch.channels_last)
    average = TinyParserNet()
    average.load_state_dict(network.state_dict())
    optimiser = torch.optim.AdamW(network.parameters(), lr=options.lr, weight_decay=1e-3)
    weights, chances = label_weights(train), sampling_chances(train)
    step, seconds = _resume(options.checkpoint, network, average, optimiser)
    began, losses = time.process_time() - seconds, []
    network.train()
    while step < options.steps:
        for group in optimiser.param_groups:
            group["lr"] = options.lr * rate(step, options.steps)
        picture, target = _batch(train, chances, options.seed, step, options.batch)
        with torch.autocast("cpu", torch.bfloat16):
            scores = network(picture)
        loss = parsing_loss(scores.float(), target, weights)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        _average(average, network, min(AVERAGE, (step + 1) / (step + 10)))
        step += 1
        losses.append(float(loss.detach()))
        if step % 100 == 0:
            print(f"step {step}/{options.steps}, loss {np.mean(losses[-100:]):.4f}, {time.process_time() - began:.0f} s", flush=True)
        if step % CHECKPOINT_STEPS == 0:
            _save(options.checkpoint, network, average, optimiser, step, time.process_time() - began)
    with torch.no_grad():
        average.score.bias -= UNBALANCE * torch.log(weights)
    return average.eval(), time.process_time() - began


def rate(step: int, steps: int) -> float:
    """Linear warm-up over 100 steps, then a cosine to a hundredth."""
    warm = min(1.0, (step + 1) / 100)
    return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def _batch(train: list[Pair], chances: npt.NDArray[np.float64], seed: int, step: int, size: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng([seed, 1, step])
    pictures, targets = [], []
    for index in rng.choice(len(train), size=size, p=chances):
        picture, labels = training_example(rng, train, int(index), INPUT)
        dy, dx = rng.integers(2), rng.integers(2)  # scores come at half size: sample either pixel, so that nothing is shifted
        pictures.append(picture)
        targets.append(labels[dy::2, dx::2])
    return normalise(torch.from_numpy(np.stack(pictures))), torch.from_numpy(np.stack(targets).astype(np.int64))


def _randomised(pairs: list[Pair], seed: int) -> list[Pair]:
    examples = (training_example(np.random.default_rng([seed, 2, i]), pairs, i, INPUT) for i in range(len(pairs)))
    return [Pair(pair.identity, *example) for pair, example in zip(pairs, examples, strict=True)]


def _average(average: TinyParserNet, network: TinyParserNet, decay: float) -> None:
    with torch.no_grad():
        for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(new, 1 - decay)
            else:
                kept.copy_(new)


def _save(path: Path, network: TinyParserNet, average: TinyParserNet, optimiser: torch.optim.Optimizer, step: int, seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {f"network.{k}": v.contiguous() for k, v in network.state_dict().items()}
    tensors |= {f"average.{k}": v.contiguous() for k, v in average.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{key}": value.contiguous() for key, value in state.items()}
    beside = path.with_suffix(".part")
    save_file(tensors, str(beside), metadata={"step": str(step), "seconds": str(seconds)})
    beside.replace(path)


def _resume(path: Path, network: TinyParserNet, average: TinyParserNet, optimiser: torch.optim.Optimizer) -> tuple[int, float]:
    if not path.is_file():
        return 0, 0.0
    with safe_open(str(path), framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(str(path))
    for name, module in (("network.", network), ("average.", average)):
        module.load_state_dict({k[len(name) :]: v for k, v in tensors.items() if k.startswith(name)})
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("adam."):
            _, index, field = key.split(".")
            state.setdefault(int(index), {})[field] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    print(f"going on from step {metadata['step']}", flush=True)
    return int(metadata["step"]), float(metadata["seconds"])


def write_card(options: argparse.Namespace, weights: Path, network: TinyParserNet, train: int, test: int, *measured: object) -> None:
    """The model card beside the weights."""
    seconds, plain, hard = measured
    card = {
        "name": "schp-tiny",
        "what": "A small human-parsing network of this project with the 20 labels of LIP. It is not SCHP: it is far less accurate.",
        "architecture": "encoder-decoder, plugins/reidclip_schp/tiny_network.py; stored in float16 without batch normalisation",
        "parameters": sum(p.numel() for p in fuse(network).parameters()),
        "bytes": weights.stat().st_size,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "input": f"RGB letterboxed to {INPUT[0]} x {INPUT[1]} (height x width), (value / 255 - 0.5) / 0.25",
        "data": {
            "source": "rendered people alone (reidclip synth --layout pairs), randomised by the recipe; no real picture was used",
            "training_pictures": train,
            "held_out_pictures_of_other_identities": test,
        },
        "training": {
            "recipe": "examples/train_schp_tiny",
            "steps": options.steps,
            "batch": options.batch,
            "lr": options.lr,
            "seed": options.seed,
            "threads": options.threads,
            "processor_minutes": round(float(seconds) / 60, 1),  # type: ignore[arg-type]
            "date": datetime.now(timezone.utc).date().isoformat(),
        },
        "measured": {"held_out_as_rendered": plain, "held_out_randomised": hard},
        "limits": list(LIMITS),
        "licence": "Apache-2.0",
    }
    (options.out / "schp-tiny.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder written by `reidclip synth OUT --layout pairs`")
    parser.add_argument("--out", type=Path, default=Path("schp-tiny"), help="folder for weights and model card")
    parser.add_argument(
        "--checkpoint", type=Path, default=Path("schp-tiny/checkpoint.safetensors"), help="where a stopped run goes on from"
    )
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=int, help="use only so many pictures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
