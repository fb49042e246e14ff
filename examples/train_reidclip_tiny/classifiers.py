"""What the classifiers of an attribute phase know, on people never seen: `python classifiers.py held-out STATE --size 128 64`."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from attributes import Attributes
from data import Pairs, at_size, load_pairs
from pooling import at_size as encoder_at_size
from safetensors.torch import load_file
from stages import Heads
from torch import Tensor

from reidclip.clip.load import load_clip

HERE = Path(__file__).parent
MODULE = "module."  # what a training state puts in front of the names of the stage's module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("held_out", type=Path, help="folder written by `reidclip synth --layout pairs` with another seed")
    parser.add_argument("state", type=Path, help="state file of an attribute phase")
    parser.add_argument("--size", type=int, nargs=2, default=(256, 128), metavar=("H", "W"), help="picture size of the phase")
    args = parser.parse_args()
    clip = load_clip(f"random:{HERE / 'architecture.json'}", image_size=(256, 128))
    pairs = at_size(load_pairs(args.held_out, clip.tokenizer), *args.size)
    attributes = Attributes(pairs.attributes)
    heads = Heads(encoder_at_size(clip.image_encoder, tuple(args.size)), attributes.values)
    state = load_file(args.state)
    heads.load_state_dict({name: state[MODULE + name] for name in heads.state_dict()})
    for shielded in (False, True):
        for name, (accuracy, chance) in measured(heads.eval(), pairs, attributes, shielded).items():
            print(f"{name}{', clothes shielded' if shielded else ''}: {100 * accuracy:.0f} (chance {100 * chance:.0f})")


@torch.no_grad()
def measured(heads: Heads, pairs: Pairs, attributes: Attributes, shielded: bool) -> dict[str, tuple[float, float]]:
    """Balanced accuracy of every attribute that can be seen, and its chance, both in [0, 1]."""
    count, start, found = len(pairs.pids), 0, {}
    scores = torch.cat([_scores(heads, pairs, slice(i, i + 100), shielded) for i in range(0, count, 100)])
    for name, values in attributes.values.items():
        target = attributes.targets(name, list(range(count)), count if shielded else 0)
        said = scores[:, start : start + len(values)].argmax(1)
        start += len(values)
        if (seen := target[target >= 0].unique()).numel():
            found[name] = (float(torch.stack([(said[target == v] == v).float().mean() for v in seen]).mean()), 1 / len(values))
    return found


def _scores(heads: Heads, pairs: Pairs, rows: slice, shielded: bool) -> Tensor:
    picture = pairs.images[rows].float()
    if shielded:
        picture = torch.where(pairs.keep[rows, None], picture, torch.full_like(picture, 255.0))
    feature = heads.image((picture / 127.5 - 1).contiguous(memory_format=torch.channels_last)).projected
    scores: Tensor = heads.classify(heads.norm(feature.float()))
    return scores


if __name__ == "__main__":
    main()
