"""BLIP's encoders against transformers' own, from a folder as the hub offers it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BlipConfig, BlipForImageTextRetrieval

from reidclip.clip.inference import InferenceEncoder
from reidclip.clip.load import load_clip, save_clip
from reidclip.clip.prompts import PromptLearner, PromptTemplate
from reidclip.errors import UserError
from tests.hub_tokenizers import wordpiece_folder
from tests.towers import BLIP, stirred, tower_spec

TEXTS = ["a person", "A photo of a man in a red coat."]
SIZE = (64, 64)


@pytest.fixture(scope="module")
def original() -> Any:
    torch.manual_seed(3)
    return stirred(BlipForImageTextRetrieval(BlipConfig(**copy.deepcopy(BLIP))))


@pytest.fixture
def folder(original: Any, tmp_path: Path) -> Path:
    original.save_pretrained(tmp_path / "blip")
    return wordpiece_folder(tmp_path / "blip")


def test_features_are_transformers(original: Any, folder: Path) -> None:
    clip = load_clip(f"blip:{folder}", image_size=SIZE)
    x, ids = torch.randn(2, 3, *SIZE), clip.tokenizer(TEXTS)
    with torch.no_grad():
        features = clip.image_encoder.eval()(x)
        texts = clip.text_encoder.eval().encode_text(ids)
        expected = original(input_ids=ids, pixel_values=x, attention_mask=(ids != 0).long(), use_itm_head=False)
    torch.testing.assert_close(features.pooled, expected.last_hidden_state[:, 0], rtol=1e-4, atol=1e-5)
    cosines = torch.nn.functional.normalize(features.projected, dim=1) @ torch.nn.functional.normalize(texts, dim=1).T
    torch.testing.assert_close(cosines, expected.itm_score, rtol=1e-4, atol=1e-5)


def test_maps_come_with_the_same_vectors_at_another_size_and_stride(folder: Path) -> None:
    encoder = load_clip(f"blip:{folder}", image_size=(64, 32), stride=8).image_encoder.eval()
    x = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        features, maps = encoder(x), encoder.forward_tokens(x)
        places = encoder.forward_places(x)[1]
    for vector, from_maps in zip(features, maps.features, strict=True):
        torch.testing.assert_close(from_maps, vector, rtol=1e-4, atol=1e-5)
    assert encoder.config.grid == (7, 3) == tuple(maps.projected.shape[-2:])
    assert places.shape == (2, 21, encoder.pooled_width)


def test_camera_embedding_is_added_to_the_class_token(folder: Path) -> None:
    encoder: Any = load_clip(f"blip:{folder}", image_size=SIZE, sie_cameras=3, sie_coefficient=2.0).image_encoder.eval()
    by_hand = copy.deepcopy(encoder)
    x = torch.randn(1, 3, *SIZE)
    with torch.no_grad():
        by_hand.vision_model.embeddings.class_embedding += 2.0 * encoder.camera_embedding[1]
        torch.testing.assert_close(encoder(x, torch.tensor([1])).projected, by_hand(x).projected, rtol=1e-4, atol=1e-5)


def test_rows_of_different_length_are_encoded_as_if_alone(folder: Path) -> None:
    clip = load_clip(f"blip:{folder}", image_size=SIZE)
    text = clip.text_encoder.eval()
    ids = clip.tokenizer(TEXTS)
    with torch.no_grad():
        alone = torch.cat([text.encode_text(row[None]) for row in ids])
        torch.testing.assert_close(text.encode_text(ids), alone, rtol=1e-4, atol=1e-5)


def test_prompts_learn_and_the_words_embeddings_are_left_alone(folder: Path) -> None:
    clip = load_clip(f"blip:{folder}", image_size=SIZE)
    prompts = PromptLearner(PromptTemplate("A photo of a X X X X person.", clip.tokenizer), clip.text_encoder, classes=2)
    before = prompts.words.clone()
    wanted = torch.randn(2, clip.joint_width)
    optimiser = torch.optim.SGD(prompts.parameters(), lr=0.01)
    losses = []
    for _ in range(3):
        loss = (prompts(torch.arange(2)) - wanted).square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    assert torch.equal(prompts.words, before)


def test_a_saved_encoder_needs_nothing_else(folder: Path, tmp_path: Path) -> None:
    clip = load_clip(f"blip:{folder}", image_size=(64, 32))
    encoder = InferenceEncoder(clip.image_encoder).eval()
    encoder.save(tmp_path)
    x = torch.randn(2, 3, 64, 32)
    assert torch.equal(InferenceEncoder.load(tmp_path).features(x), encoder.features(x))
    with pytest.raises(ValueError, match="no CLIP of open_clip's"):
        save_clip(tmp_path / "w.safetensors", clip.image_encoder, clip.text_encoder, 1.0, clip.model)


def test_random_weights_follow_the_seed(tmp_path: Path) -> None:
    spec = tower_spec(tmp_path, "blip")
    first, again, other = (load_clip(s, image_size=SIZE).digest for s in (spec, f"{spec}@0", f"{spec}@1"))
    assert first == again != other


def _cut(folder: Path) -> None:
    document = json.loads((folder / "config.json").read_text())
    document["image_text_hidden_size"] = 21
    (folder / "config.json").write_text(json.dumps(document))


def test_the_tokenizer_is_wanted_by_the_first_text(folder: Path) -> None:
    (folder / "vocab.txt").unlink()
    clip = load_clip(f"blip:{folder}", image_size=SIZE)
    with pytest.raises(UserError, match="is not on this machine and cannot be fetched") as error:
        clip.tokenizer("a person")
    assert str(folder / "tokenizer") in error.value.remedy


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "holds no weights of BLIP"),
        (lambda f: (f / "config.json").write_text("{"), "cannot be read as JSON"),
        (lambda f: (f / "config.json").write_text('{"model_type": "blip"}'), "is no configuration of BLIP"),
        (_cut, "are not those of its config.json"),
    ],
)
def test_what_is_wrong_with_a_folder_is_told(folder: Path, spoil: Any, words: str) -> None:
    spoil(folder)
    with pytest.raises(UserError, match=words) as error:
        load_clip(f"blip:{folder}", image_size=SIZE)
    assert error.value.remedy


@pytest.mark.parametrize("spec", ["blip:nowhere", "blip", "blip:", "random:blip@x"])
def test_mistakes_in_a_spec(spec: str) -> None:
    with pytest.raises(UserError, match=r"No BLIP at|not a number") as error:
        load_clip(spec)
    assert error.value.remedy
