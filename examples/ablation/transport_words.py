"""How much the words of a picture matter to the optimal transport that a student was distilled by.

For every picture: the cost d = <T, C> with the words that descriptions chose, with the opposite words, with those that are true of the
person's body (rendered people), and with words drawn by coin. If the words tell the student something, d is smaller for right ones.

Example: python examples/ablation/transport_words.py clip3dreid-synthcc data/synthcc --descriptions reidclip-tiny-synthcc --split train
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from reidclip.artifacts.store import Store
from reidclip.clip.inference import InferenceEncoder
from reidclip.data.loader import ImageSource, fetch
from reidclip.data.open import open_dataset
from reidclip.data.samplers import sequential_batches
from reidclip.data.transforms import Transform, finish
from reidclip.errors import ReidclipError
from reidclip.stages.describe import read_descriptions
from reidclip.stages.describe_table import true_words
from reidclip.train.transport_guide import TransportGuide


def main() -> int:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="of clip3dreid, with its transport")
    parser.add_argument("data", type=Path)
    parser.add_argument("--descriptions", required=True, help="artifact with the teacher's words")
    parser.add_argument("--split", default="train")
    parser.add_argument("--store", type=Path, default=Path("artifacts"))
    options = parser.parse_args()
    try:
        show(options)
    except ReidclipError as error:
        print(f"{error.what}\n{error.remedy}", file=sys.stderr)
        return 2
    return 0


@torch.no_grad()
def show(options: argparse.Namespace) -> None:
    """Costs by whose words they are, and how even the plans are."""
    store, dataset = Store(options.store), open_dataset(options.data)
    folder = store.open(options.checkpoint, kind="checkpoint").path
    encoder, guide = InferenceEncoder.load(folder), TransportGuide.load(folder)
    samples = dataset.split(options.split)
    chosen = read_descriptions(store.open(options.descriptions, kind="descriptions"), samples).choices
    bodies = true_words(dataset)
    words = {"the teacher's": chosen, "the opposite": 1 - chosen, "by coin": torch.randint(0, 2, chosen.shape)}
    if all(sample.path in bodies for sample in samples):
        words["true of the body"] = torch.from_numpy(np.stack([bodies[sample.path][1] for sample in samples])).long()
    height, width = encoder.image_encoder.config.image_size
    batches = sequential_batches(len(samples), 64)
    costs: dict[str, list[float]] = {name: [] for name in words}
    largest = 0.0
    source = ImageSource.of(dataset, samples)
    for batch in fetch(source, samples, batches, transform=Transform(height, width, encoder.options.resize), workers=0):
        _, places = encoder.image_encoder.forward_places(finish(batch, encoder.options.normalisation)["x"])
        for name, choices in words.items():
            told = guide(places, choices[batch["index"]])
            costs[name] += told.cost.tolist()
            uneven = told.plan.plan * told.plan.plan[0].numel()  # 1 everywhere where mass is spread evenly
            largest = max(largest, float((uneven - 1).abs().max()))
    print(f"{len(samples)} pictures of split {options.split}; plans differ from even ones by at most {100 * largest:.1f} %")
    reference = np.array(costs["the teacher's"])
    for name, found in costs.items():
        values = np.array(found)
        dearer = 100 * (values > reference).mean()
        spread = f"standard deviation over pictures {values.std():.4f}"
        print(
            f"{name:18s} d = {values.mean():.4f} ({spread}); {(values - reference).mean():+.4f}, dearer in {dearer:.0f} % of the pictures"
        )


if __name__ == "__main__":
    sys.exit(main())
