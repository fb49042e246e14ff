"""`reidclip datasets list` and `show`: what is supported, where to ask for it, and what is published."""

from __future__ import annotations

import pytest

from reidclip.data.published import count
from tests.cli.in_process import CommandLine
from tests.cli.small_layout import Register, SmallLayout


class TestList:
    def test_every_layout_says_where_to_ask_and_what_is_published(self, reidclip: CommandLine) -> None:
        told = {d["name"]: d for d in reidclip("datasets", "list", "--json").json["datasets"]}
        assert {"prcc", "folder"} <= set(told)
        assert all(d["state"] == "ok" and d["title"] and d["tree"] for d in told.values())
        assert {"what": "train: images", "value": 17_896, "mark": "C"} in told["prcc"]["published"]
        assert "research" in told["prcc"]["source"]

    def test_table(self, reidclip: CommandLine) -> None:
        lines = reidclip("datasets", "list").out.splitlines()
        (line,) = [line for line in lines if line.startswith("prcc ")]
        assert "PRCC (Yang, Wu, Zheng; TPAMI 2021)" in line and "221 identities, 33,698 images" in line

    def test_a_broken_plugin_is_one_line(self, reidclip: CommandLine, register: Register) -> None:
        register(SmallLayout())
        lines = reidclip("datasets", "list").out.splitlines()
        assert "broken  broken: ImportError: no module named q (of tests)" in lines
        assert any(line.startswith("small ") for line in lines)
        entry = next(d for d in reidclip("datasets", "list", "--json").json["datasets"] if d["name"] == "broken")
        assert entry["state"] == "broken" and entry["published"] == []

    def test_without_totals_the_training_split_speaks(self, reidclip: CommandLine, register: Register) -> None:
        counts = (count("images", 5, "T", "query"), count("identities", 1_041, "R", "train"), count("images", 30_248, "R", "train"))
        register(SmallLayout(*counts))
        assert "train: 1,041 identities, 30,248 images" in reidclip("datasets", "list").out


class TestShow:
    def test_everything_of_one(self, reidclip: CommandLine) -> None:
        out = reidclip("datasets", "show", "prcc").out
        assert "--dataset prcc" in out and "DATA/rgb/train/<pid>/" in out and "source: The authors" in out
        (row,) = [line.split() for line in out.splitlines() if line.startswith("val: identities")]
        assert row == ["val:", "identities", "150", "G"]
        assert "G  hearsay" in out and "C  counted from a complete list" in out

    def test_protocols_that_are_easily_mistaken_are_told_apart(self, reidclip: CommandLine) -> None:
        out = reidclip("datasets", "show", "vcclothes").out
        assert "cloth-changing (rule std): As published: only pictures of cameras 3 and 4" in out and "cc-labels (rule cc): " in out
        assert [p["name"] for p in reidclip("datasets", "show", "market1501", "--json").json["protocols"]] == ["general"]

    def test_only_marks_that_occur_are_explained(self, reidclip: CommandLine, register: Register) -> None:
        register(SmallLayout(count("images", 18, "T")))
        out = reidclip("datasets", "show", "small").out
        assert "  T  measured" in out and "hearsay" not in out

    def test_own_data_has_no_counts(self, reidclip: CommandLine) -> None:
        out = reidclip("datasets", "show", "folder").out
        assert "index.csv" in out and "Marks" not in out and "source" not in out

    @pytest.mark.parametrize(("name", "sentence"), [("prc", "Did you mean 'prcc'?"), ("broken", "cannot be loaded: ImportError")])
    def test_unknown_or_broken(self, name: str, sentence: str, reidclip: CommandLine, register: Register) -> None:
        if name == "broken":
            register(SmallLayout())
        assert sentence in " ".join(reidclip("datasets", "show", name, code=2).err.split())
