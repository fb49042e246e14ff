"""Networks of timm as image encoders: their maps against timm's own, weights from files, and what is said where that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import register_model
from torch import Tensor, nn

from reidclip.clip.load import load_clip
from reidclip.clip.sources import on_this_machine, weights_file
from reidclip.clip.timm_net import net_facts
from reidclip.clip.timm_trunk import timm_trunk_config
from reidclip.errors import UserError

SIZE = (96, 48)
Final = Callable[[Any, Tensor], Tensor]


def pictures() -> Tensor:
    return torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(5))


def as_it_is(net: Any, x: Tensor) -> Tensor:
    features: Tensor = net.forward_features(x)
    return features


def from_the_right(net: Any, x: Tensor) -> Tensor:
    return as_it_is(net, x).permute(0, 3, 1, 2)


def from_tokens(net: Any, x: Tensor) -> Tensor:
    """The first token is the class's; six rows of three."""
    return as_it_is(net, x)[:, 1:].transpose(1, 2).unflatten(2, (6, 3))


NETS = [
    ("test_resnet", 32, as_it_is, {}),
    ("test_convnext", 32, as_it_is, {}),
    ("mobilenetv3_small_050", 32, as_it_is, {}),
    ("tiny_vit_5m_224", 32, as_it_is, {}),
    ("test_mambaout", 32, from_the_right, {}),
    ("test_vit", 16, from_tokens, {"img_size": SIZE}),
]


@pytest.mark.parametrize(("name", "stride", "final", "options"), NETS)
@torch.no_grad()
def test_maps_are_timms_own(name: str, stride: int, final: Final, options: dict[str, Any]) -> None:
    encoder = load_clip(f"random:timm:{name}@3", image_size=SIZE).image_encoder.eval()
    net = timm.create_model(name, num_classes=0, **options).eval()
    net.load_state_dict({key.removeprefix("net."): value for key, value in encoder.state_dict().items()}, strict=False)
    wanted = final(net, pictures())
    tokens = encoder.forward_tokens(pictures())
    features, places = encoder.forward_places(pictures())
    torch.testing.assert_close(tokens.pooled, wanted)
    torch.testing.assert_close(places, wanted.flatten(2).transpose(1, 2))
    torch.testing.assert_close(features.pooled, wanted.mean((2, 3)))
    torch.testing.assert_close(features.last, tokens.last.mean((2, 3)))
    assert [f.shape[1] for f in features] == [encoder.last_width, wanted.shape[1], 0]
    assert encoder.config.grid == tuple(wanted.shape[2:]) and encoder.config.stride == stride
    with torch.autocast("cpu", torch.bfloat16):
        assert {f.dtype for f in encoder(pictures())} == {torch.float32}


def test_the_last_stage_but_one() -> None:
    encoder = load_clip("random:timm:test_resnet", image_size=SIZE).image_encoder.eval()
    net: Any = encoder.net  # type: ignore[attr-defined]
    with torch.no_grad():
        x = net.maxpool(net.act1(net.bn1(net.conv1(pictures()))))
        torch.testing.assert_close(encoder(pictures()).last, net.layer3(net.layer2(net.layer1(x))).mean((2, 3)))


def test_no_part_of_a_head_is_kept() -> None:
    for name, heads in (("test_convnext", ("head",)), ("mobilenetv3_small_050", ("classifier", "conv_head")), ("test_resnet", ("fc",))):
        keys = load_clip(f"random:timm:{name}", image_size=SIZE).image_encoder.state_dict()
        assert not [key for key in keys if key.startswith(tuple(f"net.{head}" for head in heads))]


@torch.no_grad()
def test_a_last_stage_of_stride_1() -> None:
    native, wide = (load_clip("random:timm:test_resnet@1", image_size=SIZE, stride=s).image_encoder for s in (None, 16))
    assert (native.config.grid, native.config.stride, wide.config.grid, wide.config.stride) == ((3, 2), 32, (6, 3), 16)
    wide.load_state_dict(native.state_dict())
    assert wide.eval().forward_tokens(pictures()).pooled.shape == (2, 96, 6, 3)
    with pytest.raises(UserError, match="'test_vit' has overall stride 16, not 8") as caught:
        timm_trunk_config("test_vit", SIZE, 8)
    assert "Leave stride out" in caught.value.remedy


def test_random_weights_follow_the_seed_and_leave_the_callers_generator_alone() -> None:
    torch.manual_seed(4)
    wanted = torch.rand(3)
    torch.manual_seed(4)
    one, again, other = (load_clip(f"random:timm:test_convnext{seed}", image_size=SIZE) for seed in ("@7", "@7", ""))
    assert torch.equal(torch.rand(3), wanted)
    assert one.digest == again.digest != other.digest
    assert (one.mean, one.std, one.interpolation) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic")
    mobile = load_clip("random:timm:mobilenetv3_small_050", image_size=SIZE)
    assert (mobile.mean, mobile.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def written(path: Path, name: str, **options: Any) -> dict[str, Tensor]:
    torch.manual_seed(9)
    state: dict[str, Tensor] = timm.create_model(name, **options).state_dict()
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"model": state, "epoch": 3}, path)
    return state


@pytest.mark.parametrize("file", ["w.safetensors", "w.pth"])
@torch.no_grad()
def test_a_file_of_weights(tmp_path: Path, file: str) -> None:
    state = written(tmp_path / file, "test_convnext", num_classes=7)
    spec = f"timm:test_convnext:{tmp_path / file}"
    assert on_this_machine(spec) and weights_file(spec) == tmp_path / file
    loaded = load_clip(spec, image_size=SIZE).image_encoder.state_dict()
    assert len(loaded) > 20
    for key, value in loaded.items():
        assert torch.equal(value, state[key.removeprefix("net.")])


@torch.no_grad()
def test_positions_are_brought_to_the_pictures_size_as_timm_does(tmp_path: Path) -> None:
    state = written(tmp_path / "w.pth", "test_vit")
    overlay = {"state_dict": dict(state)}
    net = timm.create_model("test_vit", pretrained=True, pretrained_cfg_overlay=overlay, img_size=SIZE, num_classes=0)
    encoder = load_clip(f"timm:test_vit:{tmp_path / 'w.pth'}", image_size=SIZE).image_encoder
    assert net.pos_embed.shape == (1, 19, 64) != state["pos_embed"].shape
    assert torch.equal(encoder.get_parameter("net.pos_embed"), net.pos_embed)
    torch.testing.assert_close(encoder.eval().forward_tokens(pictures()).pooled, from_tokens(net.eval(), pictures()))


def test_names_of_authors_are_translated_where_timm_knows_how(tmp_path: Path) -> None:
    """The authors of ConvNeXt call its stem a layer of downsampling."""
    state = timm.create_model("test_convnext").state_dict()
    old = {key.replace("head.fc.", "head.").replace("head.norm.", "norm."): value for key, value in state.items()}
    old = {key.replace("stem.", "downsample_layers.0."): value for key, value in old.items()}
    torch.save(old, tmp_path / "facebook.pth")
    with pytest.raises(UserError, match="are not those of timm's 'test_resnet'"):
        load_clip(f"timm:test_resnet:{tmp_path / 'facebook.pth'}", image_size=SIZE)
    loaded = load_clip(f"timm:test_convnext:{tmp_path / 'facebook.pth'}", image_size=SIZE).image_encoder.state_dict()
    assert torch.equal(loaded["net.stem.0.weight"], state["stem.0.weight"])


def test_other_weights_are_named(tmp_path: Path) -> None:
    state = written(tmp_path / "w.pth", "test_resnet")
    spec = f"timm:test_resnet:{tmp_path / 'w.pth'}"
    for changed, words in (
        ({k: v for k, v in state.items() if k != "layer2.0.conv1.weight"}, r"layer2.0.conv1.weight is missing; 1 differences"),
        ({**state, "conv9.weight": torch.zeros(2)}, r"conv9.weight is not part of it; 1 diff"),
        ({**state, "bn1.weight": torch.zeros(2)}, r"bn1.weight is \(2,\), not "),
        ({**state, "bn1.weight": state["bn1.weight"] * torch.nan}, r"not finite; the first is bn1.weight"),
    ):
        torch.save(changed, tmp_path / "w.pth")
        with pytest.raises(UserError, match=words):
            load_clip(spec, image_size=SIZE)
    with pytest.raises(UserError, match="No weights at"):
        load_clip("timm:test_resnet:nowhere.pth")


def test_what_has_no_such_name_is_told() -> None:
    with pytest.raises(UserError, match="timm has no network 'resnet81'") as caught:
        load_clip("random:timm:resnet81")
    assert "resnet18" in caught.value.remedy and len(caught.value.remedy) < 200
    with pytest.raises(UserError, match="'resnet18' has no pretrained tag 'a1_in2k'") as caught:
        load_clip("timm:resnet18.a1_in2k")
    assert "Did you mean 'a1_in1k'?" in caught.value.remedy
    with pytest.raises(UserError, match="the seed after @ is not a number"):
        load_clip("random:timm:resnet18@x")


def test_without_a_network_it_says_what_to_download(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr("huggingface_hub.get_session", offline)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda name, file: None)
    assert not on_this_machine("timm:test_resnet")
    with pytest.raises(
        UserError, match=r"timm:test_resnet is not on this machine and cannot be fetched \(Name or service not known\)"
    ) as e:
        load_clip("timm:test_resnet")
    assert "model.safetensors from https://huggingface.co/timm/test_resnet.r160_in1k" in e.value.remedy
    assert "timm:test_resnet:FILE" in e.value.remedy
    with pytest.raises(UserError, match="timm has no pretrained weights of 'seresnet18'") as e:
        load_clip("timm:seresnet18")
    assert "timm:seresnet18:FILE" in e.value.remedy and "random:timm:seresnet18" in e.value.remedy


def test_weights_that_were_fetched_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    state = written(tmp_path / "model.safetensors", "test_resnet")
    cached = str(tmp_path / "model.safetensors")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda name, file: cached if file == "model.safetensors" else None)
    assert on_this_machine("timm:test_resnet")
    encoder = load_clip("timm:test_resnet.r160_in1k", image_size=SIZE).image_encoder
    assert torch.equal(encoder.get_parameter("net.conv1.0.weight"), state["conv1.0.weight"])


class PooledOnly(nn.Module):
    """Ends in one vector per picture."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward_features(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.conv(x).mean((2, 3))
        return pooled


@register_model
def pooled_only(pretrained: bool = False, **options: Any) -> nn.Module:
    return PooledOnly()


def test_a_network_without_a_map_is_no_student() -> None:
    with pytest.raises(UserError, match=r"a student without a feature map: it ends in features of shape \(1, 8\)") as caught:
        load_clip("random:timm:pooled_only")
    assert "timm:resnet18" in caught.value.remedy


def test_a_size_that_a_network_does_not_take_is_told_beside_its_own() -> None:
    with pytest.raises(UserError, match=r"'nest_tiny' does not take pictures of 96x48 pixels \(Model only handles square") as caught:
        load_clip("random:timm:nest_tiny", image_size=SIZE)
    assert "224x224" in caught.value.remedy and "--set height=224 --set width=224" in caught.value.remedy


def test_it_has_no_text_and_no_cameras() -> None:
    clip = load_clip("random:timm:test_resnet", image_size=SIZE)
    with pytest.raises(UserError, match="image encoder without text"):
        _ = clip.text_encoder
    with pytest.raises(UserError, match="no class token to add a camera embedding to"):
        load_clip("random:timm:test_resnet", sie_cameras=2)


SMALLEST = """
    beit_base_patch16_224 halonet_h1 test_byobnet cait_xxs24_224 coat_tiny convit_tiny convmixer_768_32 test_convnext cpubone_nano
    crossvit_tiny_240 csatv2 cs3darknet_focus_s cspnext_tiny davit_tiny deepseek_vit_412m deit_tiny_patch16_224 densenet121
    dla46x_c dpn48b edgenext_xx_small efficientformer_l1 efficientformerv2_s0 test_efficientnet efficientvim_m1 efficientvit_b0
    efficientvit_m0 vit_tiny_patch16_dinov3_qkvb fasternet_t0 fastvit_t8 focalnet_tiny_srf gcvit_xxtiny gemma4_vit_167m
    ghostnet_050 hardcorenas_b hgnetv2_b0 hiera_tiny_224 sam2_hiera_tiny hrnet_w18_small iformer_t inception_next_atto
    inception_resnet_v2 inception_v3 inception_v4 lcnetv2_small levit_128s lowformer_b0 test_mambaout test_coatnet
    poolformerv2_s12 gmlp_ti16_224 lcnet_035 mobilenetv5_base mobilevit_xxs mvitv2_tiny naflexvit_base_patch16_parfac_gap
    nasnetalarge nest_tiny nextvit_small test_nfnet pit_ti_224 pnasnet5large pvt_v2_b0 qwen3_vit_88m rdnet_tiny regnetx_002
    repghostnet_050 repvit_m1 res2next50 resnest14d test_resnet resnetv2_18 rexnet_100 selecsls42 legacy_seresnet18 sequencer2d_s
    shvit_s1 skresnet18 starnet_s050 swiftformer_xs swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 swinv2_cr_tiny_224
    tiny_vit_5m_224 tnt_s_legacy_patch16_224 tresnet_m twins_svt_small vgg11 visformer_tiny test_vit vit_tiny_r_s16_p8_224
    test_vit_relpos samvit_base_patch16_224 vitamin_small_224 volo_d1_224 ese_vovnet19b_slim_dw legacy_xception xception41p
    xcit_nano_12_p8_224
"""  # the smallest network of each of timm's families
REFUSED = {  # at 256x128 pixels, with a part of the reason: tables of one size, square windows, patches of 14 pixels
    "halonet_h1": "Assertion",
    "convit_tiny": "must match the existing size",
    "deepseek_vit_412m": "divisible by patch size",
    "efficientformer_l1": "must match the size",
    "nest_tiny": "square inputs",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLEST.split())
def test_every_family_has_a_network_that_gives_a_map_or_says_why_not(name: str) -> None:
    if not timm.is_model(name):
        pytest.skip("not in this version of timm")
    if name in REFUSED:
        with pytest.raises(UserError, match=f"does not take pictures of 256x128 pixels .*{REFUSED[name]}"):
            net_facts(name, (256, 128))
        return
    facts = net_facts(name, (256, 128))
    assert facts.width > 0 and min(facts.grid) > 0
