"""Train reidclip-tiny on rendered people: CLIP's contrastive loss on (picture, caption) pairs. See README.md for the commands."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from data import Pairs, batches, distinct_batches, load_pairs
from measure import measure
from torch import Tensor, nn

from reidclip.clip.load import ClipModel, load_clip, save_clip
from reidclip.formulas.contrastive import supervised_contrastive
from reidclip.interfaces import ParamGroup, Update
from reidclip.train.loop import LoopOptions, run_stage
from reidclip.train.schedule import cosine

HERE = Path(__file__).parent


class Towers(nn.Module):
    """Both encoders and the log-temperature: everything that is trained."""

    def __init__(self, clip: ClipModel) -> None:
        super().__init__()
        self.image, self.text = clip.image_encoder, clip.text_encoder
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))


class Pretraining:
    """The `TrainStage` of CLIP's pre-training: symmetric InfoNCE, pictures and captions of the shielded part apart from the rest."""

    def __init__(self, towers: Towers, pairs: Pairs, args: argparse.Namespace) -> None:
        self.module, self.pairs, self.args, self.epochs = towers, pairs, args, args.epochs
        named = [(n, p) for n, p in towers.named_parameters() if n != "logit_scale"]
        decayed = [(n, p) for n, p in named if p.ndim > 1]
        plain = [(n, p) for n, p in named if p.ndim <= 1]
        decay = cosine(args.epochs)
        self.updates = [
            Update(
                "clip",
                [
                    ParamGroup("weights", decayed, args.lr, 1e-5),
                    ParamGroup("norms", plain, args.lr),
                    ParamGroup("scale", [("logit_scale", towers.logit_scale)], 3 * args.lr),
                ],
                lambda epoch: (0.3 if epoch == 0 else 1.0) * max(decay(epoch), 0.02),
                self.losses,
            )
        ]

    def plan(self, epoch: int) -> Sequence[Sequence[int]]:
        rng = np.random.default_rng(np.random.SeedSequence([self.args.seed, epoch]))
        return distinct_batches(self.pairs.pids, self.args.batch, rng)

    def fetch(self, epoch: int, start: int = 0) -> Iterator[Mapping[str, Tensor]]:
        shielded = int(self.args.batch * self.args.shielded)
        return batches(self.pairs, self.plan(epoch), shielded, self.args.seed, epoch, start)

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        return self.module.image(batch["image"]).projected, self.module.text.encode_text(batch["text"])

    def losses(self, batch: Mapping[str, Tensor], outputs: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        image, text = outputs
        cut = len(image) - int(self.args.batch * self.args.shielded)
        scale = self.module.logit_scale.clamp(max=math.log(100.0)).exp()
        found = {"pairs": _info_nce(image[:cut], text[:cut], batch["text"][:cut], scale)}
        if cut < len(image):
            found["shielded"] = _info_nce(image[cut:], text[cut:], batch["text"][cut:], scale)
        return found

    def set_mode(self, training: bool) -> None:
        self.module.train(training)


def _info_nce(image: Tensor, text: Tensor, tokens: Tensor, scale: Tensor) -> Tensor:
    """Pictures with the same caption, word for word, are each other's positives."""
    _, caption = torch.unique(tokens, dim=0, return_inverse=True)
    forward = supervised_contrastive(image, text, caption, caption, scale, "cosine")
    return (forward + supervised_contrastive(text, image, caption, caption, scale, "cosine")) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder written by `reidclip synth --layout pairs`")
    parser.add_argument("out", type=Path, help="file to write, .../reidclip-tiny.safetensors")
    parser.add_argument("--held-out", type=Path, required=True, help="another such folder (other seed) for the measurements")
    parser.add_argument("--state", type=Path, default=Path("reidclip-tiny.state.safetensors"), help="training state, for going on")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=192)
    parser.add_argument("--shielded", type=float, default=1 / 3, help="share of pictures with clothes painted white and identity captions")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="bf16", choices=["bf16", "fp32"])
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    started = time.monotonic()
    clip = load_clip(f"random:{HERE / 'architecture.json'}", image_size=(256, 128))
    towers = Towers(clip).to(memory_format=torch.channels_last)
    pairs = load_pairs(args.data, clip.tokenizer)
    people = len(set(pairs.pids.tolist()))
    print(f"{len(pairs.pids)} pairs of {people} people; {_millions(clip.image_encoder)} M + {_millions(clip.text_encoder)} M parameters")
    last = [time.monotonic()]

    def progress(done: int, total: int) -> None:
        if time.monotonic() - last[0] > 30 or done == total:
            rate = done * args.batch / (time.monotonic() - started)
            print(f"{done}/{total} steps, {rate:.0f} pictures/s, scale {float(towers.logit_scale.exp()):.1f}", flush=True)
            last[0] = time.monotonic()

    options = LoopOptions(torch.device("cpu"), args.precision, args.state)
    history = run_stage(Pretraining(towers, pairs, args), options, progress)
    for row in history:
        print({k: round(v, 3) for k, v in row.items()})
    towers.eval()
    clip.image_encoder.to(memory_format=torch.contiguous_format)
    scale = float(towers.logit_scale.detach().exp().clamp(max=100))
    quality = measure(clip, scale, load_pairs(args.held_out, clip.tokenizer))
    card = {
        "name": "reidclip-tiny",
        "similarity": "cosine",
        "data": f"{len(pairs.pids)} rendered pictures of {people} people with captions (reidclip synth --layout pairs)",
        "training": f"{args.epochs} epochs, batch {args.batch}, Adam {args.lr}, seed {args.seed}, {args.precision}",
        "training_seconds": round(sum(row["seconds"] for row in history)),
        "measured": quality,
        "licence": "Apache-2.0; no photograph was used",
    }
    document = json.loads((HERE / "architecture.json").read_text())
    save_clip(
        args.out, clip.image_encoder, clip.text_encoder, scale, document["model_cfg"],
        mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), interpolation="bilinear", card=card, dtype=torch.float16,
    )  # fmt: skip
    print(json.dumps(card, indent=2))


def _millions(module: nn.Module) -> str:
    return f"{sum(p.numel() for p in module.parameters()) / 1e6:.2f}"


if __name__ == "__main__":
    main()
