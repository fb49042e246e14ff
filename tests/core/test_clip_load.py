"""From a spec to a loaded CLIP, and what is said when that cannot be."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import huggingface_hub
import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

from reidclip.clip import sources
from reidclip.clip.architecture import build_towers
from reidclip.clip.load import ClipModel, load_clip, save_clip
from reidclip.clip.recognise import recognise
from reidclip.clip.supported import check_supported, supported_names
from reidclip.errors import UserError
from tests.tiny_clip import TINY_RESNET, TINY_VIT, tiny_clip


def config_file(folder: Path, model: dict[str, Any] = TINY_VIT) -> Path:
    path = folder / "tiny.json"
    path.write_text(json.dumps(model))
    return path


def saved(folder: Path, clip: ClipModel, **options: Any) -> Path:
    path = folder / "weights.safetensors"
    save_clip(path, clip.image_encoder, clip.text_encoder, clip.logit_scale, clip.model, **options)
    return path


def test_random_weights_follow_the_seed_and_leave_the_callers_generator_alone(tmp_path: Path) -> None:
    spec = f"random:{config_file(tmp_path)}"
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    first = load_clip(spec, image_size=(32, 16))
    assert torch.equal(torch.rand(3), expected)
    assert first.digest == load_clip(f"{spec}@0", image_size=(32, 16)).digest
    assert first.digest != load_clip(f"{spec}@1", image_size=(32, 16)).digest
    assert first.spec == spec


def test_widths_scale_and_preprocessing() -> None:
    clip = tiny_clip()
    assert (clip.last_width, clip.pooled_width, clip.joint_width) == (16, 16, 12)
    assert clip.logit_scale == pytest.approx(1 / 0.07)
    assert clip.mean == pytest.approx(open_clip.OPENAI_DATASET_MEAN)
    assert clip.std == pytest.approx(open_clip.OPENAI_DATASET_STD)


@pytest.mark.parametrize(("model", "size"), [(TINY_VIT, (40, 16)), (TINY_RESNET, (64, 32))], ids=["vit", "resnet"])
def test_a_saved_clip_is_the_same_clip(tmp_path: Path, model: dict[str, Any], size: tuple[int, int]) -> None:
    clip = tiny_clip(model, seed=6, image_size=size)
    path = saved(tmp_path, clip, mean=(0.1, 0.2, 0.3), card={"trained_on": "rendered people"})
    again = load_clip(str(path), image_size=size)
    x, ids = torch.randn(2, 3, *size), clip.tokenizer("a man in a coat")
    torch.testing.assert_close(again.image_encoder.eval()(x).projected, clip.image_encoder.eval()(x).projected)
    torch.testing.assert_close(again.text_encoder.encode_text(ids), clip.text_encoder.encode_text(ids))
    assert again.logit_scale == pytest.approx(clip.logit_scale)
    for ours, theirs in ((again.image_encoder, clip.image_encoder), (again.text_encoder, clip.text_encoder)):
        expected = theirs.state_dict()
        assert all(torch.equal(value, expected[key]) for key, value in ours.state_dict().items())
    assert (again.mean, again.card) == ((0.1, 0.2, 0.3), {"trained_on": "rendered people"})
    assert all(p.requires_grad for p in again.image_encoder.parameters())


def test_digest_is_of_the_weights_not_of_the_input_size_or_file_format(tmp_path: Path) -> None:
    path = saved(tmp_path, tiny_clip())
    small, large = load_clip(str(path), image_size=(32, 16)), load_clip(str(path), image_size=(64, 32))
    assert small.digest == large.digest
    as_pth = tmp_path / "weights.pth"
    torch.save({"state_dict": {f"module.{k}": v for k, v in load_file(path).items()}}, as_pth)
    assert load_clip(str(as_pth), image_size=(32, 16)).digest == small.digest
    state = load_file(path)
    state["visual.proj"][0, 0] += 1e-3
    save_file(state, path)
    assert load_clip(str(path), image_size=(32, 16)).digest != small.digest


def test_the_activation_is_part_of_the_digest(tmp_path: Path) -> None:
    path = saved(tmp_path, tiny_clip())
    before = load_clip(str(path), image_size=(32, 16)).digest
    document = json.loads(path.with_suffix(".json").read_text())
    document["model_cfg"]["quick_gelu"] = False
    path.with_suffix(".json").write_text(json.dumps(document))
    assert load_clip(str(path), image_size=(32, 16)).digest != before


def test_a_folder_as_downloaded_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path, tiny_clip())
    path.rename(tmp_path / "open_clip_model.safetensors")
    path.with_suffix(".json").rename(tmp_path / "open_clip_config.json")
    assert load_clip(str(tmp_path), image_size=(32, 16)).digest == tiny_clip().digest


def test_what_a_fine_tuned_encoder_has_cannot_be_saved_as_clip(tmp_path: Path) -> None:
    for geometry in ({"stride": 4}, {"sie_cameras": 2}):
        with pytest.raises(ValueError, match="fine-tuned"):
            saved(tmp_path, tiny_clip(**geometry))


# ---------------------------------------------------------------------------------------------------------------- names and mistakes
@pytest.mark.parametrize(
    ("spec", "what", "remedy"),
    [
        ("ViT-B-16", "names an architecture but no weights", "ViT-B-16:TAG"),
        ("ViT-B-17:openai", "no CLIP architecture or file 'ViT-B-17'", "ViT-B-1"),
        ("ViT-B-16:openia", "no pretrained tag 'openia'", "openai"),
        ("reidclip-tinny", "no CLIP architecture or file", ""),
        ("random:RN51", "'RN51'", "RN5"),
        ("random:RN50@x", "not a number", "random:ViT-B-16@7"),
        ("random:roberta-ViT-B-32", "its text tower is 'roberta-base' of Hugging Face's", "ViT-B-16:openai"),
        ("nowhere/weights.safetensors", "No weights at nowhere/weights.safetensors", "--clip"),
        ("nowhere/weights.bin::ViT-B-99", "'ViT-B-99'", "ViT-B-"),
    ],
)
def test_mistakes_in_a_spec(spec: str, what: str, remedy: str) -> None:
    with pytest.raises(UserError) as error:
        load_clip(spec)
    assert what in error.value.what
    assert remedy in error.value.remedy


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A hub that answers; the addresses that it was asked for."""
    asked: list[str] = []

    class Session:
        def head(self, url: str, timeout: float) -> None:
            assert timeout <= 10
            asked.append(url)

    monkeypatch.setattr(huggingface_hub, "get_session", Session)
    return asked


def test_openai_weights_get_the_activation_they_were_trained_with(monkeypatch: pytest.MonkeyPatch, hub: list[str]) -> None:
    monkeypatch.setattr(open_clip, "download_pretrained", lambda facts: "weights.safetensors")
    monkeypatch.setattr(sources, "read_weights", lambda path: {})
    for spec in ("ViT-B-16:openai", "ViT-B/16:openai", "ViT-B-16-quickgelu:openai"):
        source = sources.find(spec)
        assert (source.name, source.model["quick_gelu"]) == ("ViT-B-16-quickgelu", True)
    laion = sources.find("ViT-B-16:laion2b_s34b_b88k")
    assert (laion.name, laion.model.get("quick_gelu", False)) == ("ViT-B-16", False)


def test_weights_that_were_fetched_before_need_no_network(monkeypatch: pytest.MonkeyPatch, hub: list[str], tmp_path: Path) -> None:
    cached = tmp_path / "open_clip_model.safetensors"
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repository, file: str(cached) if file == cached.name else None)
    monkeypatch.setattr(sources, "read_weights", lambda path: {"path": path})
    assert sources.find("ViT-B-16:openai").state == {"path": cached}
    assert hub == []


def test_a_hub_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    class Session:
        def head(self, url: str, timeout: float) -> None:
            calls.append(url)
            raise ConnectionError("Name or service not known")

    monkeypatch.setattr(huggingface_hub, "get_session", Session)
    monkeypatch.setattr(open_clip, "download_pretrained", lambda facts: calls.append("download"))
    with pytest.raises(UserError, match=r"^ViT-B-16:openai is not on this machine and cannot be fetched \(Name or service not known\)"):
        sources.find("ViT-B-16:openai")
    assert calls == ["https://huggingface.co/timm/vit_base_patch16_clip_224.openai"]


def test_without_network_it_says_what_to_download(monkeypatch: pytest.MonkeyPatch, hub: list[str]) -> None:
    def refuse(facts: Any) -> str:
        raise FileNotFoundError("Failed to resolve host\nmore lines")

    monkeypatch.setattr(open_clip, "download_pretrained", refuse)
    with pytest.raises(UserError, match=r"cannot be fetched \(Failed to resolve host\)") as error:
        load_clip("ViT-B-16:openai")
    assert "https://huggingface.co/timm/vit_base_patch16_clip_224.openai" in error.value.remedy
    assert "::ViT-B-16-quickgelu" in error.value.remedy


def test_embedded_model_missing_from_the_installation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sources, "_WEIGHTS_FOLDER", tmp_path)
    with pytest.raises(UserError, match="reidclip-tiny is not in this installation"):
        load_clip("reidclip-tiny")


def test_embedded_model_is_read_from_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    saved(tmp_path, tiny_clip()).rename(tmp_path / "reidclip-tiny.safetensors")
    (tmp_path / "weights.json").rename(tmp_path / "reidclip-tiny.json")
    monkeypatch.setattr(sources, "_WEIGHTS_FOLDER", tmp_path)
    clip = load_clip("reidclip-tiny", image_size=(32, 16))
    assert (clip.name, clip.digest) == ("reidclip-tiny", tiny_clip().digest)


def test_a_loaded_clip_does_not_hang_on_its_file(tmp_path: Path) -> None:
    path = saved(tmp_path, tiny_clip())
    clip = load_clip(str(path), image_size=(32, 16))
    x = torch.randn(1, 3, 32, 16)
    before = clip.image_encoder(x).projected
    path.write_bytes(b"")
    assert torch.equal(clip.image_encoder(x).projected, before)


class Harmful:
    def __reduce__(self) -> Any:
        return (open, ("harm-was-done", "w"))


def test_files_that_would_run_code_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"visual.proj": Harmful()}, "pickled.pt")
    Path("old.pt").write_bytes(pickle.dumps({"visual.proj": Harmful()}))
    torch.jit.script(torch.nn.Linear(2, 2)).save("script.pt")
    for name, words in (
        ("pickled.pt", "holds io.open, not only tensors; nothing of it was run"),
        ("old.pt", "holds objects of Python, not only tensors; nothing of it was run"),
        ("script.pt", "TorchScript archive"),
    ):
        with pytest.raises(UserError, match=words):
            load_clip(name)
    assert not Path("harm-was-done").exists()


def test_broken_and_foreign_files(tmp_path: Path) -> None:
    cut = saved(tmp_path, tiny_clip())
    cut.write_bytes(cut.read_bytes()[:1000])
    other = tmp_path / "other.safetensors"
    save_file({"encoder.weight": torch.zeros(2)}, other)
    listed = tmp_path / "list.pth"
    torch.save([torch.zeros(2)], listed)
    for path, words in ((cut, "cannot be read"), (other, "holds no CLIP .* .found encoder.weight"), (listed, "holds a list")):
        with pytest.raises(UserError, match=words) as error:
            load_clip(str(path))
        assert str(path) in error.value.what


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("ln_final.bias"), "ln_final.bias is missing"),
        (lambda s: s.update(extra=torch.zeros(1)), "extra is not part of it"),
        (lambda s: s.update({"visual.proj": torch.zeros(16, 13)}), r"visual.proj is \(16, 13\), not \(16, 12\)"),
    ],
)
def test_weights_that_do_not_fit_their_configuration(tmp_path: Path, change: Any, words: str) -> None:
    path = saved(tmp_path, tiny_clip())
    state = load_file(path)
    change(state)
    save_file(state, path)
    with pytest.raises(UserError, match=words):
        load_clip(str(path), image_size=(32, 16))


@pytest.mark.parametrize(
    ("text", "words"), [("{", "as JSON"), ('{"model_cfg": {"embed_dim": 3}}', "no model configuration"), ("3", "no model configuration")]
)
def test_broken_configuration_beside_the_weights(tmp_path: Path, text: str, words: str) -> None:
    path = saved(tmp_path, tiny_clip())
    path.with_suffix(".json").write_text(text)
    with pytest.raises(UserError, match=words):
        load_clip(str(path))


def test_a_configuration_that_open_clip_cannot_build(tmp_path: Path) -> None:
    wrong = {**TINY_VIT, "vision_cfg": {**TINY_VIT["vision_cfg"], "colour": 3}}
    with pytest.raises(UserError, match="colour"):
        load_clip(f"random:{config_file(tmp_path, wrong)}")


# -------------------------------------------------------------------------------------------------------- recognising an architecture
def shapes_of(name: str) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return dict(build_towers(open_clip.get_model_config(name)).state_dict())


@pytest.mark.parametrize("name", ["ViT-S-16", "ViT-L-16-320", "ViT-B-32-256", "RN50", "ViT-B-16-plus-240"])
def test_an_architecture_is_known_by_its_shapes(name: str) -> None:
    state = shapes_of(name)
    twins = [other for other in supported_names() if other == f"{name}-quickgelu"]
    if twins:
        with pytest.raises(UserError, match=f"fits {name} and {name}-quickgelu") as error:
            recognise(Path("weights.pt"), state)
        assert f"weights.pt::{name}-quickgelu" in error.value.remedy
    else:
        assert recognise(Path("weights.pt"), state) == name


def test_the_files_name_may_tell_the_activation() -> None:
    assert recognise(Path("ViT-B-16-openai.bin"), shapes_of("ViT-B-16")) == "ViT-B-16-quickgelu"


def test_unknown_shapes_ask_for_a_configuration() -> None:
    with torch.device("meta"):
        state = dict(build_towers(TINY_VIT).state_dict())
    with pytest.raises(UserError, match="fits no architecture") as error:
        recognise(Path("mine.pt"), state)
    assert "mine.json" in error.value.remedy


def test_supported_architectures_are_all_but_those_with_a_text_tower_of_hugging_faces() -> None:
    names = set(supported_names())
    assert {"ViT-B-16", "RN101-quickgelu", "ViT-B-16-SigLIP", "convnext_base", "coca_ViT-B-32", "ViT-H-14-CLIPA", "MobileCLIP-S1"} <= names
    for name in set(open_clip.list_models()) - names:
        with pytest.raises(UserError, match=f"'{name}' cannot be used here: its text tower is .* of Hugging Face's"):
            check_supported(name, open_clip.get_model_config(name))
