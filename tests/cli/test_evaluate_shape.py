"""evaluate --task shape as a user runs it: on four rendered bodies, two of them held out, by a small student with random weights."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file

from reidclip.artifacts.manifest import DatasetRef
from reidclip.artifacts.store import Artifact, Store
from reidclip.bodies.body_table import table_of, write_bodies
from reidclip.bodies.mesh_files import read_mesh
from reidclip.bodies.mesh_set import MeshSet, open_meshes
from reidclip.bodies.phrases import MEASURES, REPORTED
from reidclip.bodies.shape_head import SHAPE_FILE, ShapeHead
from reidclip.bodies.spec import open_body
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.clip.load import load_clip
from reidclip.clip.student import make_student
from reidclip.data.images import read_picture
from reidclip.data.layouts.prcc import LAYOUT
from reidclip.data.loader import ImageSource, fetch
from reidclip.data.transforms import Transform, finish
from reidclip.records import Sample
from reidclip.stages.synth_meshes import synth_meshes
from tests.cli.in_process import CommandLine
from tests.fakes import write_prcc

SIZE = (64, 32)
WIDTH = 24
FAST = ("--workers", 0, "--device", "cpu", "--set", "surface_samples=300", "--set", "resamples=50")


@pytest.fixture(scope="module")
def meshes(tmp_path_factory: pytest.TempPathFactory) -> MeshSet:
    """Bodies 1 and 2 for training, 3 and 4 held out, two pictures each."""
    out = tmp_path_factory.mktemp("shape") / "meshes"
    synth_meshes(out, ids=4, test_ids=2, poses=2, size=SIZE, seed=3)
    return open_meshes(out)


@pytest.fixture(scope="module")
def encoder() -> InferenceEncoder:
    torch.manual_seed(0)
    student = make_student(load_clip("random:timm:test_resnet", image_size=SIZE).image_encoder, WIDTH)
    neck = torch.nn.BatchNorm1d(WIDTH)
    torch.nn.init.normal_(neck.running_mean)  # a head behind it would read other features
    return InferenceEncoder(student, InferenceOptions(neck="after"), neck).eval()


@dataclasses.dataclass
class Place:
    """A store with checkpoints as distill leaves them, and the command."""

    store: Store
    meshes: MeshSet
    encoder: InferenceEncoder
    command: CommandLine

    def head(self, **changes: Any) -> ShapeHead:
        """One that predicts the mean body of everybody."""
        rows = sorted({sample.pid - 1 for sample in self.meshes.dataset.split("train")})
        told = {"body": self.meshes.table.body, "version": self.meshes.table.version, **changes}
        return ShapeHead.of_bodies(told.pop("width", WIDTH), torch.from_numpy(self.meshes.table.shape[rows]), **told)

    def knowing(self, samples: tuple[Sample, ...], shapes: np.ndarray) -> ShapeHead:
        """One that says the shapes (N, S) of these pictures: its hidden layer tells them apart, its last knows which has which."""
        plan = [list(range(len(samples)))]
        transform = Transform(*SIZE, self.encoder.options.resize)
        (batch,) = fetch(ImageSource.of(self.meshes.dataset, samples), samples, plan, transform=transform, workers=0)
        with torch.no_grad():
            f = self.encoder.image_encoder(finish(batch, self.encoder.options.normalisation)["x"]).pooled.double()
        away = f - f.mean(0)
        _, spread, directions = torch.linalg.svd(away, full_matrices=False)
        directions = (directions / spread[:, None])[: len(samples) - 1]  # (N - 1, W), whitening
        first = torch.cat([directions, -directions])
        made = self.head(hidden=len(first))
        made.std.clamp_(min=1e-3)
        wanted = (torch.from_numpy(shapes) - made.mean).double() / made.std
        shift = -first @ f.mean(0)
        hidden = torch.cat([(f @ first.T + shift).relu(), torch.ones(len(f), 1)], 1)
        last = torch.linalg.lstsq(hidden, wanted, driver="gelsd").solution
        for layer, weight, bias in ((made.layers[0], first, shift), (made.layers[2], last[:-1].T, last[-1])):
            layer.weight.data, layer.bias.data = weight.float(), bias.float()
        return made

    def checkpoint(self, head: ShapeHead | None, name: str = "clip3dreid-prcc", **config: Any) -> Artifact:
        data = self.meshes.dataset
        learned = {"meshes": {"root": str(data.root), "fingerprint": data.fingerprint}, **config}
        with self.store.create("checkpoint", name) as draft:
            self.encoder.save(draft.path)
            if head is not None:
                head.save(draft.path)
            draft.describe(config=learned, method="clip3dreid", plugin_version="1", dataset=DatasetRef.of(data))
        return draft.artifact

    def run(self, *words: object, code: int = 0) -> Any:
        return self.command("evaluate", "--task", "shape", "--store", self.store.root, *FAST, *words, code=code)


@pytest.fixture
def place(meshes: MeshSet, encoder: InferenceEncoder, reidclip: CommandLine, tmp_path: Path) -> Place:
    return Place(Store(tmp_path / "artifacts"), meshes, encoder, reidclip)


# ------------------------------------------------------------------------------------------------------------------ numbers
def test_a_head_that_says_the_mean_body_has_ratio_1(place: Place) -> None:
    place.checkpoint(place.head())
    metrics = place.run("--json").json["metrics"]
    for way, bodies in (("single", 4), ("mean_of_person", 2)):
        found = metrics[way]
        assert (found["bodies"], found["people"]) == (bodies, 2)
        assert set(found["errors"]) >= {
            *REPORTED,
            *MEASURES,
            "vertex_mm",
            "vertex_aligned_mm",
            "chamfer_l2_cm2",
            "surface_mm",
            "words_wrong",
        }
        for row in found["errors"].values():
            assert row["value"] == pytest.approx(row["mean_body"], rel=1e-9) and row["value"] > 0
            assert [row["ratio"], *row["ratio_interval"]] == pytest.approx([1, 1, 1], rel=1e-9)
            assert row["interval"][0] <= row["value"] <= row["interval"][1]
        assert all(words["right"] == words["mean_body"] for words in found["words"].values())


def test_a_head_that_knows_the_truth_has_no_error(place: Place) -> None:
    held_out = place.meshes.dataset.split("test")
    true = place.meshes.table.shape[[sample.pid - 1 for sample in held_out]]
    place.checkpoint(place.knowing(held_out, true))
    run = place.run("--json")
    for found in run.json["metrics"].values():
        errors = found["errors"]
        assert errors["vertex_mm"]["value"] < 0.1 < 20 < errors["vertex_mm"]["mean_body"]
        assert errors["vertex_aligned_mm"]["value"] < 0.1 and errors["vertex_mm"]["ratio"] < 0.005
        for name in ("surface_mm", "chamfer_l2_cm2"):  # two samples of one surface are apart themselves
            assert errors[name]["value"] == pytest.approx(errors[name]["floor"], rel=1e-2) and errors[name]["ratio"] < 1
        for name in {*REPORTED, *MEASURES}:
            assert errors[name]["ratio"] < 0.02 and abs(errors[name]["bias"]) <= errors[name]["value"]
        assert errors["words_wrong"]["value"] == 0 and all(words["right"] == 1 for words in found["words"].values())
    shapes = load_file(Path(run.json["path"]) / "shapes.safetensors")
    np.testing.assert_allclose(shapes["predicted"], true, atol=1e-2)
    np.testing.assert_array_equal(shapes["true"], place.meshes.table.shape[2:])


def test_the_mean_over_a_persons_pictures_is_another_body(place: Place) -> None:
    """Pictures of a person whose errors point to opposite sides: alone they are off, their mean is the truth."""
    held_out = place.meshes.dataset.split("test")
    true = place.meshes.table.shape[[sample.pid - 1 for sample in held_out]]
    off = np.where(np.arange(len(held_out)) % 2, 1.0, -1.0)[:, None].astype(np.float32)
    assert [sample.pid for sample in held_out] == [3, 3, 4, 4]
    place.checkpoint(place.knowing(held_out, true + off))
    metrics = place.run("--json").json["metrics"]
    assert metrics["single"]["errors"]["vertex_mm"]["value"] > 5
    assert metrics["mean_of_person"]["errors"]["vertex_mm"]["value"] < 0.1


# ------------------------------------------------------------------------------------------------------- what is written and told
def test_artifact_table_and_meshes(place: Place, tmp_path: Path) -> None:
    checkpoint = place.checkpoint(place.head())
    run = place.run("--export-mesh", tmp_path / "out", "--mesh-format", "obj", "--export-people", 1)
    for text in ("per-vertex, means aligned", "Chamfer-L2", "stature", "tall / short", "4 pictures of 2 held-out people", "drawn twice"):
        assert text in run.out, text
    assert f"checkpoint: {checkpoint.ref}" in run.err and "CC0" in run.err
    artifact = place.store.open("evaluation/clip3dreid-prcc-meshes-shape")
    assert artifact.manifest.inputs[0].ref == checkpoint.ref and artifact.manifest.config["task"] == "shape"
    assert artifact.manifest.metrics["shape, single"]["vertex_aligned_mm ratio"] == pytest.approx(1)
    assert artifact.manifest.dataset == DatasetRef.of(place.meshes.dataset) and not artifact.problems()
    pictures, people = (list(csv.DictReader(artifact.file(f"{name}.csv").open())) for name in ("pictures", "people"))
    assert [row["picture"] for row in pictures] == [s.path for s in place.meshes.dataset.split("test")]
    assert [row["pid"] for row in people] == ["3", "4"] and [row["row"] for row in people] == ["2", "3"]
    metrics = json.loads(artifact.file("metrics.json").read_text())
    for rows, way in ((pictures, "single"), (people, "mean_of_person")):
        for name in ("vertex_mm", "chamfer_l2_cm2"):
            assert np.mean([float(row[name]) for row in rows]) == pytest.approx(metrics[way]["errors"][name]["value"], rel=1e-4)
        assert np.mean([float(row["stature_m"]) for row in rows]) == pytest.approx(metrics[way]["errors"]["stature_m"]["bias"], rel=1e-4)
    assert read_picture(artifact.file("bodies.png")).std() > 10
    session = open_body("anny")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0003-predicted.obj", "0003-true.obj"]
    true = read_mesh(tmp_path / "out" / "0003-true.obj")
    expected = session.vertices(torch.from_numpy(place.meshes.table.shape[2:3]))[0].numpy()
    np.testing.assert_allclose(true.vertices, expected, atol=1e-6)
    np.testing.assert_array_equal(true.faces, session.faces)


def test_rendered_people_with_known_bodies(place: Place, tmp_path: Path) -> None:
    """Query and gallery of a data set; pictures that the table does not know are left out, which is told."""
    data = people_with_bodies(tmp_path / "prcc")
    place.checkpoint(place.head())
    run = place.run(data, "--json", "--set", "chamfer_pictures=0", "--set", "chamfer_people=0")
    found = run.json["metrics"]
    assert (found["single"]["people"], found["single"]["of_pictures"], found["mean_of_person"]["bodies"]) == (2, 11, 2)
    assert "chamfer_l2_cm2" not in found["single"]["errors"]
    assert "1 of 12 pictures show nobody whose body is known" in run.err and run.json["notes"]


def test_fewer_pictures_and_surfaces(place: Place) -> None:
    place.checkpoint(place.head())
    run = place.run("--set", "single_pictures=2", "--set", "chamfer_pictures=1", "--set", "chamfer_people=0")
    assert "2 of 4 pictures, spread over all" in run.out and "surfaces of 1 bodies" in run.out
    people = list(csv.DictReader(place.store.open("evaluation/clip3dreid-prcc-meshes-shape").file("people.csv").open()))
    assert [(row["pid"], row["surface_mm"]) for row in people] == [("3", ""), ("4", "")]


def test_dry_run_writes_nothing(place: Place, tmp_path: Path) -> None:
    place.checkpoint(place.head())
    plan = place.run("--dry-run", "--export-mesh", tmp_path / "out").json
    assert plan["held_out"] == {"people": 2, "pictures": 4} and plan["writes"] == "evaluation/clip3dreid-prcc-meshes-shape"
    assert plan["body"]["name"] == "anny" and not (tmp_path / "out").exists() and place.store.newest("evaluation") is None


def test_bodies_of_another_set_that_were_trained_on(place: Place, tmp_path: Path) -> None:
    """A body depends on seed and number alone: of a set of three, the last two held out, the second was trained on."""
    synth_meshes(tmp_path / "other", ids=3, test_ids=2, poses=1, size=SIZE, seed=3)
    place.checkpoint(place.head())
    run = place.run(tmp_path / "other", "--dry-run")
    assert "1 of its 2 held-out bodies were trained on" in run.err
    assert run.json["writes"].startswith("evaluation/clip3dreid-prcc-on-other")


# ------------------------------------------------------------------------------------------------------------------- errors
def people_with_bodies(root: Path) -> Path:
    write_prcc(root)
    (root / "synth.json").write_text("{}")
    samples = LAYOUT.load(root).samples
    session, rng = open_body("anny"), np.random.default_rng(0)
    row = {pid: i for i, pid in enumerate(sorted({s.pid for s in samples}))}
    shapes = np.stack([session.draw_shape(rng, i % 2 == 0) for i in range(len(row))])
    test = [s for s in samples if s.split != "train"]
    write_bodies(root, table_of(session, shapes, {s.path: row[s.pid] for s in samples if s is not test[0]}))
    return root


Make = Callable[[Place, Path], tuple[object, ...]]


def no_head(place: Place, folder: Path) -> tuple[object, ...]:
    place.checkpoint(None)
    return ()


def broken_head(place: Place, folder: Path) -> tuple[object, ...]:
    made = place.checkpoint(place.head())
    save_file({"mean": torch.zeros(3)}, made.path / SHAPE_FILE)
    return ()


def other_body(place: Place, folder: Path) -> tuple[object, ...]:
    place.checkpoint(place.head(body="smpl"))
    return ()


def other_version(place: Place, folder: Path) -> tuple[object, ...]:
    place.checkpoint(place.head(version="0123456789abcdef"))
    return ()


def other_width(place: Place, folder: Path) -> tuple[object, ...]:
    place.checkpoint(place.head(width=WIDTH + 1))
    return ()


def no_checkpoint(place: Place, folder: Path) -> tuple[object, ...]:
    return (place.meshes.dataset.root,)


def no_meshes_named(place: Place, folder: Path) -> tuple[object, ...]:
    return ("--checkpoint", place.checkpoint(place.head(), meshes=None).ref)


def no_bodies(place: Place, folder: Path) -> tuple[object, ...]:
    place.checkpoint(place.head())
    return (write_prcc(folder / "plain"),)


def other_model_named(place: Place, folder: Path) -> tuple[object, ...]:
    place.checkpoint(place.head())
    return ("--body", "smpl:file.npz")


def file_in_the_way(place: Place, folder: Path) -> tuple[object, ...]:
    place.checkpoint(place.head())
    (folder / "out").write_text("")
    return ("--export-mesh", folder / "out")


def two_sets(place: Place, folder: Path) -> tuple[object, ...]:
    place.checkpoint(place.head())
    return (place.meshes.dataset.root, folder)


def format_alone(place: Place, folder: Path) -> tuple[object, ...]:
    place.checkpoint(place.head())
    return ("--mesh-format", "obj")


def of_retrieval(place: Place, folder: Path) -> tuple[object, ...]:
    place.checkpoint(place.head())
    return ("--protocol", "general")


def unknown_key(place: Place, folder: Path) -> tuple[object, ...]:
    place.checkpoint(place.head())
    return ("--set", "surface_sample=3")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (no_head, "predicts no shapes"),
        (no_head, "lambda_3d"),
        (broken_head, "is no shape head"),
        (other_body, "predicts shapes of body model 'smpl'"),
        (other_version, "the same numbers are other shapes there"),
        (other_width, f"reads features of width {WIDTH + 1}, its encoder gives {WIDTH}"),
        (no_checkpoint, "learned from meshes. Distil one"),
        (no_meshes_named, "Name a mesh set"),
        (no_bodies, "Nothing says which bodies the people of"),
        (other_model_named, "are of body model 'anny', not 'smpl'"),
        (file_in_the_way, "No meshes can be written to"),
        (two_sets, "evaluates one data set, and 2 are named"),
        (format_alone, "Add --export-mesh DIR"),
        (of_retrieval, "--protocol belongs to --task retrieval"),
        (unknown_key, "unknown key 'surface_sample'"),
    ],
)
def test_told_what_is_wrong(place: Place, tmp_path: Path, make: Make, says: str) -> None:
    run = place.run(*make(place, tmp_path), code=2)
    assert says in " ".join(run.err.split())
    assert place.store.newest("evaluation") is None


def test_options_of_shape_alone(place: Place) -> None:
    run = place.command("evaluate", "--export-mesh", "out", "--store", place.store.root, code=2)
    assert "--export-mesh belongs to --task shape" in " ".join(run.err.split())
