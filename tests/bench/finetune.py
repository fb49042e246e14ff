"""A fine-tuning step against the published way: open_clip's own modules, per-step ``.item()``, torch's default Adam."""

from __future__ import annotations

import copy
import resource
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from reidclip import registry
from reidclip.clip.load import ClipModel, load_clip
from reidclip.data.loader import ImageSource
from reidclip.data.transforms import NORMALISATIONS, finish, noise_of
from reidclip.formulas.losses import batch_hard_triplet, cross_entropy_label_smooth
from reidclip.interfaces import StageContext, TrainStage
from reidclip.records import Sample, training_labels
from reidclip.train.loop import LoopOptions, step
from reidclip.train.optim import build_adam
from tests.bench.row import Row, seconds
from tests.tiny_clip import TINY_VIT, tiny_clip

IDENTITIES, PICTURES, CLASSES = 4, 4, 150
HEIGHT, WIDTH = 256, 128


def batch_of(identities: int, pictures: int, height: int, width: int) -> dict[str, Tensor]:
    """A batch as the loader gives it: noise, half of it erased and half of it clothes."""
    size = identities * pictures
    generator = torch.Generator().manual_seed(0)
    erase = torch.tensor([[0, 0, height // 4, width // 4], [0, 0, 0, 0]]).repeat(size // 2, 1)
    keep = torch.ones(size, height, width, dtype=torch.uint8)
    keep[:, height // 4 : height // 2] = 0
    labels = torch.arange(identities).repeat_interleave(pictures)
    return {
        "image": torch.randint(0, 256, (size, 3, height, width), dtype=torch.uint8, generator=generator),
        "keep": keep,
        "erase": erase,
        "erase_seed": torch.arange(size),
        "noise": noise_of(erase.tolist(), range(size)),  # drawn by the loader, so no part of the step; without it a GPU would be waited for
        "pid": labels,
        "clothes": labels * 2 + torch.arange(size) % 2,
        "camid": torch.zeros(size, dtype=torch.int64),
        "index": torch.arange(size),
    }


def stage_of(method: str, clip: ClipModel, device: torch.device, precision: str = "fp32", **changes: Any) -> TrainStage:
    """The method's fine-tuning stage with its default settings, over people without pictures: batches come from `batch_of`."""
    plugin = registry.get("reidclip.methods", method)
    settings = plugin.settings["finetune"](**changes)
    samples = tuple(Sample(f"{pid}_{outfit}.jpg", pid, 0, 2 * pid + outfit, "train") for pid in range(CLASSES) for outfit in (0, 1))
    width = clip.joint_width
    prompts = {"identity.text": torch.randn(CLASSES, width), "clothes.text": torch.randn(2 * CLASSES, width)}
    context = StageContext(
        settings=settings,
        clip=clip,
        train=samples,
        labels=training_labels(samples),
        source=ImageSource([], None),
        device=device,
        seed=0,
        precision=precision,
        prompts=prompts if plugin.needs_prompts(settings) else None,
    )
    torch.manual_seed(0)
    stage: TrainStage = plugin.finetune_stages(context)[0]
    stage.set_mode(True)
    return stage


class Published:
    """CLIP-ReID's stage 2 as its program runs it, on open_clip's blocks; the losses' formulas are this project's."""

    def __init__(self, visual: Any, joint: int) -> None:
        self.visual = copy.deepcopy(visual)
        self.text = torch.randn(CLASSES, joint)
        width = visual.proj.shape[0]
        self.necks = nn.ModuleList([nn.BatchNorm1d(width), nn.BatchNorm1d(joint)])
        self.classifiers = nn.ModuleList([nn.Linear(width, CLASSES, bias=False), nn.Linear(joint, CLASSES, bias=False)])
        parameters = [*self.visual.parameters(), *self.necks.parameters(), *self.classifiers.parameters()]
        self.optimizer = torch.optim.Adam([p for p in parameters if p.requires_grad], lr=5e-6, weight_decay=1e-4)

    def step(self, batch: Mapping[str, Tensor], bf16: bool = False) -> float:
        """One iteration."""
        x, y = finish(batch, NORMALISATIONS["half"])["x"], batch["pid"]
        self.optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            last, pooled, projected = self._features(x)
            scores = [c(n(f)) for c, n, f in zip(self.classifiers, self.necks, (pooled, projected), strict=True)]
            loss = sum((0.25 * cross_entropy_label_smooth(s, y, 0.1) for s in scores), start=torch.zeros(()))
            loss = loss + sum((batch_hard_triplet(f, y, 0.3, False) for f in (last, pooled, projected)), start=torch.zeros(()))
            loss = loss + cross_entropy_label_smooth(projected @ self.text.T, y, 0.1)
        loss.backward()
        self.optimizer.step()
        accuracy = (scores[0].argmax(1) == y).float().mean()
        return loss.item() + accuracy.item()

    def _features(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        visual = self.visual
        patches = visual.conv1(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([visual.class_embedding.expand(len(x), 1, -1), patches], dim=1) + visual.positional_embedding
        tokens = visual.ln_pre(tokens)
        for block in visual.transformer.resblocks[:-1]:
            tokens = block(tokens)
        after = visual.ln_post(visual.transformer.resblocks[-1](tokens))
        return tokens[:, 0], after[:, 0], (after @ visual.proj)[:, 0]


def timed(stage: TrainStage, batch: Mapping[str, Tensor], precision: str, repeats: int) -> float:
    """Best wall time of one step of our loop, in seconds."""
    updates = [(update, build_adam(update.groups)) for update in stage.updates]
    options = LoopOptions(torch.device("cpu"), precision)
    step(stage, updates, batch, options)
    return min(seconds(lambda: step(stage, updates, batch, options)) for _ in range(repeats))


def main(quick: bool) -> list[Row]:
    """Step times of ViT-B/16 at 256x128 with a batch of 16, in turns, and the growth of memory over many small steps."""
    clip = load_clip("random:ViT-B-16", image_size=(HEIGHT, WIDTH))
    batch = batch_of(IDENTITIES, PICTURES, HEIGHT, WIDTH)
    repeats = 1 if quick else 5
    clipreid = stage_of("clipreid", clip, torch.device("cpu"))
    published = Published(clip.image_encoder, clip.joint_width)
    published.step(batch)
    times = {"ours": float("inf"), "published": float("inf"), "bf16": float("inf")}
    for _ in range(repeats):  # in turns, so that a busy moment of the machine meets all of them
        times["published"] = min(times["published"], seconds(lambda: published.step(batch)))
        times["ours"] = min(times["ours"], timed(clipreid, batch, "fp32", 1))
        times["bf16"] = min(times["bf16"], timed(clipreid, batch, "bf16", 1))
    ccaf = timed(stage_of("ccaf", clip, torch.device("cpu")), batch, "fp32", repeats)
    size = f"ViT-B/16, {HEIGHT}x{WIDTH}, batch {IDENTITIES * PICTURES}"
    return [
        Row(f"CLIP-ReID step over the published way, {size}", times["ours"] / times["published"], "x", 1.0, False, _note(times)),
        Row("CLIP-ReID step, bf16 over fp32", times["bf16"] / times["ours"], "x", 0.55, False, f"bf16 {times['bf16']:.2f} s"),
        Row("CCAF step over CLIP-ReID step, fp32", ccaf / times["ours"], "x", 2.3, False, f"CCAF {ccaf:.2f} s"),
        Row("memory growth over 2,000 steps of a tiny CLIP-ReID", memory_growth(50 if quick else 2000), "MB", 20, False),
    ]


def _note(times: Mapping[str, float]) -> str:
    return f"ours {times['ours']:.2f} s, published {times['published']:.2f} s"


def memory_growth(steps: int) -> float:
    """Growth of the peak resident memory from the hundredth step (or half of them) to the last, in MB."""
    stage = stage_of("clipreid", tiny_clip(TINY_VIT), torch.device("cpu"), height=32, width=16)
    updates = [(update, build_adam(update.groups)) for update in stage.updates]
    batch, options = batch_of(4, 4, 32, 16), LoopOptions(torch.device("cpu"))
    warm = 0.0
    for number in range(steps):
        step(stage, updates, batch, options)
        if number == min(100, steps // 2):
            warm = _peak_mb()
    return _peak_mb() - warm


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    for row in main(quick=False):
        print(row)
