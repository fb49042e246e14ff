"""Train reidclip-tiny on rendered people: attributes, then captions (see README.md for the commands)."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import torch
from attributes import Attributes
from data import Pairs, at_size, load_pairs
from measure import joint_features, measure
from pooling import at_size as encoder_at_size
from pooling import standardise, start_with_bands
from stages import AttributeLearning, CaptionLearning, Heads, Rates, Towers
from torch import nn

from reidclip.clip.load import ClipModel, load_clip, save_clip
from reidclip.interfaces import TrainStage
from reidclip.train.loop import LoopOptions, run_stage

HERE = Path(__file__).parent
FULL = (256, 128)


class Training:
    """The phases one after the other. Each has its own state file; one that is finished is read back at once."""

    def __init__(self, args: argparse.Namespace, clip: ClipModel, pairs: Pairs) -> None:
        self.args, self.clip, self.pairs = args, clip, pairs
        self.attributes = Attributes(pairs.attributes)
        self.seconds = 0.0

    def run(self) -> Towers:
        """All phases; returns the trained towers at full size."""
        start_with_bands(self.clip.image_encoder)
        heads = Heads(self.clip.image_encoder, self.attributes.values)
        for size, epochs in ((tuple(self.args.small), self.args.small_epochs), (FULL, self.args.full_epochs)):
            heads.image = encoder_at_size(heads.image, size)
            pairs = at_size(self.pairs, *size)
            rates = self._rates(epochs, self.args.lr, self.args.lr if size != FULL else self.args.lr / 2)
            self._train(f"attributes-{size[0]}x{size[1]}", AttributeLearning(heads, pairs, self.attributes, rates))
        self.clip = replace(self.clip, image_encoder=heads.image)
        towers = Towers(self.clip)
        self._captions("text", towers, self._rates(self.args.text_epochs, self.args.lr / 2, 0.0), locked=True)
        self._captions("joint", towers, self._rates(self.args.joint_epochs, self.args.lr / 2, self.args.lr / 4), locked=False)
        return towers

    def _captions(self, name: str, towers: Towers, rates: Rates, locked: bool) -> None:
        features = None
        if locked and rates.epochs:
            print("encoding all pictures once", flush=True)
            raw, hidden = (joint_features(towers.image, self.pairs, shielded) for shielded in (False, True))
            features = tuple(standardise(towers.image, torch.cat([raw, hidden])).split(len(raw)))
        self._train(name, CaptionLearning(self.clip, towers, self.pairs, self.attributes, rates, features))

    def _rates(self, epochs: int, lr: float, image_lr: float) -> Rates:
        return Rates(epochs, lr, image_lr, self.args.batch, self.args.shielded, self.args.seed)

    def _train(self, name: str, stage: TrainStage) -> None:
        stage.module.to(memory_format=torch.channels_last)
        started, last = time.monotonic(), [time.monotonic()]

        def progress(done: int, total: int) -> None:
            if time.monotonic() - last[0] > 30 or done == total:
                print(f"{name}: {done}/{total} steps, {time.monotonic() - started:.0f} s", flush=True)
                last[0] = time.monotonic()

        state = self.args.state.with_name(f"{self.args.state.name}.{name}.safetensors")
        for row in run_stage(stage, LoopOptions(torch.device("cpu"), self.args.precision, state), progress):
            self.seconds += row["seconds"]
            print(name, {k: round(v, 3) for k, v in row.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder written by `reidclip synth --layout pairs`")
    parser.add_argument("out", type=Path, help="file to write, .../reidclip-tiny.safetensors")
    parser.add_argument("--held-out", type=Path, required=True, help="another such folder (other seed) for the measurements")
    parser.add_argument("--state", type=Path, default=Path("reidclip-tiny.state"), help="first part of the states' names, for going on")
    parser.add_argument("--small", type=int, nargs=2, default=(128, 64), metavar=("H", "W"), help="size of the first phase")
    parser.add_argument("--small-epochs", type=int, default=40, help="attributes, small pictures")
    parser.add_argument("--full-epochs", type=int, default=12, help="attributes, 256 x 128")
    parser.add_argument("--text-epochs", type=int, default=6, help="captions, image tower locked")
    parser.add_argument("--joint-epochs", type=int, default=4, help="captions, both towers")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--shielded", type=float, default=1 / 3, help="share of pictures with clothes painted white")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="bf16", choices=["bf16", "fp32"])
    args = parser.parse_args()
    keep_options(args)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    clip = load_clip(f"random:{HERE / 'architecture.json'}", image_size=FULL)
    pairs = load_pairs(args.data, clip.tokenizer)
    people = len(set(pairs.pids.tolist()))
    print(f"{len(pairs.pids)} pairs of {people} people; {_millions(clip.image_encoder)} M + {_millions(clip.text_encoder)} M parameters")
    training = Training(args, clip, pairs)
    towers = training.run()
    _save(args, training, towers, f"{len(pairs.pids)} rendered pictures of {people} people with captions (reidclip synth --layout pairs)")


def keep_options(args: argparse.Namespace) -> None:
    """Write what the training depends on beside its states; end the program if states of other options lie there.

    A finished phase is read back by its name: under other options it would be taken for theirs.
    """
    free = ("out", "held_out", "state", "threads")
    told = {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items() if key not in free}
    told["small"] = list(args.small)
    file = args.state.with_name(f"{args.state.name}.options.json")
    if file.exists() and (before := json.loads(file.read_text(encoding="utf-8"))) != told:
        changed = ", ".join(sorted(key for key in told if told[key] != before.get(key)))
        raise SystemExit(f"{file} is of a training with other options ({changed}). Name other states with --state, or remove these.")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _save(args: argparse.Namespace, training: Training, towers: Towers, data: str) -> None:
    towers.eval()
    towers.to(memory_format=torch.contiguous_format)
    scale = float(towers.logit_scale.detach().exp().clamp(max=100))
    epochs = f"{args.small_epochs} + {args.full_epochs} epochs of attributes, {args.text_epochs} + {args.joint_epochs} of captions"
    card = {
        "name": "reidclip-tiny",
        "similarity": "cosine",
        "data": data,
        "training": f"{epochs}, batch {args.batch}, Adam {args.lr}, seed {args.seed}, {args.precision}",
        "training_seconds": round(training.seconds),
        "measured": measure(training.clip, scale, load_pairs(args.held_out, training.clip.tokenizer)),
        "licence": "Apache-2.0; no photograph was used",
    }
    document = json.loads((HERE / "architecture.json").read_text())
    save_clip(
        args.out, towers.image, towers.text, scale, document["model_cfg"],
        mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), interpolation="bilinear", card=card, dtype=torch.float16,
    )  # fmt: skip
    print(json.dumps(card, indent=2))


def _millions(module: nn.Module) -> str:
    return f"{sum(p.numel() for p in module.parameters()) / 1e6:.2f}"


if __name__ == "__main__":
    main()
