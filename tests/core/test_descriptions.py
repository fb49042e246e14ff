"""Linguistic labels: equal to a direct computation, in the samples' order, found again, refused where they do not fit, resumed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import cosine_similarity

from reidclip.artifacts.store import Artifact, Store
from reidclip.bodies.phrases import PAIRS, TEMPLATE
from reidclip.clip.load import load_clip
from reidclip.data.clips import cut
from reidclip.data.open import open_dataset
from reidclip.errors import UserError, WorkError
from reidclip.records import Dataset, Sample
from reidclip.stages.describe import describe, descriptions_for, plan_description, read_descriptions
from reidclip.stages.describe_teacher import text_features
from reidclip.stages.described_pictures import described_frames, evenly, pictures_to_describe
from reidclip.train.descriptions import chosen_texts
from reidclip.train.settings import DistillSettings
from tests import fakes, trees

SMALL = DistillSettings(height=32, width=16)
SENTENCE = "is {phrase}"  # the small CLIP reads few tokens


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("described")
    fakes.write_prcc(root / "data")
    fakes.write_tiny_clip(root / "clip.safetensors")
    fakes.write_tiny_clip(root / "other.safetensors", seed=5)
    return root


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    return open_dataset(folder / "data")


@pytest.fixture(scope="module")
def described(folder: Path, dataset: Dataset) -> Artifact:
    return describe(planned(dataset, Store(folder / "store"), folder))


@pytest.fixture
def fresh(folder: Path, tmp_path: Path) -> Path:
    """A copy of the pictures and the CLIP, which a test may harm."""
    shutil.copytree(folder / "data", tmp_path / "data")
    shutil.copy(folder / "clip.safetensors", tmp_path)
    shutil.copy(folder / "clip.json", tmp_path)
    return tmp_path


def planned(dataset: Dataset, store: Store, folder: Path, **changes: Any) -> Any:
    given = {"teacher": str(folder / "clip.safetensors"), "settings": SMALL, "template": SENTENCE, "workers": 0, "batch_size": 10}
    return plan_description(dataset, store, **{**given, **changes})


def found(folder: Path, dataset: Dataset, ref: str | None = None, **changes: Any) -> Artifact | None:
    given = {"teacher": str(folder / "clip.safetensors"), "settings": SMALL, "template": SENTENCE}
    return descriptions_for(ref, dataset, Store(folder / "store"), **{**given, **changes})


def of_paths(dataset: Dataset, paths: Sequence[str]) -> list[Sample]:
    by_path = {s.path: s for s in dataset.samples}
    return [by_path[path] for path in paths]


# ------------------------------------------------------------------------------------------------------------ sentences
def test_all_sentences_are_english() -> None:
    assert [sentence.removeprefix("A photo of a person; the person ") for pair in PAIRS for sentence in pair.sentences()] == [
        *("is muscular.", "is slender.", "is broad-shouldered.", "is narrow-shouldered.", "is heavyset.", "is petite."),
        *("is tall.", "is short.", "has long legs.", "has short legs.", "has a long torso.", "has a short torso."),
        *("is curvy.", "is angular.", "is full-figured.", "is skinny.", "is stocky.", "is willowy."),
        *("is pear-shaped.", "is apple-shaped.", "is athletic.", "is non-athletic.", "is fit.", "is unfit."),
        *("is large-breasted.", "is small-breasted.", "is long-armed.", "is short-armed."),
        *("is long-necked.", "is short-necked.", "is high-waisted.", "is low-waisted."),
    ]


def test_a_sentence_without_a_place_for_the_phrase_is_refused(folder: Path, dataset: Dataset) -> None:
    with pytest.raises(UserError, match=r"'A person\.' has no \{phrase\}"):
        planned(dataset, Store(folder / "store"), folder, template="A person.")


def test_a_sentence_that_the_clip_would_cut_is_refused() -> None:
    with pytest.raises(UserError, match=r"tokens, this CLIP reads 77"):
        text_features(load_clip("reidclip-tiny"), PAIRS, "very " * 80 + "{phrase}")


@pytest.mark.parametrize("teacher", ["resnet50:imagenet", "random:resnet50", "timm:tiny_vit_21m_224", "random:timm:resnet18"])
def test_an_encoder_without_text_is_refused(teacher: str, folder: Path, dataset: Dataset) -> None:
    with pytest.raises(UserError, match=r"without text.*\n.*--teacher ViT-B-16:openai"):
        planned(dataset, Store(folder / "store"), folder, teacher=teacher)


# ------------------------------------------------------------------------------------------------------------ labels
@torch.no_grad()
def test_the_labels_of_a_picture_are_those_computed_directly(dataset: Dataset, tmp_path: Path) -> None:
    """reidclip-tiny at its own size, one picture: towers called by hand, with its own mean and deviation (0.5)."""
    one = next(s for s in dataset.split("train") if s.path.endswith("005/C_cropped_rgb002.jpg"))
    job = plan_description(dataset, Store(tmp_path), teacher="reidclip-tiny", settings=DistillSettings(), workers=0)
    read = read_descriptions(describe(job), [one])

    clip = load_clip("reidclip-tiny")
    pixels = np.asarray(Image.open(dataset.absolute(one)).resize((128, 256), Image.Resampling.BILINEAR), np.float32)
    g = clip.image_encoder.eval()(torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)[None]).projected
    torch.testing.assert_close(read.features, g, atol=1e-5, rtol=1e-4)
    encode = clip.text_encoder.eval().encode_text
    for number, pair in enumerate(PAIRS):
        texts = [encode(clip.tokenizer([f"A photo of a person; the person {pair.verb} {p}."])) for p in (pair.first, pair.second)]
        scores = torch.cat([cosine_similarity(g, text) for text in texts])
        torch.testing.assert_close(read.scores[0, number], scores, atol=1e-5, rtol=0)
        if abs(float(scores[0] - scores[1])) > 1e-4:
            assert int(read.choices[0, number]) == int(scores.argmax())
        torch.testing.assert_close(read.chosen(torch.tensor([0]))[0, number], texts[int(read.choices[0, number])][0], atol=1e-5, rtol=1e-4)
    assert read.teacher == ("reidclip-tiny", clip.digest)


def test_rows_come_in_the_order_of_the_samples(described: Artifact, dataset: Dataset) -> None:
    samples = list(dataset.samples)
    whole, turned = read_descriptions(described, samples), read_descriptions(described, samples[::-2])
    for name in ("features", "scores", "choices"):
        assert torch.equal(getattr(turned, name), getattr(whole, name)[torch.arange(len(samples) - 1, -1, -2)])
    assert len(torch.unique(whole.features, dim=0)) == len(samples), "rows that are equal would show no order"
    assert torch.equal(turned.texts, whole.texts) and whole.texts.shape == (16, 2, 16)


def test_choices_are_the_higher_score_and_ties_are_told(folder: Path, dataset: Dataset, tmp_path: Path) -> None:
    artifact = describe(planned(dataset, Store(tmp_path), folder, template="a person {phrase}"))
    read = read_descriptions(artifact, dataset.samples)
    assert torch.equal(read.choices, (read.scores[..., 1] > read.scores[..., 0]).long())
    assert 0 < read.choices.float().mean() < 1
    assert artifact.manifest.metrics["ties"] == int((read.scores[..., 0] == read.scores[..., 1]).sum())
    picked = chosen_texts(read.texts, read.choices)
    best = torch.stack([cosine_similarity(read.features[:, None], picked, dim=-1), read.scores.max(-1).values])
    torch.testing.assert_close(best[0], best[1])


# ------------------------------------------------------------------------------------------------------------ what fits
def test_the_newest_that_fit_are_found(described: Artifact, folder: Path, dataset: Dataset) -> None:
    newest = found(folder, dataset)
    assert newest is not None and newest.ref == described.ref
    named = found(folder, dataset, described.ref)
    assert named is not None and named.digest == described.digest
    shutil.copy(folder / "clip.safetensors", folder / "copy.safetensors")
    shutil.copy(folder / "clip.json", folder / "copy.json")
    assert found(folder, dataset, teacher=str(folder / "copy.safetensors")) is not None, "the weights count, not their file's name"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"teacher": "other.safetensors"}, r"were made by CLIP '.*clip\.safetensors', not '.*other\.safetensors'"),
        ({"template": TEMPLATE}, r"template 'is \{phrase\}' / 'A photo"),
        ({"settings": DistillSettings(height=64, width=16)}, "height 32 / 64"),
        ({"settings": DistillSettings(height=32, width=16, test_resize="bicubic")}, "resize 'bilinear' / 'bicubic'"),
    ],
    ids=["teacher", "sentence", "size", "filter"],
)
def test_others_are_neither_found_nor_taken_when_named(
    changes: dict[str, Any], told: str, described: Artifact, folder: Path, dataset: Dataset
) -> None:
    if "teacher" in changes:
        changes = {"teacher": str(folder / changes["teacher"])}
    assert found(folder, dataset, **changes) is None
    with pytest.raises(UserError, match=told):
        found(folder, dataset, described.ref, **changes)


def test_those_of_other_data_are_refused(described: Artifact, folder: Path, fresh: Path) -> None:
    next((fresh / "data").rglob("*.jpg")).unlink()
    other = open_dataset(fresh / "data")
    assert found(folder, other) is None
    with pytest.raises(UserError, match=r"were made from other data: .*pictures in split"):
        found(folder, other, described.ref)


def test_training_splits_alone_do_not_do_for_others(folder: Path, dataset: Dataset, tmp_path: Path) -> None:
    told: list[str] = []
    job = planned(dataset, Store(tmp_path / "store"), folder, all_pictures=False, say=told.append)
    artifact = describe(job)
    assert artifact.manifest.metrics["pictures"] == len(dataset.split("train")) < len(dataset.samples)
    assert "--all-pictures" in told[0]
    given: dict[str, Any] = {"teacher": str(folder / "clip.safetensors"), "template": SENTENCE}
    store = Store(tmp_path / "store")
    assert descriptions_for(None, dataset, store, settings=SMALL, **given) is not None
    everything = SMALL.model_copy(update={"train_splits": ("all",)})
    assert descriptions_for(None, dataset, store, settings=everything, **given) is None
    with pytest.raises(UserError, match="are of the splits train, not of all"):
        descriptions_for(artifact.ref, dataset, store, settings=everything, **given)
    test_half = next(s for s in dataset.samples if s.split != "train")
    with pytest.raises(UserError, match=f"Picture {test_half.path} is not among"):
        read_descriptions(artifact, [test_half])


# ------------------------------------------------------------------------------------------------------------ runs
def test_an_interrupted_run_goes_on_and_gives_the_same(described: Artifact, folder: Path, dataset: Dataset, tmp_path: Path) -> None:
    def cut_run(what: str, done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    job = planned(dataset, Store(tmp_path), folder)
    with pytest.raises(KeyboardInterrupt):
        describe(job, cut_run)
    assert Store(tmp_path).newest("descriptions") is None
    told: list[int] = []
    artifact = describe(planned(dataset, Store(tmp_path), folder), lambda what, done, total: told.append(done))
    assert told and told[0] == 3, "batches 1 and 2 were kept"
    assert (artifact.path / "descriptions.safetensors").read_bytes() == (described.path / "descriptions.safetensors").read_bytes()
    assert not job.run_folder().joinpath("features").exists()


def test_a_broken_picture_stops_or_is_left_out(fresh: Path) -> None:
    broken = sorted((fresh / "data").rglob("*.jpg"))[4]
    broken.write_bytes(b"no picture")
    dataset, store = open_dataset(fresh / "data"), Store(fresh / "store")
    with pytest.raises(WorkError, match=r"(?s)is not a readable picture.*--on-error skip"):
        describe(planned(dataset, store, fresh))
    artifact = describe(planned(dataset, store, fresh, on_error="skip"))
    path = broken.relative_to(fresh / "data").as_posix()
    assert f"1 broken picture was left out; it is {path}." in artifact.manifest.notes
    rest = [s for s in dataset.samples if s.path != path]
    assert len(read_descriptions(artifact, rest).features) == len(dataset.samples) - 1
    with pytest.raises(UserError, match="is not among those that"):
        read_descriptions(artifact, of_paths(dataset, [path]))


def test_features_that_are_not_finite_are_no_description(fresh: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(fresh / "clip.safetensors")
    state["visual.proj"][0] = 3e38
    save_file(state, fresh / "clip.safetensors")
    dataset = open_dataset(fresh / "data")
    with pytest.raises(WorkError, match="features that are not finite, for rgb/"):
        describe(planned(dataset, Store(fresh / "store"), fresh))


# ------------------------------------------------------------------------------------------------------------ tracklets
def test_frames_that_are_described() -> None:
    frames = tuple(map(str, range(130)))
    assert described_frames(frames[:5]) == frames[:5]
    assert described_frames(frames[:15]) == frames[:15]
    assert described_frames(frames[:16]) == frames[:16:2]
    assert described_frames(frames) == frames[::8]
    for start in range(130 - 8):
        assert set(frames[start : start + 8]) & set(described_frames(frames)), "every piece of 8 frames has one"


def test_at_most_eight_evenly() -> None:
    assert evenly([4, 2]) == [4, 2]
    assert evenly(range(16)) == [1, 3, 5, 7, 9, 11, 13, 15]
    assert len(set(evenly(range(100)))) == 8


def test_a_tracklet_is_the_mean_of_its_frames(folder: Path, tmp_path: Path) -> None:
    frames = tuple(f"t/{n:03d}.png" for n in range(20))
    short = tuple(f"u/{n:03d}.png" for n in range(3))
    trees.write_pictures(tmp_path / "data", (*frames, *short))
    tracklet = Sample("t", 0, 0, 0, "train", frames=frames)
    dataset = Dataset("test", tmp_path / "data", (tracklet, replace(tracklet, path="u", pid=1, frames=short)))
    artifact = describe(planned(dataset, Store(tmp_path / "store"), folder))
    assert artifact.manifest.metrics["pictures"] == 13  # every second of 20, all of 3
    one_by_one = {name: read_descriptions(artifact, [Sample(name, 0, 0, 0, "")]).features[0] for name in (*frames[::2], *short)}
    read = read_descriptions(artifact, dataset.samples)
    eight = [frames[::2][place] for place in (0, 1, 3, 4, 5, 6, 8, 9)]  # the middles of eight equal parts of ten
    torch.testing.assert_close(read.features[0], torch.stack([one_by_one[name] for name in eight]).mean(0))
    torch.testing.assert_close(read.features[1], torch.stack([one_by_one[name] for name in short]).mean(0))
    texts = cosine_similarity(read.features[:, None, None], read.texts[None], dim=-1)
    torch.testing.assert_close(read.scores, texts)
    assert torch.equal(read.choices, (read.scores[..., 1] > read.scores[..., 0]).long())
    assert len(read_descriptions(artifact, cut([tracklet], 10)).features) == 2
    with pytest.raises(UserError, match="None of the 1 frames"):
        read_descriptions(artifact, [tracklet.with_frames(frames[7:8])])


def test_large_data_sets_have_their_training_half_described(monkeypatch: pytest.MonkeyPatch, dataset: Dataset) -> None:
    from reidclip.stages import described_pictures

    whole, all_of_them = pictures_to_describe(dataset, ("train",), None)
    assert all_of_them and whole == tuple(s.path for s in dataset.samples)
    monkeypatch.setattr(described_pictures, "LARGE", len(whole) - 1)
    half, all_of_them = pictures_to_describe(dataset, ("train",), None)
    assert not all_of_them and half == tuple(s.path for s in dataset.split("train"))
    assert pictures_to_describe(dataset, ("train",), True) == (whole, True)
