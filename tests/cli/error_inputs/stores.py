"""Artifacts and stores at fault: damaged, changed, of another kind, of other data, made by other versions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from reidclip.artifacts.manifest import InputRef
from reidclip.artifacts.store import Store
from reidclip.stages import train_job
from tests.cli.error_inputs.place import Place
from tests.cli.error_inputs.weights import Payload, pickled


def store_is_a_file(place: Place, argument: str) -> Path:
    """A file where the store should be."""
    place.store.write_text("not a folder\n")
    return place.store


def kind_is_a_file(place: Place, argument: str) -> Path:
    """A file where the store keeps one kind of artifacts."""
    place.store.mkdir(exist_ok=True)
    (place.store / argument).write_text("not a folder\n")
    return place.store / argument


def manifest(place: Place, argument: str) -> Path:
    """``manifest:CHANGE:KIND/NAME``: version 1's manifest is damaged as `_MANIFESTS` says."""
    change, _, ref = argument.partition(":")
    path = place.store / ref / "v0001/manifest.json"
    _MANIFESTS[change](path)
    return path


def other_manifest(place: Place, argument: str) -> None:
    """``other_manifest:CHANGE:KIND/NAME``: the manifest is whole, but says something else than it did."""
    manifest(place, argument)


def payload_missing(place: Place, argument: str) -> Path:
    """One payload file is gone: ``payload_missing:KIND/NAME/v0001/FILE``."""
    path = place.store / argument
    path.unlink()
    return path


def payload_changed(place: Place, argument: str) -> Path:
    """One payload file was touched up by hand."""
    path = place.store / argument
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    return path


def payload_is_code(place: Place, argument: str) -> Path:
    """A pickle with code in it was put in the place of a payload file."""
    path = place.store / argument
    path.write_bytes(pickled({"state_dict": Payload(place.sentinel)}))
    return path


def encoder(place: Place, argument: str) -> Path:
    """``encoder:CHANGE``: a checkpoint artifact with whole digests whose encoder is at fault, as `_ENCODERS` says."""
    whole = Path(place.store / "checkpoint/c/v0001")
    with Store(place.store).create("checkpoint", "odd") as draft:
        for name in ("encoder.safetensors", "encoder.json"):
            shutil.copy(whole / name, draft.path / name)
        at_fault = _ENCODERS[argument](draft.path, place)
        draft.describe(method="baseline", plugin_version="1", dataset=Store(place.store).open("c").manifest.dataset, config={})
    return draft.artifact.path / at_fault


def prompts_of(place: Place, argument: str) -> Path | None:
    """``prompts_of:CHANGE``: a prompts artifact with whole digests that does not fit, as `_PROMPTS` says."""
    whole = place.store / "prompts/t/v0001"
    source = Store(place.store).open("prompts/t")
    with Store(place.store).create("prompts", "odd") as draft:
        for name in ("prompts.safetensors", "labels.json"):
            shutil.copy(whole / name, draft.path / name)
        at_fault = _PROMPTS[argument](draft.path)
        manifest = source.manifest
        draft.describe(
            method=manifest.method, plugin_version=manifest.plugin_version, dataset=manifest.dataset, config=manifest.config, seed=0
        )
    return draft.artifact.path / at_fault if at_fault else None


def removed_version(place: Place, argument: str) -> None:
    """A version that `artifacts rm` took."""
    store = Store(place.store)
    store.remove(store.open(argument))


def left_over(place: Place, argument: str) -> None:
    """What a killed writer leaves."""
    folder = place.store / "masks/m/.tmp-999999-abc"
    folder.mkdir(parents=True)
    (folder / "half.png").write_bytes(b"x")


def used_artifact(place: Place, argument: str) -> None:
    """An evaluation that was made from checkpoint/c@v1."""
    store = Store(place.store)
    source = store.open("checkpoint/c")
    with store.create("evaluation", "e") as draft:
        draft.write("metrics.json", b"{}\n")
        draft.describe(inputs=[InputRef.of(source, role="checkpoint")], dataset=source.manifest.dataset, config={})


def shape_evaluation(place: Place, argument: str) -> None:
    """An evaluation of 3D bodies called bodies."""
    with Store(place.store).create("evaluation", "bodies") as draft:
        draft.write("metrics.json", b"{}\n")
        draft.describe(config={"command": "evaluate", "task": "shape"})


def features_of_others(place: Place, argument: str) -> Path:
    """evaluation/odd@v1, whole, whose paths are fewer than its features."""
    whole = Store(place.store).open("evaluation/e")
    with Store(place.store).create("evaluation", "odd") as draft:
        for name in whole.files:
            shutil.copyfile(whole.path / name, draft.path / name)
        (draft.path / "paths.json").write_text(json.dumps(json.loads((whole.path / "paths.json").read_text())[1:]))
        draft.describe(config=whole.manifest.config, dataset=whole.manifest.dataset)
    return draft.artifact.path / "features.safetensors"


def a_file(place: Place, argument: str) -> Path:
    """A file of that name, which is somebody's."""
    (place.root / argument).write_text("mine\n")
    return place.root / argument


def same_name_twice(place: Place, argument: str) -> None:
    """Two kinds of artifacts called t."""
    with Store(place.store).create("evaluation", "t") as draft:
        draft.write("metrics.json", b"{}\n")
        draft.describe(config={})


def unfinished_run(place: Place, argument: str) -> Path:
    """``unfinished_run:TEXT``: every state that a training begins from is the text."""

    def run_folder(job: Any) -> Path:
        folder: Path = original(job)
        (folder / "stage-0.safetensors").write_text(argument)
        return folder

    original = train_job.TrainJob.run_folder
    place.patch.setattr(train_job.TrainJob, "run_folder", run_folder)
    return Path("stage-0.safetensors")


# --------------------------------------------------------------------------------------------------------------- changes
def _edit(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return edit


_MANIFESTS: dict[str, Callable[[Path], object]] = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut_off": lambda path: path.write_text(path.read_text()[:100]),
    "a_list": lambda path: path.write_text("[]"),
    "newer": _edit(lambda m: m.update(schema_version=99, toolkit_version="9.0.0")),
    "no_schema": _edit(lambda m: m.pop("schema_version")),
    "wrong_type": _edit(lambda m: m.update(payload="many")),
    "unknown_key": _edit(lambda m: m.update(comment="mine")),
    "data_moved": _edit(lambda m: m["dataset"].update(root="/nowhere/prcc")),
    "other_method": _edit(lambda m: m.update(method="no-such-method")),
}


def _write(name: str, data: Callable[[Place], bytes]) -> Callable[[Path, Place], str]:
    def write(folder: Path, place: Place) -> str:
        (folder / name).write_bytes(data(place))
        return name

    return write


def _nan(folder: Path, place: Place) -> str:
    tensors = load_file(folder / "encoder.safetensors")
    for value in tensors.values():
        if value.is_floating_point():
            value.view(-1)[0] = float("nan")
    (folder / "encoder.safetensors").unlink()
    save_file(tensors, folder / "encoder.safetensors")
    return "encoder.safetensors"


def _other_keys(folder: Path, place: Place) -> str:
    save_file({"backbone.weight": torch.zeros(2, 2)}, folder / "encoder.safetensors")
    return "encoder.safetensors"


def _configuration(**changes: Any) -> Callable[[Path, Place], str]:
    def change(folder: Path, place: Place) -> str:
        document = {**json.loads((folder / "encoder.json").read_text()), **changes}
        (folder / "encoder.json").write_text(json.dumps(document))
        return "encoder.json"

    return change


def _without_configuration(folder: Path, place: Place) -> str:
    (folder / "encoder.json").unlink()
    return "encoder.json"


_ENCODERS: dict[str, Callable[[Path, Place], str]] = {
    "nan": _nan,
    "other_keys": _other_keys,
    "pickle": _write("encoder.safetensors", lambda place: pickled({"state_dict": Payload(place.sentinel)})),
    "text": _write("encoder.safetensors", lambda place: b"weights\n"),
    "no_configuration": _without_configuration,
    "configuration_text": _write("encoder.json", lambda place: b"{"),
    "newer_format": _configuration(format=7),
    "configuration_wrong": _configuration(encoder={"width": "wide"}),
}


def _prompts_without(key: str) -> Callable[[Path], str]:
    def change(folder: Path) -> str:
        document = json.loads((folder / "labels.json").read_text())
        document.pop(key)
        (folder / "labels.json").write_text(json.dumps(document))
        return "labels.json"

    return change


def _prompts_other_identities(folder: Path) -> str:
    document = json.loads((folder / "labels.json").read_text())
    document["pids"] = document["pids"][::-1]
    (folder / "labels.json").write_text(json.dumps(document))
    return ""


def _prompts_other_tensors(folder: Path) -> str:
    (folder / "prompts.safetensors").unlink()
    save_file({"something": torch.zeros(2, 2)}, folder / "prompts.safetensors")
    return ""


def _prompts_text(folder: Path) -> str:
    (folder / "prompts.safetensors").write_text("tensors\n")
    return "prompts.safetensors"


_PROMPTS: dict[str, Callable[[Path], str]] = {
    "no_digest": _prompts_without("clip_digest"),
    "other_identities": _prompts_other_identities,
    "other_tensors": _prompts_other_tensors,
    "text": _prompts_text,
}

BUILDERS = (
    store_is_a_file,
    kind_is_a_file,
    manifest,
    other_manifest,
    payload_missing,
    payload_changed,
    payload_is_code,
    encoder,
    prompts_of,
    removed_version,
    left_over,
    used_artifact,
    shape_evaluation,
    features_of_others,
    a_file,
    same_name_twice,
    unfinished_run,
)
