"""``reidclip report`` as a user runs it: what the artifact and its copy hold, with and without pictures, of several data sets and seeds."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reidclip.artifacts.manifest import DatasetRef
from reidclip.artifacts.store import Store
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.data.face_blur import blur_faces
from reidclip.data.images import read_picture
from reidclip.data.open import open_dataset
from tests.cli.in_process import CommandLine, beside_a_tiny_clip
from tests.cli.report_data import write_folder
from tests.cli.test_blur_faces import labels, write_parsing
from tests.contracts.test_layouts import TREES
from tests.fakes import tiny_clip, write_prcc

ON_CPU = ("--device", "cpu", "--workers", "0")


@pytest.fixture
def reidclip(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    """The command line in a folder with data set "prcc" and a tiny CLIP."""
    write_prcc(tmp_path / "prcc", tmp_path / "keep")
    return beside_a_tiny_clip(monkeypatch, capsys, tmp_path)


def evaluated(reidclip: CommandLine, *words: str, data: str = "prcc") -> None:
    reidclip("evaluate", data, "--zero-shot", "--clip", "tiny.safetensors", "--set", "resamples=20", *words, *ON_CPU)


def page(path: str = "page.html") -> str:
    return Path(path).read_text(encoding="utf-8")


def held(html: str) -> Any:
    """The data of the page's script."""
    found = re.search(r'<script type="application/json" id="report-data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def words_of(html: str) -> str:
    """What the page says outside its data, style and script."""
    bare = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", bare)).split())


def test_bare_it_takes_the_newest_evaluation_and_says_so(reidclip: CommandLine) -> None:
    evaluated(reidclip, "--name", "e")
    run = reidclip("report", "--output", "page.html", "--json", *ON_CPU)
    assert "evaluation: e@v1 (the newest)" in run.err and "data: " in run.err
    artifact = Store(Path("artifacts")).open("report/e@v1")
    assert (artifact.path / "report.html").read_bytes() == Path("page.html").read_bytes()
    assert run.json == {"report": "e@v1", "page": "page.html", **artifact.manifest.metrics}
    assert run.json["bytes"] == len(Path("page.html").read_bytes())
    assert [(i.kind, i.ref) for i in artifact.manifest.inputs] == [("evaluation", "e@v1")]
    html, data = page(), held(page())
    metrics = json.loads((Path("artifacts/evaluation/e/v0001") / "metrics.json").read_text())
    for entry in metrics.values():
        assert f"{100 * entry['mAP']:.1f} [{100 * entry['mAP_interval'][0]:.1f}, {100 * entry['mAP_interval'][1]:.1f}]" in words_of(html)
    (group,) = data["groups"]
    assert [p["name"] for p in group["protocols"]] == list(metrics)
    assert len(data["pictures"]) == len(group["items"]) == run.json["pictures"] and None not in data["pictures"]
    assert "http" not in re.sub(r"http-equiv", "", html), "the page names an address"


def test_lists_leave_out_what_the_protocol_ignores(reidclip: CommandLine) -> None:
    evaluated(reidclip, "--name", "e")
    reidclip("report", "--output", "page.html", *ON_CPU)
    (group,) = held(page())["groups"]
    for protocol in group["protocols"]:
        assert len(protocol["queries"]) == 4
        for query in protocol["queries"]:
            (found,) = query["found"]
            assert all(group["items"][item][0].startswith("rgb/test/A/") for item, _, _ in found["list"])
            same = [match == (group["items"][item][1] == group["items"][query["item"]][1]) for item, _, match in found["list"]]
            assert all(same) and found["rank"] == 1 + [match for _, _, match in found["list"]].index(1)


def test_without_pictures_or_data_it_says_so(reidclip: CommandLine) -> None:
    evaluated(reidclip, "--name", "e")
    reidclip("report", "--no-pictures", "--output", "page.html", *ON_CPU)
    bare = held(page())
    assert bare["pictures"] == [] and bare["groups"][0]["protocols"][0]["queries"][0]["found"][0]["list"]
    assert "data:image" not in page()
    shutil.move("prcc", "elsewhere")
    run = reidclip("report", "--output", "gone.html", "--heat-maps", 2, *ON_CPU)
    assert "note: The data of e@v1 is no longer at" in run.err and "no pictures" in run.out
    assert "is no longer at" in words_of(page("gone.html"))
    protocol = held(page("gone.html"))["groups"][0]["protocols"][0]
    assert [q["found"][0]["list"] for q in protocol["queries"]] == [[]] * 4
    curves = [re.findall(r'<polyline points="([^"]+)" class="line s0"', page(name)) for name in ("page.html", "gone.html")]
    assert curves[0] == curves[1] and len(curves[0]) == len(bare["groups"][0]["protocols"])  # from the tables of ranks, too
    reidclip("report", "--data", "elsewhere", "--output", "found.html", *ON_CPU)
    (found,) = held(page("found.html"))["groups"]
    assert len(held(page("found.html"))["pictures"]) == len(found["items"])
    assert found["protocols"] == bare["groups"][0]["protocols"]


def test_changed_data_is_refused_but_for_no_pictures(reidclip: CommandLine) -> None:
    evaluated(reidclip, "--name", "e")
    shutil.copy("prcc/rgb/test/A/001/cropped_rgb001.jpg", "prcc/rgb/test/A/001/cropped_rgb009.jpg")
    run = reidclip("report", *ON_CPU, code=2)
    assert "is not as evaluation e@v1 read it: 4 / 5 pictures in split test-A" in run.err
    run = reidclip("report", "--no-pictures", "--output", "page.html", *ON_CPU)
    assert "is not as evaluation e@v1 read it" in run.err and "is not as evaluation" in words_of(page())


def test_several_data_sets_are_grouped(reidclip: CommandLine, tmp_path: Path) -> None:
    write_folder(tmp_path / "own")
    evaluated(reidclip, "--name", "e")
    evaluated(reidclip, "--name", "o", data="own")
    evaluated(reidclip, "--name", "f", "--flip")
    for folder in ("prcc", "own"):
        shutil.move(folder, f"moved-{folder}")
    reidclip("report", "e", "o", "f", "--data", "moved-own", "--data", "moved-prcc", "--output", "page.html", *ON_CPU)
    groups = held(page())["groups"]
    assert [g["evaluations"] for g in groups] == [["e@v1", "f@v1"], ["o@v1"]]
    places = [item[4] for g in groups for item in g["items"]]
    assert places == list(range(len(places)))
    assert "settings.flip" in words_of(page())
    assert Store(Path("artifacts")).open("report/e-and-2-more").manifest.name == "e-and-2-more"
    ids = re.findall(r'\bid="([^"]+)"', page())
    assert len(set(ids)) == len(ids)


def test_re_ranked_results_stand_beside_the_plain_ones(reidclip: CommandLine) -> None:
    evaluated(reidclip, "--name", "e", "--set", "rerank=true", "--set", "rerank_k1=3", "--set", "rerank_k2=2")
    reidclip("report", "--output", "page.html", *ON_CPU)
    told = "Lists, curves and distances are of the plain ranking, also where the table has reranked rows."
    assert "e@v1, reranked" in words_of(page()) and told in words_of(page())
    evaluated(reidclip, "--name", "plain")
    reidclip("report", "plain", "--output", "plain.html", *ON_CPU)
    assert "plain ranking" not in words_of(page("plain.html"))


def test_published_numbers_stand_below_with_the_difference(reidclip: CommandLine) -> None:
    """48.8 less 55.2 is -6.4; 30.5 less 29.3 is +1.2."""
    evaluated(reidclip, "--name", "e")
    store = Store(Path("artifacts"))
    plain = store.open("evaluation/e@v1")
    metrics = json.loads((plain.path / "metrics.json").read_text())
    row = {"R1": 0.552, "mAP": 0.293, "difference": {"R1": 0.488 - 0.552, "mAP": 0.305 - 0.293}}
    metrics["cloth-changing"] |= {"R1": 0.488, "mAP": 0.305, "published": {**row, "method": "cal", "source": "table 2", "status": "x"}}
    made = plain.manifest
    with store.create("evaluation", "p") as draft:
        shutil.copytree(plain.path, draft.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json", "files.json"))
        draft.write("metrics.json", json.dumps(metrics).encode())
        draft.describe(config=made.config, dataset=made.dataset, inputs=made.inputs)
    reidclip("report", "p", "--output", "page.html", *ON_CPU)
    assert "published: cal, table 2 55.2 (-6.4) – – – 29.3 (+1.2) –" in words_of(page())
    assert words_of(page()).count("published: ") == 1 and "the evaluation less the published one" in words_of(page())
    reidclip("report", "e", "--output", "plain.html", *ON_CPU)
    assert "published: " not in words_of(page("plain.html")) and "less the published one" not in words_of(page("plain.html"))


def test_a_summary_stands_for_its_evaluations(reidclip: CommandLine, tmp_path: Path) -> None:
    write_folder(tmp_path / "own")
    reidclip("evaluate", "prcc", "own", "--zero-shot", "--clip", "tiny.safetensors", "--name", "s", "--set", "resamples=20", *ON_CPU)
    store = Store(Path("artifacts"))
    summary = next(a for a in store.list("evaluation") if "summary.json" in a.files)
    reidclip("report", summary.ref, "--output", "page.html", *ON_CPU)
    assert len(held(page())["groups"]) == 2 and f"{summary.ref}: percent" in words_of(page())
    assert {i.digest for i in store.newest("report").manifest.inputs} == {a.digest for a in store.list("evaluation")}  # type: ignore[union-attr]


def checkpoint_on(data: Path, store: Store, options: InferenceOptions) -> None:
    with store.create("checkpoint", "c") as draft:
        InferenceEncoder(tiny_clip().image_encoder, options).eval().save(draft.path)
        draft.describe(method="baseline", plugin_version="1", dataset=DatasetRef.of(open_dataset(data)), config={"settings": {"lr": 0.5}})


def test_heat_maps_and_the_training_of_a_checkpoint(reidclip: CommandLine) -> None:
    """Of an encoder whose features are compared by Euclidean distances."""
    checkpoint_on(Path("prcc"), Store(Path("artifacts")), InferenceOptions(normalise=False))
    reidclip("evaluate", "prcc", "--checkpoint", "c", "--name", "e", "--set", "resamples=20", *ON_CPU)
    reidclip("report", "--heat-maps", 3, "--output", "page.html", *ON_CPU)
    assert page().count('class="heat"') == 3 and "heat map of c@v1 (gradient)" in page()
    assert "settings.lr 0.5" in words_of(page()) and "checkpoint/c@v1 as checkpoint" in words_of(page())
    (group,) = held(page())["groups"]
    answers = [a for p in group["protocols"] for q in p["queries"] for f in q["found"] for a in f["list"]]
    assert all(distance >= 0 for _, distance, _ in answers) and max(distance for _, distance, _ in answers) > 0


def jpeg(uri: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        return np.asarray(image, np.float64)


def test_faces_stay_blurred(reidclip: CommandLine, tmp_path: Path) -> None:
    """What was evaluated with blurred faces is shown so; without the label maps it is not shown."""
    store = Store(Path("artifacts"))
    parsing = write_parsing(store, tmp_path)
    evaluated(reidclip, "--name", "blurred", "--blur-faces")
    reidclip("report", "--output", "page.html", *ON_CPU)
    shown = held(page())
    for path, *_, place, _ in shown["groups"][0]["items"]:
        picture, known = read_picture(tmp_path / "prcc" / path), labels(tmp_path, path)
        seen, face = jpeg(shown["pictures"][place]), known == 13
        apart = [np.abs(seen - one)[face].mean() for one in (blur_faces(picture, known, (13,)), picture)]
        assert apart[0] < apart[1] / 2, path
    store.remove(parsing, force=True)
    run = reidclip("report", "blurred", *ON_CPU, code=2)
    assert "Evaluation blurred@v1 is of blurred faces" in run.err and "--no-pictures" in run.err
    reidclip("report", "blurred", "--no-pictures", *ON_CPU)


def test_evaluations_of_other_random_divisions_share_no_lists(reidclip: CommandLine, tmp_path: Path) -> None:
    TREES["viper"](tmp_path / "viper")
    for name, split in (("a", 0), ("b", 1), ("c", 0)):
        evaluated(reidclip, "--name", name, "--split", str(split), data="viper")
    reidclip("report", "a", "b", "c", "--output", "page.html", *ON_CPU)
    (group,) = held(page())["groups"]
    assert [[f is None for f in q["found"]] for q in group["protocols"][0]["queries"]] == [[False, True, False]] * 2
    assert "Evaluations of other divisions than the first one's have no lists beside it." in words_of(page())


def test_a_tracklet_is_shown_by_the_frame_in_its_middle(reidclip: CommandLine, tmp_path: Path) -> None:
    TREES["ccvid"](tmp_path / "ccvid")
    evaluated(reidclip, "--name", "v", data="ccvid")
    reidclip("report", "--output", "page.html", *ON_CPU)
    shown = held(page())
    frames = {s.path: s.frames for s in open_dataset(tmp_path / "ccvid").samples}
    for path, *_, place, _ in shown["groups"][0]["items"]:
        seen = jpeg(shown["pictures"][place])
        apart = [np.abs(seen - read_picture(tmp_path / "ccvid" / frame)).mean() for frame in frames[path]]
        assert apart[len(frames[path]) // 2] == min(apart)


def test_dry_run_and_output(reidclip: CommandLine) -> None:
    evaluated(reidclip, "--name", "e")
    plan = reidclip("report", "e", "--dry-run", "--queries", 7, *ON_CPU).json
    assert plan["evaluations"] == ["e@v1"] and plan["settings"]["queries"] == 7 and plan["writes"] == "report/e"
    assert not Path("artifacts/report").exists()
    Path("page.html").write_text("mine")
    reidclip("report", "--output", "page.html", *ON_CPU, code=2)
    assert page() == "mine" and not Path("artifacts/report").exists()
    reidclip("report", "--output", "page.html", "--force", "--map-people", 0, *ON_CPU)
    assert page().startswith("<!DOCTYPE html>") and "Map of people" not in words_of(page())


def test_pictures_take_no_more_than_max_size(reidclip: CommandLine) -> None:
    """Twelve pictures of noise: smaller and smaller ones, and the page is larger by them alone."""
    for number, file in enumerate(sorted(Path("prcc/rgb/test").rglob("*.jpg"))):
        noise = np.random.default_rng(number).integers(0, 256, (160, 320, 3)).astype(np.uint8)
        Image.fromarray(noise).resize((640, 320), Image.Resampling.NEAREST).save(file)
    evaluated(reidclip, "--name", "e")
    reidclip("report", "--no-pictures", "--output", "bare.html", *ON_CPU)
    text = len(page("bare.html").encode())
    heights = []
    for megabytes in (32, 0.3, 0.1):
        told = reidclip("report", "--max-size", megabytes, "--output", "page.html", "--force", "--json", *ON_CPU).json
        taken = sum(len(uri) for uri in held(page())["pictures"])
        assert taken <= megabytes * 1e6 and told["pictures"] == 12
        assert abs(told["bytes"] - text - taken) < 500  # quotes, commas, places of pictures
        heights.append(told["picture_height"])
    assert heights[0] == 160 and heights == sorted(set(heights), reverse=True)
