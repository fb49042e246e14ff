"""Tracklets from disk to features: what a batch of clips holds, means over frames and clips, trainings that end in the same bits."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from reidclip import registry
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.data.cache import Cache, CacheKind
from reidclip.data.clips import RandomClip, all_clips, cut
from reidclip.data.images import write_mask_png
from reidclip.data.layouts.ccvid import LAYOUT
from reidclip.data.loader import ImageSource, fetch
from reidclip.data.transforms import NORMALISATIONS, Transform, fill_boxes_at_once, fill_boxes_one_by_one, finish, noise_of, training
from reidclip.interfaces import StageContext, TrainStage
from reidclip.records import Dataset, Sample, training_labels
from reidclip.settings import resolve
from reidclip.train.features import frozen_features
from reidclip.train.loop import LoopOptions, run_stage
from reidclip.train.reid_model import ReidModel
from reidclip.train.tracklet_features import tracklet_features
from tests.cli.layout_trees import TREES
from tests.fakes import SMALL, tiny_clip
from tests.tiny_clip import TINY_RESNET
from tests.tiny_clip import tiny_clip as seeded_clip
from tests.trees import picture, write_picture

CPU = torch.device("cpu")
PLAIN = Transform(32, 16)
LENGTHS = (1, 9, 33, 40)
CLIP = RandomClip()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Four tracklets of two people; frame ``n`` of tracklet ``t`` is the noise of seed 100 t + n."""
    root = tmp_path_factory.mktemp("tracklets")
    samples = []
    for t, length in enumerate(LENGTHS):
        frames = tuple(f"{t}/{n:03d}.png" for n in range(length))
        for n, name in enumerate(frames):
            write_picture(root / name, 100 * t + n)
        samples.append(Sample(str(t), t // 2, t, t, "train", frames=frames))
    return Dataset("test", root, tuple(samples))


def source_of(dataset: Dataset, cache: CacheKind = "none", folder: Path | None = None) -> ImageSource:
    return ImageSource.of(dataset, dataset.samples, cache=Cache(cache, folder))


def pixels(tracklet: int, frames: list[int]) -> np.ndarray:
    """(T, 3, 32, 16), as they lie on disk."""
    return np.stack([picture(100 * tracklet + n) for n in frames]).transpose(0, 3, 1, 2)


def frames_of(tracklet: int, clip: Tensor) -> list[int]:
    """Which frames a clip without augmentation shows."""
    known = {pixels(tracklet, [n]).tobytes(): n for n in range(LENGTHS[tracklet])}
    return [known[frame[None].numpy().tobytes()] for frame in clip]


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


class TestBatches:
    PLAN = ([0, 1, 2, 3], [3, 3], [2])

    def test_a_batch_of_clips(self, dataset: Dataset) -> None:
        batches = list(fetch(source_of(dataset), dataset.samples, self.PLAN, transform=PLAIN, clip=CLIP, workers=0))
        assert [tuple(b["image"].shape) for b in batches] == [(4, 8, 3, 32, 16), (2, 8, 3, 32, 16), (1, 8, 3, 32, 16)]
        assert batches[0]["pid"].tolist() == [0, 0, 1, 1] and batches[0]["camid"].tolist() == [0, 1, 2, 3]
        shown = [frames_of(t, batches[0]["image"][t]) for t in range(4)]
        assert (
            shown[0] == [0] * 8
            and shown[1] == sorted(set(shown[1]))
            and all(b - a == 4 for a, b in zip(shown[3], shown[3][1:], strict=False))
        )

    def test_frames_are_drawn_anew_per_epoch_and_per_occurrence(self, dataset: Dataset) -> None:
        drawn = set()
        for epoch in range(8):
            (batch,) = fetch(source_of(dataset), dataset.samples, [[3, 3]], transform=PLAIN, clip=CLIP, workers=0, epoch=epoch)
            drawn |= {frames_of(3, clip)[0] for clip in batch["image"]}
        assert len(drawn) > 4 and max(drawn) <= 40 - 29

    @pytest.mark.parametrize("workers", [0, 2])
    @pytest.mark.parametrize("cache", ["none", "ram", "disk"])
    def test_the_same_whoever_reads_and_whatever_is_kept(self, dataset: Dataset, workers: int, cache: CacheKind, tmp_path: Path) -> None:
        whole = list(fetch(source_of(dataset), dataset.samples, self.PLAN, transform=training(32, 16), clip=CLIP, workers=0, seed=5))
        source = source_of(dataset, cache, tmp_path)
        rest = list(fetch(source, dataset.samples, self.PLAN[1:], transform=training(32, 16), clip=CLIP, workers=workers, seed=5))
        assert len(rest) == 2 and all(same(a, b) for a, b in zip(whole[1:], rest, strict=True))

    def test_parts_of_a_batch_are_those_of_the_whole(self, dataset: Dataset) -> None:
        source, common = source_of(dataset), {"transform": training(32, 16), "clip": CLIP, "workers": 0}
        (whole,) = fetch(source, dataset.samples, [[3, 1, 3]], **common)
        parts = [next(fetch(source, dataset.samples, [[3, 1, 3]], part=(n, 2), **common)) for n in range(2)]
        assert torch.equal(torch.cat([p["image"] for p in parts]), whole["image"])

    def test_one_geometry_and_one_erased_box_per_clip(self, tmp_path: Path) -> None:
        """A tracklet whose frames are one picture gives clips whose frames are one picture, whatever is drawn."""
        for name in ("a/0.png", "a/1.png"):
            write_picture(tmp_path / name, 7)
        sample = Sample("a", 0, 0, 0, "train", frames=("a/0.png", "a/1.png"))
        source = ImageSource.of(Dataset("test", tmp_path, (sample,)), (sample,))
        transform = replace(training(32, 16), pad=4, erase=1.0)
        (batch,) = fetch(source, (sample,), [[0] * 12], transform=transform, clip=CLIP, workers=0)
        x = finish(batch, NORMALISATIONS["half"])["x"]
        assert x.shape == (12, 8, 3, 32, 16) and (batch["erase"][:, 2] > 0).all()
        assert torch.equal(x, x[:, :1].expand_as(x)) and len({frame.numpy().tobytes() for frame in x[:, 0]}) == 12

    def test_masks_go_with_their_frames(self, dataset: Dataset, tmp_path: Path) -> None:
        for sample in dataset.samples:
            for n, frame in enumerate(sample.frames):
                path = tmp_path / frame
                path.parent.mkdir(exist_ok=True)
                write_mask_png(path, np.full((32, 16), n % 2, np.uint8))
        source = ImageSource.of(dataset, dataset.samples, masks=tmp_path)
        (batch,) = fetch(source, dataset.samples, [[1, 2, 3]], transform=PLAIN, clip=RandomClip(8, 3), workers=0)
        assert batch["keep"].shape == (3, 8, 32, 16)
        for row, tracklet in enumerate((1, 2, 3)):
            assert batch["keep"][row, :, 0, 0].tolist() == [n % 2 for n in frames_of(tracklet, batch["image"][row])]
        views = finish(batch, NORMALISATIONS["half"], ("shield", "clothes"))
        hidden = ~batch["keep"].bool().unsqueeze(2).expand_as(views["x"])
        assert (views["x_s"][hidden] == 1).all() and torch.equal(views["x_s"][~hidden], views["x"][~hidden])
        assert (views["x_c"][~hidden] == 1).all() and torch.equal(views["x_c"][hidden], views["x"][hidden])

    def test_without_a_draw_all_frames_which_must_be_as_many(self, dataset: Dataset) -> None:
        (batch,) = fetch(source_of(dataset), dataset.samples, [[1]], transform=PLAIN, workers=0)
        np.testing.assert_array_equal(batch["image"][0].numpy(), pixels(1, list(range(9))))
        with pytest.raises(ValueError, match=r"clips of different length in one batch: \[1, 9\] frames"):
            next(fetch(source_of(dataset), dataset.samples, [[0, 1]], transform=PLAIN, workers=0))

    def test_both_ways_to_fill_boxes_agree(self) -> None:
        boxes = torch.tensor([[2, 3, 10, 5], [0, 0, 0, 0], [1, 0, 4, 16]])
        noise = noise_of(boxes.tolist(), [1, 2, 3])
        one, other = (torch.zeros(3, 4, 3, 32, 16) for _ in range(2))
        fill_boxes_one_by_one([one], boxes, noise)
        fill_boxes_at_once([other], boxes, noise)
        assert torch.equal(one, other) and torch.equal(one[0, 0], one[0, 3])
        assert one[0, 1, :, 2:12, 3:8].flatten().tolist() == noise.flatten()[:150].tolist() and not one[1].any()


def test_batches_of_pictures_are_what_they_were_before_there_were_tracklets(tmp_path: Path) -> None:
    """The number was written down with the loader of the release before."""
    for i in range(4):
        write_picture(tmp_path / f"{i}.png", i, 40, 20)
    samples = tuple(Sample(f"{i}.png", i // 2, i % 2, i, "train") for i in range(4))
    source = ImageSource([tmp_path / f"{i}.png" for i in range(4)])
    found = 0
    for batch in fetch(source, samples, [[0, 3, 3, 1], [2, 0]], transform=training(32, 16), seed=7, epoch=2, workers=0, clip=CLIP):
        for key in sorted(batch.keys() - {"domain"}):  # came later
            found = zlib.crc32(batch[key].numpy().tobytes(), found)
    assert found == 551307194


# ----------------------------------------------------------------------------------------------------------- means over frames
class TestMeans:
    @pytest.fixture(params=["vit", "resnet"])
    def encoder(self, request: pytest.FixtureRequest) -> InferenceEncoder:
        clip = seeded_clip() if request.param == "vit" else seeded_clip(TINY_RESNET, image_size=(32, 16))
        return InferenceEncoder(clip.image_encoder, InferenceOptions(flip=True)).eval()

    def test_an_encoder_gives_the_mean_of_each_output_over_the_frames(self, encoder: InferenceEncoder) -> None:
        clips = torch.randn(3, 5, 3, 32, 16)
        with torch.no_grad():
            found = encoder.image_encoder(clips)
            for row in range(3):
                for output, of_frames in zip(found, encoder.image_encoder(clips[row]), strict=True):
                    torch.testing.assert_close(output[row], sum(of_frames) / 5)
            torch.testing.assert_close(encoder.raw(clips)[1], sum(encoder.raw(clips[1])) / 5)
            raw = encoder.raw(clips)
            torch.testing.assert_close(encoder(clips), raw / raw.norm(dim=1, keepdim=True))

    def test_each_frame_gets_its_clip_s_camera(self) -> None:
        encoder = seeded_clip(sie_cameras=4, sie_coefficient=3.0).image_encoder.eval()
        clips, camera = torch.randn(2, 3, 3, 32, 16), torch.tensor([3, 1])
        with torch.no_grad():
            found = encoder(clips, camera).projected
            for row in range(2):
                torch.testing.assert_close(found[row], encoder(clips[row], camera[row].expand(3)).projected.mean(0))
            assert not torch.allclose(found, encoder(clips, camera.flip(0)).projected)

    @pytest.mark.parametrize("chunks", [1, 2, 3])
    def test_heads_see_one_feature_per_clip(self, chunks: int) -> None:
        torch.manual_seed(0)
        model = ReidModel(seeded_clip().image_encoder, 5)
        model.chunks = chunks
        clips = torch.randn(4, 6, 3, 32, 16)
        outputs = model(clips)
        expected = model.heads(model.encoder(clips))
        assert outputs.score_pooled.shape == (4, 5)
        torch.testing.assert_close(outputs.score_pooled, expected[0].scores)  # BatchNorm in training mode: statistics over 4 rows

    @pytest.mark.parametrize("workers", [0, 2])
    @pytest.mark.parametrize("pictures", [1, 24, 1000])
    def test_a_tracklet_is_the_mean_over_its_clips(self, dataset: Dataset, pictures: int, workers: int) -> None:
        """The feature here is the clip's own pixels, so that every frame's share shows."""

        def encode(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
            assert batch["image"].shape[0] * 8 <= max(pictures, 8)  # so much is in memory at a time, however long a tracklet is
            return {"pixels": batch["image"].double().mean(1).flatten(1)}

        tables = list(
            tracklet_features(
                source_of(dataset), dataset.samples, [[2, 0, 1], [3]], encode, transform=PLAIN, pictures=pictures, workers=workers
            )
        )
        assert [len(table["pixels"]) for table in tables] == [3, 1]
        for tracklet, row in zip((2, 0, 1, 3), torch.cat([table["pixels"] for table in tables]), strict=True):
            clips = all_clips(LENGTHS[tracklet])
            expected = np.mean([pixels(tracklet, clip).astype(float).mean(0) for clip in clips], axis=0)
            np.testing.assert_allclose(row.numpy(), expected.ravel(), rtol=1e-12)


# ----------------------------------------------------------------------------------------------------------------- training
@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A CCVID of drawn people; the training tracklets have 70, 40, 9 and 1 frames."""
    return LAYOUT.load(TREES["ccvid"].write(tmp_path_factory.mktemp("video")))


def context_of(video: Dataset, workers: int = 0, command: str = "finetune", method: str = "baseline", **changes: object) -> StageContext:
    model = registry.get("reidclip.methods", method).settings[command]
    small = {**SMALL, "identities": 2, "piece_frames": 10, "clip_frames": 3, "clip_stride": 2, **changes}
    settings = resolve(model, {k: v for k, v in small.items() if k in model.model_fields}, where="test")
    whole = video.split("train")
    train = cut(whole, settings.piece_frames) if command == "finetune" else whole
    torch.manual_seed(1)
    return StageContext(
        settings=settings,
        clip=tiny_clip(),
        train=train,
        labels=training_labels(train),
        source=ImageSource.of(video, train),
        device=CPU,
        seed=1,
        workers=workers,
    )


def stage_of(context: StageContext) -> TrainStage:
    (stage,) = registry.get("reidclip.methods", "baseline").finetune_stages(context)
    return stage


def trained(stage: TrainStage) -> dict[str, Tensor]:
    run_stage(stage, LoopOptions(CPU))
    return {key: value.clone() for key, value in stage.module.state_dict().items()}


def interrupt_after(steps: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == steps:
            raise KeyboardInterrupt

    return progress


class TestTraining:
    def test_pieces_are_training_samples(self, video: Dataset) -> None:
        context = context_of(video)
        assert [len(s.frames) for s in context.train] == [10] * 11 + [9, 1]
        batch = next(stage_of(context).fetch(0))
        assert batch["image"].shape == (4, 3, 3, 32, 16) and sorted(batch["pid"].tolist()) == [0, 0, 1, 1]

    def test_the_same_bits_again_and_with_workers(self, video: Dataset) -> None:
        first = trained(stage_of(context_of(video)))
        assert same(first, trained(stage_of(context_of(video))))
        assert same(first, trained(stage_of(context_of(video, workers=2))))

    @pytest.mark.parametrize("steps", [2, 3])  # two in an epoch
    def test_a_resumed_run_ends_in_the_same_bits(self, video: Dataset, tmp_path: Path, steps: int) -> None:
        options = LoopOptions(CPU, state=tmp_path / "state.safetensors", save_seconds=0)
        expected = trained(stage_of(context_of(video)))
        with pytest.raises(KeyboardInterrupt):
            run_stage(stage_of(context_of(video)), options, interrupt_after(steps))
        assert options.state is not None and options.state.is_file()
        resumed = stage_of(context_of(video))
        run_stage(resumed, options)
        assert same(expected, dict(resumed.module.state_dict()))

    def test_a_step_is_that_of_features_averaged_by_hand(self, video: Dataset) -> None:
        """Pixels of a clip in, identity logits out: the frames go through the encoder one by one, and meet before the BatchNorms."""
        stage = stage_of(context_of(video))
        stage.set_mode(True)
        batch = next(stage.fetch(0))
        found = stage.forward(batch)
        x = finish(batch, stage.normalisation)["x"]
        last, pooled, projected = (torch.stack([stage.module.encoder(clip)[i].mean(0) for clip in x]) for i in range(3))
        torch.testing.assert_close(found.last, last)
        torch.testing.assert_close(found.pooled, pooled)
        torch.testing.assert_close(found.projected, projected)

    def test_frozen_features_of_tracklets(self, video: Dataset) -> None:
        context = context_of(video, command="prompt-learn", method="clipreid")
        found = frozen_features(context, context.settings, batch_size=3)["x"]
        assert found.shape == (4, context.clip.joint_width)
        encoder = context.clip.image_encoder.eval()
        for sample, row in zip(context.train, found, strict=True):
            planes = [np.asarray(Image.open(video.root / f)).transpose(2, 0, 1) for f in sample.frames]
            frames = torch.from_numpy(np.stack(planes)).float() / 255
            mean, std = (torch.tensor(v).view(3, 1, 1) for v in (context.clip.mean, context.clip.std))
            with torch.no_grad():
                each = encoder((frames - mean) / std).projected
            expected = torch.stack([each[clip].mean(0) for clip in all_clips(len(each))]).mean(0)
            torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-5)
