"""evaluate on several data sets, on other data than the training's, over seeds, and by a protocol of generalisation."""

from __future__ import annotations

import csv
import json
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from reidclip import registry
from reidclip.artifacts.manifest import DatasetRef, InputRef
from reidclip.artifacts.store import Artifact, Store
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.data.open import open_dataset
from tests import cuhk03_tree, trees
from tests.cli.in_process import CommandLine, Run, assigned
from tests.cli.layout_trees import TREES
from tests.core.store_fixtures import PAYLOADS
from tests.fakes import tiny_clip, write_prcc, write_tiny_clip

SETTINGS: dict[str, Any] = {"lr": 1e-3, "train_splits": ["train"]}


@dataclass
class Place:
    """Two PRCC trees of equal people but unequal pictures, a store, and checkpoints as methods write them, but for their training."""

    folder: Path
    reidclip: CommandLine

    def __post_init__(self) -> None:
        self.store = Store(self.folder / "artifacts")
        self.first, self.second = (write_prcc(self.folder / name) for name in ("first", "second"))
        next(self.second.rglob("rgb/train/*/A_*.jpg")).unlink()
        for root in (self.first, self.second):  # rendered: copies of nothing published
            (root / "synth.json").write_text("{}")

    @property
    def zero(self) -> tuple[str, ...]:
        return ("--zero-shot", "--clip", str(write_tiny_clip(self.folder / "tiny.safetensors")))

    def ref(self, root: Path) -> DatasetRef:
        return DatasetRef.of(open_dataset(root))

    def checkpoint(self, data: DatasetRef | None, *inputs: Artifact, seed: int = 0, encoder: int | None = None, **facts: Any) -> Artifact:
        model = InferenceEncoder(tiny_clip(seed if encoder is None else encoder).image_encoder, InferenceOptions()).eval()
        config = {"command": "finetune", "settings": {**SETTINGS, **facts.pop("settings", {})}}
        read = [InputRef.of(artifact, role=artifact.kind) for artifact in inputs]
        with self.store.create("checkpoint", "mine") as draft:
            model.save(draft.path)
            draft.describe(**{"method": "baseline", "plugin_version": "1", **facts}, config=config, seed=seed, dataset=data, inputs=read)
        return draft.artifact

    def prompts(self, data: DatasetRef, seed: int = 0, **settings: Any) -> Artifact:
        with self.store.create("prompts", "mine") as draft:
            draft.write(PAYLOADS["prompts"], b"{}")
            draft.describe(method="baseline", config={"settings": settings}, seed=seed, dataset=data)
        return draft.artifact

    def run(self, *words: object, code: int = 0) -> Run:
        common = ["--store", self.store.root, "--device", "cpu", "--workers", "0", "--set", "resamples=50"]
        return self.reidclip("evaluate", *words, *common, code=code)

    def json(self, *words: object) -> Any:
        return self.run(*words, "--json").json


@pytest.fixture
def place(tmp_path: Path, reidclip: CommandLine) -> Place:
    return Place(tmp_path, reidclip)


class TestOtherData:
    def test_is_named_as_such(self, place: Place) -> None:
        made = place.checkpoint(place.ref(place.first))
        run = place.run(place.second, "--checkpoint", made.ref)
        assert "mine-on-second@v1: trained on first, evaluated on second (prcc): another data set" in " ".join(run.out.split())
        artifact = place.store.open("evaluation/mine-on-second")
        assert artifact.manifest.config["cross_dataset"] is True
        told = json.loads(artifact.file("metrics.json").read_text())["cloth-changing"]
        assert told["cross_dataset"] is True and told["relation"] == "other" and told["test_pictures_trained_on"] is False
        assert told["trained_on"] == [{"domain": "first", "layout": "prcc", "root": str(place.first)}]

    def test_the_own_data_is_not(self, place: Place) -> None:
        place.checkpoint(place.ref(place.first))
        told = place.json(place.first)
        assert told["artifact"] == "mine-first@v1"
        assert told["metrics"]["cloth-changing"]["relation"] == "same" and not told["metrics"]["cloth-changing"]["cross_dataset"]

    def test_one_of_several_sources(self, place: Place) -> None:
        joined = place.ref(place.first).model_copy(
            update={"layout": "joined", "fingerprint": "0", "sources": {"a": place.ref(place.first), "b": place.ref(place.second)}}
        )
        made = place.checkpoint(joined)
        run = place.run(place.second, "--checkpoint", made.ref, "--protocol", "same-clothes")
        assert "trained on a + b, evaluated on second (prcc): its training split was a source" in " ".join(run.out.split())
        told = place.json(place.second, "--checkpoint", made.ref)["metrics"]["same-clothes"]
        assert (told["relation"], told["cross_dataset"]) == ("source", False)

    def test_a_bare_call_evaluates_every_source(self, place: Place) -> None:
        joined = place.ref(place.first).model_copy(
            update={"layout": "joined", "fingerprint": "0", "sources": {"a": place.ref(place.first), "b": place.ref(place.second)}}
        )
        place.checkpoint(joined)
        assert [fact["target"] for fact in place.json("--protocol", "same-clothes")["summary"]["data"]] == ["first", "second"]

    def test_test_pictures_that_were_trained_on_are_told(self, place: Place) -> None:
        place.checkpoint(place.ref(place.first), settings={"train_splits": ["all"]})
        run = place.run(place.first)
        assert "test pictures of it were trained on" in run.err and "test pictures of it were trained on" in " ".join(run.out.split())

    @pytest.mark.parametrize("relation", ["other", "source"])
    def test_embeddings_of_other_cameras_are_refused_though_the_numbers_exist(self, place: Place, relation: str) -> None:
        from reidclip.clip.image_encoder import make_image_encoder

        plain = tiny_clip().image_encoder
        encoder = make_image_encoder(replace(plain.config, sie_cameras=5))
        sources = {"first": place.ref(place.first), **({"second": place.ref(place.second)} if relation == "source" else {})}
        data = place.ref(place.first).model_copy(update={"sources": sources, "fingerprint": "0"} if relation == "source" else {})
        with place.store.create("checkpoint", "sie") as draft:
            InferenceEncoder(encoder, InferenceOptions()).eval().save(draft.path)
            draft.describe(dataset=data, config={"settings": SETTINGS})
        error = place.run(place.second, "--checkpoint", "sie", code=2).err
        assert "The encoder has embeddings of 5 cameras of first" in error and "--set sie_camera=false" in error
        assert ("the same numbers are other cameras there" in error) == (relation == "other")


class TestProtocols:
    def test_one_in_which_nothing_can_be_found_is_skipped_with_a_note(self, place: Place) -> None:
        for picture in place.first.glob("rgb/test/C/*/*.jpg"):  # nobody of the gallery comes back in other clothes
            moved = picture.parents[1] / f"9{picture.parent.name[1:]}" / picture.name
            moved.parent.mkdir(exist_ok=True)
            picture.rename(moved)
        place.checkpoint(place.ref(place.first))
        run = place.run(place.first, "--json")
        assert list(run.json["metrics"]) == ["same-clothes"]
        assert "note: protocol cloth-changing of" in run.err and "no query has a match" in run.err
        named = place.run(place.first, "--protocol", "cloth-changing", code=2).err
        assert "protocol 'cloth-changing'" in named


class TestSeveral:
    def test_one_artifact_each_and_a_summary_with_the_plain_mean(self, place: Place) -> None:
        told = place.json(place.first, place.second, *place.zero)
        assert [e["artifact"] for e in told["evaluations"]] == ["zero-shot-tiny-first@v1", "zero-shot-tiny-second@v1"]
        rows = {(row["target"], row["protocol"]): row for row in told["summary"]["targets"]}
        for row in told["summary"]["average"]:
            for share in ("R1", "mAP", "mINP"):
                parts = [e["metrics"][row["protocol"]][share] for e in told["evaluations"]]
                assert row[share] == pytest.approx(sum(parts) / 2)
        assert rows["first", "cloth-changing"]["R1_interval"] == told["evaluations"][0]["metrics"]["cloth-changing"]["R1_interval"]
        artifact = place.store.open(f"evaluation/{told['artifact']}")
        assert [read.ref for read in artifact.manifest.inputs] == [e["artifact"] for e in told["evaluations"]]
        assert json.loads(artifact.file("summary.json").read_text()) == told["summary"]

    def test_the_encoder_is_loaded_once(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        made = place.checkpoint(place.ref(place.first))
        loaded: list[Path] = []
        real = InferenceEncoder.load.__func__  # type: ignore[attr-defined]

        def load(cls: type[InferenceEncoder], folder: Path, device: object = "cpu") -> InferenceEncoder:
            loaded.append(folder)
            return real(cls, folder, device)  # type: ignore[no-any-return]

        monkeypatch.setattr(InferenceEncoder, "load", classmethod(load))
        run = place.run(place.first, place.second, "--protocol", "same-clothes")
        assert loaded == [made.path]
        out = " ".join(run.out.split())
        assert "percent, by cosine distance; brackets" in out
        assert "mine-on-first-second@v1; trained on first; not new to it: first" in out and "average of 2" in out

    def test_data_sets_without_a_common_protocol_have_no_average(self, place: Place) -> None:
        market = TREES["market1501"].write(place.folder / "market")
        run = place.run(place.first, market, *place.zero)
        assert "no average: the data sets have no protocol in common" in run.out

    def test_a_split_is_chosen_where_there_are_some(self, place: Place) -> None:
        viper = trees.viper(place.folder / "viper")
        run = place.run(place.first, viper, *place.zero, "--split", "3", "--json")
        assert f"note: {place.first} has no random splits to choose among; --split leaves it as it is" in run.err
        whole, divided = (e["metrics"] for e in run.json["evaluations"])
        assert list(divided["general"]["splits"]["each"]) == ["split-3"] and "splits" not in whole["cloth-changing"]
        assert whole == place.json(place.first, *place.zero)["metrics"]

    def test_a_split_that_none_of_them_has_is_refused(self, place: Place) -> None:
        error = place.run(place.first, place.second, *place.zero, "--split", "3", code=2).err
        assert "--split chooses among random divisions, and there are none" in error
        viper = trees.viper(place.folder / "viper")
        assert "There is no split 20 under protocol general" in place.run(place.first, viper, *place.zero, "--split", "20", code=2).err

    def test_diagnostics_tell_data_sets_apart(self, place: Place) -> None:
        told = place.json(place.first, place.second, *place.zero, "--diagnostics", "--protocol", "same-clothes")
        probe = told["diagnostics"]["domain_probe"]
        assert probe["chance"] == 0.5 and set(probe["recall"]) == {"first", "second"} and probe["people"] == 4
        artifact = place.store.open(f"evaluation/{told['artifact']}")
        with Image.open(artifact.file("diagnostics/domains.png")) as picture:
            assert picture.size == (720, 440)
        with artifact.file("diagnostics/domains.csv").open(encoding="utf-8") as file:
            listed = list(csv.DictReader(file))
        assert {row["data set"] for row in listed} == {"first", "second"} and len(listed) == told["diagnostics"]["map"]["pictures"] == 16

    def test_a_dry_run_plans_all_and_writes_nothing(self, place: Place) -> None:
        plan = place.run(place.first, place.second, *place.zero, "--dry-run").json
        assert [t["data"]["root"] for t in plan["targets"]] == [str(place.first), str(place.second)]
        assert plan["writes"] == "evaluation/zero-shot-tiny-on-first-second" and not place.store.list()


def test_the_map_shows_no_distractors(place: Place) -> None:
    root = TREES["market1501"].write(place.folder / "market")
    nobody = {s.path for s in open_dataset(root).split("gallery") if s.pid == 0}
    told = place.json(root, *place.zero, "--diagnostics")
    drawn = place.store.open(f"evaluation/{told['artifact']}").file("diagnostics/map.csv").read_text(encoding="utf-8")
    assert nobody and told["diagnostics"]["map"]["people"] and 0 not in told["diagnostics"]["map"]["people"]
    assert not any(path in drawn for path in nobody)


def test_what_is_the_same_of_several_data_sets_is_told_once(place: Place) -> None:
    layouts = ("market1501", "market1501", "msmt17")
    roots = [TREES[layout].write(place.folder / name) for name, layout in zip("abc", layouts, strict=True)]
    told = place.run(*roots, *place.zero, "--dry-run").err
    (line,) = [line for line in told.splitlines() if "No protocol same-clothes or cloth-changing" in line]
    why = [f"{name} has no clothes labels, and nobody changes." for name in ("Market-1501", "MSMT17")]
    assert line == f"note: a, b, c: No protocol same-clothes or cloth-changing: {' '.join(why)}"


class TestNames:
    @pytest.fixture
    def alike(self, place: Place) -> tuple[Path, Path]:
        """Two data sets in folders of one name."""
        return place.first.rename(_made(place.folder / "a") / "dom"), place.second.rename(_made(place.folder / "b") / "dom")

    def test_data_sets_in_folders_of_one_name_are_evaluated_under_two(self, place: Place, alike: tuple[Path, Path]) -> None:
        words = (*place.zero, "--protocol", "same-clothes")
        names = [place.json(root, *words)["artifact"] for root in (*alike, *alike)]
        assert names == [f"zero-shot-tiny-{name}" for name in ("dom@v1", "b-dom@v1", "dom@v2", "b-dom@v2")]

    def test_so_they_are_together(self, place: Place, alike: tuple[Path, Path]) -> None:
        told = place.json(*alike, *place.zero, "--protocol", "same-clothes")
        assert [e["artifact"] for e in told["evaluations"]] == ["zero-shot-tiny-a-dom@v1", "zero-shot-tiny-b-dom@v1"]
        assert told["artifact"] == "zero-shot-tiny-on-a-dom-b-dom@v1"

    def test_a_folder_inside_a_data_set_is_no_name(self, place: Place) -> None:
        root = trees.prid(place.folder / "mine" / "prid_2011" / "single_shot")
        for folder in (root, place.folder / "mine"):
            plan = place.run(folder, *place.zero, "--dry-run").json
            assert plan["data"]["root"] == str(root) and plan["writes"] == "evaluation/zero-shot-tiny-prid"
        place.checkpoint(place.ref(root))
        assert "trained on prid, evaluated on first" in place.run(place.first, "--checkpoint", "mine", "--dry-run").err


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


class TestSeeds:
    def test_mean_and_interval_over_them(self, place: Place) -> None:
        """By hand: t of 2 degrees of freedom is 4.302652729911; checkpoints of other settings or data are not among them."""
        data = place.ref(place.first)
        made = [place.checkpoint(data, place.prompts(data, seed), seed=seed) for seed in (0, 1, 2)]
        place.checkpoint(data, place.prompts(data, 1), seed=1, settings={"lr": 5.0})
        place.checkpoint(place.ref(place.second), place.prompts(data, 2), seed=2)
        told = place.json(place.first, "--checkpoint", made[0].ref, "--seeds", "0,1,2", "--protocol", "cloth-changing")
        assert told["summary"]["checkpoints"] == [artifact.ref for artifact in made]
        each = [e["metrics"]["cloth-changing"]["mAP"] for e in told["evaluations"]]
        (row,) = told["summary"]["targets"]
        mean = sum(each) / 3
        half = 4.302652729911 * (sum((v - mean) ** 2 for v in each) / 2) ** 0.5 / 3**0.5
        assert row["mAP"] == pytest.approx(mean) and row["mAP_interval"] == pytest.approx([mean - half, mean + half]) and half > 0
        assert row["mAP_each"] == pytest.approx(each)

    def test_with_several_data_sets_the_average_has_an_interval_too(self, place: Place) -> None:
        made = [place.checkpoint(place.ref(place.first), seed=seed) for seed in (0, 1)]
        told = place.json(place.first, place.second, "--checkpoint", made[0].ref, "--seeds", "0,1", "--protocol", "cloth-changing")
        (row,) = told["summary"]["average"]
        each = [e["metrics"]["cloth-changing"]["mAP"] for e in told["evaluations"]]
        assert row["mAP_each"] == pytest.approx([(each[0] + each[1]) / 2, (each[2] + each[3]) / 2]) and len(row["mAP_interval"]) == 2

    def test_a_missing_seed_is_told_with_the_commands_that_train_it(self, place: Place) -> None:
        data = place.ref(place.first)
        place.checkpoint(data, place.prompts(data))
        error = place.run(place.first, "--seeds", "0,7", code=2).err
        assert "is like mine@v1 but of seed 7." in error
        learn, tune = (f"reidclip {command} {place.first} --method baseline --seed 7" for command in ("prompt-learn", "finetune"))
        assert f"Train it: {learn} && {tune}" in error

    def test_the_commands_are_those_that_made_it(self, place: Place) -> None:
        clip = write_tiny_clip(place.folder / "tiny.safetensors")
        batch = assigned("height=32", "width=16", "epochs=1", "identities=2", "images_per_identity=2", "pad=2")
        words = ["finetune", str(place.first), "--method", "baseline", "--clip", str(clip), *batch, "--store", str(place.store.root)]
        place.reidclip(*words, "--seed", "3", "--name", "third", "--device", "cpu", "--workers", "0")
        error = place.run(place.first, "--seeds", "3,4", code=2).err
        assert f"reidclip {shlex.join(words)} --device cpu --workers 0 --seed 4" in " ".join(error.split())

    def test_a_seed_named_twice_is_refused(self, place: Place) -> None:
        place.checkpoint(place.ref(place.first))
        assert "--seeds 0,1,0: seed 0 more than once." in place.run(place.first, "--seeds", "0,1,0", code=2).err

    @pytest.mark.parametrize(
        ("learned", "told"),
        [
            ((0, 0, 0), "prompts: one for all seeds (mine@v1); the seeds differ in the fine-tuning alone"),
            ((0, 1, 2), "prompts: one per seed (mine@v1, mine@v2, mine@v3)"),
            ((0, 0, 1), "note: prompts: some seeds share them, others have their own: mine@v1 for seeds 0, 1; mine@v2 for seed 2"),
        ],
    )
    def test_whether_prompts_were_learned_per_seed_is_told(self, place: Place, learned: tuple[int, ...], told: str) -> None:
        data = place.ref(place.first)
        prompts = {seed: place.prompts(data, seed) for seed in sorted(set(learned))}
        made = [place.checkpoint(data, prompts[number], seed=seed) for seed, number in enumerate(learned)]
        run = place.run(place.first, "--checkpoint", made[0].ref, "--seeds", "0,1,2", "--dry-run")
        assert [line for line in run.err.splitlines() if "prompts: " in line] == [told]

    def test_without_prompts_nothing_is_told_of_them(self, place: Place) -> None:
        made = [place.checkpoint(place.ref(place.first), seed=seed) for seed in (0, 1)]
        assert "prompts" not in place.run(place.first, "--checkpoint", made[0].ref, "--seeds", "0,1", "--dry-run").err


class TestGeneralisation:
    """Protocol dg-2:market1501, whose only target is a tree of Market-1501; checkpoints say that they were trained on the sources."""

    SOURCES = ("msmt17", "cuhk03", "cuhk_sysu")

    def joined(self, place: Place, *layouts: str) -> DatasetRef:
        one = DatasetRef(layout="", root="", fingerprint="", samples=1, splits={"train": 1})
        sources = {name: one.model_copy(update={"layout": name, "root": f"/data/{name}", "fingerprint": name}) for name in layouts}
        return one.model_copy(update={"layout": "joined", "root": "/data", "fingerprint": "joined", "sources": sources})

    @pytest.fixture
    def target(self, place: Place) -> Path:
        return TREES["market1501"].write(place.folder / "sets" / "market")

    def test_a_fitting_checkpoint_is_evaluated_on_the_target_below_a_folder(self, place: Place, target: Path) -> None:
        place.checkpoint(self.joined(place, *self.SOURCES))
        TREES["msmt17"].write(target.parent / "msmt")  # a source lies there too
        run = place.run(target.parent, "--protocol", "dg-2", "--json")
        assert "protocol: dg-2:market1501 (by the sources of checkpoint mine@v1)" in run.err
        assert f"note: {target} is not the published market1501 data (query: identities: 3, published: 750)" in run.err
        summary = run.json["summary"]
        assert (summary["protocol"], run.json["artifact"]) == ("dg-2:market1501", "mine-dg-2-market1501@v1")
        assert [(row["target"], row["protocol"]) for row in summary["targets"]] == [("market", "general")]
        assert [fact["cross_dataset"] for fact in summary["data"]] == [True]

    @pytest.mark.parametrize(
        ("layouts", "splits", "sentences"),
        [
            (("msmt17", "cuhk03"), ["train"], ["Source cuhk_sysu is missing."]),
            ((*SOURCES, "prcc"), ["train"], ["Source prcc is none of its sources."]),
            (SOURCES, ["all"], ["It was trained on the splits all; the protocol trains on the training split of its sources alone."]),
            (("cuhk03", "ltcc"), ["train", "val"], ["Source msmt17 is missing. Source cuhk_sysu is missing. Source ltcc is", "train, val"]),
        ],
    )
    def test_other_sources_are_refused_sentence_by_sentence(
        self, place: Place, target: Path, layouts: tuple[str, ...], splits: list[str], sentences: list[str]
    ) -> None:
        place.checkpoint(self.joined(place, *layouts), settings={"train_splits": splits})
        error = place.run(target, "--protocol", "dg-2:market1501", code=2).err
        assert "Checkpoint mine@v1 is not trained for protocol dg-2:market1501. " in error
        assert all(sentence in error for sentence in sentences)
        known = [f"/data/{name}" if name in layouts else f"data/{name}" for name in self.SOURCES]
        assert f"reidclip finetune {' '.join(known)} --method baseline --set 'train_splits=[\"train\"]'" in error
        assert not place.store.list("evaluation")

    def test_a_target_among_the_sources_is_refused(self, place: Place, target: Path) -> None:
        place.checkpoint(self.joined(place, "market1501", *self.SOURCES))
        error = place.run(target, "--protocol", "dg-2:market1501", code=2).err
        assert f"{target} (market1501) is a target of protocol dg-2:market1501, but checkpoint mine@v1 was made from " in error
        assert "market1501 data: source market1501 (market1501) at /data/market1501." in error

    def test_so_is_one_that_its_prompts_were_learned_on(self, place: Place, target: Path) -> None:
        prompts = place.prompts(place.ref(target))
        place.checkpoint(self.joined(place, *self.SOURCES), prompts)
        error = place.run(target, "--protocol", "dg-2:market1501", code=2).err
        assert "but prompts mine@v1 was made from it: source market (market1501)" in error

    def test_what_is_no_longer_in_the_store_is_told(self, place: Place, target: Path) -> None:
        prompts = place.prompts(self.joined(place, *self.SOURCES))
        place.checkpoint(self.joined(place, *self.SOURCES), prompts)
        place.store.remove(prompts, force=True)
        told = place.run(target, "--protocol", "dg-2:market1501").err
        assert "its prompts mine@v1 is no longer in the store" in told

    def test_other_data_is_no_target(self, place: Place) -> None:
        place.checkpoint(self.joined(place, *self.SOURCES))
        error = place.run(place.first, "--protocol", "dg-2:market1501", code=2).err
        assert "is prcc data, which is no target of protocol dg-2:market1501.\nIts targets: market1501." in error

    def test_a_target_that_is_there_twice_has_to_be_named(self, place: Place, target: Path) -> None:
        place.checkpoint(self.joined(place, *self.SOURCES))
        again = TREES["market1501"].write(target.parent / "again")
        error = place.run(target.parent, "--protocol", "dg-2:market1501", code=2).err
        assert f"There are several market1501 data sets: {again}, {target}." in error

    def test_missing_targets_are_named_with_their_trees(self, place: Place) -> None:
        layouts = ("market1501", "cuhk_sysu", "cuhk02", "cuhk03")
        place.checkpoint(self.joined(place, *layouts), settings={"train_splits": ["all"]})
        for camera in "ab":
            picture = place.folder / "sets" / "viper" / f"cam_{camera}" / "000_45.bmp"
            picture.parent.mkdir(parents=True)
            picture.touch()
        error = place.run(place.folder / "sets", "--protocol", "dg-1", code=2).err
        assert f"evaluated on prid, grid, viper, ilids; prid and grid and ilids are not in {place.folder / 'sets'}." in error
        trees = [registry.info("reidclip.layouts", name).object.expected_tree.splitlines()[0] for name in ("prid", "grid", "ilids")]
        assert all(f": {tree}" in error for tree in trees) and "viper: " not in error

    def test_a_checkpoint_of_nothing_known_is_refused(self, place: Place, target: Path) -> None:
        place.checkpoint(None)
        error = place.run(target, "--protocol", "dg-2:market1501", code=2).err
        assert "Nothing says what checkpoint mine@v1 was trained on" in error

    def test_a_plain_clip_is_evaluated_and_has_no_sources(self, place: Place, target: Path) -> None:
        run = place.run(target, "--protocol", "dg-2:market1501", *place.zero, "--json")
        assert "a plain CLIP was trained on none of the sources of dg-2:market1501" in run.err
        assert run.json["summary"]["data"][0]["trained_on"] == []

    @pytest.mark.parametrize("lost", ["images_labeled", "cuhk03_new_protocol_config_labeled.mat"])
    def test_a_target_without_the_protocol_that_is_reported_is_refused(self, place: Place, lost: str) -> None:
        """CUHK03 with a detector's boxes alone has protocols too, but gives other numbers than the published ones."""
        root = cuhk03_tree.cuhk03(place.folder / "cuhk03")
        (root / lost).rename(place.folder / lost)
        place.checkpoint(self.joined(place, "market1501", "msmt17", "cuhk_sysu"))
        error = place.run(root, "--protocol", "dg-2:cuhk03", code=2).err
        assert f"dg-2:cuhk03 is evaluated under protocol general, which {root} (cuhk03) does not have." in error
        assert f"{root / lost} is missing" in error and "--protocol detected" in error
        assert not place.store.list("evaluation")
        (row,) = place.json(root, "--protocol", "dg-2:cuhk03", "--protocol", "detected")["summary"]["targets"]
        assert row["protocol"] == "detected", "named, it is evaluated"

    def test_a_whole_target_is_evaluated_under_the_protocol_that_is_reported(self, place: Place) -> None:
        root = cuhk03_tree.cuhk03(place.folder / "cuhk03")
        (row,) = place.json(root, "--protocol", "dg-2:cuhk03", *place.zero)["summary"]["targets"]
        assert row["protocol"] == "general"

    def test_seeds_each_have_to_fit(self, place: Place, target: Path) -> None:
        data = self.joined(place, *self.SOURCES)
        made = [place.checkpoint(data, seed=seed) for seed in (0, 1)]
        told = place.json(target, "--protocol", "dg-2", "--seeds", "0,1", "--checkpoint", made[0].ref)
        (row,) = told["summary"]["targets"]
        assert len(row["R1_each"]) == 2 and told["artifact"] == "mine-dg-2-market1501-2-seeds@v1"

    def test_a_checkpoint_that_does_not_fit_is_told_before_its_seeds_are_missed(self, place: Place, target: Path) -> None:
        place.checkpoint(self.joined(place, "msmt17", "cuhk03"))
        error = place.run(target, "--protocol", "dg-2:market1501", "--seeds", "0,7", code=2).err
        assert "is not trained for protocol dg-2:market1501. Source cuhk_sysu is missing." in error and "of seed 7" not in error

    def test_what_becomes_of_other_protocols_is_told(self, place: Place, target: Path) -> None:
        place.checkpoint(self.joined(place, *self.SOURCES))
        named = place.run(target, "--protocol", "dg-2:market1501", "--protocol", "general", "--dry-run").err
        assert "note: dg-2:market1501 chooses sources and targets; targets are compared by general\n" in named
        assert "chooses sources" not in place.run(target, "--protocol", "dg-2:market1501", "--dry-run").err


def test_a_negative_split_is_refused(place: Place) -> None:
    assert "'--split': Input should be greater than or equal to 0" in place.run(place.first, *place.zero, "--split", "-1", code=2).err
