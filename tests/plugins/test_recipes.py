"""The bundled recipes: each resolves for every command of its method, and says what the published configurations say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reidclip import registry
from reidclip.errors import UserError
from reidclip.evaluation.settings import EvaluateSettings
from reidclip.lazy_method import LazyMethod
from reidclip.recipes import read_recipe, recipe_names
from reidclip.settings import Settings, resolve
from reidclip.stages.choose import settings_for
from reidclip.stages.published import read_published
from tests import trees

METHODS = ("baseline", "clipreid", "ccaf", "sci")
OTHERS = ("cal", "fgdi", "clip3dreid", "rkd")
RECIPES = [(name, recipe) for name in (*METHODS, *OTHERS) for recipe in recipe_names(registry.get("reidclip.methods", name))]
BENCHMARKS = {"prcc", "ltcc", "vcclothes", "market1501", "msmt17"}


def settings(method: str, command: str, recipe: str) -> dict[str, Any]:
    return settings_for(registry.get("reidclip.methods", method), command, recipe, None, {}).model_dump()


@pytest.mark.parametrize(("name", "recipe"), RECIPES)
def test_every_recipe_resolves_for_every_command(name: str, recipe: str) -> None:
    method = registry.get("reidclip.methods", name)
    read = read_recipe(method, recipe)
    assert read.title and (read.layout is None or read.layout in registry.names("reidclip.layouts"))
    for command, model in {**method.settings, "evaluate": EvaluateSettings}.items():
        resolve(model, *read.sections(command, model), where=f"{name} {recipe} {command}")  # raises on a key that the model lacks


@pytest.mark.parametrize("name", METHODS)
def test_there_is_a_recipe_for_every_benchmark(name: str) -> None:
    method = registry.get("reidclip.methods", name)
    assert {recipe: read_recipe(method, recipe).layout for recipe in BENCHMARKS} == {layout: layout for layout in BENCHMARKS}


# What parity/README.md tells of configs/person/{vit,cnn}_{clipreid,base}.yml, typed by hand.
STAGE_1 = {"batch_size": 64, "lr": 3.5e-4, "weight_decay": 1e-4, "warmup_epochs": 5, "warmup_lr": 1e-5, "min_lr": 1e-6, "tokens": 4}
INPUT = {"height": 256, "width": 128, "similarity": "dot"}
STAGE_2 = {
    "identities": 16,
    "images_per_identity": 4,
    "bias_lr_factor": 2.0,
    "head_lr_factor": 1.0,
    "schedule": "multistep",
    "warmup_epochs": 10,
    "triplet_weight": 1.0,
    "triplet_features": "all",
    "triplet_normalise": False,
    "margin": 0.3,
    "smoothing": 0.1,
    "resize": "bicubic",
    "flip": 0.5,
    "pad": 10,
    "erase": 0.5,
}
VIT = {"clip": "ViT-B-16:openai", "normalisation": "half"}
VIT_2 = {"epochs": 60, "lr": 5e-6, "weight_decay": 1e-4, "milestones": (30, 50), "warmup_factor": 0.1}
CNN = {"clip": "RN50:openai", "normalisation": "imagenet", "stride": None, "sie_camera": False}
CNN_2 = {"epochs": 120, "lr": 3.5e-4, "weight_decay": 5e-4, "milestones": (40, 70), "warmup_factor": 0.01, "id_weight": 1.0}
PLAIN = {"stride": None, "sie_camera": False}
SIE_OLP = {"stride": 12, "sie_camera": True, "sie_coefficient": 1.0}
JOINED = {"train_splits": ("train", "val")}
TRAIN = {"train_splits": ("train",)}

FGDI_TOKENS = {"epochs": 120, "warm_epochs": 3, "adversarial_weight": 0.01, "reversal": 0.1, "classifier_lr": 0.01, "domain_epochs": 30,
               "domain_tokens": 1}  # fmt: skip
FGDI_INPUT = {"height": 224, "width": 224, "normalisation": "instance", "test_resize": "bicubic", "similarity": "dot"}
FGDI_BATCH = {"identities": 32, "id_weight": 1.0}
FGDI_AUGMENTATION = {"grey": 0.1, "flip": 0.4, "jitter": 0.1, "jitter_strength": (0.15, 0.1, 0.05, 0.05), "augmix": 0.6, "erase": 0.0}

EXPECTED: dict[tuple[str, str, str], dict[str, Any]] = {
    ("clipreid", "prompt-learn", "market1501"): {**INPUT, **VIT, **STAGE_1, **PLAIN, **TRAIN, "epochs": 120},
    ("clipreid", "prompt-learn", "msmt17"): {**INPUT, **VIT, **STAGE_1, **PLAIN, **JOINED, "epochs": 120},
    ("clipreid", "prompt-learn", "msmt17-sie-olp"): {**INPUT, **VIT, **STAGE_1, **JOINED, "epochs": 120, "stride": 12},
    ("clipreid", "prompt-learn", "rn50"): {**INPUT, **CNN, **STAGE_1, **TRAIN, "epochs": 60},
    ("clipreid", "prompt-learn", "msmt17-rn50"): {**INPUT, **CNN, **STAGE_1, **JOINED, "epochs": 60},
    ("clipreid", "finetune", "market1501"): {**INPUT, **VIT, **STAGE_2, **VIT_2, **PLAIN, **TRAIN, "id_weight": 0.25, "i2tce_weight": 1.0},
    ("clipreid", "finetune", "msmt17"): {**INPUT, **VIT, **STAGE_2, **VIT_2, **PLAIN, **JOINED, "id_weight": 0.25, "i2tce_weight": 1.0},
    ("clipreid", "finetune", "market1501-sie-olp"): {**INPUT, **VIT, **STAGE_2, **VIT_2, **SIE_OLP, **TRAIN, "id_weight": 0.25},
    ("clipreid", "finetune", "msmt17-sie-olp"): {**INPUT, **VIT, **STAGE_2, **VIT_2, **SIE_OLP, **JOINED, "id_weight": 0.25},
    ("clipreid", "finetune", "rn50"): {**INPUT, **CNN, **STAGE_2, **CNN_2, **TRAIN, "i2tce_weight": 1.0},
    ("clipreid", "finetune", "msmt17-rn50"): {**INPUT, **CNN, **STAGE_2, **CNN_2, **JOINED, "i2tce_weight": 1.0},
    # vit_base.yml has another weight of the identity loss than vit_clipreid.yml; cnn_base.yml has the same.
    ("baseline", "finetune", "market1501"): {**INPUT, **VIT, **STAGE_2, **VIT_2, **PLAIN, **TRAIN, "id_weight": 1.0},
    ("baseline", "finetune", "msmt17"): {**INPUT, **VIT, **STAGE_2, **VIT_2, **PLAIN, **JOINED, "id_weight": 1.0},
    ("baseline", "finetune", "rn50"): {**INPUT, **CNN, **STAGE_2, **CNN_2, **TRAIN},
    # CCAF, section 2 of the methods' digest.
    ("ccaf", "prompt-learn", "ltcc"): {**VIT, "epochs": 120, "batch_size": 64, "lr": 3.5e-4, "clothes_prompts": True, **TRAIN},
    ("ccaf", "finetune", "vcclothes"): {
        **VIT,
        **TRAIN,
        "epochs": 40,
        "lr": 5e-6,
        "schedule": "cosine",
        "warmup_epochs": 0,
        "identities": 16,
        "images_per_identity": 4,
        "id_weight": 1.0,
        "lambda1": 0.1,
        "lambda2": 1.0,
        "cfm": True,
    },
    ("ccaf", "prompt-learn", "market1501"): {"clothes_prompts": False, **TRAIN},
    ("ccaf", "finetune", "msmt17"): {"cfm": False, "i2i": True, "i2t": True, "epochs": 40, **JOINED},
    # SCI, section 3 of the methods' digest; what it does not tell is CLIP-ReID's RN50 configuration. PRCC's steps keep their share.
    ("sci", "prompt-learn", "ltcc"): {**INPUT, **CNN, **STAGE_1, **TRAIN, "epochs": 60, "alpha": 1.0, "beta": 1.0, "sse": True},
    ("sci", "prompt-learn", "prcc"): {**STAGE_1, "epochs": 20},
    ("sci", "prompt-learn", "msmt17"): {**CNN, **JOINED, "clothes_from": "identity"},
    ("sci", "finetune", "ltcc"): {**INPUT, **CNN, **STAGE_2, **CNN_2, **TRAIN, "triplet_weight": 0.0, "cal_start_epoch": 50, "sim": True},
    ("sci", "finetune", "prcc"): {"epochs": 20, "lr": 3.5e-4, "milestones": (7, 12), "warmup_epochs": 2, "cal_start_epoch": 8},
    ("sci", "finetune", "market1501"): {**CNN_2, **TRAIN, "clothes_from": "identity"},
    ("sci", "finetune", "vit"): {**VIT, **VIT_2, "clothes_from": "labels", "interaction_lr": 3.5e-4},
    # CILP-FGDI, section 5 of the methods' digest: the paper, then the published program.
    ("fgdi", "prompt-learn", "fgdi"): {**INPUT, **VIT, **STAGE_1, **FGDI_TOKENS, "order": "shuffled", "drop_last": False},
    ("fgdi", "prompt-learn", "fgdi-code"): {**STAGE_1, **FGDI_TOKENS, **FGDI_INPUT, "order": "fixed", "drop_last": True},
    ("fgdi", "finetune", "fgdi"): {
        **INPUT, **VIT, **STAGE_2, **VIT_2, **FGDI_BATCH, "first_index": 1, "beta": 0.3, "apn": "ed", "apn_margin": 0.3,
        "apn_sign": "paper", "grey": 0.0, "jitter": 0.0, "augmix": 0.0, "normalise_features": True,
    },
    ("fgdi", "finetune", "fgdi-code"): {
        **STAGE_2, **VIT_2, **FGDI_BATCH, **FGDI_INPUT, **FGDI_AUGMENTATION, "margin": None, "first_index": 4, "beta": 0.1, "apn": "cs",
        "apn_margin": None, "apn_sign": "paper", "normalise_features": False,
    },
}  # fmt: skip

# Stage 1 of CILP-FGDI is a table of its own within prompt-learn; its program trains it as stage 3, without text.
WARM_UP: dict[str, dict[str, Any]] = {
    "fgdi": {**STAGE_2, **VIT_2, **FGDI_BATCH, "epochs": 3, "margin": 0.3, "first_index": 1},
    "fgdi-code": {**STAGE_2, **VIT_2, **FGDI_BATCH, **FGDI_INPUT, **FGDI_AUGMENTATION, "epochs": 3, "margin": None, "first_index": 1},
}


@pytest.mark.parametrize("recipe", WARM_UP)
def test_the_warm_up_of_fgdi_is_the_published_one(recipe: str) -> None:
    resolved: Any = settings_for(registry.get("reidclip.methods", "fgdi"), "prompt-learn", recipe, None, {})
    found = resolved.stage1.model_dump()
    assert {key: found[key] for key in WARM_UP[recipe]} == WARM_UP[recipe]


@pytest.mark.parametrize("case", EXPECTED, ids=" ".join)
def test_values_are_the_published_ones(case: tuple[str, str, str]) -> None:
    found = settings(*case)
    assert {key: found[key] for key in EXPECTED[case]} == EXPECTED[case]


@pytest.mark.parametrize("method", ["baseline", "clipreid", "ccaf"])  # SCI's paper has other settings for PRCC
@pytest.mark.parametrize("recipe", ["prcc", "ltcc", "vcclothes"])
def test_cloth_changing_sets_share_the_settings(method: str, recipe: str) -> None:
    for command in registry.get("reidclip.methods", method).settings:
        assert settings(method, command, recipe) == settings(method, command, "prcc")
        if method != "ccaf":
            assert settings(method, command, recipe) == settings(method, command, "market1501")


@pytest.mark.parametrize("command", ["prompt-learn", "finetune"])
def test_ccaf_on_deepchange_has_the_papers_one_configuration(command: str) -> None:
    assert settings("ccaf", command, "deepchange") == settings("ccaf", command, "prcc")


# ------------------------------------------------------------------------------------------------------- how recipes are read
class Tuned(Settings):
    lr: float = 1.0
    epochs: int = 1
    seeds: tuple[int, ...] = (0,)


@pytest.fixture
def method(tmp_path: Path) -> LazyMethod:
    (tmp_path / "recipes").mkdir()
    return LazyMethod("mine", "Mine", "1", "nowhere", tmp_path, {"finetune": Tuned})


def write(method: LazyMethod, **recipes: str) -> None:
    for name, text in recipes.items():
        (method.folder / "recipes" / f"{name}.toml").write_text(text)


def test_a_recipe_wins_over_the_one_it_extends_wherever_that_has_the_value(method: LazyMethod) -> None:
    write(
        method,
        base='# Base.\n[recipe]\nlayout = "prcc"\n[common]\nepochs = 2\n[finetune]\nlr = 2.0\nepochs = 3\nseeds = [1, 2]\n',
        middle='# Middle.\n[recipe]\nextends = "base"\n[common]\nepochs = 4\n',
        top='[recipe]\nextends = "middle"\nlayout = "ltcc"\n[finetune]\nseeds = [5]\n',
    )
    assert settings_for(method, "finetune", "base", None, {}) == Tuned(lr=2.0, epochs=3, seeds=(1, 2))
    assert settings_for(method, "finetune", "middle", None, {}) == Tuned(lr=2.0, epochs=4, seeds=(1, 2))
    assert settings_for(method, "finetune", "top", None, {"lr": 9.0}) == Tuned(lr=9.0, epochs=4, seeds=(5,))
    titles = {name: (read_recipe(method, name).title, read_recipe(method, name).layout) for name in recipe_names(method)}
    assert titles == {"base": ("Base.", "prcc"), "middle": ("Middle.", "prcc"), "top": ("", "ltcc")}


def test_a_methods_own_table_is_for_it_alone(method: LazyMethod) -> None:
    write(method, both="[finetune]\nlr = 2.0\n[mine.finetune]\nepochs = 7\n[baseline.finetune]\nlr = 3.0\n")
    assert settings_for(method, "finetune", "both", None, {}) == Tuned(lr=2.0, epochs=7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[recipe]\nextends = "second"\n', r"circle: first > second > first"),
        ('[recipe]\nextends = "thrid"\n', r"has no recipe 'thrid'.\nDid you mean 'third'"),
        ("[recipe]\nlayouts = 3\n", r"unknown key 'layouts'. Did you mean 'layout'"),
        ("[finetunes]\nlr = 3\n", r"No command reads a table \[finetunes\]"),
        ("[finetune]\nlearning = 3\n", r"unknown key 'learning'"),
        ("[other.finetune]\nlr = 3\n", r"No command reads a table \[other\]"),
    ],
)
def test_a_faulty_recipe_is_told(method: LazyMethod, text: str, message: str) -> None:
    write(method, first=text, second='[recipe]\nextends = "first"\n', third="")
    with pytest.raises(UserError, match=message):
        settings_for(method, "finetune", "first", None, {})


# ------------------------------------------------------------------------------------------------------------ published numbers
def test_ccafs_published_numbers() -> None:
    rows = read_published(registry.get("reidclip.methods", "ccaf").folder)
    told = {(row.layout, protocol): (row.R1, row.mAP) for row in rows for protocol in row.protocols}
    assert told == {
        ("prcc", "same-clothes"): (99.9, 98.4),
        ("prcc", "cloth-changing"): (70.4, 63.7),
        ("ltcc", "general"): (75.3, 41.3),
        ("ltcc", "cloth-changing"): (42.9, 20.1),
        ("vcclothes", "general"): (95.4, 90.9),
        ("vcclothes", "cloth-changing"): (88.6, 87.2),
        ("vcclothes", "cc-labels"): (88.6, 87.2),
        ("deepchange", "general"): (59.6, 21.0),
    }
    assert all("not say" in row.note for row in rows if len(row.protocols) > 1)


def test_clipreids_and_the_baselines_published_numbers() -> None:
    rows = read_published(registry.get("reidclip.methods", "clipreid").folder)
    told = {(row.method, row.recipe, row.layout, protocol): (row.R1, row.mAP, row.status) for row in rows for protocol in row.protocols}
    assert told == {
        ("clipreid", "market1501", "market1501", "general"): (95.5, 89.6, "G"),
        ("clipreid", "msmt17", "msmt17", "general"): (88.7, 73.4, "G"),
        ("clipreid", "market1501-sie-olp", "market1501", "general"): (95.4, 90.5, "G"),
        ("clipreid", "msmt17-sie-olp", "msmt17", "general"): (89.7, 75.8, "G"),
        ("clipreid", "rn50", "ltcc", "cloth-changing"): (38.3, 15.9, "R"),
        ("clipreid", "rn50", "prcc", "cloth-changing"): (57.0, 55.3, "R"),
        ("clipreid", "rn50", "vcclothes", "cloth-changing"): (85.9, 79.3, "R"),
        ("clipreid", "rn50", "vcclothes", "cc-labels"): (85.9, 79.3, "R"),
        ("baseline", "prcc", "prcc", "cloth-changing"): (62.9, 59.1, "R"),
    }
    assert all("own run" in row.note for row in rows if not row.source.startswith("CLIP-ReID"))


@pytest.mark.parametrize("name", METHODS)
def test_rows_belong_to_recipes_of_the_same_data(name: str) -> None:
    method = registry.get("reidclip.methods", name)
    rows = [row for row in read_published(method.folder) if row.method == name]
    assert rows
    for row in rows:
        assert read_recipe(method, row.recipe).layout in (None, row.layout)
    assert len({(row.recipe, row.layout, p) for row in rows for p in row.protocols}) == sum(len(row.protocols) for row in rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("R1 = 3\n", "holds something beside its rows"),
        ("result = [3]\n", "holds something beside its rows"),
        ("[[result]]\nR1 = 170.0\n", r"row 1 of .*published.toml: .*key 'method' is missing.*key 'R1': input should be less than"),
    ],
)
def test_a_faulty_table_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "published.toml").write_text(text)
    with pytest.raises(UserError, match=message):
        read_published(tmp_path)


@pytest.mark.parametrize("name", METHODS)
def test_every_row_can_be_shown(name: str, tmp_path: Path) -> None:
    """Its protocols are the layout's own, and the size of every split that the recipe or the protocol uses is published."""
    method = registry.get("reidclip.methods", name)
    for row in (row for row in read_published(method.folder) if row.method == name):
        dataset = getattr(trees, row.layout)(tmp_path / f"{row.layout}-{row.recipe}-{row.protocols[0]}")
        layout = registry.get("reidclip.layouts", row.layout)
        protocols = {p.name: p for p in layout.load(dataset).protocols}
        splits = set(settings(name, "finetune", row.recipe)["train_splits"])
        splits |= {split for p in row.protocols for split in (protocols[p].query, protocols[p].gallery)}
        counted = {split for counts in layout.published if set(counts.splits) <= splits for split in counts.splits}
        assert splits == counted, row
