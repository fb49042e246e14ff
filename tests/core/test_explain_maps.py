"""Heat maps of whole encoders: what an encoder does not read gets nothing, and every cell lies where its field of view does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from reidclip.clip.heads import ReidHeads
from reidclip.clip.image_encoder import ImageEncoder, make_image_encoder
from reidclip.clip.image_features import ImageFeatures, TokenMaps
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.clip.timm_trunk import timm_trunk_config
from reidclip.clip.trunk import trunk_config
from reidclip.data.label_sets import LABEL_SETS, LIP, LabelSet
from reidclip.errors import UserError
from reidclip.explain.maps import choose_kind, heat_maps, similarity
from reidclip.explain.overlay import overlay, top_of_scale
from reidclip.explain.placing import Cells, cells_of, on_picture
from reidclip.explain.regions import regions_of
from reidclip.explain.shares import difference, mass_by_region, summarise
from tests.tiny_clip import TINY_RESNET, TINY_VIT, tiny_clip

SIZE = (64, 32)
KINDS = [(TINY_VIT, "gradient"), (TINY_VIT, "rollout"), (TINY_RESNET, "hirescam"), (TINY_RESNET, "gradcam")]


def pictures(count: int = 3, size: tuple[int, int] = SIZE) -> Tensor:
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(5))


def tower_of(model: dict[str, Any]) -> Any:
    """A tower whose feature depends on the picture more than on its biases, as a trained one's."""
    tower: Any = tiny_clip(model, image_size=SIZE).image_encoder
    if model is TINY_RESNET:
        with torch.no_grad():
            tower.attnpool.positional_embedding.mul_(0.01)
            for part in (tower.attnpool.v_proj, tower.attnpool.c_proj):
                part.bias.zero_()
    return tower


class LeftReader(ImageEncoder):
    """Its feature is the mean of the left half of its 4 x 4 map, whose cells are means of 16 x 8 pixels."""

    def __init__(self) -> None:
        super().__init__(trunk_config((64, 32), pooling="avg"), 3, 3, 0)
        self.layer4 = nn.AvgPool2d((16, 8))

    def forward_tokens(self, x: Tensor, camera: Tensor | None = None) -> TokenMaps:
        pooled = self.layer4(x)
        features = ImageFeatures(pooled[:, :, 0, 0], pooled[..., :2].mean((2, 3)), pooled[:, :0, 0, 0])
        return TokenMaps(features, pooled, pooled, pooled[:, :0])


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("kind", ["gradcam", "hirescam"])
def test_what_is_not_read_gets_nothing(kind: Any, flip: bool) -> None:
    encoder = InferenceEncoder(LeftReader(), InferenceOptions(flip=flip)).eval()
    maps = heat_maps(encoder, pictures(2, (64, 32)) + 2, kind)
    left, right = maps[..., :2].sum(), maps[..., 2:].sum()
    assert left > 0
    if flip:  # the mirror image's left half is the picture's right half
        assert right > 0
    elif kind == "hirescam":
        assert right == 0
    else:  # Grad-CAM's mean of gradients forgets which places were read: what is bright on the right shows, as is known of it
        assert right > 0


def vit_that_sees(columns: slice) -> InferenceEncoder:
    """One block whose class token looks at the patches of some columns and at nothing else."""
    model = {**TINY_VIT, "vision_cfg": {**TINY_VIT["vision_cfg"], "layers": 1, "image_size": [64, 32]}}
    tower: Any = tiny_clip(model, image_size=(64, 32)).image_encoder
    with torch.no_grad():
        table = torch.zeros(8, 4, 16)
        table[:, columns, 0] = 30.0
        tower.positional_embedding[1:] = table.reshape(32, 16)
        attention = tower.transformer.resblocks[0].attn
        attention.in_proj_weight[:32].zero_()
        attention.in_proj_bias[:16] = 20.0  # every query asks for
        attention.in_proj_weight[16:32, 0] = 20.0  # keys with much of the first number
    return InferenceEncoder(tower).eval()


@pytest.mark.parametrize("kind", ["gradient", "rollout"])
@pytest.mark.parametrize(("columns", "others"), [(slice(0, 2), slice(2, 4)), (slice(1, 4), slice(0, 1))])
def test_a_vit_that_looks_at_some_columns(kind: Any, columns: slice, others: slice) -> None:
    maps = heat_maps(vit_that_sees(columns), pictures(4, (64, 32)), kind)
    assert maps.shape == (4, 8, 4)
    assert float(maps[..., columns].sum()) > 1e-3
    assert float(maps[..., others].sum()) < 1e-4 * float(maps[..., columns].sum())


@pytest.mark.parametrize(("model", "kind"), KINDS)
def test_maps_are_those_of_the_feature_that_inference_makes(model: dict[str, Any], kind: Any) -> None:
    tower = tower_of(model)
    heads = ReidHeads(tower.pooled_width, tower.joint_width, 3)
    nn.init.constant_(heads.pooled.bottleneck.weight, 3)
    heads.projected.bottleneck.weight.data[::2] = 0.1
    before = InferenceEncoder(tower, InferenceOptions(neck="before")).eval()
    after = InferenceEncoder(tower, InferenceOptions(neck="after"), heads).eval()
    maps = [heat_maps(encoder, pictures(), kind) for encoder in (before, after)]
    assert all(m.shape == (3, *tower.config.grid) and (m >= 0).all() and m.sum() > 0 and not m.requires_grad for m in maps)
    assert torch.equal(*maps) == (kind == "rollout")  # attention knows no neck, gradients do
    assert not tower.conv1._forward_pre_hooks
    assert all(p.grad is None for p in tower.parameters())


@pytest.mark.parametrize("block", ["nonlocal", "self-attention"])
@pytest.mark.parametrize(("model", "kind"), KINDS)
def test_a_context_block_that_adds_nothing_changes_no_map(model: dict[str, Any], kind: Any, block: str) -> None:
    tower = tower_of(model)
    with_block = make_image_encoder(replace(tower.config, context_block=block))
    with_block.load_state_dict(tower.state_dict(), strict=False)
    plain, other = (heat_maps(InferenceEncoder(t).eval(), pictures(), kind) for t in (tower, with_block))
    assert plain.any()
    torch.testing.assert_close(other, plain, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(("model", "kind"), KINDS)
def test_a_picture_has_its_map_whatever_it_comes_with(model: dict[str, Any], kind: Any) -> None:
    encoder = InferenceEncoder(tower_of(model)).eval()
    maps = heat_maps(encoder, pictures(), kind)
    for index in range(3):
        torch.testing.assert_close(heat_maps(encoder, pictures()[index : index + 1], kind)[0], maps[index], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(("model", "kind"), KINDS)
def test_mirror_images(model: dict[str, Any], kind: Any) -> None:
    """A feature of both mirror images is blind to which is which, so its map turns with the picture."""
    encoder = InferenceEncoder(tower_of(model), InferenceOptions(flip=True)).eval()
    maps = heat_maps(encoder, pictures(), kind)
    torch.testing.assert_close(heat_maps(encoder, pictures().flip(-1), kind), maps.flip(-1), atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize(("model", "kind"), [KINDS[0], KINDS[2]])
def test_towards_another_picture(model: dict[str, Any], kind: Any) -> None:
    encoder = InferenceEncoder(tower_of(model)).eval()
    own, other = encoder.features(pictures(2))
    maps = heat_maps(encoder, pictures(1), kind)
    torch.testing.assert_close(heat_maps(encoder, pictures(1), kind, towards=own), maps)
    assert not torch.allclose(heat_maps(encoder, pictures(1), kind, towards=other), maps)


def test_the_own_feature_has_a_gradient() -> None:
    """The gradient of the cosine with oneself is zero; of the score taken it is f / |f|^2, and its value is the cosine."""
    feature = torch.tensor([[3.0, 4.0], [0.0, 2.0]], requires_grad=True)
    score = similarity(feature)
    torch.testing.assert_close(score, torch.ones(2))
    (gradient,) = torch.autograd.grad(score.sum(), feature)
    torch.testing.assert_close(gradient, torch.tensor([[3 / 25, 4 / 25], [0.0, 0.5]]))
    assert float(similarity(feature.detach(), torch.tensor([1.0, 0.0]))[0]) == pytest.approx(0.6)


@pytest.mark.parametrize(("model", "kind"), [KINDS[0], KINDS[2]])
def test_the_scale_of_features_changes_no_map(model: dict[str, Any], kind: Any) -> None:
    tower = tower_of(model)
    encoder = InferenceEncoder(tower).eval()
    maps = heat_maps(encoder, pictures(), kind)
    joined = encoder.join
    encoder.join = lambda features: 7 * joined(features)  # type: ignore[method-assign]
    torch.testing.assert_close(heat_maps(encoder, pictures(), kind), maps)


@pytest.mark.parametrize(("model", "wanted", "words"), [(TINY_VIT, "gradcam", "it is a ViT"), (TINY_RESNET, "rollout", "it is a ResNet")])
def test_maps_that_do_not_fit(model: dict[str, Any], wanted: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        choose_kind(tower_of(model), wanted)
    assert "--map" in error.value.remedy


# ----------------------------------------------------------------------------------------------------------------- placing
def middles(encoder: Any, size: tuple[int, int], cell: tuple[int, int]) -> tuple[float, float]:
    """Centroid, in pixels, of what one cell of the last map reads, when every weight is positive."""
    encoder = encoder.eval()
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
    x = torch.ones(1, 3, *size, requires_grad=True)
    last = encoder.conv1(x) if hasattr(encoder, "transformer") else encoder.forward_tokens(x).pooled
    (gradient,) = torch.autograd.grad(last[0, :, cell[0], cell[1]].sum(), x)
    weight = gradient[0].sum(0).double()
    rows, columns = torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5
    return float((weight.sum(1) * rows).sum() / weight.sum()), float((weight.sum(0) * columns).sum() / weight.sum())


@pytest.mark.parametrize(("model", "stride"), [(TINY_VIT, 8), (TINY_VIT, 5), (TINY_RESNET, 16), (TINY_RESNET, 32)])
def test_cells_lie_where_their_fields_of_view_have_their_middle(model: dict[str, Any], stride: int) -> None:
    size = (320, 320) if model is TINY_RESNET else (40, 24)
    tower = tiny_clip(model, image_size=size, stride=stride).image_encoder
    cells = cells_of(tower.config)
    cell = (tower.config.grid[0] // 2, tower.config.grid[1] // 2)
    found = middles(tower, size, cell)
    assert found == pytest.approx([cells.first[axis] + cells.step * cell[axis] for axis in (0, 1)], abs=0.1)


def test_cells_of_the_trunk_begin_at_the_corner() -> None:
    size = (512, 32)
    tower: Any = make_image_encoder(trunk_config(size))
    tower.maxpool = nn.AvgPool2d(3, 2, 1)  # same places; a maximum of equals has no middle
    cells, cell = cells_of(tower.config), 16
    assert middles(tower, size, (cell, 0))[0] == pytest.approx(cells.first[0] + cells.step * cell, abs=0.5)


@pytest.mark.parametrize(
    ("name", "corner"), [("test_vit", False), ("test_convnext", False), ("swin_tiny_patch4_window7_224", False), ("resnet18", True)]
)
@pytest.mark.parametrize("student", [False, True])
def test_cells_of_timm_s_networks(name: str, corner: bool, student: bool) -> None:
    """Those that cut patches have a cell's middle half a cell from the edge; padded convolutions begin at the corner."""
    config = timm_trunk_config(name, (224, 224))
    stride = config.stride
    if student:
        config = replace(config, model={"trunk": "student", "backbone": config.model, "head": {}})
    cells = cells_of(config)
    assert cells == Cells((224 // stride, 224 // stride), (0.5, 0.5) if corner else (stride / 2, stride / 2), stride, (224, 224))


@pytest.mark.parametrize("cell", [(0, 0), (2, 1)])
def test_heat_of_a_patch_lies_on_the_patch(cell: tuple[int, int]) -> None:
    """What the patch embedding of timm's ViT reads for a token."""
    config = timm_trunk_config("test_vit", SIZE)
    embed: Any = make_image_encoder(config).net.patch_embed
    x = torch.ones(1, 3, *SIZE, requires_grad=True)
    nn.init.constant_(embed.proj.weight, 0.1)
    (gradient,) = torch.autograd.grad(embed(x).flatten(1, -2)[0, cell[0] * config.grid[1] + cell[1]].sum(), x)
    read = gradient[0].abs().sum(0).nonzero().double().mean(0) + 0.5
    cells = cells_of(config)
    assert read.tolist() == [cells.first[axis] + cells.step * cell[axis] for axis in (0, 1)]


@given(rows=st.integers(1, 5), columns=st.integers(1, 5), height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_mass_is_kept_and_never_negative(rows: int, columns: int, height: int, width: int, seed: int) -> None:
    cells = Cells((rows, columns), (4.0, 4.0), 8.0, (8 * rows, 8 * columns))
    heat = np.random.default_rng(seed).random((rows, columns)) + 1e-3
    mass = on_picture(heat, cells, height, width)
    assert mass.shape == (height, width)
    assert mass.sum() == pytest.approx(1)
    assert (mass >= 0).all()
    np.testing.assert_allclose(mass, on_picture(7 * heat, cells, height, width))
    np.testing.assert_allclose(on_picture(np.ones((rows, columns)), cells, height, width), 1 / (height * width))
    np.testing.assert_allclose(on_picture(heat[::-1, ::-1], cells, height, width), mass[::-1, ::-1])  # no side is preferred


def test_between_centres_mass_is_linear() -> None:
    """Two cells, 1 and 3, with centres at 2 and 6 of 8 pixels of the input; the picture has 8 pixels too, whose centres are at .5."""
    mass = on_picture(np.array([[1.0, 3.0]]), Cells((1, 2), (0.5, 2.0), 4.0, (1, 8)), 1, 8)
    np.testing.assert_allclose(mass[0] * 16, [1, 1, 1.25, 1.75, 2.25, 2.75, 3, 3])


def test_a_cell_stands_over_its_own_pixels() -> None:
    cells = Cells((2, 2), (4.0, 4.0), 8.0, (16, 16))
    mass = on_picture(np.array([[0.0, 1.0], [0.0, 0.0]]), cells, 32, 16)  # the picture is twice as high as the input
    assert np.unravel_index(mass.argmax(), mass.shape)[1] >= 11
    assert mass[:16, 8:].sum() == pytest.approx(1 - 1 / 8 - 1 / 8 + 1 / 64, abs=0.02)  # an eighth of each slope lies beyond the middle
    assert mass[28:].sum() == 0 and mass[:, :4].sum() == 0
    assert not on_picture(np.zeros((2, 2)), cells, 8, 8).any()
    with pytest.raises(ValueError, match="grid"):
        on_picture(np.zeros((3, 2)), cells, 8, 8)


# ------------------------------------------------------------------------------------------------------------------ shares
def test_shares_of_regions() -> None:
    regions = regions_of(LIP)
    labels = np.array([[0, 5], [2, 9]], np.uint8)  # background, upper-clothes, hair, pants
    shares = dict(zip(regions.names, mass_by_region(np.array([[0.1, 0.2], [0.3, 0.4]]), labels, regions), strict=True))
    assert shares == pytest.approx({"clothes": 0.6, "head": 0.3, "limbs": 0, "shoes": 0, "background": 0.1})


@pytest.mark.parametrize("name", sorted(LABEL_SETS))
def test_every_label_has_one_region(name: str) -> None:
    regions, label_set = regions_of(LABEL_SETS[name]), LABEL_SETS[name]
    assert len(regions.of_label) == len(label_set.labels)
    by_name = {label: regions.names[r] for label, r in zip(label_set.labels, regions.of_label, strict=True)}
    assert {label for label, region in by_name.items() if region == "clothes"} == set(label_set.clothes)
    assert by_name["Background"] == "background"
    assert by_name.get("Hair", by_name.get("Head")) == "head"


def test_a_label_set_without_clothes_is_told() -> None:
    with pytest.raises(UserError, match="Nobody said which labels"):
        regions_of(LabelSet("own", ("Background", "Robe"), ()))


def test_means_and_lift() -> None:
    regions = regions_of(LABEL_SETS["lip"])
    mass, pixels = np.zeros((4, 5)), np.zeros((4, 5))
    mass[:, 0], mass[:, 4] = [0.5, 0.3, 0.5, 0.3], [0.5, 0.7, 0.5, 0.7]
    pixels[:, 0], pixels[:, 4] = 0.2, 0.8
    found = summarise(mass, pixels, regions)
    assert (found["clothes"].mass, found["clothes"].pixels, found["clothes"].lift) == pytest.approx((0.4, 0.2, 2.0))
    low, high = found["clothes"].interval
    assert 0.3 <= low < 0.4 < high <= 0.5
    assert found["clothes"].lift_interval == pytest.approx((low / 0.2, high / 0.2))
    assert found["shoes"].lift is None


def test_intervals_are_of_the_same_pictures_for_mass_and_pixels_and_for_both_encoders() -> None:
    """Pictures whose map has twice their share of clothes, however large, have a lift of 2 and nothing else."""
    regions, draw = regions_of(LABEL_SETS["lip"]), np.random.default_rng(0)
    pixels = np.zeros((20, 5))
    pixels[:, 0] = draw.uniform(0.05, 0.4, 20)
    found = summarise(2 * pixels, pixels, regions)["clothes"]
    assert found.lift == pytest.approx(2) and found.lift_interval == pytest.approx((2, 2))
    assert found.interval[0] < found.mass < found.interval[1]
    told = difference(pixels[:, 0], pixels[:, 0] + 0.25)
    assert told["mean"] == pytest.approx(0.25) and told["interval"] == pytest.approx((0.25, 0.25))


def test_overlays_show_the_picture_where_nothing_is_seen() -> None:
    picture = np.full((4, 4, 3), 200, np.uint8)
    mass = np.zeros((4, 4))
    mass[0, 0] = 1
    shown = overlay(picture, mass, top=16)
    assert shown[0, 0].sum() > shown[3, 3].sum()
    assert shown[0, 0, 0] > shown[0, 0, 2]  # the scale's top is yellow
    assert np.ptp(shown[3, 3].astype(int)) < 20  # grey
    assert top_of_scale([np.zeros((2, 2))]) == 1
    assert top_of_scale([np.eye(2), 5 * np.eye(2)]) == pytest.approx(2)
