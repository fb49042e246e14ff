"""reidclip import: what is read, what the artifact says, what evaluate makes of it, and what is refused. Numbers: tests/parity."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from reidclip.artifacts.store import Artifact, Store
from reidclip.clip.architecture import encoder_config
from reidclip.clip.heads import ReidHeads, published_key
from reidclip.clip.image_encoder import make_image_encoder
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from tests.fakes import write_prcc, write_tiny_clip

MODEL = {"embed_dim": 12, "quick_gelu": True, "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "patch_size": 16}}
RESNET = {"embed_dim": 12, "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 64}}
IDENTITIES = 7


@dataclass(frozen=True)
class Outcome:
    exit: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """The command line in this process, through its error boundary, with the store ``tmp_path/artifacts``."""
    from reidclip.cli.app import main

    monkeypatch.setenv("REIDCLIP_STORE", str(tmp_path / "artifacts"))

    def call(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["reidclip", *(str(w) for w in words)])
        code: Any = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return Outcome(code or 0, told.out, " ".join(told.err.split()))

    return call


def imported(run: Run, path: Path, *words: object) -> tuple[Artifact, dict[str, Any]]:
    done = run("import", path, *words, "--json", "-q")
    assert done.exit == 0, done.err
    told = json.loads(done.out)
    return Store(Path(told["path"]).parents[2]).open(told["artifact"], kind="checkpoint"), told


def trained(model: Mapping[str, Any] = MODEL, seed: int = 0, **geometry: Any) -> tuple[InferenceEncoder, dict[str, Tensor]]:
    """A small encoder of CLIP-ReID's, and its state dict by the published program's names."""
    torch.manual_seed(seed)
    tower = make_image_encoder(encoder_config(model, geometry.pop("image_size", (256, 128)), **geometry))
    heads = ReidHeads(tower.pooled_width, tower.joint_width, IDENTITIES)
    for head in (heads.pooled, heads.projected):
        head.bottleneck.running_mean = torch.randn(head.bottleneck.num_features)
    options = InferenceOptions() if not tower.config.is_resnet else InferenceOptions((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    state = {f"image_encoder.{key}": value for key, value in tower.state_dict().items()}
    state |= {published_key(key): value for key, value in heads.state_dict().items()}
    if "image_encoder.camera_embedding" in state:
        state["cv_embed"] = state.pop("image_encoder.camera_embedding")
    state["prompt_learner.cls_ctx"] = torch.zeros(IDENTITIES, 4, 16)
    state["text_encoder.ln_final.weight"] = torch.zeros(16)
    return InferenceEncoder(tower, replace(options, neck="after"), heads).eval(), state


def written(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def pictures(size: tuple[int, int] = (256, 128)) -> Tensor:
    return torch.randn(3, 3, *size, generator=torch.Generator().manual_seed(5))


def assert_same_features(artifact: Artifact, expected: InferenceEncoder, camera: Tensor | None = None) -> None:
    encoder, x = InferenceEncoder.load(artifact.path), pictures(expected.image_encoder.config.image_size)
    expected.options = replace(expected.options, neck=encoder.options.neck)
    assert encoder.options == expected.options
    torch.testing.assert_close(encoder.features(x, camera), expected.features(x, camera))


# ------------------------------------------------------------------------------------------------------------- CLIP-ReID
def test_the_manifest_says_what_it_was_and_how_features_are_made(run: Run, tmp_path: Path) -> None:
    _, state = trained()
    path = written(tmp_path / "ViT-B-16_60.pth", state)
    artifact, told = imported(run, path)
    data, manifest = path.read_bytes(), artifact.manifest
    assert manifest.config["source"] == {"file": "ViT-B-16_60.pth", "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    assert (manifest.config["kind"], manifest.config["identities"], manifest.method) == ("clipreid", IDENTITIES, "CLIP-ReID (imported)")
    assert (manifest.name, manifest.kind, manifest.dataset) == ("clipreid-ViT-B-16_60", "checkpoint", None)
    assert manifest.config["feature"] == {
        "width": 64 + 12,
        "neck": "before",
        "flip": False,
        "normalised": True,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "resize": "bilinear",
    }
    assert told["identities"] == IDENTITIES and told["size"] == [256, 128] and told["source"] == manifest.config["source"]
    assert any("--size" in note for note in manifest.notes)
    assert Store(tmp_path / "artifacts").verify(artifact) == []


@pytest.mark.parametrize("neck", ["before", "after"])
@pytest.mark.parametrize(
    ("model", "geometry"),
    [
        (MODEL, {}),
        (MODEL, {"stride": 12}),
        (MODEL, {"image_size": (256, 256)}),
        (MODEL, {"image_size": (384, 128)}),
        (MODEL, {"sie_cameras": 3}),
        (RESNET, {}),
        (RESNET, {"image_size": (256, 256)}),
    ],
    ids=["vit", "overlap", "vehicles", "tall", "cameras", "resnet", "resnet-vehicles"],
)
def test_clipreid_features_are_those_it_was_saved_with(run: Run, tmp_path: Path, model: Any, geometry: dict[str, Any], neck: str) -> None:
    encoder, state = trained(model, **geometry)
    artifact, _ = imported(run, written(tmp_path / "x.pth", state), "--neck", neck)
    assert InferenceEncoder.load(artifact.path).image_encoder.config.stride == geometry.get("stride", 16)
    assert_same_features(artifact, encoder, torch.tensor([2, 0, 1]))


def test_the_factor_of_the_camera_embedding_can_be_told(run: Run, tmp_path: Path) -> None:
    encoder, state = trained(sie_cameras=3, sie_coefficient=3.0)
    path = written(tmp_path / "x.pth", state)
    assert "--sie-coefficient" in " ".join(imported(run, path)[1]["notes"])
    artifact, told = imported(run, path, "--sie-coefficient", 3)
    assert (told["cameras"], artifact.version) == (3, 2)
    assert "--sie-coefficient" not in " ".join(told["notes"])
    assert_same_features(artifact, encoder, torch.tensor([2, 0, 1]))


def on_several_gpus(state: dict[str, Tensor], folder: Path) -> Path:
    return written(folder / "x.pth", {f"module.{key}": value for key, value in state.items()})


def nested(state: dict[str, Tensor], folder: Path) -> Path:
    beside = {"epoch": 60, "rank1": np.float64(0.9), "mAP": np.float32(0.5), "optimizer": {"state": {}, "param_groups": []}}
    return written(folder / "x.pth.tar", {"state_dict": state, **beside})


def old_format(state: dict[str, Tensor], folder: Path) -> Path:
    torch.save(state, folder / "x.pth", _use_new_zipfile_serialization=False)
    return folder / "x.pth"


def half(state: dict[str, Tensor], folder: Path) -> Path:
    return written(folder / "x.pth", {key: value.half() if value.is_floating_point() else value for key, value in state.items()})


def as_safetensors(state: dict[str, Tensor], folder: Path) -> Path:
    save_file(state, folder / "x.ckpt")  # known by its content, whatever its name
    return folder / "x.ckpt"


@pytest.mark.parametrize("write", [on_several_gpus, nested, old_format, half, as_safetensors], ids=lambda f: f.__name__)
def test_other_ways_to_save_the_same_weights(run: Run, tmp_path: Path, write: Callable[[dict[str, Tensor], Path], Path]) -> None:
    encoder, state = trained()
    if write is half:
        encoder.load_state_dict(
            {key: value.half().float() if value.is_floating_point() else value for key, value in encoder.state_dict().items()}
        )
    artifact, told = imported(run, write(state, tmp_path), "--kind", "clipreid")
    assert told["identities"] == IDENTITIES
    assert_same_features(artifact, encoder)


def test_later_changes_of_the_file_do_not_reach_the_artifact(run: Run, tmp_path: Path) -> None:
    encoder, state = trained()
    path = written(tmp_path / "x.pth", state)
    artifact, _ = imported(run, path)
    path.write_bytes(b"gone")
    assert_same_features(artifact, encoder)


def test_evaluate_takes_an_imported_checkpoint(run: Run, tmp_path: Path) -> None:
    _, state = trained()
    data = write_prcc(tmp_path / "prcc")
    artifact, _ = imported(run, written(tmp_path / "x.pth", state))
    done = run("evaluate", data, "--workers", 0, "--set", "resamples=0", "--json")
    assert done.exit == 0, done.err
    evaluation = Store(tmp_path / "artifacts").open(json.loads(done.out)["artifact"], kind="evaluation")
    assert [(i.role, i.ref, i.digest) for i in evaluation.manifest.inputs] == [("checkpoint", artifact.ref, artifact.digest)]
    assert evaluation.manifest.method == "CLIP-ReID (imported)"
    assert evaluation.manifest.config["feature"]["width"] == 64 + 12


# ----------------------------------------------------------------------------------------------------- CLIP, CCReID, SCHP
def test_an_imported_clip_is_evaluated_like_the_clip_itself(run: Run, tmp_path: Path) -> None:
    data, path = write_prcc(tmp_path / "prcc"), write_tiny_clip(tmp_path / "tiny.safetensors")
    _, told = imported(run, path, "--kind", "clip")
    assert (told["imported"], told["identities"], told["size"]) == ("clip", None, [256, 128])
    few = ("--workers", 0, "--set", "resamples=0", "--json")
    here = json.loads(run("evaluate", data, *few).out)
    plain = json.loads(run("evaluate", data, "--zero-shot", "--clip", path, *few).out)
    shares = ("R1", "R5", "R10", "R20", "mAP", "mINP", "valid", "rule")  # beside them stands what each was trained on
    assert [[row[name] for name in shares] for row in here["metrics"].values()] == [
        [row[name] for name in shares] for row in plain["metrics"].values()
    ]
    features = [(Path(told["path"]) / "features.safetensors").read_bytes() for told in (here, plain)]
    assert features[0] == features[1]


def test_the_architecture_of_a_clip_can_be_named_and_must_fit(run: Run, tmp_path: Path) -> None:
    path = write_tiny_clip(tmp_path / "tiny.safetensors")
    assert "are not" in run("import", f"{path}::ViT-B-16").err
    assert run("import", f"{path}::ViT-B-16").exit == 2
    _, state = trained()
    other = written(tmp_path / "x.pth", state)
    assert "names the architecture of a CLIP" in run("import", f"{other}::ViT-B-16").err
    assert "has no BatchNorm" in run("import", path, "--neck", "after").err
    assert "Rename it" in run("import", path.rename(tmp_path / "tiny.ckpt")).err


def ccreid_state(width: int = 4096) -> dict[str, Tensor]:
    with torch.device("meta"):
        net = torchvision.models.resnet50()
    modules = {f"base.{place}": module for place, module in enumerate(list(net.children())[:-2])} | {"bn": nn.BatchNorm1d(width)}
    numbers = torch.tensor([0.02])
    return {
        f"{name}.{key}": numbers.expand(value.shape) if value.is_floating_point() else torch.tensor(0)
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }


def test_a_simple_ccreid_checkpoint_is_evaluated_as_published(run: Run, tmp_path: Path) -> None:
    content = {"model_state_dict": ccreid_state(), "classifier_state_dict": {"classifier.weight": torch.zeros(150, 4096)}, "epoch": 59}
    artifact, told = imported(run, written(tmp_path / "best_model.pth.tar", content), "--size", "96x48")
    assert (told["imported"], told["identities"], told["feature"]["flip"], told["feature"]["neck"]) == ("simple-ccreid", 150, True, "after")
    assert (told["feature"]["mean"], told["feature"]["width"], artifact.name) == ([0.485, 0.456, 0.406], 4096, "simple-ccreid-best_model")
    done = run("evaluate", write_prcc(tmp_path / "prcc"), "--workers", 0, "--set", "resamples=0", "--json")
    assert done.exit == 0, done.err
    evaluation = Store(tmp_path / "artifacts").open(json.loads(done.out)["artifact"], kind="evaluation")
    assert evaluation.manifest.config["feature"]["flip"] is True


def test_pooling_that_the_weights_do_not_tell_is_asked_for(run: Run, tmp_path: Path) -> None:
    path = written(tmp_path / "x.pth", ccreid_state(2048))
    refused = run("import", path)
    assert (refused.exit, "--pooling" in refused.err) == (2, True)
    assert imported(run, path, "--pooling", "avg")[1]["feature"]["width"] == 2048
    videos = {**ccreid_state(), "base.0.weight": torch.zeros(64, 3, 1, 7, 7)}
    assert "network for videos" in run("import", written(tmp_path / "v.pth", videos)).err


def test_a_human_parser_is_checked_and_kept_for_parse(run: Run, tmp_path: Path) -> None:
    from reidclip import registry
    from tests.plugins.schp_fixtures import flat_state

    artifact, told = imported(run, written(tmp_path / "exp-schp-lip.pth", {"state_dict": flat_state()}))
    assert (told["imported"], told["holds"], len(told["labels"])) == ("schp", "parser", 20)
    parser = registry.get("reidclip.parsers", "schp")
    session = parser.open(parser.settings(weights=artifact.file("parser.safetensors")), torch.device("cpu"))
    assert list(session.labels) == told["labels"]
    refused = run("evaluate", write_prcc(tmp_path / "prcc"))  # it is no encoder, so there is nothing to evaluate
    assert (refused.exit, "There is no checkpoint" in refused.err) == (2, True)


# ------------------------------------------------------------------------------------------------------------ what is refused
def keys(*names: str) -> Callable[[Path], Path]:
    return lambda folder: written(folder / "x.pth", {name: torch.zeros(2) for name in names})


def raw(data: bytes, name: str = "x.pth") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return write


def archive(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "x.pth", "w") as file:
        file.writestr("readme.txt", "hello")
    return folder / "x.pth"


def tar(folder: Path) -> Path:
    with tarfile.open(folder / "x.pth.tar", "w") as file:
        file.addfile(tarfile.TarInfo("a.txt"), io.BytesIO())
    return folder / "x.pth.tar"


def picture(folder: Path) -> Path:
    Image.new("RGB", (4, 4)).save(folder / "x.png")
    return folder / "x.png"


def torchscript(folder: Path) -> Path:
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), folder / "ViT-B-16.pt")
    return folder / "ViT-B-16.pt"


def cut(folder: Path) -> Path:
    path = written(folder / "x.pth", trained()[1])
    path.write_bytes(path.read_bytes()[:-2000])
    return path


def cut_safetensors(folder: Path) -> Path:
    save_file(trained()[1], folder / "x.safetensors")
    (folder / "x.safetensors").write_bytes((folder / "x.safetensors").read_bytes()[:-2000])
    return folder / "x.safetensors"


def changed(**changes: Tensor | None) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        state = {**trained()[1], **{key.replace("__", "."): value for key, value in changes.items()}}
        return written(folder / "x.pth", {key: value for key, value in state.items() if value is not None})

    return write


def own_encoder(folder: Path) -> Path:
    trained()[0].save(folder)
    return folder / "encoder.safetensors"


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "none.pth", "There is no file at"),
    "folder": (lambda folder: folder, "There is a folder at"),
    "empty": (raw(b""), "is empty, not a file of weights"),
    "web-page": (raw(b"<!DOCTYPE html><html>Sign in</html>"), "a web page: a download that failed"),
    "lfs-pointer": (raw(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"), "a Git LFS pointer"),
    "json": (raw(b'{"embed_dim": 512}'), "is JSON, not"),
    "text": (raw(b"epoch 1, loss 2\n"), "is a text, not"),
    "picture": (picture, "is a picture, not"),
    "numpy": (raw(b"\x93NUMPY\x01\x00"), "a numpy array"),
    "noise": (raw(bytes(range(128, 256)) * 8), "is not a file of weights, or is cut off or damaged (1,024 bytes)"),
    "zip": (archive, "a zip archive of other files (readme.txt)"),
    "tar": (tar, "a tar archive"),
    "torchscript": (torchscript, "a TorchScript archive"),
    "cut-off": (cut, "is cut off or damaged"),
    "cut-off-safetensors": (cut_safetensors, "is no readable safetensors file, or is damaged"),
    "list": (lambda folder: written(folder / "x.pth", [torch.zeros(2)]), "holds a list and no named weights"),
    "no-tensors": (lambda folder: written(folder / "x.pth", {"epoch": 3}), "holds no weights (keys: epoch)"),
    "transformers": (keys("vision_model.embeddings.class_embedding"), "looks like CLIP in the naming of Hugging Face's transformers"),
    "timm": (keys("cls_token", "blocks.0.norm1.weight"), "looks like a ViT in timm's naming"),
    "transreid": (keys("base.cls_token"), "looks like TransReID"),
    "torchvision": (keys("conv1.weight", "layer1.0.conv1.weight"), "looks like a ResNet in torchvision's naming"),
    "fast-reid": (keys("backbone.conv1.weight", "heads.weight"), "looks like a ResNet inside another program"),
    "stage-1": (keys("prompt_learner.cls_ctx"), "looks like learned prompts"),
    "unknown": (keys("a.weight", "b.weight"), "Its keys (a.weight, b.weight) are not those of any program known here"),
    "own-encoder": (own_encoder, "looks like an encoder without classifiers; those that this toolkit wrote need no import"),
    "not-finite": (changed(image_encoder__proj=torch.full((64, 12), float("nan"))), "not finite; the first is image_encoder.proj"),
    "wrong-shape": (changed(image_encoder__ln_pre__weight=torch.zeros(3)), "image_encoder.ln_pre.weight is (3,), not (64,)"),
    "weight-missing": (changed(image_encoder__ln_pre__weight=None), "image_encoder.ln_pre.weight is missing (1 difference)"),
    "weight-too-many": (changed(image_encoder__extra=torch.zeros(3)), "image_encoder.extra is not part of it"),
    "odd-positions": (changed(image_encoder__positional_embedding=torch.zeros(8, 64)), "no usual input size and stride"),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize(("write", "words"), REFUSED.values(), ids=REFUSED)
def test_other_files_are_refused_and_named(run: Run, tmp_path: Path, write: Callable[[Path], Path], words: str) -> None:
    path = write(tmp_path)
    done = run("import", path)
    assert done.exit == 2
    assert words in done.err, done.err
    assert str(path) in done.err
    assert done.out == ""
    assert done.err.rstrip().endswith(".") and len(done.err.split(words)[1]) > 30, "it says what to do"
    assert not (tmp_path / "artifacts").exists(), "nothing is written for a file that is refused"


class Trap:
    """Unpickled by an ordinary reader it makes a folder."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.sentinel),)


def trapped_whole(trap: Trap, path: Path) -> None:
    torch.save(trap, path)


def trapped_beside_weights(trap: Trap, path: Path) -> None:
    torch.save({"state_dict": trained()[1], "epoch": trap}, path)


def trapped_among_weights(trap: Trap, path: Path) -> None:
    torch.save({**trained()[1], "classifier.bias": trap}, path)


def trapped_old_format(trap: Trap, path: Path) -> None:
    torch.save({"state_dict": trained()[1], "epoch": trap}, path, _use_new_zipfile_serialization=False)


def trapped_bare_pickle(trap: Trap, path: Path) -> None:
    path.write_bytes(pickle.dumps({"state_dict": {}, "epoch": trap}))


@pytest.mark.parametrize("name", ["x.pth", "x.bin", "x.pth.tar", "no-suffix"])
@pytest.mark.parametrize(
    "write",
    [trapped_whole, trapped_beside_weights, trapped_among_weights, trapped_old_format, trapped_bare_pickle],
    ids=lambda f: f.__name__,
)
def test_nothing_in_a_file_is_run(run: Run, tmp_path: Path, write: Callable[[Trap, Path], None], name: str) -> None:
    path, sentinel = tmp_path / name, tmp_path / "it-ran"
    write(Trap(sentinel), path)
    for kind in ("auto", "clipreid", "clip", "schp", "simple-ccreid"):
        done = run("import", path, "--kind", kind)
        assert done.exit == 2
        assert "nothing in it was run" in done.err and str(path) in done.err
    assert not sentinel.exists()
    if write is trapped_whole:
        torch.load(path, weights_only=False)
        assert sentinel.exists(), "the trap works, so the test would see it"


def test_a_pickled_model_is_told_from_a_state_dict(run: Run, tmp_path: Path) -> None:
    done = run("import", written(tmp_path / "x.pth", nn.Linear(2, 2)))
    assert "holds an object of Python (torch.nn.modules.linear.Linear)" in done.err
    assert "state_dict()" in done.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--kind", "schp"], "looks like a CLIP-ReID checkpoint, not an SCHP human parser"),
        (["--kind", "clip-reid"], "Did you mean 'clipreid'?"),
        (["--size", "256"], "'256' is no input size"),
        (["--size", "256x256"], "which 256x256 does not give"),
        (["--stride", "12"], "which stride 12 does not give"),
        (["--size", "64x32", "--stride", "8"], "which 64x32 at stride 8 does not give"),
        (["--name", "a/b"], "cannot be an artifact name"),
    ],
)
def test_mistaken_options_are_told(run: Run, tmp_path: Path, words: list[str], told: str) -> None:
    done = run("import", written(tmp_path / "x.pth", trained()[1]), *words)
    assert (done.exit, told in done.err) == (2, True), done.err
    assert not list((tmp_path / "artifacts").rglob("manifest.json"))


# ---------------------------------------------------------------------------------------------------------------- what is told
def test_dry_run_tells_everything_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    path = written(tmp_path / "x.pth", trained()[1])
    done = run("import", path, "--dry-run")
    plan = json.loads(done.out)
    assert (plan["kind"], plan["writes"], plan["source"]["file"]) == ("clipreid", "checkpoint/clipreid-x", "x.pth")
    assert not (tmp_path / "artifacts").exists()


def test_one_line_says_what_was_imported(run: Run, tmp_path: Path) -> None:
    done = run("import", written(tmp_path / "x.pth", trained()[1]), "--name", "theirs")
    assert "CLIP-ReID (imported): ViT, 2 layers of width 64, patch 16, 256x128 at stride 16, trained on 7 identities" in done.out
    assert "wrote checkpoint/theirs@v1" in done.out
    assert "note: Input 256x128 at stride 16" in done.err
