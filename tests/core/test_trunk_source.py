"""From ``resnet50:...`` to an image encoder in the place of a CLIP, and what is said when that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor

from reidclip.clip import trunk_source
from reidclip.clip.load import ClipModel, load_clip
from reidclip.clip.sources import on_this_machine
from reidclip.clip.trunk import pooled_as
from reidclip.errors import UserError

SIZE = (64, 32)


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """Of torchvision's ResNet-50 with its classifier, statistics away from where they start."""
    torch.manual_seed(0)
    net = torchvision.models.resnet50()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
    return net.state_dict()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torchvision would keep what it fetched; nothing reaches the network."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))

    def no_network(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    return tmp_path / "hub" / "checkpoints" / "resnet50-0676ba61.pth"


def features(clip: ClipModel) -> Tensor:
    picture = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        pooled: Tensor = clip.image_encoder.eval()(picture).pooled
    return pooled


def expected(state: dict[str, Tensor]) -> Tensor:
    """By torchvision's own network with last stride 1: maxima, then means."""
    net = torchvision.models.resnet50().eval()
    net.load_state_dict(state)
    net.layer4[0].conv2.stride = net.layer4[0].downsample[0].stride = (1, 1)
    picture = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        x = net.maxpool(net.relu(net.bn1(net.conv1(picture))))
        x = net.layer4(net.layer3(net.layer2(net.layer1(x)))).flatten(2)
    return torch.cat([x.max(2).values, x.mean(2)], dim=1)


def as_checkpoint(path: Path, state: dict[str, Tensor]) -> None:
    torch.save({"epoch": 89, "state_dict": {f"module.{key}": value for key, value in state.items()}}, path)


def as_safetensors(path: Path, state: dict[str, Tensor]) -> None:
    save_file(dict(state), path)


def as_old_file(path: Path, state: dict[str, Tensor]) -> None:
    """Before torch 0.4.1 BatchNorms counted nothing; and without a classifier."""
    torch.save({k: v for k, v in state.items() if not k.endswith("num_batches_tracked") and not k.startswith("fc.")}, path)


@pytest.mark.parametrize(("write", "name"), [(as_checkpoint, "w.pt"), (as_safetensors, "w.safetensors"), (as_old_file, "w.bin")])
def test_a_file_of_any_kind(state: dict[str, Tensor], tmp_path: Path, write: Callable[..., None], name: str) -> None:
    write(tmp_path / name, state)
    clip = load_clip(f"resnet50:{tmp_path / name}", image_size=SIZE)
    torch.testing.assert_close(features(clip), expected(state), rtol=1e-4, atol=1e-5)
    assert (clip.joint_width, clip.pooled_width, clip.last_width, clip.name) == (0, 4096, 1024, "resnet50")
    assert (clip.mean, clip.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_the_digest_is_of_the_weights_alone() -> None:
    one, other = (load_clip("random:resnet50@2", image_size=size, stride=stride) for size, stride in ((SIZE, 16), ((32, 32), 32)))
    assert one.digest == other.digest != load_clip("random:resnet50@3", image_size=SIZE).digest


def test_timms_file_is_torchvisions(tmp_path: Path) -> None:
    torch.manual_seed(1)
    net = timm.create_model("resnet50")
    torch.save(net.state_dict(), tmp_path / "timm.pth")
    clip = load_clip(f"resnet50:{tmp_path / 'timm.pth'}", image_size=SIZE, stride=32)
    picture = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = net.eval().forward_features(picture).flatten(2)
    torch.testing.assert_close(features(clip), torch.cat([wanted.max(2).values, wanted.mean(2)], dim=1), rtol=1e-4, atol=1e-5)


def test_imagenets_weights_from_torchvisions_cache(state: dict[str, Tensor], cache: Path) -> None:
    assert not on_this_machine("resnet50:imagenet")
    cache.parent.mkdir(parents=True)
    torch.save(state, cache)
    assert on_this_machine("resnet50:imagenet")
    torch.testing.assert_close(features(load_clip("resnet50:imagenet", image_size=SIZE)), expected(state), rtol=1e-4, atol=1e-5)


def test_without_a_network_it_says_what_to_download_and_where_to_put_it(cache: Path) -> None:
    with pytest.raises(UserError, match=r"resnet50:imagenet is not on this machine and cannot be fetched .*Name or service") as caught:
        load_clip("resnet50:imagenet")
    assert "https://download.pytorch.org/models/resnet50-0676ba61.pth" in caught.value.remedy
    assert str(cache) in caught.value.remedy and "--clip resnet50:FILE" in caught.value.remedy


def test_random_weights_follow_the_seed_and_leave_the_callers_generator_alone() -> None:
    torch.manual_seed(4)
    wanted = torch.rand(3)
    torch.manual_seed(4)
    seven = load_clip("random:resnet50@7", image_size=SIZE)
    assert torch.equal(torch.rand(3), wanted)
    assert seven.digest != load_clip("random:resnet50", image_size=SIZE).digest
    torch.manual_seed(4)
    pooled_as(seven.image_encoder, "max")  # type: ignore[arg-type]
    assert torch.equal(torch.rand(3), wanted)


def test_it_has_no_text() -> None:
    clip = load_clip("random:resnet50", image_size=SIZE)
    for part in ("text_encoder", "tokenizer"):
        with pytest.raises(UserError, match="image encoder without text") as caught:
            getattr(clip, part)
        assert "ViT-B-16:openai" in caught.value.remedy


def test_other_weights_are_named(state: dict[str, Tensor], tmp_path: Path) -> None:
    def loaded(changed: dict[str, Tensor]) -> None:
        torch.save(changed, tmp_path / "w.pth")
        load_clip(f"resnet50:{tmp_path / 'w.pth'}")

    bottlenecks = {f"layer3.6.{k.removeprefix('layer3.5.')}": v for k, v in state.items() if k.startswith("layer3.5.")}
    with pytest.raises(UserError, match=r"w.pth are not those of .*ResNet-50 \(layer3.6.conv1.weight is not part of it; 18 differences\)"):
        loaded({**state, **bottlenecks})
    with pytest.raises(UserError, match=r"layer4.2.conv3.weight is missing; 1 diff"):
        loaded({k: v for k, v in state.items() if k != "layer4.2.conv3.weight"})
    with pytest.raises(UserError, match="Simple-CCReID checkpoint") as caught:
        loaded({"base.0.weight": torch.zeros(64, 3, 7, 7)})
    assert "reidclip import" in caught.value.remedy
    with pytest.raises(UserError, match=r"not finite; the first is conv1\.weight"):
        loaded({**state, "conv1.weight": state["conv1.weight"] * torch.inf})


@pytest.mark.parametrize(
    ("spec", "is_one"),
    [("resnet50:a.pth", True), ("random:resnet50@3", True), ("resnet50", True), ("RN50:openai", False), ("resnet50.pth", False)],
)
def test_what_names_one(spec: str, is_one: bool) -> None:
    assert trunk_source.is_trunk(spec) == is_one
