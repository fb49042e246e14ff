"""Train schp-tiny, the small human parser behind `--parser schp`, on rendered people. See README.md for the commands.

A run that is stopped goes on from its last checkpoint when the same command is given again; the random choices of a step depend
on (seed, step) alone, so the result is the same.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from batches import Sampler
from calibrate import calibrate
from card import write_card
from losses import label_counts, label_weights, parsing_loss, sampling_chances
from muon import Muon
from pairs import Bank, Pair, rendered_pair, rows
from quality import measure
from scenes import random_scene
from state import resume, save
from torch import nn

from reidclip.data.lip import LIP_LABELS
from reidclip_schp import PARSER
from reidclip_schp.settings import SchpSettings
from reidclip_schp.tiny_network import TinyParserNet, fuse
from reidclip_schp.tiny_weights import write_weights

INPUT = (256, 128)  # height, width in pixels
# Most steps see the picture at half the size, at a quarter of the cost; the last ones at the size that the parser works at.
STAGES = (((128, 64), 0.62), (INPUT, 0.38))
AGAIN = 0.3  # share of the full rate that further steps begin with; it falls linearly to a hundredth
AVERAGE = 0.998  # decay of the running average of the weights, which is what is kept
CHECKPOINT_STEPS = 500
WEIGHT_POWER = 0.25  # of the labels' weights; 0.5 takes so much background for small things that their IoU falls
SMALL_LR = 3e-3  # of what is no kernel: AdamW


def main() -> None:
    """Read the command line, train, measure, write weights and model card."""
    options = _options()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    rendered, scenes = Bank.open(options.work / "rendered"), Bank.open(options.work / "scenes")
    test = [rendered_pair(options.held_out, row) for row in rows(options.held_out)]
    others = [rendered_pair(options.calibrate_on, row) for row in rows(options.calibrate_on)]
    print(f"{len(rendered)} pictures, {len(scenes)} scenes; {len(test)} pictures of other people held out", flush=True)
    network, seconds = fit(rendered, scenes, options)
    plain = fuse(network)
    offsets = calibrate(plain, others, INPUT)
    options.out.mkdir(parents=True, exist_ok=True)
    weights = options.out / "schp-tiny.safetensors"
    write_weights(weights, plain, INPUT)
    weights.chmod(0o644)
    session = PARSER.open(SchpSettings(weights=weights), torch.device("cpu"))
    measured = {"held_out_as_rendered": measure(session, test), "held_out_randomised": measure(session, _randomised(test, options.seed))}
    data = {"training_pictures": len(rendered), "training_scenes": len(scenes), "held_out_pictures_of_other_identities": len(test)}
    named = ("steps", "more", "batch", "lr", "scene_share", "seed", "threads")
    training = {key: getattr(options, key) for key in named} | {"processor_minutes": round(seconds / 60, 1)}
    training["score_offsets"] = {"pictures": len(others), **dict(zip(LIP_LABELS, offsets, strict=True))}
    write_card(weights, data, training, measured)
    print(json.dumps(measured, indent=1))


def fit(rendered: Bank, scenes: Bank, options: argparse.Namespace) -> tuple[TinyParserNet, float]:
    """Train from scratch, or on from the checkpoint; returns the averaged network and the processor seconds spent."""
    torch.manual_seed(options.seed)
    network, average = TinyParserNet().to(memory_format=torch.channels_last), TinyParserNet()
    average.load_state_dict(network.state_dict())
    optimisers = _optimisers(network, options.lr)
    counts = label_counts(rendered.labels)
    weights = label_weights(counts, WEIGHT_POWER)
    sampler = Sampler(rendered, scenes, sampling_chances(counts), options.scene_share, options.seed)
    modules: dict[str, nn.Module] = {"network": network, "average": average}
    step, seconds = resume(options.checkpoint, modules, optimisers)
    began, losses, loading = time.process_time() - seconds, [], 0.0
    network.train()
    end = options.steps + options.more
    while step < end:
        _set_rate(optimisers, rate(step, options.steps, options.more))
        before = time.process_time()
        picture, target = sampler.batch(step, options.batch, size_of(step, options.steps))
        loading += time.process_time() - before
        with torch.autocast("cpu", torch.bfloat16):
            scores = network(picture)
        loss = parsing_loss(scores, target, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
        step += 1
        _average(average, network, min(AVERAGE, step / (step + 9)))
        losses.append(float(loss.detach()))
        if step % 100 == 0:
            spent = time.process_time() - began
            print(f"step {step}/{end}, loss {np.mean(losses[-100:]):.4f}, {spent:.0f} s, {loading:.0f} s of it data", flush=True)
        if step % CHECKPOINT_STEPS == 0:
            save(options.checkpoint, modules, optimisers, step, time.process_time() - began)
    return average.eval(), time.process_time() - began


def size_of(step: int, steps: int) -> tuple[int, int]:
    """Height and width that the network sees at a step; behind ``steps`` the full ones."""
    ends = np.cumsum([share for _, share in STAGES])
    return STAGES[min(int(np.searchsorted(ends, step / steps, side="right")), len(STAGES) - 1)][0]


def rate(step: int, steps: int, more: int = 0) -> float:
    """Linear warm-up over 100 steps, full until 0.3 of the steps, then linear to a hundredth; the ``more`` steps behind: see `AGAIN`."""
    if step >= steps:
        return 0.01 + (AGAIN - 0.01) * (1 - (step - steps) / more)
    warm = min(1.0, (step + 1) / 100)
    return warm * (0.01 + 0.99 * min(1.0, (1 - step / steps) / 0.7))


def _optimisers(network: TinyParserNet, lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the kernels between input and scores, AdamW for the rest."""
    kernels = [p for name, p in network.named_parameters() if p.ndim == 4 and not name.startswith("score")]
    taken = {id(p) for p in kernels}
    others = [p for p in network.parameters() if id(p) not in taken]
    optimisers: list[torch.optim.Optimizer] = [Muon(kernels, lr), torch.optim.AdamW(others, SMALL_LR, weight_decay=1e-3)]
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["full_lr"] = group["lr"]
    return optimisers


def _set_rate(optimisers: list[torch.optim.Optimizer], share: float) -> None:
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["full_lr"] * share


def _randomised(pairs: list[Pair], seed: int) -> list[Pair]:
    return [random_scene(np.random.default_rng([seed, 2, i]), pairs, i, INPUT) for i in range(len(pairs))]


def _average(average: TinyParserNet, network: TinyParserNet, decay: float) -> None:
    with torch.no_grad():
        for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(new, 1 - decay)
            else:
                kept.copy_(new)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder that prepare.py filled")
    parser.add_argument("--held-out", type=Path, required=True, help="pictures of other people to measure on, of `reidclip synth`")
    parser.add_argument("--calibrate-on", type=Path, required=True, help="pictures of yet other people, to choose the scores' offsets on")
    parser.add_argument("--out", type=Path, default=Path("schp-tiny"), help="folder for weights and model card")
    parser.add_argument(
        "--checkpoint", type=Path, default=Path("schp-tiny/checkpoint.safetensors"), help="where a stopped run goes on from"
    )
    parser.add_argument("--steps", type=int, default=22000)
    parser.add_argument("--more", type=int, default=0, help="further steps at full size, at a rate that rises and falls once more")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=0.04, help="of the convolutions' kernels (Muon)")
    parser.add_argument("--scene-share", type=float, default=0.3, help="share of the pictures that are randomised scenes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
