"""The protocols of generalisation as data, against the table that the papers print."""

from __future__ import annotations

import pytest

from reidclip.errors import UserError
from reidclip.evaluation.generalisation import PROTOCOLS, fitting, variants

TABLE = {
    "dg-1": ({"market1501", "cuhk_sysu", "cuhk02", "cuhk03"}, ("all",), ("prid", "grid", "viper", "ilids")),
    "dg-2:cuhk03": ({"market1501", "msmt17", "cuhk_sysu"}, ("train",), ("cuhk03",)),
    "dg-2:msmt17": ({"cuhk03", "cuhk_sysu", "market1501"}, ("train",), ("msmt17",)),
    "dg-2:market1501": ({"cuhk03", "cuhk_sysu", "msmt17"}, ("train",), ("market1501",)),
    "dg-3:cuhk03": ({"market1501", "msmt17", "cuhk_sysu"}, ("all",), ("cuhk03",)),
    "dg-3:msmt17": ({"cuhk03", "cuhk_sysu", "market1501"}, ("all",), ("msmt17",)),
    "dg-3:market1501": ({"cuhk03", "cuhk_sysu", "msmt17"}, ("all",), ("market1501",)),
}


def test_the_table() -> None:
    assert {p.name: (set(p.sources), p.train_splits, p.targets) for p in PROTOCOLS} == TABLE


def test_no_target_is_a_source() -> None:
    assert all(not set(p.sources) & set(p.targets) and len(set(p.sources)) == len(p.sources) for p in PROTOCOLS)


def test_a_family_leaves_open_which_and_the_sources_say() -> None:
    assert [p.name for p in variants("dg-1")] == ["dg-1"]
    assert {p.name for p in variants("dg-2")} == {"dg-2:cuhk03", "dg-2:msmt17", "dg-2:market1501"}
    assert fitting(variants("dg-2"), ("cuhk_sysu", "market1501", "cuhk03")).name == "dg-2:msmt17"
    assert fitting(variants("dg-3:msmt17"), ("ltcc",)).name == "dg-3:msmt17", "named: its sources are checked elsewhere"
    with pytest.raises(UserError, match=r"No variant of dg-2 has the sources ltcc, prcc\.\nThey have dg-2:cuhk03: market1501, msmt17"):
        fitting(variants("dg-2"), ("ltcc", "prcc"))


@pytest.mark.parametrize(("name", "near"), [("dg-4", "dg-1"), ("dg-2:msmt", "dg-2:msmt17"), ("dg-", "dg-")])
def test_an_unknown_one_names_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UserError, match=rf"There is no protocol '{name}' of generalisation\.\n.*{near}"):
        variants(name)
