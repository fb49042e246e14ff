"""Losses against numbers recorded from the published CLIP-ReID program."""

import numpy as np
import pytest
import torch
from torch import Tensor

from reidclip.formulas.contrastive import similarity, supervised_contrastive
from reidclip.formulas.distances import euclidean_distances
from reidclip.formulas.losses import batch_hard_triplet, cross_entropy_label_smooth, hardest_distances
from tests.parity.fixtures import load


def leaf(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array).requires_grad_()


def assert_loss(loss: Tensor, recorded: np.ndarray) -> None:
    np.testing.assert_allclose(loss.item(), recorded, rtol=1e-5, atol=1e-6)


def assert_gradients(loss: Tensor, expected: list[tuple[Tensor, np.ndarray]]) -> None:
    gradients = torch.autograd.grad(loss, [t for t, _ in expected])
    for gradient, (_, recorded) in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient.numpy(), recorded, rtol=1e-4, atol=1e-6)


def test_label_smoothed_cross_entropy() -> None:
    data = load("clipreid_xent_ls")
    logits = leaf(data["logits"])
    loss = cross_entropy_label_smooth(logits, torch.from_numpy(data["targets"]), float(data["epsilon"]))
    assert_loss(loss, data["loss"])
    assert_gradients(loss, [(logits, data["grad"])])


@pytest.mark.parametrize(
    ("name", "margin", "normalise"), [("margin03", 0.3, False), ("softmargin", None, False), ("margin03_normfeat", 0.3, True)]
)
def test_batch_hard_triplet(name: str, margin: float | None, normalise: bool) -> None:
    data = load("clipreid_triplet")
    features, labels = leaf(data["features"]), torch.from_numpy(data["labels"])
    loss = batch_hard_triplet(features, labels, margin, normalise)
    assert_loss(loss, data[f"{name}_loss"])
    assert_gradients(loss, [(features, data[f"{name}_grad"])])
    positive, negative = hardest_distances(features, labels, normalise)
    np.testing.assert_allclose(positive.detach(), data[f"{name}_dist_ap"], rtol=1e-5)
    np.testing.assert_allclose(negative.detach(), data[f"{name}_dist_an"], rtol=1e-5)


def test_euclidean_distances() -> None:
    data = load("clipreid_triplet")
    features = torch.from_numpy(data["features"])
    off_diagonal = ~np.eye(len(features), dtype=bool)  # the recorded diagonal is cancellation error
    np.testing.assert_allclose(euclidean_distances(features, features)[off_diagonal], data["dist_matrix"][off_diagonal], rtol=1e-5)


def test_prompt_losses_with_free_text_rows() -> None:
    data = load("clipreid_supcon")
    images, texts, labels = leaf(data["image_features"]), leaf(data["text_features"]), torch.from_numpy(data["labels"])
    i2t = supervised_contrastive(images, texts, labels, labels)
    assert_loss(i2t, data["i2t_loss"])
    assert_gradients(i2t, [(images, data["i2t_grad_image"]), (texts, data["i2t_grad_text"])])
    t2i = supervised_contrastive(texts, images, labels, labels)
    assert_loss(t2i, data["t2i_loss"])
    assert_gradients(t2i, [(images, data["t2i_grad_image"]), (texts, data["t2i_grad_text"])])


def test_prompt_losses_with_a_table_of_identities() -> None:
    data = load("clipreid_supcon")
    images, table, labels = leaf(data["image_features"]), leaf(data["text_table"]), torch.from_numpy(data["labels"])
    texts = table[labels]
    i2t = supervised_contrastive(images, texts, labels, labels)
    t2i = supervised_contrastive(texts, images, labels, labels)
    assert_loss(i2t, data["table_i2t_loss"])
    assert_loss(t2i, data["table_t2i_loss"])
    assert_loss(i2t + t2i, data["table_sum_loss"])
    assert_gradients(i2t + t2i, [(images, data["table_sum_grad_image"]), (table, data["table_sum_grad_table"])])


def test_prompt_loss_of_a_rectangular_batch() -> None:
    data = load("clipreid_supcon")
    images, table = leaf(data["image_features"]), leaf(data["text_table"])
    loss = supervised_contrastive(table, images, torch.from_numpy(data["rect_labels_text"]), torch.from_numpy(data["labels"]))
    assert_loss(loss, data["rect_t2i_loss"])
    assert_gradients(loss, [(table, data["rect_t2i_grad_table"]), (images, data["rect_t2i_grad_image"])])


@pytest.mark.parametrize("name", ["clipreid_stage2_loss_vit", "clipreid_stage2_loss_cnn"])
def test_whole_loss_of_stage_2(name: str) -> None:
    data = load(name)
    targets, margin = torch.from_numpy(data["targets"]), float(data["margin"])
    leaves = {key: leaf(data[key]) for key in ("score0", "score1", "feat_last", "feat", "feat_proj")}
    logits = similarity(leaves["feat_proj"], torch.from_numpy(data["text_features"]))
    np.testing.assert_allclose(logits.detach(), data["i2t_logits"], rtol=1e-5, atol=1e-6)
    parts = {
        "id_score0": cross_entropy_label_smooth(leaves["score0"], targets),
        "id_score1": cross_entropy_label_smooth(leaves["score1"], targets),
        "tri_last": batch_hard_triplet(leaves["feat_last"], targets, margin),
        "tri_feat": batch_hard_triplet(leaves["feat"], targets, margin),
        "tri_proj": batch_hard_triplet(leaves["feat_proj"], targets, margin),
        "i2tce": cross_entropy_label_smooth(logits, targets),
    }
    for part, value in parts.items():
        assert_loss(value, data[f"part_{part}"])
    w_id, w_tri, w_i2t = (float(w) for w in data["weights"])
    without_text = w_id * (parts["id_score0"] + parts["id_score1"]) + w_tri * (parts["tri_last"] + parts["tri_feat"] + parts["tri_proj"])
    assert_loss(without_text, data["loss_without_i2t"])
    total = without_text + w_i2t * parts["i2tce"]
    assert_loss(total, data["loss"])
    assert_gradients(total, [(leaves[key], data[f"grad_{key}"]) for key in leaves])
