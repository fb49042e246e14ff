"""8-bit exports: what is quantised, what calibration changes, and how the protocols' results are compared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from reidclip.artifacts.manifest import DatasetRef
from reidclip.artifacts.store import Store
from reidclip.clip.image_encoder import ImageEncoder
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.data.images import read_picture, resize
from reidclip.data.open import open_dataset
from reidclip.data.transforms import normalise
from reidclip.errors import UserError, WorkError
from reidclip.evaluation.protocols import evaluate_protocol
from reidclip.export.int8 import EXPORTER, Int8Settings, quantised_nodes
from reidclip.export.int8_calibration import Pictures
from reidclip.export.protocol_check import protocol_before_after
from reidclip.export.verify import cosines
from reidclip.interfaces import ExportPlan
from reidclip.stages.evaluate import EvaluateJob, plan_evaluate
from reidclip.stages.evaluate_features import extract_features
from tests.fakes import tiny_clip as fake_clip
from tests.fakes import write_prcc
from tests.tiny_clip import TINY_RESNET, tiny_clip
from tests.towers import stirred


def encoder_of(tower: ImageEncoder, **options: Any) -> InferenceEncoder:
    return InferenceEncoder(tower, InferenceOptions(**options)).eval()


def vit(**options: Any) -> InferenceEncoder:
    return encoder_of(tiny_clip().image_encoder, **options)


def resnet(**options: Any) -> InferenceEncoder:
    tower = tiny_clip(TINY_RESNET, image_size=(64, 32)).image_encoder
    stirred(tower)
    return encoder_of(tower, **options)


def grey(encoder: InferenceEncoder, count: int = 6) -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (count, *encoder.image_encoder.config.image_size, 3), dtype=np.uint8)


def normal(encoder: InferenceEncoder, pictures: np.ndarray) -> Tensor:
    return normalise(torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()), encoder.options.normalisation)


def plan_for(encoder: InferenceEncoder, calibrated: bool = True, **given: Any) -> ExportPlan:
    inside = given.pop("preprocessing", False)
    calibration = (lambda: iter([normal(encoder, grey(encoder))])) if calibrated else None
    return ExportPlan(Int8Settings(**given), preprocessing=inside, calibration=calibration)


def kinds(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(str(path)).graph.node}


def test_a_transformer_gets_dynamic_ranges_and_a_network_of_convolutions_calibrated_ones(tmp_path: Path) -> None:
    encoder = vit()
    path = EXPORTER.export(encoder, plan_for(encoder), tmp_path)
    assert "DynamicQuantizeLinear" in kinds(path)
    # three blocks of four products, queries of the last block by themselves; patches are a convolution, and the projection stays in float
    assert quantised_nodes(path) == {"MatMulInteger": 13}
    encoder = resnet()
    path = EXPORTER.export(encoder, plan_for(encoder), tmp_path)
    assert "QuantizeLinear" in kinds(path) and "DynamicQuantizeLinear" not in kinds(path)
    assert quantised_nodes(path)["Conv"] > 10
    assert "ConvInteger" in quantised_nodes(EXPORTER.export(encoder, plan_for(encoder, calibrated=False), tmp_path))


def test_parts_kept_in_float_and_wrong_settings(tmp_path: Path) -> None:
    encoder, counts = resnet(flip=True), []
    for parts in ((), ("first", "last"), ("attention-pool",)):
        counts.append(sum(quantised_nodes(EXPORTER.export(encoder, plan_for(encoder, keep_float=parts), tmp_path)).values()))
    assert counts[0] - counts[1] == 2
    assert counts[0] - counts[2] == 3  # queries, keys, values; its output is the last product
    with pytest.raises(UserError, match="no part 'lats'"):
        EXPORTER.export(encoder, plan_for(encoder, keep_float=("lats",)), tmp_path)
    with pytest.raises(UserError, match="measures ranges on training pictures") as told:
        EXPORTER.export(encoder, plan_for(encoder, calibrated=False, mode="static"), tmp_path)
    assert "--data" in told.value.remedy


@pytest.mark.parametrize(
    ("make", "given"),
    [
        (vit, {"mode": "dynamic"}),
        (vit, {"mode": "static"}),
        (resnet, {"mode": "dynamic"}),
        (resnet, {"mode": "static", "method": "percentile"}),
    ],
)
def test_vectors_are_close_and_the_preparation_is_the_toolkits(make: Any, given: dict[str, Any], tmp_path: Path) -> None:
    encoder = make(flip=True)
    pictures = grey(encoder)
    wanted = encoder.features(normal(encoder, pictures)).numpy()
    bare = EXPORTER.load(EXPORTER.export(encoder, plan_for(encoder, **given), tmp_path), 1)(normal(encoder, pictures).numpy())
    assert 0.97 < cosines(bare, wanted).min() < 0.9999999  # close, and not float
    inside = EXPORTER.load(EXPORTER.export(encoder, plan_for(encoder, preprocessing=True, **given), tmp_path), 1)(pictures)
    assert cosines(inside, bare).min() >= 0.99999
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


def test_calibration_pictures_are_drawn_by_seed() -> None:
    numbered = torch.arange(100.0).view(100, 1, 1, 1)

    def source() -> Iterator[Tensor]:
        yield from numbered.split(7)

    drawn = [Pictures(source, 20, seed).drawn.ravel() for seed in (0, 0, 1)]
    assert (drawn[0] == drawn[1]).all() and (drawn[0] != drawn[2]).any()
    assert len(set(drawn[0])) == 20 and drawn[0].max() > 50 > drawn[0].min()
    assert sorted(Pictures(source, 200, 0).drawn.ravel()) == list(range(100))
    with pytest.raises(UserError, match="no training pictures"):
        Pictures(lambda: iter(()), 5, 0)


def test_ranges_come_from_the_calibration_pictures(tmp_path: Path) -> None:
    """Ranges of dark pictures clip bright ones: the vectors of those are further off."""
    encoder = vit()
    pictures = grey(encoder)
    wanted = encoder.features(normal(encoder, pictures)).numpy()
    least = []
    for factor in (1.0, 0.02):
        plan = ExportPlan(Int8Settings(mode="static", keep_float=()), calibration=lambda f=factor: iter([f * normal(encoder, pictures)]))
        session = EXPORTER.load(EXPORTER.export(encoder, plan, tmp_path), 1)
        least.append(cosines(session(normal(encoder, pictures).numpy()), wanted).min())
    assert least[0] > least[1]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> EvaluateJob:
    place = tmp_path_factory.mktemp("job")
    data = write_prcc(place / "prcc")
    store = Store(place / "artifacts")
    with store.create("checkpoint", "c") as draft:
        the_encoder().save(draft.path)
        draft.describe(config={}, method="baseline", dataset=DatasetRef.of(open_dataset(data)))
    return plan_evaluate(open_dataset(data), store, checkpoint="c", device="cpu", workers=0)


def the_encoder() -> InferenceEncoder:
    return InferenceEncoder(fake_clip().image_encoder, InferenceOptions(flip=True)).eval()


class Session:
    """PyTorch's vectors, or what a function makes of them."""

    name = "fake 1.0"

    def __init__(self, change: Any = lambda v: v, inside: bool = False) -> None:
        self.change, self.inside = change, inside

    def __call__(self, pictures: np.ndarray, camera: np.ndarray | None = None) -> np.ndarray:
        encoder = the_encoder()
        if self.inside:
            assert pictures.dtype == np.uint8 and pictures.shape[-1] == 3
        x = normal(encoder, pictures) if self.inside else torch.from_numpy(pictures)
        found: np.ndarray = self.change(encoder.features(x).numpy())
        return found


@pytest.mark.parametrize("inside", [False, True])
def test_the_same_vectors_lose_nothing(job: EvaluateJob, inside: bool) -> None:
    encoder, heard = the_encoder(), list[tuple[int, int]]()
    report = protocol_before_after(Session(inside=inside), encoder, job, inside, progress=lambda *told: heard.append(told))
    features = extract_features(encoder, job, job.dataset.samples)
    assert set(report["protocols"]) == {p.name for p in job.protocols}
    for protocol in job.protocols:
        told, metrics = report["protocols"][protocol.name], evaluate_protocol(job.dataset, protocol, features, 0).metrics
        assert told["R1"]["before"] == pytest.approx(100 * metrics.R1) and told["mAP"]["before"] == pytest.approx(100 * metrics.mAP)
        assert told["R1"]["difference"] == told["mAP"]["difference"] == 0
    assert report["cosine"]["least"] == pytest.approx(1, abs=1e-6)
    assert heard[-1] == (2 * report["pictures"], 2 * report["pictures"])


def test_what_loses_too_much_is_refused(job: EvaluateJob) -> None:
    noise = np.random.default_rng(0)

    def blurred(vectors: np.ndarray) -> np.ndarray:
        return noise.standard_normal(vectors.shape).astype(np.float32)

    with pytest.raises(WorkError, match=r"Protocol .* loses [0-9.]+ points of (R1|mAP) \(.*may be lost") as told:
        protocol_before_after(Session(blurred), the_encoder(), job, False)
    assert "Nothing was kept" in told.value.remedy
    report = protocol_before_after(Session(blurred), the_encoder(), job, False, max_drop=100)
    assert min(p["mAP"]["difference"] for p in report["protocols"].values()) < -1
    assert report["max_drop"] == {"mAP": 100, "R1": 200}


def test_what_gains_is_kept(job: EvaluateJob) -> None:
    """A session that knows who everybody is, against an encoder that never learnt: nothing may be lost, and nothing is."""
    encoder = the_encoder()
    known: dict[bytes, np.ndarray] = {}
    people = sorted({s.pid for s in job.dataset.samples})
    for sample in job.dataset.samples:
        seen = resize(read_picture(job.dataset.file(sample.pictures[0])), *encoder.image_encoder.config.image_size, encoder.options.resize)
        known[seen.tobytes()] = np.eye(len(people), encoder.width, dtype=np.float32)[people.index(sample.pid)]

    class Knowing(Session):
        def __call__(self, pictures: np.ndarray, camera: np.ndarray | None = None) -> np.ndarray:
            return np.stack([known[p.tobytes()] for p in pictures])

    report = protocol_before_after(Knowing(), encoder, job, True, max_drop=0)
    for told in report["protocols"].values():
        assert told["R1"]["after"] == told["mAP"]["after"] == 100
    assert max(told["mAP"]["difference"] for told in report["protocols"].values()) > 1


def test_a_vector_that_is_no_number_is_refused(job: EvaluateJob) -> None:
    def broken(vectors: np.ndarray) -> np.ndarray:
        return np.where(np.arange(len(vectors))[:, None] == 1, np.nan, vectors)

    with pytest.raises(WorkError, match="no finite vector of "):
        protocol_before_after(Session(broken), the_encoder(), job, False)
