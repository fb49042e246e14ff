"""CLIP-ReID's image side, text side, heads and whole training losses against vectors recorded from the published program."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from reidclip.clip.architecture import build_towers, build_visual, encoder_config
from reidclip.clip.heads import ReidHeads, published_key
from reidclip.clip.image_encoder import ImageEncoder, make_image_encoder
from reidclip.clip.image_features import ImageFeatures
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.clip.load import ClipModel, assemble
from reidclip.clip.prompts import PromptLearner, PromptTemplate
from reidclip.clip.sources import Source
from tests.parity.fixtures import fill, fill_one, load, load_json

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)


# ------------------------------------------------------------------------------------------------ slow formulas, typed out one by one
def smoothed_cross_entropy(scores: Tensor, labels: Tensor, epsilon: float = 0.1) -> Tensor:
    total = scores.new_zeros(())
    for row, label in zip(scores, labels.tolist(), strict=True):
        target = torch.full_like(row, epsilon / len(row))
        target[label] += 1 - epsilon
        total = total - (target * row.log_softmax(0)).sum()
    return total / len(labels)


def hard_triplet(features: Tensor, labels: Tensor, margin: float = 0.3) -> Tensor:
    total = features.new_zeros(())
    for i, label in enumerate(labels.tolist()):
        distances = ((features - features[i]) ** 2).sum(1).clamp(min=1e-12).sqrt()
        total = total + F.relu(distances[labels == label].max() - distances[labels != label].min() + margin)
    return total / len(labels)


def contrastive(rows: Tensor, row_labels: Tensor, columns: Tensor, column_labels: Tensor) -> Tensor:
    total = rows.new_zeros(())
    for row, label in zip(rows, row_labels.tolist(), strict=True):
        log_probability = (columns @ row).log_softmax(0)
        total = total - log_probability[column_labels == label].mean()
    return total / len(rows)


def stage2_loss(features: ImageFeatures, scores: list[Tensor], i2t: Tensor, labels: Tensor, id_weight: float) -> Tensor:
    identity = sum((smoothed_cross_entropy(s, labels) for s in scores), torch.zeros(()))
    triplet = sum((hard_triplet(f, labels) for f in features), torch.zeros(()))
    return id_weight * identity + triplet + smoothed_cross_entropy(i2t, labels)


# ------------------------------------------------------------------------------------------------------------------- models and runs
class TrainRun(NamedTuple):
    features: ImageFeatures
    normed: list[Tensor]
    scores: list[Tensor]
    i2t: Tensor
    loss: Tensor
    gradients: dict[str, Tensor]  # by the published program's parameter names
    heads: ReidHeads


def pictures(vectors: dict[str, np.ndarray], mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    # contiguous: in channels-last order torch computes batch statistics a decimal less exactly, and four pictures amplify that
    x = torch.from_numpy(vectors["images"]).permute(0, 3, 1, 2).contiguous().float() / 255
    return (x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def filled_heads(encoder: ImageEncoder, classes: int, seed: int) -> ReidHeads:
    heads = ReidHeads(encoder.pooled_width, encoder.joint_width, classes)
    heads.load_state_dict({key: fill_one(published_key(key), tuple(value.shape), seed) for key, value in heads.state_dict().items()})
    return heads


def train_run(encoder: ImageEncoder, heads: ReidHeads, x: Tensor, vectors: dict[str, np.ndarray], id_weight: float) -> TrainRun:
    encoder.train(), heads.train()
    labels = torch.from_numpy(vectors["train_labels"])
    features = encoder(x)
    outputs = heads(features)
    i2t = features.projected @ torch.from_numpy(vectors["text_features_all"]).T
    scores = [o.scores for o in outputs]
    loss = stage2_loss(features, scores, i2t, labels, id_weight)
    loss.backward()
    gradients = {f"image_encoder.{name}": p.grad for name, p in encoder.named_parameters() if p.grad is not None}
    gradients |= {published_key(name): p.grad for name, p in heads.named_parameters() if p.grad is not None}
    return TrainRun(features, [o.feature for o in outputs], scores, i2t, loss, gradients, heads)


def close(actual: Tensor, expected: np.ndarray, atol: float, rtol: float = 0.0) -> None:
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=rtol, atol=atol)


def gradient_norms(run: TrainRun, vectors: dict[str, np.ndarray], rtol: float, above: float = 0.0) -> None:
    expected = dict(zip(vectors["grad_names"].tolist(), vectors["grad_l2"].tolist(), strict=True))
    assert set(run.gradients) == set(expected)
    compared = {name: value for name, value in expected.items() if value > above}
    actual = [float(run.gradients[name].double().norm()) for name in compared]
    np.testing.assert_allclose(actual, list(compared.values()), rtol=rtol, err_msg="gradient norms")


# --------------------------------------------------------------------------------------------------------------------------- ViT-B/16
@pytest.fixture(scope="module")
def vit_vectors() -> dict[str, np.ndarray]:
    return load("clipreid_vit_b16")


@pytest.fixture(scope="module")
def vit_source(vit_vectors: dict[str, np.ndarray]) -> Iterator[Source]:
    name = "ViT-B-16-quickgelu"
    model = open_clip.get_model_config(name)
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in build_towers(model).state_dict().items()}
    yield Source(name, model, state=fill(shapes, int(vit_vectors["fill_seed"])))


@pytest.fixture(scope="module")
def vit(vit_source: Source) -> ClipModel:
    return assemble(vit_source, "parity")


@pytest.fixture(scope="module")
def vit_train(vit: ClipModel, vit_vectors: dict[str, np.ndarray]) -> TrainRun:
    heads = filled_heads(vit.image_encoder, 5, int(vit_vectors["fill_seed"]))
    return train_run(vit.image_encoder, heads, pictures(vit_vectors, HALF, HALF), vit_vectors, id_weight=0.25)


def test_vit_state_dict_is_that_of_a_published_checkpoint(vit: ClipModel) -> None:
    published = {key: tuple(shape) for key, shape in load_json("clipreid_vit_checkpoint_keys")}
    ours = checkpoint_shapes(vit.image_encoder)
    assert ours == {k: v for k, v in published.items() if not k.startswith(("prompt_learner", "text_encoder"))}
    text = {f"text_encoder.{k}": tuple(v.shape) for k, v in vit.text_encoder.state_dict().items() if k != "token_embedding.weight"}
    assert text == {k: v for k, v in published.items() if k.startswith("text_encoder")}


def test_vit_features(vit: ClipModel, vit_vectors: dict[str, np.ndarray]) -> None:
    vit.image_encoder.eval()
    with torch.no_grad():
        features = vit.image_encoder(pictures(vit_vectors, HALF, HALF))
    close(features.last, vit_vectors["x11_cls"], 1e-4)
    close(features.pooled, vit_vectors["x12_cls"], 1e-4)
    close(features.projected, vit_vectors["proj_cls"], 1e-4)
    close(features.projected, vit_vectors["get_image"], 1e-4)
    close(vit.image_encoder.positional_embedding[:20], vit_vectors["resized_pos_first_rows"], 1e-6)


def test_vit_token_maps(vit: ClipModel, vit_vectors: dict[str, np.ndarray]) -> None:
    vit.image_encoder.eval()
    with torch.no_grad():
        maps = vit.image_encoder.forward_tokens(pictures(vit_vectors, HALF, HALF)[:2])
    for name, token, feature_map in zip(("x11", "x12", "proj"), maps.features, maps[1:], strict=True):
        assert feature_map.shape[-2:] == (16, 8)
        rows = torch.cat([token.unsqueeze(1), feature_map.flatten(2).transpose(1, 2)], dim=1)
        close(rows[:, torch.from_numpy(vit_vectors["token_index"])], vit_vectors[f"{name}_tokens"], 1e-4)


@pytest.mark.parametrize("neck", ["before", "after"])
def test_vit_test_feature(vit: ClipModel, vit_vectors: dict[str, np.ndarray], neck: Any) -> None:
    heads = filled_heads(vit.image_encoder, 5, int(vit_vectors["fill_seed"]))
    encoder = InferenceEncoder(vit.image_encoder, InferenceOptions(neck=neck, normalise=False), heads).eval()
    close(encoder.features(pictures(vit_vectors, HALF, HALF)), vit_vectors[f"eval_{neck}"], 1e-4)


def test_vit_training_step(vit_train: TrainRun, vit_vectors: dict[str, np.ndarray]) -> None:
    for name, feature in zip(("feat_last", "feat", "feat_proj"), vit_train.features, strict=True):
        close(feature, vit_vectors[f"train_{name}"], 1e-4)
    for name, normed in zip(("bnneck_feat", "bnneck_feat_proj"), vit_train.normed, strict=True):
        close(normed, vit_vectors[f"train_{name}"], 1e-4)
    for name, scores in zip(("score0", "score1"), vit_train.scores, strict=True):
        close(scores, vit_vectors[f"train_{name}"], 1e-4)
    close(vit_train.i2t, vit_vectors["train_i2t_logits"], 1e-3)
    close(vit_train.loss, vit_vectors["train_loss"], 0, rtol=1e-4)


def test_vit_batch_norm_statistics(vit_train: TrainRun, vit_vectors: dict[str, np.ndarray]) -> None:
    for name, head in (("bottleneck", vit_train.heads.pooled), ("bottleneck_proj", vit_train.heads.projected)):
        assert head.bottleneck.running_mean is not None and head.bottleneck.running_var is not None
        close(head.bottleneck.running_mean, vit_vectors[f"{name}_running_mean_after"], 1e-4)
        close(head.bottleneck.running_var, vit_vectors[f"{name}_running_var_after"], 1e-4)


def test_vit_gradients(vit_train: TrainRun, vit_vectors: dict[str, np.ndarray]) -> None:
    gradient_norms(vit_train, vit_vectors, rtol=1e-3)
    for name, part in (("grad_proj_corner", vit_train.gradients["image_encoder.proj"][:8, :8]),):
        close(part, vit_vectors[name], 1e-3 * float(np.abs(vit_vectors[name]).max()))
    expected = vit_vectors["grad_cls_embedding"]
    close(vit_train.gradients["image_encoder.class_embedding"], expected, 1e-3 * float(np.abs(expected).max()))


def test_vit_camera_embedding_and_overlapping_patches(vit_source: Source) -> None:
    vectors = load("clipreid_vit_variants")
    x = pictures(vectors, HALF, HALF)
    plain_options = InferenceOptions(normalise=False)

    model = assemble(vit_source, "parity", sie_cameras=len(vectors["sie_cv_embed"]), sie_coefficient=float(vectors["sie_coe"]))
    table = fill_one("cv_embed", vectors["sie_cv_embed"].shape, int(vectors["fill_seed"]))
    close(table, vectors["sie_cv_embed"], 1e-6)
    with torch.no_grad():
        model.image_encoder.camera_embedding.copy_(table)  # type: ignore[operator, union-attr]
    encoder = InferenceEncoder(model.image_encoder, plain_options).eval()
    close(encoder.features(x, torch.from_numpy(vectors["sie_cam_label"])), vectors["sie_eval"], 1e-4)
    close(encoder.features(x), vectors["plain_eval"], 1e-4)

    model = assemble(vit_source, "parity", stride=12)
    assert model.image_encoder.config.grid == tuple(vectors["stride12_grid"])
    close(InferenceEncoder(model.image_encoder, plain_options).eval().features(x), vectors["stride12_eval"], 1e-4)


# ------------------------------------------------------------------------------------------------------------------------------- text
@pytest.fixture(scope="module")
def text_vectors() -> dict[str, np.ndarray]:
    return load("clipreid_text")


@pytest.fixture
def learner(vit: ClipModel, text_vectors: dict[str, np.ndarray]) -> PromptLearner:
    template = PromptTemplate("A photo of a X X X X person.", vit.tokenizer)
    learner = PromptLearner(template, vit.text_encoder, int(text_vectors["num_classes"]))
    with torch.no_grad():
        learner.contexts.copy_(torch.from_numpy(text_vectors["cls_ctx"]))
    return learner


def test_prompt_tokens(vit: ClipModel, learner: PromptLearner, text_vectors: dict[str, np.ndarray]) -> None:
    padded = torch.zeros(77, dtype=torch.int64)
    padded[: len(learner.template.token_ids)] = learner.template.token_ids
    assert padded.tolist() == text_vectors["token_ids"].tolist()
    assert learner.template.groups == (tuple(text_vectors["ctx_positions"].tolist()),)
    assert learner.template.end == int(text_vectors["eot_index"])


def test_context_fill(text_vectors: dict[str, np.ndarray]) -> None:
    contexts = fill_one("prompt_learner.cls_ctx", text_vectors["cls_ctx"].shape, int(text_vectors["fill_seed"]))
    close(contexts, text_vectors["cls_ctx"], 1e-6)


def test_text_features(vit: ClipModel, learner: PromptLearner, text_vectors: dict[str, np.ndarray]) -> None:
    close(learner(torch.from_numpy(text_vectors["labels"])), text_vectors["text_features"], 1e-4)
    close(learner.all_features(chunk=2), text_vectors["text_features_all"], 1e-4)
    ids = torch.from_numpy(text_vectors["token_ids"])[None]
    close(vit.text_encoder.encode_text(ids), text_vectors["template_text_feature"], 1e-4)


def test_stage1_losses_and_gradient(learner: PromptLearner, text_vectors: dict[str, np.ndarray]) -> None:
    labels = torch.from_numpy(text_vectors["stage1_labels"])
    image = torch.from_numpy(text_vectors["stage1_image_features"])
    text = learner(labels)
    close(text, text_vectors["stage1_text_features"], 1e-4)
    i2t, t2i = contrastive(image, labels, text, labels), contrastive(text, labels, image, labels)
    close(i2t, text_vectors["stage1_loss_i2t"], 1e-4)
    close(t2i, text_vectors["stage1_loss_t2i"], 1e-4)
    close(i2t + t2i, text_vectors["stage1_loss"], 1e-4)
    (i2t + t2i).backward()
    assert learner.contexts.grad is not None
    close(learner.contexts.grad, text_vectors["stage1_grad_cls_ctx"], 1e-6, rtol=1e-3)


# ------------------------------------------------------------------------------------------------------------------------------- RN50
@pytest.fixture
def several_threads() -> Iterator[None]:
    """Torch sums batch statistics in another order with one thread; the vectors were recorded with several.

    Over four pictures a channel that hardly varies turns that rounding into 1.2e-3 after BatchNorm (the exact result, in float64, is
    1.5e-3 away from the recorded one), so a comparison to 1e-3 has to sum alike.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(max(2, threads))
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def resnet_vectors() -> dict[str, np.ndarray]:
    return load("clipreid_rn50")


@pytest.fixture(scope="module")
def resnet(resnet_vectors: dict[str, np.ndarray]) -> ImageEncoder:
    config = encoder_config(open_clip.get_model_config("RN50-quickgelu"), (256, 128))
    with torch.device("meta"):
        visual = build_visual(config)
    seed = int(resnet_vectors["fill_seed"])
    state = {key: fill_one(f"visual.{key}", tuple(value.shape), seed) for key, value in visual.state_dict().items()}
    visual.load_state_dict(state, assign=True)
    return make_image_encoder(config, visual)


def test_resnet_state_dict_is_that_of_a_published_checkpoint(resnet: ImageEncoder) -> None:
    published = {key: tuple(shape) for key, shape in load_json("clipreid_rn50_checkpoint_keys")}
    assert checkpoint_shapes(resnet) == {k: v for k, v in published.items() if not k.startswith(("prompt_learner", "text_encoder"))}


def test_resnet_features(resnet: ImageEncoder, resnet_vectors: dict[str, np.ndarray]) -> None:
    resnet.eval()
    x = pictures(resnet_vectors, IMAGENET_MEAN, IMAGENET_STD)
    with torch.no_grad():
        maps = resnet.forward_tokens(x)
    assert maps.last.shape == tuple(resnet_vectors["x3_shape"])
    assert maps.pooled.shape == tuple(resnet_vectors["x4_shape"])
    close(maps.features.last, resnet_vectors["feat_last"], 2e-5)
    close(maps.features.pooled, resnet_vectors["feat"], 2e-5)
    close(maps.features.projected, resnet_vectors["feat_proj"], 2e-5)
    close(maps.features.projected, resnet_vectors["get_image"], 2e-5)
    close(resnet.attnpool.positional_embedding[:6], resnet_vectors["resized_pos_first_rows"], 1e-6)  # type: ignore[union-attr, index]
    tokens = torch.cat([maps.features.projected.unsqueeze(2), maps.projected.flatten(2)], dim=2)  # (B, D, 129)
    close(tokens[:2, :, [0, 1, 9, 128]].permute(2, 0, 1), resnet_vectors["attnpool_tokens"], 2e-5)


@pytest.mark.parametrize("neck", ["before", "after"])
def test_resnet_test_feature(resnet: ImageEncoder, resnet_vectors: dict[str, np.ndarray], neck: Any) -> None:
    heads = filled_heads(resnet, 5, int(resnet_vectors["fill_seed"]))
    encoder = InferenceEncoder(resnet, InferenceOptions(neck=neck, normalise=False), heads).eval()
    close(encoder.features(pictures(resnet_vectors, IMAGENET_MEAN, IMAGENET_STD)), resnet_vectors[f"eval_{neck}"], 2e-5)


@pytest.mark.usefixtures("several_threads")
def test_resnet_training_step(resnet: ImageEncoder, resnet_vectors: dict[str, np.ndarray]) -> None:
    before = {name: buffer.clone() for name, buffer in resnet.named_buffers()}
    heads = filled_heads(resnet, 5, int(resnet_vectors["fill_seed"]))
    run = train_run(resnet, heads, pictures(resnet_vectors, IMAGENET_MEAN, IMAGENET_STD), resnet_vectors, id_weight=1.0)
    for name, buffer in resnet.named_buffers():  # the other tests of this module use the recorded statistics
        buffer.copy_(before[name])
    for name, feature in zip(("feat_last", "feat", "feat_proj"), run.features, strict=True):
        close(feature, resnet_vectors[f"train_{name}"], 1e-3)
    for name, normed in zip(("bnneck_feat", "bnneck_feat_proj"), run.normed, strict=True):
        close(normed, resnet_vectors[f"train_{name}"], 1e-3)
    for name, scores in zip(("score0", "score1"), run.scores, strict=True):
        close(scores, resnet_vectors[f"train_{name}"], 1e-3)
    close(run.i2t, resnet_vectors["train_i2t_logits"], 2e-2)
    close(run.loss, resnet_vectors["train_loss"], 0, rtol=1e-4)
    gradient_norms(run, resnet_vectors, rtol=2e-2, above=1e-3)


def checkpoint_shapes(encoder: ImageEncoder) -> dict[str, tuple[int, ...]]:
    heads = ReidHeads(encoder.pooled_width, encoder.joint_width, 5)
    shapes = {f"image_encoder.{key}": tuple(value.shape) for key, value in encoder.state_dict().items()}
    return shapes | {published_key(key): tuple(value.shape) for key, value in heads.state_dict().items()}
