"""`reidclip plugins` as its user sees it, and what `check` finds in faulty methods."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field
from typer.testing import CliRunner

from reidclip import registry
from reidclip.cli.plugins import app
from reidclip.errors import UserError
from reidclip.lazy_method import LazyMethod
from reidclip.registry import PluginInfo
from reidclip.settings import Settings
from reidclip.stages.check_plugins import check_plugin
from reidclip.stages.plugins import describe_settings, show
from tests.fakes import REPOSITORY


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


class TestList:
    def test_every_group(self) -> None:
        entries = json.loads(run("list", "--json"))["plugins"]
        found = {(e["kind"], e["name"]) for e in entries if e["distribution"] == "reidclip"}
        assert {("method", "ccaf"), ("method", "clipreid"), ("method", "baseline"), ("parser", "schp"), ("layout", "prcc")} <= found
        assert {("body", "anny"), ("body", "smpl")} <= found
        assert all(e["state"] == "ok" and e["error"] is None and e["title"] for e in entries)

    def test_for_people(self) -> None:
        (line,) = [line for line in run("list").splitlines() if line.startswith("ccaf ")]
        assert "method" in line
        assert f"reidclip {registry.info('reidclip.methods', 'ccaf').distribution_version}" in line


class TestShow:
    def test_method(self) -> None:
        text = run("show", "ccaf")
        for part in (
            "CLIP-Driven Cloth-Agnostic Feature Learning",
            "stages: prompt-learn, finetune",
            "settings of finetune",
            "clothes_target: 'prompts' | 'onehot' = 'prompts'",
            "lambda1: float = 0.1",
            "70.4/63.7",
            "PAPER.md",
        ):
            assert part in text
        assert "  ltcc        CCAF on LTCC, ViT-B/16: the paper's settings." in text.splitlines()

    def test_method_in_json(self) -> None:
        (told,) = json.loads(run("show", "clipreid", "--json"))["plugins"]
        assert told["stages"] == ["prompt-learn", "finetune"]
        settings = {s["key"]: s for s in told["settings"]["finetune"]}
        assert settings["lr"]["default"] == "5e-06" and "value" not in settings["lr"]
        recipes = {r["name"]: r for r in told["recipes"]}
        assert recipes["msmt17"]["layout"] == "msmt17" and recipes["msmt17"]["title"].startswith("CLIP-ReID on MSMT17, ViT-B/16")
        assert recipes["tiny"]["layout"] is None
        assert settings["margin"]["type"] == "float | None"
        assert settings["milestones"] == {"key": "milestones", "type": "tuple[int, ...]", "default": "(30, 50)"} | {
            "description": settings["milestones"]["description"]
        }
        assert Path(told["paper"]).samefile(REPOSITORY / "plugins" / "reidclip_clipreid" / "PAPER.md")

    def test_body_with_its_licence(self) -> None:
        title, licence = run("show", "smpl").splitlines()[1:]
        assert title.startswith("SMPL,") and licence.startswith("licence: ") and "non-commercial" in licence
        (told,) = json.loads(run("show", "anny", "--json"))["plugins"]
        assert told["kind"] == "body" and "CC0" in told["licence"]

    def test_recipe(self) -> None:
        lines = [line.split() for line in run("show", "clipreid", "--recipe", "msmt17-sie-olp").splitlines()]
        assert ["stride", "12", "None"] in lines, "the value under the recipe, and the default"
        assert ["height", "256"] in lines, "no default beside it where it is the same"
        assert ["train_splits", "('train',", "'val')", "('train',)"] in lines

    def test_recipe_in_json(self) -> None:
        (told,) = json.loads(run("show", "baseline", "--recipe", "market1501", "--json"))["plugins"]
        (setting,) = [s for s in told["settings"]["finetune"] if s["key"] == "id_weight"]
        assert (told["recipe"], setting["default"], setting["value"]) == ("market1501", "0.25", "1.0")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("ccaf", "--recipe", "prc"), r"Method 'ccaf' has no recipe 'prc'.\nDid you mean 'prcc'\?"),
            (("schp", "--recipe", "tiny"), r"Plugin 'schp' is a parser and has no recipes."),
            (("anny", "--recipe", "tiny"), r"Plugin 'anny' is a body and has no recipes."),
        ],
    )
    def test_no_such_recipe(self, arguments: tuple[str, ...], message: str) -> None:
        with pytest.raises(UserError, match=message):
            run("show", *arguments)

    @pytest.mark.parametrize("group", ["reidclip.methods", "reidclip.parsers"])
    def test_every_setting_is_described(self, group: str) -> None:
        for name in registry.names(group):
            for details in (d for d in show(name) if d.kind in group):
                bare = [f"{command} {s.key}" for command, rows in details.settings.items() for s in rows if not s.description]
                assert details.settings and bare == [], name

    def test_layout(self) -> None:
        assert "rgb/train/<pid>" in run("show", "prcc")

    def test_unknown(self) -> None:
        with pytest.raises(UserError, match=r"no plugin 'ccaff'.\nDid you mean 'ccaf'\?"):
            run("show", "ccaff")


class TestEquation:
    @pytest.mark.parametrize("number", ["10", "eq10", "(10)", "Eq. (10)", "010"])
    def test_where_it_is(self, number: str) -> None:
        where, summary = run("eq", "ccaf", number).splitlines()
        path, line = where.rsplit(":", 1)
        source = (Path.cwd() / path).read_text().splitlines()
        assert source[int(line) - 1].startswith("def eq10_centre_consistency(")
        assert summary.startswith("  Eq. (10), L_con: ")

    def test_as_json(self) -> None:
        (place,) = json.loads(run("eq", "ccaf", "10", "--json"))["equations"]
        assert Path(place["path"]).read_text().splitlines()[place["line"] - 1].startswith("def eq10_centre_consistency(")

    def test_single_digit_is_not_a_prefix(self) -> None:
        assert "  Eq. (1), L_ce" in run("eq", "ccaf", "1")
        assert len(run("eq", "ccaf", "1").splitlines()) == 2

    def test_path_from_elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert Path(run("eq", "ccaf", "10").splitlines()[0].rsplit(":", 1)[0]).is_file()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("clipreid", "3"), r"no function for equation '3'.\nKnown: 1, 2, 4, 5, 6, 7, 8\."),
            (("ccaf", "ten"), r"no function for equation 'ten'.\nKnown: 1, 2"),
            (("caf", "1"), r"no method 'caf'.\nDid you mean 'ccaf'\?"),
        ],
    )
    def test_unknown(self, arguments: tuple[str, str], message: str) -> None:
        with pytest.raises(UserError, match=message):
            run("eq", *arguments)


class Good(Settings):
    epochs: int = 3
    size: int = Field(8, gt=0, description="Of something.")


IMPLEMENTATION = "def finetune_stages(context): ...\ndef encoder(context, stages): ...\n"


@pytest.fixture
def method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LazyMethod:
    """A method with nothing wrong; tests spoil it."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "tiny.toml").write_text("[common]\nepochs = 1\n[finetune]\nsize = 4\n")
    (tmp_path / "fake_implementation.py").write_text(IMPLEMENTATION)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = LazyMethod("fake", "Fake", "1", "fake_implementation", tmp_path, {"finetune": Good})
    monkeypatch.setattr(registry, "all_infos", lambda group: [PluginInfo(group, "fake", "", "", "", object=found)])
    return found


def problems(plugin: Any, name: str = "fake", group: str = "reidclip.methods") -> list[str]:
    return check_plugin(PluginInfo(group, name, "fake:METHOD", "fake", "1", object=plugin))


class TestCheck:
    def test_bundled_plugins_have_nothing_wrong(self) -> None:
        assert json.loads(run("check", "--json")) == {"ok": True, "findings": []}

    def test_good_method(self, method: LazyMethod) -> None:
        assert problems(method) == []

    @pytest.mark.parametrize(
        ("recipe", "problem"),
        [
            ("[finetune]\nsize = 0\n", "recipe tiny.toml: Wrong finetune: key 'size'"),
            ("[finetune]\nsizes = 1\n", "recipe tiny.toml: Wrong finetune: unknown key 'sizes'. Did you mean 'size'?"),
            ("[finetune]\nsize = \n", "tiny.toml is not valid TOML"),
            ("[fine-tune]\nsize = 1\n", "recipe tiny.toml: unknown table [fine-tune]; known: common, evaluate, finetune"),
            ("[common]\nepoch = 1\n", "recipe tiny.toml: key 'epoch' of [common] is a setting of no stage"),
            ("[evaluate]\nflips = true\n", "recipe tiny.toml: Wrong evaluate: unknown key 'flips'. Did you mean 'flip'?"),
            ("[fake.finetune]\nsize = 0\n", "recipe tiny.toml: Wrong finetune: key 'size'"),
            ("[fake.tune]\nsize = 3\n", "recipe tiny.toml: unknown table [fake.tune]"),
            ('[recipe]\nextends = "tny"\n', "has no recipe 'tny'"),
            ('[recipe]\nextends = "tiny"\n', "extend each other in a circle: tiny > tiny"),
            ('[recipe]\nbase = "tiny"\n', "unknown key 'base'"),
        ],
    )
    def test_recipes(self, method: LazyMethod, recipe: str, problem: str) -> None:
        (method.folder / "recipes" / "tiny.toml").write_text(recipe)
        (told,) = problems(method)
        assert problem in told

    @pytest.mark.parametrize(
        ("row", "problem"),
        [
            ('method = "fake"\nrecipe = "tny"\nlayout = "prcc"', "published.toml names recipe 'tny', which does not exist"),
            ('method = "fake"\nrecipe = "tiny"\nlayout = "prc"', "published.toml names layout 'prc', which does not exist"),
            ('method = "fke"\nrecipe = "tiny"\nlayout = "prcc"', "published.toml names method 'fke', which is none of this folder"),
            ('method = "fake"\nrecipe = "tiny"', "key 'layout' is missing"),
        ],
    )
    def test_published_rows(self, method: LazyMethod, row: str, problem: str) -> None:
        rest = 'protocols = ["general"]\nR1 = 50.0\nmAP = 40.0\nsource = "A paper"\nstatus = "R"\n'
        (method.folder / "published.toml").write_text(f"[[result]]\n{row}\n{rest}")
        (told,) = problems(method)
        assert problem in told

    def test_no_recipe(self, method: LazyMethod) -> None:
        (method.folder / "recipes" / "tiny.toml").unlink()
        assert "has no recipe" in problems(method)[0]

    def test_implementation_lacks_a_function(self, method: LazyMethod) -> None:
        (method.folder / "fake_implementation.py").write_text("from x import encoder\n")
        assert problems(method) == ["fake_implementation defines no 'finetune_stages'"]

    def test_implementation_is_absent(self, method: LazyMethod) -> None:
        assert problems(replace(method, implementation="no_such.module")) == ["its implementation no_such.module does not exist"]

    def test_paper_disagrees(self, method: LazyMethod) -> None:
        (method.folder / "equations.py").write_text('def eq01_a():\n    """Eq. (1), a."""\n')
        (method.folder / "PAPER.md").write_text("nothing\n")
        assert problems(method) == ["PAPER.md has no row (1) for eq01_a"]

    def test_equations_are_no_python(self, method: LazyMethod) -> None:
        (method.folder / "equations.py").write_text("def eq01_a(:\n")
        (method.folder / "PAPER.md").write_text("nothing\n")
        assert "is not valid Python" in problems(method)[0]

    def test_another_name(self, method: LazyMethod) -> None:
        assert problems(method, name="other") == ["is registered as 'other' but calls itself 'fake'"]

    def test_unknown_stage(self, method: LazyMethod) -> None:
        told = problems(replace(method, settings={"finetune": Good, "tune": Good}))
        assert "stage 'tune' is no command that trains; known: prompt-learn, finetune, distill" in told

    def test_signature(self, method: LazyMethod) -> None:
        class Layout:
            name, title, expected_tree, source, published = "x", "X", "tree", "", ()

            def recognises(self, root: Path) -> bool:
                return True

            def load(self) -> None: ...

        assert problems(Layout(), "x", "reidclip.layouts") == ["'load' does not take (root)"]

    def test_missing_parts(self) -> None:
        told = problems(object(), "x", "reidclip.parsers")
        assert told == [f"lacks '{part}' of Parser (reidclip/interfaces.py)" for part in ("name", "title", "settings", "open")]


def test_settings_are_described() -> None:
    assert [(s.key, s.type, s.default, s.description) for s in describe_settings(Good)] == [
        ("epochs", "int", "3", ""),
        ("size", "int", "8", "Of something."),
    ]


class Inner(Settings):
    """A table."""

    lr: float = Field(1.0, description="How fast.")
    shares: tuple[Annotated[float, Field(ge=0, le=1)], ...] = (0.5,)


class Outer(Settings):
    """With a table whose default is not the table's own."""

    warm_up: Inner = Field(Inner(lr=0.25), description="Before all else.")
    epochs: int


def test_keys_of_a_table_are_described_with_the_defaults_that_hold() -> None:
    assert [(s.key, s.type, s.default, s.description) for s in describe_settings(Outer)] == [
        ("warm_up", "table", "its keys below", "Before all else."),
        ("warm_up.lr", "float", "0.25", "How fast."),
        ("warm_up.shares", "tuple[float, ...]", "(0.5,)", ""),
        ("epochs", "int", "required", ""),
    ]


def test_they_are_shown_below_it_and_with_a_recipe() -> None:
    shown = run("show", "fgdi")
    assert "\n  warm_up: table = its keys below\n" in shown and "\n    warm_up.lr: float = " in shown and "Annotated" not in shown
    assert "warm_up.lr" in run("show", "fgdi", "--recipe", "tiny")
