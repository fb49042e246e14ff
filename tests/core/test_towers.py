"""Dual encoders that are not of CLIP's own kind: against open_clip's results, at other sizes, saved, and with learned prompts."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from reidclip.clip.architecture import build_towers, encoder_config, pair
from reidclip.clip.image_encoder import ImageEncoder, make_image_encoder
from reidclip.clip.inference import InferenceEncoder
from reidclip.clip.load import assemble, load_clip, save_clip
from reidclip.clip.prompts import PromptLearner, PromptTemplate
from reidclip.clip.recognise import recognise
from reidclip.clip.sources import Source
from reidclip.clip.supported import supported_names
from reidclip.clip.text_encoder import TextEncoder
from reidclip.clip.timm_tower import built, is_timm
from reidclip.errors import UserError
from tests.towers import FAMILIES, stirred, tower_spec

PERSON = "A photo of a X X X X person."
SIZE = (64, 32)
_NO_TEXT = {"context_length": 2, "vocab_size": 2, "width": 64, "heads": 1, "layers": 1}
_SMALL_VIT = {"layers": 1, "width": 64, "image_size": 16, "patch_size": 16}
FAMILY = pytest.mark.parametrize("family", FAMILIES)


def original(family: str) -> Any:
    """open_clip's own model, built by itself."""
    torch.manual_seed(5)
    model = copy.deepcopy(FAMILIES[family])
    model["vision_cfg"].pop("timm_model_pretrained", None)
    model.pop("custom_text", None), model.pop("multimodal_cfg", None)
    return stirred(open_clip.CustomTextCLIP(**model))


def encoder_of(theirs: Any, family: str, size: tuple[int, int] | None = None, **geometry: Any) -> ImageEncoder:
    model = FAMILIES[family]
    config = encoder_config(model, size or pair(model["vision_cfg"]["image_size"]), **geometry)
    return make_image_encoder(config, copy.deepcopy(theirs.visual)).eval()


# ------------------------------------------------------------------------------------------------------------------------------ images
@FAMILY
def test_projected_features_are_open_clips_at_the_towers_own_size(family: str) -> None:
    theirs = original(family)
    ours = encoder_of(theirs, family)
    x = torch.randn(2, 3, *ours.config.image_size)
    with torch.no_grad():
        expected = theirs.visual(x)
        features = ours(x)
    torch.testing.assert_close(features.projected, expected[0] if isinstance(expected, tuple) else expected, rtol=1e-4, atol=1e-5)
    assert [f.shape[1] for f in features] == [ours.last_width, ours.pooled_width, ours.joint_width]


@FAMILY
def test_maps_places_and_vectors_agree_at_another_size(family: str) -> None:
    ours = encoder_of(original(family), family, SIZE)
    x = torch.randn(2, 3, *SIZE)
    with torch.no_grad():
        features, maps = ours(x), ours.forward_tokens(x)
        again, places = ours.forward_places(x)
    for vector, from_maps, with_places in zip(features, maps.features, again, strict=True):
        torch.testing.assert_close(from_maps, vector, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(with_places, vector, rtol=1e-4, atol=1e-5)
    rows, columns = ours.config.grid
    assert (rows, columns) == (SIZE[0] // ours.config.stride, SIZE[1] // ours.config.stride)
    assert places.shape[:2] == (2, rows * columns)
    assert maps.projected.shape == (2, ours.joint_width, rows, columns)


@pytest.mark.parametrize("family", ["mobileclip", "convnext"])
def test_convolutions_have_the_mean_of_their_maps_as_vectors(family: str) -> None:
    ours = encoder_of(original(family), family, SIZE)
    with torch.no_grad():
        maps = ours.forward_tokens(torch.randn(2, 3, *SIZE))
    torch.testing.assert_close(maps.features.last, maps.last.mean((2, 3)), rtol=1e-4, atol=1e-5)
    if family == "mobileclip":  # ConvNeXt has a norm behind the pool
        torch.testing.assert_close(maps.features.pooled, maps.pooled.mean((2, 3)), rtol=1e-4, atol=1e-5)


def test_an_attention_pool_that_projects_leaves_the_mean_of_final_tokens_as_pooled() -> None:
    ours = encoder_of(original("siglip"), "siglip", SIZE)
    with torch.no_grad():
        features, places = ours.forward_places(torch.randn(2, 3, *SIZE))
    torch.testing.assert_close(features.pooled, places.mean(1), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(features.projected, features.pooled, atol=1e-3)


@FAMILY
def test_autocast_gives_full_precision_features_close_to_the_exact_ones(family: str) -> None:
    ours = encoder_of(original(family), family, SIZE)
    x = torch.randn(2, 3, *SIZE)
    with torch.no_grad():
        exact = ours(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            reduced = ours(x)
    for a, b in zip(exact, reduced, strict=True):
        assert b.dtype == torch.float32
        assert float((a - b).norm() / a.norm()) < 0.05


def test_gradients_reach_every_weight_of_a_timm_tower() -> None:
    ours = encoder_of(original("class-token"), "class-token", SIZE)
    sum(f.square().sum() for f in ours(torch.randn(2, 3, *SIZE))).backward()  # type: ignore[union-attr]
    assert [name for name, p in ours.named_parameters() if p.grad is None] == []


def test_a_camera_embedding_is_added_to_a_timm_towers_class_token() -> None:
    ours = encoder_of(original("class-token"), "class-token", SIZE, sie_cameras=3, sie_coefficient=2.0)
    x, camera = torch.randn(1, 3, *SIZE), torch.tensor([2])
    by_hand: Any = copy.deepcopy(ours)
    with torch.no_grad():
        by_hand.trunk.cls_token += 2.0 * by_hand.camera_embedding[2]
        torch.testing.assert_close(ours(x, camera).projected, by_hand(x).projected, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(ours(x, camera).projected, ours(x).projected, atol=1e-4)


@pytest.mark.parametrize(
    ("family", "geometry", "words"),
    [
        ("siglip", {"sie_cameras": 2}, "no class token"),
        ("convnext", {"stride": 16}, "overall stride 32, not 16"),
        ("convnext", {"image_size": (100, 64)}, "100x64 pixels do not fit an image tower of overall stride 32"),
        ("class-token", {"image_size": (8, 8)}, "8x8 pixels do not fit"),
    ],
)
def test_geometry_that_a_tower_does_not_have(family: str, geometry: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        encoder_config(FAMILIES[family], **{"image_size": SIZE, **geometry})
    assert error.value.remedy


def test_a_tower_that_timm_does_not_know() -> None:
    model = {**FAMILIES["convnext"], "vision_cfg": {"timm_model_name": "test_convnext99"}}
    with pytest.raises(UserError, match=r"timm cannot build this image tower: .*test_convnext99"):
        encoder_config(model, SIZE)


@FAMILY
def test_a_saved_encoder_needs_nothing_else(family: str, tmp_path: Path) -> None:
    encoder = InferenceEncoder(encoder_of(original(family), family, SIZE)).eval()
    encoder.save(tmp_path)
    torch.manual_seed(8)
    before = torch.get_rng_state()
    again = InferenceEncoder.load(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    x = torch.randn(2, 3, *SIZE)
    assert torch.equal(again.features(x), encoder.features(x))


def test_rotary_positions_are_there_again_when_a_saved_encoder_is_read(tmp_path: Path) -> None:
    """They are in no file of weights. EVA's smallest tower, at few tokens."""
    model = {
        **FAMILIES["class-token"],
        "vision_cfg": {**FAMILIES["class-token"]["vision_cfg"], "timm_model_name": "eva02_tiny_patch14_224"},
    }
    model["vision_cfg"]["image_size"] = 224
    encoder = InferenceEncoder(make_image_encoder(encoder_config(model, (56, 28)))).eval()
    encoder.save(tmp_path)
    x = torch.randn(1, 3, 56, 28)
    assert torch.equal(InferenceEncoder.load(tmp_path).features(x), encoder.features(x))


# -------------------------------------------------------------------------------------------------------------------------------- text
@FAMILY
def test_text_features_by_embeddings_are_open_clips(family: str, tmp_path: Path) -> None:
    theirs = original(family)
    mine = build_towers(FAMILIES[family])
    mine.load_state_dict({key.removeprefix("text."): value for key, value in theirs.state_dict().items()})
    encoder = TextEncoder(mine).eval()
    clip = load_clip(tower_spec(tmp_path, family), image_size=SIZE)
    ids = clip.tokenizer(["a person", "A photo of a man in a red coat."])
    with torch.no_grad():
        torch.testing.assert_close(encoder.encode_text(ids), theirs.encode_text(ids), rtol=1e-4, atol=1e-6)
        embedded = encoder(encoder.embed(ids), encoder.end_of_text(ids))
        torch.testing.assert_close(embedded, theirs.encode_text(ids), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", ["siglip", "mobileclip", "clipa", "coca"])
def test_templates_keep_the_padding_that_a_tower_reads(family: str, tmp_path: Path) -> None:
    clip = load_clip(tower_spec(tmp_path, family), image_size=SIZE)
    template = PromptTemplate(PERSON, clip.tokenizer)
    assert len(template.token_ids) == clip.text_encoder.context_length == FAMILIES[family]["text_cfg"]["context_length"]
    cut = clip.text_encoder.embed(template.token_ids)[None, : template.end + 1]
    with pytest.raises(ValueError, match="this text tower reads padding"):
        clip.text_encoder(cut, template.end)


@FAMILY
def test_learned_slots_stand_where_the_words_would(family: str, tmp_path: Path) -> None:
    """With the embeddings of four words in the slots, a prompt is the sentence with these words."""
    clip = load_clip(tower_spec(tmp_path, family), image_size=SIZE)
    text = clip.text_encoder.eval()
    template = PromptTemplate(PERSON, clip.tokenizer)
    ids = torch.tensor(clip.tokenizer.encode("red red red red"))
    context = text.embed(ids if len(ids) == 4 else ids.new_tensor([7, 8, 9, 10]))[None]
    filled = template.fill(text.embed(template.token_ids), context)
    written = template.token_ids.clone()
    written[list(template.groups[0])] = ids if len(ids) == 4 else ids.new_tensor([7, 8, 9, 10])
    with torch.no_grad():
        torch.testing.assert_close(text(filled, template.end), text.encode_text(written[None]), rtol=1e-4, atol=1e-6)
    if len(ids) == 4:
        assert torch.equal(written, clip.tokenizer("A photo of a red red red red person.")[0][: len(written)])


@FAMILY
def test_prompts_learn(family: str, tmp_path: Path) -> None:
    clip = load_clip(tower_spec(tmp_path, family), image_size=SIZE)
    prompts = PromptLearner(PromptTemplate(PERSON, clip.tokenizer), clip.text_encoder, classes=3)
    wanted = torch.nn.functional.normalize(torch.randn(3, clip.joint_width), dim=1)
    optimiser = torch.optim.Adam(prompts.parameters(), lr=1e-2)
    losses = []
    for _ in range(4):
        features = torch.nn.functional.normalize(prompts(torch.arange(3)), dim=1)
        loss = torch.nn.functional.cross_entropy(clip.logit_scale * features @ wanted.T, torch.arange(3))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    torch.testing.assert_close(prompts.all_features(), prompts(torch.arange(3)))


# --------------------------------------------------------------------------------------------------------------------- from a file, names
def test_weights_of_siglip_are_read_in_open_clips_names(tmp_path: Path) -> None:
    theirs = original("siglip")
    spec = tower_spec(tmp_path, "siglip")
    (tmp_path / "siglip.json").rename(tmp_path / "open_clip_config.json")
    torch.save(theirs.state_dict(), tmp_path / "weights.pt")
    clip = load_clip(str(tmp_path / "weights.pt"), image_size=(160, 160))
    x, ids = torch.randn(1, 3, 160, 160), clip.tokenizer("a person")
    with torch.no_grad():
        torch.testing.assert_close(clip.image_encoder.eval()(x).projected, theirs.encode_image(x), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(clip.text_encoder.encode_text(ids), theirs.encode_text(ids), rtol=1e-4, atol=1e-6)
    assert clip.card["similarity"] == "cosine"
    assert spec.endswith("siglip.json")


def test_a_saved_clip_with_a_timm_tower_is_the_same(tmp_path: Path) -> None:
    clip = load_clip(tower_spec(tmp_path, "class-token"), image_size=SIZE)
    save_clip(tmp_path / "w.safetensors", clip.image_encoder, clip.text_encoder, clip.logit_scale, clip.model)
    again = load_clip(str(tmp_path / "w.safetensors"), image_size=SIZE)
    x = torch.randn(1, 3, *SIZE)
    torch.testing.assert_close(again.image_encoder.eval()(x).projected, clip.image_encoder.eval()(x).projected)


def test_an_architecture_of_timms_is_known_by_its_shapes() -> None:
    model = open_clip.get_model_config("PE-Core-T-16-384")
    with torch.device("meta"):
        text = open_clip.CLIP(model["embed_dim"], {"layers": 1, "width": 64}, model["text_cfg"]).state_dict()
    state = {key: value for key, value in text.items() if not key.startswith("visual.")}
    state |= {f"visual.{key}": value for key, value in make_image_encoder(encoder_config(model, (384, 384))).state_dict().items()}
    assert recognise(Path("weights.pt"), state) == "PE-Core-T-16-384"


@pytest.mark.slow
@pytest.mark.parametrize("name", supported_names())
def test_every_supported_architecture_has_features_at_the_size_of_people(name: str) -> None:
    """On the meta device: shapes without memory."""
    model = open_clip.get_model_config(name)
    config = encoder_config(model, (256, 128))
    with torch.device("meta"):
        visual = built(model) if is_timm(model) else build_towers({**model, "text_cfg": _NO_TEXT}).visual
        encoder = make_image_encoder(config, visual).eval()
        features, places = encoder.forward_places(torch.zeros(1, 3, 256, 128))
        text = TextEncoder(build_towers({**model, "vision_cfg": _SMALL_VIT}))
    assert features.projected.shape == (1, encoder.joint_width) == (1, text.joint_width)
    assert (features.last.shape[1], features.pooled.shape[1]) == (encoder.last_width, encoder.pooled_width)
    assert places.shape[1] == config.grid[0] * config.grid[1]


def test_a_siglip_without_its_tokenizer_reads_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error comes with the first text, and speaks of no file where a model is given by its name."""

    def offline() -> None:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.get_session", offline)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda name, file: None)
    clip = assemble(Source("small", copy.deepcopy(FAMILIES["siglip"])), "random:small", image_size=SIZE)
    assert torch.isfinite(clip.image_encoder(torch.zeros(1, 3, *SIZE)).pooled).all()
    with pytest.raises(UserError, match="cannot be fetched") as error:
        clip.tokenizer("a person")
    assert "hf download" in error.value.remedy and "beside" not in error.value.remedy
