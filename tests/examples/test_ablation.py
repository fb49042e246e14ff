"""The ablation program as a user runs it: a tiny table end to end, what rows share, going on after a kill, and its faults."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import ablation.make
import pytest
from ablation.budget import Budget, budget_of
from ablation.own_words import translated
from ablation.rows import rows_of
from ablation.steps import Planner
from ablation.table_file import read_table
from run import main as run_program

from reidclip.artifacts.store import Store
from reidclip.data.open import open_dataset
from reidclip.data.samplers import epoch_generator, pk_batches
from reidclip_schp.tiny_network import TinyParserNet
from reidclip_schp.tiny_weights import write_weights
from tests.cli.test_training import write_labels
from tests.fakes import REPOSITORY, environment, write_prcc, write_tiny_clip

RUN = REPOSITORY / "examples" / "ablation" / "run.py"
HEAD = """
title = "Tiny"
data = "prcc"
seeds = [0, 1]
[settings.common]
clip = "tiny.safetensors"
height = 32
width = 16
[settings.prompt-learn]
epochs = 2
[settings.finetune]
epochs = 2
identities = 2
images_per_identity = 2
pad = 2
lr = 0.05
[settings.evaluate]
resamples = 0
diagnostics = true
[masks.truth]
labels = "labels"
[masks.none]
blank = true
"""
ROWS = """
[[row]]
name = "zero-shot"
method = "zero-shot"
[[row]]
name = "baseline"
method = "baseline"
[[row]]
name = "ccaf"
method = "ccaf"
masks = "truth"
[[row]]
name = "lambda1 = {}"
method = "ccaf"
masks = "truth"
sweep = { "finetune.lambda1" = [0.5, 5.0] }
[[row]]
name = "blank masks"
method = "ccaf"
masks = "none"
compare_with = "ccaf"
"""


def write_place(folder: Path) -> Path:
    write_prcc(folder / "prcc")
    write_labels(folder / "prcc", folder / "labels")
    write_tiny_clip(folder / "tiny.safetensors")
    (folder / "t.toml").write_text(HEAD + ROWS)
    return folder


COMMON = ("--device", "cpu", "--workers", "0", "--resamples", "99")


def run(place: Path, *words: str, code: int = 0) -> tuple[str, str]:
    """The program in this process (torch is imported once): what it prints on stdout and on stderr."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.chdir(place)
        patch.setattr(sys, "argv", ["run.py", *words, *COMMON])
        with pytest.raises(SystemExit) as end:
            run_program()
    told = err.getvalue()
    assert "Traceback" not in told and "Internal error" not in told, told
    assert (end.value.code or 0) == code, told
    return out.getvalue(), told


def result(place: Path, table: str = "t") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / "ablations" / table / "table.json").read_text())
    return found


def folders(place: Path) -> dict[str, list[str]]:
    """Names in the store by kind."""
    root = place / "artifacts"
    return {kind.name: sorted(p.name for p in kind.iterdir()) for kind in sorted(root.iterdir()) if not kind.name.startswith(".")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = write_place(tmp_path_factory.mktemp("ablation"))
    place.joinpath("told.txt").write_text(run(place, "t.toml")[0])
    return place


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return write_place(tmp_path)


class TestTable:
    def test_every_row_has_every_seed(self, finished: Path) -> None:
        table = result(finished)
        assert [row["name"] for row in table["rows"]] == ["zero-shot", "baseline", "ccaf", "lambda1 = 0.5", "lambda1 = 5.0", "blank masks"]
        assert all(set(row["evaluations"]) == {"0", "1"} for row in table["rows"]) and table["missing"] == 0
        assert [len(row["protocols"]["cloth-changing"]["R1"]["runs"]) for row in table["rows"]] == [1, 2, 2, 2, 2, 2]

    def test_numbers_are_those_of_the_evaluations(self, finished: Path) -> None:
        store = Store(finished / "artifacts")
        for row in result(finished)["rows"]:
            for seed, ref in row["evaluations"].items():
                metrics = json.loads(store.open(ref).file("metrics.json").read_text())
                runs = row["protocols"]["cloth-changing"]["mAP"]["runs"]
                assert metrics["cloth-changing"]["mAP"] == runs[int(seed) if len(runs) > 1 else 0]

    def test_paired_difference_is_the_difference_of_means(self, finished: Path) -> None:
        rows = {row["name"]: row for row in result(finished)["rows"]}
        assert rows["blank masks"]["compared_with"] == "ccaf" and rows["zero-shot"]["compared_with"] is None
        for name, other in (("baseline", "zero-shot"), ("blank masks", "ccaf")):
            for protocol, metric in itertools.product(("same-clothes", "cloth-changing"), ("R1", "mAP")):
                this, that = (rows[row]["protocols"][protocol][metric]["mean"] for row in (name, other))
                assert rows[name]["paired"][protocol][metric]["difference"] == pytest.approx(this - that, abs=1e-6)

    def test_rows_share_what_is_equal(self, finished: Path) -> None:
        """ccaf and lambda1 = 5.0 (the recipe's value) are one; all rows on the same masks share prompts."""
        rows = {row["name"]: row for row in result(finished)["rows"]}
        assert rows["ccaf"]["evaluations"] == rows["lambda1 = 5.0"]["evaluations"] != rows["lambda1 = 0.5"]["evaluations"]
        found = folders(finished)
        assert {kind: len(names) for kind, names in found.items()} == {"masks": 2, "prompts": 4, "checkpoint": 8, "evaluation": 9}

    def test_blank_masks_shield_nothing(self, finished: Path) -> None:
        (name,) = [n for n in folders(finished)["masks"] if n.startswith("masks-none-")]
        assert Store(finished / "artifacts").open(f"masks/{name}").manifest.metrics["clothes_share"] == 0

    def test_markdown(self, finished: Path) -> None:
        told = (finished / "told.txt").read_text()
        assert told.strip() == (finished / "ablations/t/table.md").read_text().strip()
        assert "## same-clothes" in told and "## cloth-changing" in told
        row = next(line for line in told.splitlines() if line.startswith("| blank masks | 2 |"))
        assert re.search(r"\| ccaf \| [+-]\d+\.\d \[[+-]\d+\.\d, [+-]\d+\.\d\], p = \d\.\d{3}", row)

    def test_clothes_left_in_the_feature(self, finished: Path) -> None:
        store, rows = Store(finished / "artifacts"), result(finished)["rows"]
        for row in rows:
            found = [json.loads(store.open(ref).file("diagnostics.json").read_text()) for ref in dict.fromkeys(row["evaluations"].values())]
            for name in ("accuracy", "variance_share", "chance"):
                assert row["clothes_probe"][name]["runs"] == [run["clothes_probe"][name] for run in found]
            assert "within_camera_share" not in row["clothes_probe"]  # as in PRCC, nobody changes clothes under one camera
        told = (finished / "told.txt").read_text().split("## Clothes left in the feature")[1]
        assert all(f"| {row['name']} | " in told for row in rows)

    def test_a_second_run_makes_nothing(self, finished: Path) -> None:
        before = folders(finished)
        again = run(finished, "t.toml")
        assert folders(finished) == before and "[" not in again[1]
        assert "Everything is done." in run(finished, "t.toml", "--dry-run")[0]

    def test_another_table_takes_what_is_there(self, finished: Path) -> None:
        before = folders(finished)
        (finished / "other.toml").write_text(HEAD + '[[row]]\nname = "method"\nmethod = "ccaf"\nmasks = "truth"\n')
        run(finished, "other.toml", "--seeds", "1")
        assert folders(finished) == before and result(finished, "other")["seeds"] == [1]

    def test_it_may_be_tested_on_other_data(self, finished: Path) -> None:
        """The checkpoints are those that are there; only the evaluations are new, and of the other data."""
        write_prcc(finished / "other")
        next((finished / "other/rgb/test/C").rglob("*.jpg")).unlink()
        before = folders(finished)
        row = '[[row]]\nname = "method"\nmethod = "ccaf"\nmasks = "truth"\n'
        (finished / "cross.toml").write_text(HEAD.replace('data = "prcc"', 'data = "prcc"\ntest_data = "other"') + row)
        run(finished, "cross.toml")
        after = folders(finished)
        assert {kind: len(after[kind]) - len(before[kind]) for kind in after} == {
            "masks": 0,
            "prompts": 0,
            "checkpoint": 0,
            "evaluation": 2,
        }
        (ref, _) = result(finished, "cross")["rows"][0]["evaluations"].values()
        made = Store(finished / "artifacts").open(ref).manifest.dataset
        assert made is not None and made.fingerprint == open_dataset(finished / "other").fingerprint

    def test_one_more_seed_makes_that_seed_alone(self, finished: Path, tmp_path: Path) -> None:
        copy = tmp_path / "copy"
        shutil.copytree(finished, copy)
        plan = run(copy, "t.toml", "--dry-run", "--no-trial", "--seeds", "0,1,2")[0]
        assert "checkpoint: 12 to be had, 8 done" in plan and "masks: 2 to be had, 2 done" in plan


class TestDryRun:
    def test_tells_rows_sharing_and_time_and_writes_no_artifact(self, place: Path) -> None:
        told = run(place, "t.toml", "--dry-run")[0]
        assert "baseline: baseline, " in told and " pictures, compared with zero-shot" in told
        assert "masks: 2 to be had, 0 done" in told and re.search(r"checkpoint/ccaf-s0-\w+ is shared by ccaf, lambda1 = 5.0", told)
        assert re.search(r"23 steps to do, about \d+ s$", told.strip()), told
        assert not (place / "artifacts").exists()

    def test_without_a_trial_nothing_is_known(self, place: Path) -> None:
        assert "nothing is known of 23 of them" in run(place, "t.toml", "--dry-run", "--no-trial")[0]
        assert not (place / "ablations").exists()


class TestShipped:
    @pytest.mark.parametrize("path", sorted(RUN.parent.glob("*.toml")), ids=lambda path: path.stem)
    def test_a_shipped_table_resolves(self, path: Path) -> None:
        table = read_table(path)
        rows = rows_of(table)
        assert len(rows) >= 3 and len(table.seeds) >= 3
        assert {row.compare_with for row in rows[1:]} <= {row.name for row in rows}

    def test_the_readme_names_every_table(self) -> None:
        told = (RUN.parent / "README.md").read_text()
        assert [path.name for path in RUN.parent.glob("*.toml") if f"`{path.name}`" not in told] == []

    def test_the_readmes_own_tables_resolve(self, tmp_path: Path) -> None:
        found = []
        for block in re.findall(r"```toml\n(.*?)```", (RUN.parent / "README.md").read_text(), re.DOTALL):
            (tmp_path / "t.toml").write_text(block)
            found.append([row.name for row in rows_of(read_table(tmp_path / "t.toml"))])
        assert found == [["teacher", "labels alone", "distilled"], ["erase = 0.0", "erase = 0.5", "no shielding stream"]]

    def test_table_3_adds_one_part_after_the_other(self) -> None:
        rows = rows_of(read_table(RUN.parent / "ccaf-table3.toml"))
        parts = [tuple(getattr(row.settings["finetune"], part, False) for part in ("i2t", "i2i", "cfm")) for row in rows]
        assert parts == [(False, False, False), (True, False, False), (True, True, False), (True, True, True)]


class TestOtherData:
    def test_label_maps_below_the_data_follow_it(self, tmp_path: Path) -> None:
        """Another rendered set has pictures of the same names: the table's own maps would fit them, and mask other people."""
        masks = '[masks.truth]\nlabels = "sets/one/parsing"\n[masks.elsewhere]\nlabels = "sets/maps"\n[masks.none]\nblank = true\n'
        (tmp_path / "t.toml").write_text(f'data = "sets/one"\n{masks}' + '[[row]]\nname = "a"\nmethod = "ccaf"\nmasks = "truth"\n')
        own, moved = read_table(tmp_path / "t.toml"), read_table(tmp_path / "t.toml", overrides={"data": Path("two")})
        assert [table.masks["truth"].labels for table in (own, moved)] == [Path("sets/one/parsing"), Path("two/parsing")]
        assert all(table.masks["elsewhere"].labels == Path("sets/maps") and table.masks["none"].blank for table in (own, moved))

    def test_a_shipped_table_masks_the_people_of_the_data_given(self) -> None:
        table = read_table(RUN.parent / "methods.toml", overrides={"data": Path("data/synthcc-tuning")})
        assert table.masks["truth"].labels == table.data[0] / "parsing"


class TestBudget:
    def test_iterations_are_those_of_the_loop(self, finished: Path) -> None:
        """Counted before anything is trained; batches per epoch vary a little, so every epoch is planned."""
        dataset = open_dataset(finished / "prcc")
        table = read_table(finished / "t.toml")
        row = next(row for row in rows_of(table) if row.name == "baseline")
        pids = [s.pid for s in dataset.samples if s.split == "train"]
        planned = [pk_batches(pids, 2, 2, epoch_generator(1, epoch)) for epoch in range(2)]
        assert budget_of(row, "finetune", dataset, 1) == Budget(sum(map(len, planned)), 4)
        learned = next(row for row in rows_of(table) if row.name == "ccaf")
        assert budget_of(learned, "prompt-learn", dataset, 1) == Budget(2 * 1, 64)  # 24 pictures are one batch
        assert budget_of(row, "prompt-learn", dataset, 1) is None


class TestGoingOn:
    def test_after_a_kill_in_a_training(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What was done before the kill is not made again, and the training that was cut goes on where it was."""
        long = HEAD.replace("[settings.finetune]\nepochs = 2", "[settings.finetune]\nepochs = 60")
        rows = '[[row]]\nname = "zero-shot"\nmethod = "zero-shot"\n[[row]]\nname = "baseline"\nmethod = "baseline"\n'
        (place / "t.toml").write_text(long + rows)
        words = [sys.executable, str(RUN), "t.toml", "--seeds", "0", *COMMON]
        process = subprocess.Popen(words, cwd=place, env=environment(place / "home"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(place, process)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
        first = folders(place)
        assert len(first["evaluation"]) == 1 and result(place)["missing"] == 1
        created = Store(place / "artifacts").open(f"evaluation/{first['evaluation'][0]}").manifest.created
        steps: list[tuple[str, int]] = []
        monkeypatch.setattr(
            ablation.make, "progress_bars", lambda: contextlib.nullcontext(lambda what, done, total: steps.append((what, done)))
        )
        run(place, "t.toml", "--seeds", "0")
        trained = [done for what, done in steps if what == "baseline finetune"]
        assert trained[0] > 4, "it began at the first step again"
        assert result(place)["missing"] == 0
        assert Store(place / "artifacts").open(f"evaluation/{first['evaluation'][0]}").manifest.created == created
        assert len(folders(place)["checkpoint"]) == 1 and not list((place / "artifacts/.runs").glob("*/stage-*.safetensors"))


def wait_for(place: Path, process: subprocess.Popen[bytes]) -> Path:
    for _ in range(4800):
        found = list((place / "artifacts" / ".runs").glob("*/stage-0.safetensors"))
        if found:
            return found[0]
        assert process.poll() is None, "it ended before it kept a state"
        time.sleep(0.05)
    raise AssertionError("no state within four minutes")


def test_other_weights_of_a_parser_make_other_masks(place: Path) -> None:
    """Weights may be replaced under their name, the bundled ones by an update: masks of the old ones must not be taken."""
    table = read_table(_table(place, masks='parser = "schp"\nparse = { weights = "parser.safetensors" }'))
    dataset = open_dataset(place / "prcc", "prcc")
    row = next(row for row in rows_of(table) if row.masks == "truth")

    def name_of_the_masks(weights: Path) -> str:
        shutil.copyfile(weights, place / "parser.safetensors")
        steps = Planner(table, dataset, dataset, "fp32", lambda spec: spec).evaluation(row, 0).line()
        return next(step.name for step in steps if step.kind == "masks")

    files = [place / "a.safetensors", place / "b.safetensors"]
    for file in files:
        write_weights(file, TinyParserNet((8, 8, 8), (1, 1, 1), fused=True), (128, 64))
    first, other, again = map(name_of_the_masks, (*files, files[0]))
    assert first == again != other


def _table(place: Path, masks: str) -> Path:
    path = place / "masks.toml"
    path.write_text((HEAD + ROWS).replace('labels = "labels"', masks.replace("parser.safetensors", str(place / "parser.safetensors"))))
    return path


class TestFaults:
    @pytest.mark.parametrize(
        ("old", "new", "sentence"),
        [
            ('method = "baseline"', 'method = "basline"', "Did you mean 'baseline'?"),
            ("[settings.finetune]", "[settings.fintune]", "Did you mean 'finetune'?"),
            ('labels = "labels"', 'labels = "lables"', "[masks.truth] labels: lables is no folder."),
            ('masks = "none"', 'mask = "none"', "unknown key 'row[5].mask'. Did you mean 'masks'?"),
            ("blank = true", "blnk = true", "unknown key 'masks.none.blnk'. Did you mean 'blank'?"),
            ("pad = 2", "padd = 2", "No method knows 'padd' of [settings.finetune]."),
            ('name = "baseline"', 'name = "baseline"\nfinetune = { lambda1 = 1.0 }', "Row 'baseline': Wrong finetune settings"),
            ('name = "baseline"', 'name = "baseline"\ncommon = { heigt = 1 }', "no command of method 'baseline' knows 'heigt'"),
            (
                'name = "baseline"',
                'name = "baseline"\nfinetune = { epochs = 3 }',
                "other_budget = true in a row, or allow it with --budget any.",
            ),
            (
                'name = "zero-shot"',
                'name = "zero-shot"\nfinetune = { epochs = 3 }',
                "evaluates the plain CLIP, but has settings of finetune",
            ),
            ('masks = "truth"\n[[row]]', 'masks = "truht"\n[[row]]', "Did you mean 'truth'?"),
            ('masks = "truth"\n[[row]]', "[[row]]", "Row 'ccaf' reads masks, and names none."),
            ("blank = true", 'blank = true\nparser = "schp"', "[masks.none] needs exactly one of labels, parser and blank"),
            ('"lambda1 = {}"', '"lambda1"', "Two rows are called 'lambda1'."),
            ('"finetune.lambda1"', '"lambda1"', "Row 'lambda1 = {}' sweeps 'lambda1'."),
            ('compare_with = "ccaf"', 'compare_with = "cccaf"', "is compared with 'cccaf'"),
            ("seeds = [0, 1]", 'seeds = [0, "one"]', "key 'seeds[2]': "),
            ("seeds = [0, 1]", "seeds = [0, 0]", "a seed stands twice"),
            ('data = "prcc"', 'data = "nowhere"', "There is no folder nowhere."),
            ('data = "prcc"', 'data = "prcc"\nprotocols = ["cloth-change"]', "Did you mean 'cloth-changing'?"),
            ('title = "Tiny"', 'titel = "Tiny"', "unknown key 'titel'. Did you mean 'title'?"),
        ],
    )
    def test_a_wrong_table_says_what_to_do(self, place: Path, old: str, new: str, sentence: str) -> None:
        text = (place / "t.toml").read_text()
        assert old in text
        (place / "t.toml").write_text(text.replace(old, new, 1))
        assert sentence in run(place, "t.toml", code=2)[1]
        assert not (place / "artifacts").exists()

    def test_options_that_a_table_lacks_are_said_in_its_own_words(self, place: Path) -> None:
        (place / "t.toml").write_text(HEAD.replace("identities = 2", "identities = 50", 1) + ROWS)
        assert "Lower it (--set finetune.identities=4), or take more data." in run(place, "t.toml", code=2)[1]

    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [
            ("Or --set sie_camera=false.", "Or --set common.sie_camera=false."),
            ("for example --set 'train_splits=[\"train\"]'.", "for example --set 'common.train_splits=[\"train\"]'."),
            ("Name one of them, for example --dataset prcc.", 'Name one of them, for example layout = "prcc" in the table.'),
            ("Give a CLIP, such as --clip ViT-B-16:openai.", "Give a CLIP, such as --set common.clip=ViT-B-16:openai."),
            ("Lower it: --set finetune.epochs=2.", "Lower it: --set finetune.epochs=2."),
        ],
    )
    def test_words_of_a_table(self, theirs: str, ours: str) -> None:
        assert translated(theirs) == ours

    def test_a_budget_that_differs_may_be_allowed(self, place: Path) -> None:
        text = (place / "t.toml").read_text().replace('name = "baseline"', 'name = "baseline"\nfinetune = { epochs = 3 }')
        (place / "t.toml").write_text(text)
        assert "23 steps to do" in run(place, "t.toml", "--dry-run", "--no-trial", "--budget", "any")[0]

    def test_a_row_may_say_that_its_budget_differs(self, place: Path) -> None:
        text = (place / "t.toml").read_text()
        (place / "t.toml").write_text(
            text.replace('name = "baseline"', 'name = "baseline"\nfinetune = { epochs = 3 }\nother_budget = true')
        )
        assert "23 steps to do" in run(place, "t.toml", "--dry-run", "--no-trial")[0]
