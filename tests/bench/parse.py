"""Parsing: SCHP in bfloat16 against the plain float32 network, pictures per second of the command, and going on with many maps.

Plan of the first, fixed before anything was measured by it. SCHP's published weights are not at hand, so stand-ins are measured:

* Three stand-ins, seeds 0, 1 and 2. Trunk and context: random weights, calibrated normalisations, residual branches as weak as training
  leaves them. The layers after them that make label maps, of decoder and fusion, are trained in float32 on 42 pictures of 14 rendered people.
* Each is measured on 24 pictures of 8 other people: pixels of the label maps in bfloat16 that are as in those of the network as it was
  loaded, in float32, and pixels that are right. A stand-in counts if it labels at least 75 % of the pixels right.
* That 99.5 % of the pixels keep their label counts as shown if the mean over the three seeds is at least that; each seed is a row.
* The recipe of their training was chosen by right pixels alone, which layers stay in float32 by agreement and time, both on a seed and on
  people that are not among these. After the measurement the stand-ins stay as they are, whatever came.
* Times are of the processor, all threads together, so that programs running beside count little; the ways take turns, batch by batch,
  and the ratio is the median over the turns.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidclip.artifacts.store import Store
from reidclip.data.images import UInt8, read_indexed_png, read_picture
from reidclip.data.lip import LIP_LABELS
from reidclip.data.open import open_pictures
from reidclip.stages.finished_maps import MapWriter, find_finished
from reidclip.stages.parse import open_parser, parse
from reidclip.stages.synth import synth
from reidclip_schp import PARSER
from reidclip_schp.abn import ActivatedBatchNorm
from reidclip_schp.crop import Crop, labels_at_picture_size, normalised, warp
from reidclip_schp.fold import fold
from reidclip_schp.network import SchpNetwork
from reidclip_schp.session import FullSession
from reidclip_schp.settings import SchpSettings
from tests.bench.row import Row, seconds

INPUT = (473, 473)
BRANCH = 0.1  # weight of the last normalisation of a residual branch
MAPS = 34_000
CPU = torch.device("cpu")

Pictures = list[UInt8]


def rendered(folder: Path, ids: int) -> tuple[Pictures, Pictures]:
    """Pictures of rendered people and their label maps, three of each person."""
    synth(folder, layout="prcc", ids=ids, images_per_camera=1)
    paths = sorted((folder / "rgb").rglob("*.jpg"))
    maps = [folder / "parsing" / path.relative_to(folder).with_suffix(".png") for path in paths]
    return [read_picture(path) for path in paths], [read_indexed_png(path)[0] for path in maps]


def inputs(pictures: Sequence[UInt8]) -> Tensor:
    """The network's input, (B, 3, H, W), contiguous as the published program has it."""
    crops = [Crop.of(picture.shape[:2], INPUT) for picture in pictures]
    warped = np.stack([warp(picture, crop) for picture, crop in zip(pictures, crops, strict=True)])
    return normalised(torch.from_numpy(warped)).contiguous()


def fitted_network(pictures: Sequence[UInt8], maps: Sequence[UInt8]) -> SchpNetwork:
    """See the module's description; nothing in it is folded."""
    torch.manual_seed(0)
    network = SchpNetwork(len(LIP_LABELS))
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, ActivatedBatchNorm):
            module.momentum = 1.0
            nn.init.constant_(module.weight, BRANCH if name.startswith("layer") and name.endswith("bn3") else 1.0)
    x = inputs(pictures)
    with torch.inference_mode():
        network.train()(x[:2])
    network.eval()
    for module in network.modules():
        if isinstance(module, ActivatedBatchNorm):  # of few cells of a pooled map, some differ by nothing
            module.running_var.clamp_(min=0.1 * float(module.running_var.mean()))
    last = network.fushion[-1]
    assert isinstance(last, nn.Conv2d)
    kept: list[Tensor] = []
    handle = last.register_forward_hook(lambda _module, args, _out: kept.append(args[0].clone()))
    with torch.no_grad():
        for start in range(0, len(x), 2):
            network(x[start : start + 2])
    handle.remove()
    _fit(last, torch.cat(kept), _targets(maps, (kept[0].shape[2], kept[0].shape[3])))
    return network


def _targets(maps: Sequence[UInt8], scores_hw: tuple[int, int]) -> Tensor:
    """Label maps at the size of the scores, (B, h, w)."""
    found = []
    for labels in maps:
        (ax, _, bx), (_, ay, by) = Crop.of(labels.shape, INPUT).inverse()
        rows, columns = (
            np.rint(a * np.linspace(0, side - 1, count) + b).astype(int)
            for a, b, side, count in ((ay, by, INPUT[0], scores_hw[0]), (ax, bx, INPUT[1], scores_hw[1]))
        )
        inside = ((rows >= 0) & (rows < labels.shape[0]))[:, None] & ((columns >= 0) & (columns < labels.shape[1]))[None]
        found.append(np.where(inside, labels[rows.clip(0, labels.shape[0] - 1)][:, columns.clip(0, labels.shape[1] - 1)], 0))
    return torch.from_numpy(np.stack(found).astype(np.int64))


def _fit(last: nn.Conv2d, features: Tensor, targets: Tensor) -> None:
    """Softmax regression on the last layer's inputs, by L-BFGS."""
    optimizer = torch.optim.LBFGS(last.parameters(), max_iter=40, line_search_fn="strong_wolfe")
    with torch.no_grad():
        for parameter in last.parameters():
            parameter.zero_()

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(last(features), targets) + 1e-3 * last.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)


def plainly(network: SchpNetwork, pictures: Sequence[UInt8]) -> Pictures:
    """Label maps by the network as it was loaded."""
    with torch.inference_mode():
        scores = network(inputs(pictures)).fusion
    return [labels_at_picture_size(s, Crop.of(p.shape[:2], INPUT)) for s, p in zip(scores, pictures, strict=True)]


def agreement(one: Sequence[UInt8], other: Sequence[UInt8]) -> float:
    """Share of equal pixels, in percent."""
    return 100 * float(np.mean([(a == b).mean() for a, b in zip(one, other, strict=True)]))


def full_network(quick: bool) -> list[Row]:
    """Both precisions of the session against the plain network, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        pictures, maps = rendered(Path(folder), 2 if quick else 5)
    count = 3 if quick else 6  # the last people, whom the fit has not seen
    network = fitted_network(pictures[:-count], maps[:-count])
    seen = pictures[-count:]
    folded = fold(copy.deepcopy(network)).to(memory_format=torch.channels_last)
    sessions = {p: FullSession(folded, tuple(LIP_LABELS), INPUT, count, False, CPU, "", precision=p) for p in ("fp32", "bf16")}
    ways: dict[str, Callable[[], Pictures]] = {"plain": lambda: plainly(network, seen)}
    ways |= {name: lambda session=session: session(seen) for name, session in sessions.items()}  # type: ignore[misc]
    found: dict[str, Pictures] = {}
    times = dict.fromkeys(ways, float("inf"))
    for _ in range(1 if quick else 3):
        for name, way in ways.items():
            start = time.process_time()
            found[name] = way()
            times[name] = min(times[name], time.process_time() - start)
    labels = len(np.unique(np.concatenate([each.ravel() for each in found["plain"]])))
    right = agreement(found["plain"], maps[-count:])
    each = {name: time / count for name, time in times.items()}
    return [
        Row(
            "SCHP 473x473, plain float32 network over bf16",
            times["plain"] / times["bf16"],
            "x",
            2.0,
            note=f"{each['bf16']:.2f} s a picture",
        ),
        Row("the same over fp32, folded, channels last", times["plain"] / times["fp32"], "x", note=f"{each['fp32']:.2f} s a picture"),
        Row(
            "pixels of bf16 as of the plain network",
            agreement(found["bf16"], found["plain"]),
            "%",
            99.5,
            note=f"{labels} labels; {right:.0f}% right",
        ),
        Row("pixels of fp32 as of the plain network", agreement(found["fp32"], found["plain"]), "%", 99.9),
    ]


def tiny_network(quick: bool) -> list[Row]:
    """The trained small network: agreement, and the whole command with decoding and writing."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        pictures, _ = rendered(root / "people", 2 if quick else 10)
        sessions = {p: PARSER.open(SchpSettings.model_validate({"precision": p}), CPU) for p in ("fp32", "bf16")}
        maps = {name: session(pictures) for name, session in sessions.items()}
        data = open_pictures(root / "people" / "rgb")
        settings = SchpSettings()
        rate = parse(data, open_parser("schp"), Store(root / "store"), settings=settings).manifest.metrics["pictures_per_second"]
    return [
        Row(
            "schp-tiny: pixels of bf16 as of fp32",
            agreement(maps["bf16"], maps["fp32"]),
            "%",
            99.5,
            note=f"{len(pictures)} rendered people",
        ),
        Row("schp-tiny: pictures read, parsed, written", float(rate), "images/s", note="fp32"),
    ]


def many_maps(quick: bool) -> list[Row]:
    """Writing many label maps, and finding them again after a kill."""
    count = 500 if quick else MAPS
    paths = [f"{number // 100:04d}/{number % 100:03d}.jpg" for number in range(count)]
    labels = np.kron(np.random.default_rng(0).integers(0, 20, (8, 4), np.uint8), np.ones((32, 32), np.uint8))

    def write() -> None:
        with MapWriter(Path(folder), len(LIP_LABELS)) as writer:
            for path in paths:
                writer.put(path, labels)

    with tempfile.TemporaryDirectory() as folder:
        writing = seconds(write)
        found: list[int] = []
        finding = seconds(lambda: found.append(len(find_finished(Path(folder), paths, len(LIP_LABELS)))))
    assert found == [count]
    return [
        Row(f"{count:,} label maps of 256x128 written", count / writing, "maps/s"),
        Row(f"{count:,} finished label maps found again", finding, "s", 10.0, False),
    ]


def main(quick: bool) -> list[Row]:
    """All rows."""
    return [*full_network(quick), *tiny_network(quick), *many_maps(quick)]
