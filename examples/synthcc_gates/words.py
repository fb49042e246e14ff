"""What a CLIP can say of people it has never seen: captions found among others, attributes named by sentences."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from encoder import encode_pictures, encode_sentences, encode_texts
from gate import Gate
from torch import Tensor

from reidclip.cli.console import progress_bar
from reidclip.clip.load import ClipModel
from reidclip.formulas.masks import shield

sys.path.append(str(Path(__file__).resolve().parents[1] / "train_reidclip_tiny"))  # what the model card measures, said in one place
from data import Pairs, load_pairs
from measure import questions

Ints = npt.NDArray[np.int64]
AMONG = 100  # captions of as many people
FOUND = 50.0  # percent of them
RESAMPLES = 1000


@dataclass(frozen=True)
class HeldOut:
    """Pairs as a CLIP sees them: features (N, D), normalised, of whole pictures and of those with clothes painted white."""

    pairs: Pairs
    whole: Tensor
    shielded: Tensor


def look_at(clip: ClipModel, root: Path) -> HeldOut:
    """Read and encode what ``reidclip synth --layout pairs`` wrote."""
    pairs = load_pairs(root, clip.tokenizer)
    with progress_bar("held-out people", "pictures") as told:
        whole = encode_pictures(clip, pairs.images, told)
    with progress_bar("held-out people, shielded", "pictures") as told:
        hidden = encode_pictures(clip, shield(pairs.images, pairs.keep), told)
    return HeldOut(pairs, whole, hidden)


# ---------------------------------------------------------------------------------------------------------------- captions
def caption_gate(clip: ClipModel, seen: HeldOut, draws: int, seed: int = 0) -> Gate:
    """The first caption of every picture, found among those of as many other people."""
    pids = seen.pairs.pids
    among = min(AMONG, len(np.unique(pids)))
    found, alone = (
        recall(features, encode_texts(clip, torch.stack([texts[0] for texts in captions])), classes_of(captions), pids, among, draws, seed)
        for features, captions in ((seen.whole, seen.pairs.captions), (seen.shielded, seen.pairs.identity_captions))
    )
    low, high = np.quantile(found, [0.025, 0.975])
    return Gate(
        f"caption retrieval, R@1 of {among}",
        f"above {FOUND:.0f}",
        f"{found.mean():.1f} (95% of {draws} draws: {low:.0f} to {high:.0f})",
        bool(found.mean() > FOUND),
        f"{100 / among:.1f}",
        f"shielded pictures, captions of the person alone: {alone.mean():.1f}",
    )


def classes_of(captions: Sequence[Tensor]) -> Ints:
    """A number for the first caption of every picture, (N,); equal captions have the same one."""
    _, number = np.unique(torch.stack([texts[0] for texts in captions]).numpy(), axis=0, return_inverse=True)
    return np.asarray(number, np.int64).reshape(-1)


def recall(features: Tensor, texts: Tensor, said: Ints, people: Ints, among: int, draws: int, seed: int) -> npt.NDArray[np.float64]:
    """R@1 of picture -> caption in percent, (draws,): each draws ``among`` people, a picture of each, and its caption.

    Args:
        features, texts: (N, D), normalised; row i of both is of picture i.
        said: (N,) from `classes_of`: where two people share a caption, either is right.
        people: (N,) identities.
        among: at most the number of people.
    """
    rng = np.random.default_rng(seed)
    likeness = (features @ texts.T).numpy()
    of = [np.nonzero(people == pid)[0] for pid in np.unique(people)]
    found = np.empty(draws)
    for draw in range(draws):
        rows = np.array([rng.choice(of[k]) for k in rng.choice(len(of), among, replace=False)])
        best = rows[likeness[np.ix_(rows, rows)].argmax(1)]
        found[draw] = 100 * np.mean(said[best] == said[rows])
    return found


# -------------------------------------------------------------------------------------------------------------- attributes
def attribute_gates(clip: ClipModel, seen: HeldOut) -> list[Gate]:
    """Each attribute by one sentence per value; whole pictures decide, shielded ones tell whether the person is looked at."""
    gates = []
    for name, (sentences, truth) in questions(seen.pairs).items():
        values = list(sentences)
        known = np.array([i for i, value in enumerate(truth) if value in sentences])
        target = np.array([values.index(str(truth[i])) for i in known])
        texts, people = encode_sentences(clip, list(sentences.values())), seen.pairs.pids[known]
        whole, hidden = ((features[known] @ texts.T).argmax(1).numpy() for features in (seen.whole, seen.shielded))
        found, (low, high) = balanced(target, whole), interval(target, whole, people)
        chance = 100 / len(np.unique(target))
        needed = bar(chance)
        gates.append(
            Gate(
                f"zero-shot {name}",
                f"balanced accuracy at least {needed:.1f}",
                f"{found:.1f} ({low:.1f} to {high:.1f})",
                found >= needed,
                f"{chance:.1f}",
                f"shielded pictures: {balanced(target, hidden):.1f}",
            )
        )
    return gates


def bar(chance: float) -> float:
    """Three times chance or half-way from it to 100, whichever is less; percent."""
    return min(3 * chance, (100 + chance) / 2)


def balanced(target: Ints, guess: Ints, weight: npt.NDArray[np.float64] | None = None) -> float:
    """Mean over the classes of the share that is right, in percent; classes without pictures are left out. (N,) each."""
    count = np.bincount(target, weight)
    right = np.bincount(target, (guess == target) * (1.0 if weight is None else weight), minlength=len(count))
    return float(100 * np.mean(right[count > 0] / count[count > 0]))


def interval(target: Ints, guess: Ints, people: Ints, resamples: int = RESAMPLES) -> tuple[float, float]:
    """Bootstrap 95% interval of `balanced` over people: pictures of one person are no independent evidence."""
    rng = np.random.default_rng(0)
    _, owner = np.unique(people, return_inverse=True)
    many = int(owner.max()) + 1
    drawn = (np.bincount(rng.integers(many, size=many), minlength=many)[owner].astype(np.float64) for _ in range(resamples))
    low, high = np.quantile([balanced(target, guess, weight) for weight in drawn], [0.025, 0.975])
    return float(low), float(high)
