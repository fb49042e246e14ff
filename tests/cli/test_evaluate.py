"""evaluate as a user runs it: its settings, and when it shows published numbers beside its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from safetensors.numpy import load_file
from typer.testing import CliRunner

from reidclip import registry
from reidclip.artifacts.manifest import DatasetRef, InputRef
from reidclip.artifacts.store import Artifact, Store
from reidclip.cli.app import app
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.data.layouts.prcc import LAYOUT
from reidclip.data.open import open_dataset
from reidclip.data.published import count
from reidclip.errors import UserError
from reidclip.evaluation.protocols import find_protocol
from reidclip.records import PublishedCount
from reidclip.stages.choose import settings_for
from tests import trees
from tests.cli.in_process import CommandLine
from tests.core.store_fixtures import PAYLOADS
from tests.fakes import PICTURES_PER_CAMERA, tiny_clip, write_prcc, write_tiny_clip

WHOLE = (  # what `write_prcc` draws
    count("images", 4 * 2 * PICTURES_PER_CAMERA, "C", "train"),
    count("identities", 2, "R", "test-A"),
    count("images", 4, "R", "test-A"),
    count("images", 4, "R", "test-B"),
    count("images", 4, "R", "test-C"),
    count("images", 9_999, "R", "val"),  # no protocol uses it, nor does the training
    count("images", 9_999, "T"),
)


def published(monkeypatch: pytest.MonkeyPatch, *rows: PublishedCount) -> None:
    monkeypatch.setattr(type(LAYOUT), "published", rows)


@dataclass
class Place:
    """A PRCC tree, a store, and checkpoints as methods write them, but for their training."""

    folder: Path

    def __post_init__(self) -> None:
        self.store = Store(self.folder / "artifacts")
        self.data = write_prcc(self.folder / "prcc")

    def facts(self, method: str, command: str, recipe: str, **changes: Any) -> dict[str, Any]:
        plugin = registry.get("reidclip.methods", method)
        settings = settings_for(plugin, command, recipe, None, changes).model_dump(mode="json")
        config = {"command": command, "method": method, "recipe": recipe, "settings": settings}
        return {"config": config, "method": method, "plugin_version": plugin.version, "dataset": DatasetRef.of(open_dataset(self.data))}

    def checkpoint(self, by: str, recipe: str, *inputs: InputRef, **changes: Any) -> Artifact:
        encoder = InferenceEncoder(tiny_clip().image_encoder, changes.pop("options", InferenceOptions())).eval()
        facts = {**self.facts(by, "finetune", recipe), **changes}
        with self.store.create("checkpoint", f"{by}-prcc") as draft:
            encoder.save(draft.path)
            draft.describe(inputs=list(inputs), **facts)
        return draft.artifact

    def prompts(self, method: str, recipe: str, **changes: Any) -> Artifact:
        with self.store.create("prompts", f"{method}-prcc") as draft:
            draft.write(PAYLOADS["prompts"], b"{}")
            draft.describe(**self.facts(method, "prompt-learn", recipe, **changes))
        return draft.artifact

    def run(self, *words: str) -> Result:
        common = ["--store", str(self.store.root), "--device", "cpu", "--workers", "0"]
        result = CliRunner().invoke(app, ["evaluate", str(self.data), *common, *words], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result

    def metrics(self, *words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("--json", *words).stdout)["metrics"]
        return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


class TestPublished:
    def test_shown_beside_the_own_numbers(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        published(monkeypatch, *WHOLE)
        place.checkpoint("baseline", "prcc")
        result = place.run()
        (line,) = [text for text in result.stdout.splitlines() if text.startswith("published, ")]
        assert line.startswith("published, cloth-changing: R1 62.9, mAP 59.1 (here ") and "[CCAF, arXiv 2406.09198v1]" in line
        assert "not shown" not in result.stderr

    def test_in_json_and_in_the_artifact(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        published(monkeypatch, *WHOLE)
        place.checkpoint("baseline", "prcc")
        metrics = place.metrics()
        told = metrics["cloth-changing"]["published"]
        assert (told["R1"], told["mAP"]) == pytest.approx((0.629, 0.591)) and "CCAF" in told["source"] and told["status"] == "R"
        assert told["difference"]["R1"] == pytest.approx(metrics["cloth-changing"]["R1"] - 0.629)
        assert told["difference"]["mAP"] == pytest.approx(metrics["cloth-changing"]["mAP"] - 0.591)
        assert "published" not in metrics["same-clothes"], "no source reports it"
        artifact = place.store.open("evaluation/baseline-prcc")
        assert json.loads(artifact.file("metrics.json").read_text()) == metrics
        assert artifact.manifest.config["published"] == ["cloth-changing"]

    def test_a_rendered_tree_never_shows_them(self, place: Place) -> None:
        place.checkpoint("baseline", "prcc")
        result = place.run()
        assert "published, " not in result.stdout
        assert "published numbers of recipe prcc are not shown: this is not the published prcc data (train: " in result.stderr

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            (count("images", 5, "R", "test-C"), "test-C: images: 4, published: 5"),
            (count("images", 9, "G", "test-C"), "test-C: images: 4, published: 9"),
            (count("identities", 3, "C", "train"), "train: identities: 4, published: 3"),
        ],
    )
    def test_every_count_of_the_splits_used_has_to_fit(
        self, place: Place, monkeypatch: pytest.MonkeyPatch, row: PublishedCount, reason: str
    ) -> None:
        published(monkeypatch, *WHOLE, row)
        place.checkpoint("baseline", "prcc")
        result = place.run()
        assert "published, " not in result.stdout and reason in result.stderr

    def test_splits_of_unknown_size_show_nothing(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        published(monkeypatch, *(row for row in WHOLE if "test-C" not in row.splits))
        place.checkpoint("baseline", "prcc")
        assert "nothing is published about the size of prcc's test-C" in place.run().stderr

    @pytest.mark.parametrize(
        ("spoil", "words", "reason"),
        [
            (
                lambda p: {"config": p.facts("baseline", "finetune", "prcc", lr=1e-5)["config"]},
                [],
                "finetune setting lr is 1e-05, the recipe",
            ),
            (lambda p: {"config": {"recipe": "prcc", "settings": {"speed": 3}}}, [], "settings are those of another version"),
            (lambda p: {"plugin_version": "0"}, [], "was made by version 0 of baseline"),
            (lambda p: {"dataset": DatasetRef.of(replace(open_dataset(p.data), samples=()))}, [], "was trained on other data"),
            (lambda p: {}, ["--flip"], "flip is True, published: False"),
            (lambda p: {}, ["--set", "decode=fast"], "pictures are decoded fast, published: exact"),
        ],
    )
    def test_whatever_differs_withholds_them(
        self,
        place: Place,
        monkeypatch: pytest.MonkeyPatch,
        spoil: Callable[[Place], dict[str, Any]],
        words: list[str],
        reason: str,
    ) -> None:
        published(monkeypatch, *WHOLE)
        checkpoint = place.checkpoint("baseline", "prcc", **spoil(place))
        result = place.run("--checkpoint", checkpoint.ref, *words)
        assert "published, " not in result.stdout
        assert "published numbers of recipe prcc are not shown: " in result.stderr and reason in result.stderr

    def test_prompts_count_among_the_settings(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        published(monkeypatch, *WHOLE)
        prompts = [place.prompts("clipreid", "rn50"), place.prompts("clipreid", "rn50", epochs=3), place.prompts("clipreid", "prcc")]
        read = [InputRef.of(artifact, role="prompts") for artifact in prompts]
        read.append(read[0].model_copy(update={"digest": "0" * 64}))
        reasons = ["", "prompt-learn setting epochs is 3, the recipe has 60", "were learned by recipe prcc", "no longer in the store"]
        for reference, reason in zip(read, reasons, strict=True):
            checkpoint = place.checkpoint("clipreid", "rn50", reference)
            result = place.run("--checkpoint", checkpoint.ref, "--protocol", "cloth-changing")
            assert ("published, cloth-changing: R1 57.0, mAP 55.3" in result.stdout) == (not reason), reason
            assert reason in result.stderr

    def test_masks_of_another_parser_withhold_them(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        published(monkeypatch, *WHOLE)
        prompts = InputRef.of(place.prompts("ccaf", "prcc"), role="prompts")
        parsing = InputRef(kind="parsing", ref="x@v1", digest="0" * 64, role="parsing")
        for made_by, read, shown in (("schp", [parsing], True), ("schp-tiny", [parsing], False), ("my-labels", [], True)):
            with place.store.create("masks", made_by) as draft:
                draft.write(PAYLOADS["masks"], b"{}")
                draft.describe(method=made_by, inputs=read)
            checkpoint = place.checkpoint("ccaf", "prcc", prompts, InputRef.of(draft.artifact, role="masks"))
            result = place.run("--checkpoint", checkpoint.ref)
            assert ("published, same-clothes: R1 99.9, mAP 98.4" in result.stdout) is shown
            assert ("were made by schp-tiny, published: schp" in result.stderr) is not shown

    @pytest.mark.parametrize(
        ("config", "reason"),
        [
            ({}, ""),  # of a version that wrote less
            ({"clothes": ["Pants", "Upper-clothes", "Dress", "Coat", "Socks", "Jumpsuits", "Scarf", "Skirt", "Glove"], "dilation": 0}, ""),
            ({"label_set": "atr"}, "have label_set atr, published: lip"),
            ({"label_set": "lip", "clothes": ["Pants"]}, "shield Pants, published: Upper-clothes, Dress,"),
            ({"dilation": 3}, "have dilation 3, published: 0"),
            ({"shielding": [0, 0, 0]}, "have shielding [0, 0, 0], published: [255, 255, 255]"),
            (None, "are no longer in the store"),
        ],
    )
    def test_masks_with_other_settings_withhold_them(
        self, place: Place, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any] | None, reason: str
    ) -> None:
        published(monkeypatch, *WHOLE)
        prompts = InputRef.of(place.prompts("ccaf", "prcc"), role="prompts")
        with place.store.create("masks", "schp") as draft:
            draft.write(PAYLOADS["masks"], b"{}")
            draft.describe(
                method="schp", inputs=[InputRef(kind="parsing", ref="x@v1", digest="0" * 64, role="parsing")], config=config or {}
            )
        masks = InputRef.of(draft.artifact, role="masks")
        if config is None:
            masks = masks.model_copy(update={"digest": "0" * 64})
        result = place.run("--checkpoint", place.checkpoint("ccaf", "prcc", prompts, masks).ref)
        assert ("published, same-clothes: R1 99.9, mAP 98.4" in result.stdout) is (not reason)
        assert reason in result.stderr

    @pytest.mark.parametrize("rendered", [False, True])
    def test_where_there_are_none_it_says_so_but_for_rendered_data(
        self, place: Place, monkeypatch: pytest.MonkeyPatch, rendered: bool
    ) -> None:
        published(monkeypatch, *WHOLE)
        if rendered:
            (place.data / "synth.json").write_text("{}")
        place.checkpoint("baseline", "tiny")
        clip = str(write_tiny_clip(place.folder / "tiny.safetensors"))
        reasons = {"none are recorded for recipe tiny of baseline on prcc": [], "none are recorded for a plain CLIP": ["--zero-shot"]}
        for reason, words in reasons.items():
            result = place.run(*words, *(["--clip", clip] if words else []))
            told = [line for line in result.stderr.splitlines() if "published" in line]
            assert told == ([] if rendered else [f"published numbers are not shown: {reason}"])
            assert "published" not in result.stdout

    def test_a_recipe_for_other_data_says_so_even_on_rendered_data(self, place: Place) -> None:
        (place.data / "synth.json").write_text("{}")
        place.checkpoint("baseline", "market1501")
        assert "published numbers are not shown: recipe market1501 is for market1501 data, this is prcc" in place.run().stderr

    def test_protocols_without_published_numbers_are_named(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        published(monkeypatch, *WHOLE)
        place.checkpoint("baseline", "prcc")
        told = place.run("--protocol", "same-clothes").stderr
        assert "published numbers are not shown: none are recorded for same-clothes, only for cloth-changing" in told

    def test_an_evaluation_needs_no_plugin(self, place: Place) -> None:
        place.checkpoint("baseline", "prcc", method="gone")
        assert "is by 'gone', which is no method installed here" in place.run().stderr


class TestSettings:
    def config(self, place: Place, text: str) -> list[str]:
        path = place.folder / "mine.toml"
        path.write_text(text)
        return ["--config", str(path)]

    def settings(self, place: Place, *words: str) -> dict[str, Any]:
        plan: dict[str, Any] = json.loads(place.run("--dry-run", *words).stdout)
        settings: dict[str, Any] = plan["settings"]
        return settings

    def test_defaults_config_and_set(self, place: Place) -> None:
        place.checkpoint("baseline", "tiny")
        exact: dict[str, Any] = {
            "decode": "exact",
            "blur_faces": False,
            "diagnostics": False,
            "map_people": 10,
            "clip_frames": 8,
            "clip_stride": 4,
        }
        exact |= {"rerank": False, "rerank_k1": 20, "rerank_k2": 6, "rerank_lambda": 0.3}
        exact |= {"expand": 0, "expand_alpha": 3.0, "expand_gallery": False}
        assert self.settings(place) == {"flip": None, "batch_size": 128, "resamples": 1000, **exact}
        config = self.config(place, "[common]\nbatch_size = 3\n[evaluate]\nflip = true\nresamples = 5\n[finetune]\nepochs = 2\n")
        assert self.settings(place, *config) == {"flip": True, "batch_size": 3, "resamples": 5, **exact}
        changed = self.settings(place, *config, "--set", "resamples=0", "--batch-size", "7", "--set", "decode=fast")
        assert changed == {"flip": True, "batch_size": 7, "resamples": 0, **exact, "decode": "fast"}
        assert self.settings(place, "--flip")["flip"] is True

    def test_they_do_what_they_say(self, place: Place) -> None:
        place.checkpoint("baseline", "tiny")
        plain = place.metrics("--protocol", "cloth-changing")["cloth-changing"]
        assert plain["R1_interval"] is not None
        without = place.metrics("--protocol", "cloth-changing", "--set", "resamples=0", "--set", "batch_size=2")["cloth-changing"]
        assert without["R1_interval"] is None and without["mAP_interval"] is None
        assert (without["R1"], without["mAP"]) == pytest.approx((plain["R1"], plain["mAP"]))

    @pytest.mark.parametrize(
        ("saved", "words", "flip"), [(True, [], True), (True, ["--set", "flip=false"], False), (False, ["--flip"], True)]
    )
    def test_an_encoder_is_flipped_as_it_was_saved_unless_told(self, place: Place, saved: bool, words: list[str], flip: bool) -> None:
        place.checkpoint("baseline", "tiny", options=InferenceOptions(flip=saved))
        place.run("--protocol", "cloth-changing", *words)
        assert place.store.open("evaluation/baseline-prcc").manifest.config["feature"]["flip"] is flip

    @pytest.mark.parametrize(("normalised", "distance"), [(True, "cosine"), (False, "Euclidean")])
    def test_features_are_compared_as_the_encoder_makes_them(self, place: Place, normalised: bool, distance: str) -> None:
        place.checkpoint("baseline", "tiny", options=InferenceOptions(normalise=normalised, per_picture=True))
        metrics = place.metrics("--protocol", "cloth-changing")["cloth-changing"]
        artifact = place.store.open("evaluation/baseline-prcc")
        feature = artifact.manifest.config["feature"]
        assert (feature["normalised"], feature["distance"]) == (normalised, distance)
        features = load_file(artifact.file("features.safetensors"))["features"].astype(float)
        paths = json.loads(artifact.file("paths.json").read_text())
        lengths = np.linalg.norm(features, axis=1)
        assert np.allclose(lengths, 1, atol=1e-5) if normalised else lengths.std() > 0
        dataset = open_dataset(place.data)
        query, gallery = dataset.query_and_gallery(find_protocol(dataset, "cloth-changing"))
        x, y = (features[[paths.index(s.path) for s in side]] for side in (query, gallery))
        distances = np.linalg.norm(x[:, None] - y[None], axis=2)
        first = [gallery[row.argmin()].pid == s.pid for s, row in zip(query, distances, strict=True)]
        assert metrics["R1"] == pytest.approx(np.mean(first))

    def test_a_recipe_may_say_how_its_method_is_evaluated(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        recipes = place.folder / "method" / "recipes"
        recipes.mkdir(parents=True)
        (recipes / "flipped.toml").write_text("# Flipped.\n[evaluate]\nflip = true\n")
        (recipes / "tiny.toml").write_text("# Plain.\n[finetune]\nepochs = 3\n")
        method = replace(registry.get("reidclip.methods", "baseline"), folder=recipes.parent)
        place.checkpoint("baseline", "tiny")
        real = registry.info
        monkeypatch.setattr(
            registry, "info", lambda *which: replace(real(*which), object=method) if which[1] == "baseline" else real(*which)
        )
        assert self.settings(place)["flip"] is None
        assert self.settings(place, "--recipe", "flipped")["flip"] is True
        assert self.settings(place, "--recipe", "flipped", "--set", "flip=false")["flip"] is False

    @pytest.mark.parametrize(
        ("text", "words", "message"),
        [
            ("[evaluate]\nflips = true\n", [], "unknown key 'flips'. Did you mean 'flip'"),
            ("[evalute]\nflip = true\n", [], r"\[evalute\]"),
            ("", ["--set", "flip=3"], "key 'flip'"),
            ("", ["--set", "resample=3"], "unknown key 'resample'. Did you mean 'resamples'"),
            ("", ["--recipe", "tny"], "has no recipe 'tny'.\nDid you mean 'tiny'"),
            ("", ["--recipe", "tiny", "--zero-shot"], "a plain CLIP has none"),
        ],
    )
    def test_a_mistake_is_told(self, place: Place, text: str, words: list[str], message: str) -> None:
        place.checkpoint("baseline", "tiny")
        with pytest.raises(UserError, match=message):
            place.run(*self.config(place, text), *words)


class TestNotes:
    def test_why_a_protocol_is_missing_is_told_once(self, tmp_path: Path, reidclip: CommandLine) -> None:
        root = trees.market1501(tmp_path / "market")
        error = reidclip("evaluate", root, "--zero-shot", "--protocol", "same-clothes", "--store", tmp_path / "store", code=2).err
        assert "has no protocol 'same-clothes'" in error and error.count("nobody changes") == 1
