"""The body model of a table's shapes: the very one that they were made by, or an error that says which it is."""

from __future__ import annotations

import numpy as np
import pytest

from reidclip.bodies.anny import BODY as ANNY
from reidclip.bodies.licence import begin_command
from reidclip.bodies.mesh_set import BodyTable
from reidclip.bodies.spec import body_of
from reidclip.errors import UserError


def table(version: str = "") -> BodyTable:
    """Of no body."""
    empty = np.zeros((0, 90), np.float32)
    return BodyTable("anny", version or ANNY.open(None).version, empty, np.zeros((0, 16), np.int64), {}, {}, {})


@pytest.mark.parametrize("asked", [None, "anny"])
def test_its_own(asked: str | None) -> None:
    begin_command()
    said: list[str] = []
    assert body_of(table(), "mesh set m", asked, said.append).name == "anny"
    assert said == [ANNY.licence]


def test_another_model() -> None:
    with pytest.raises(UserError, match=r"The bodies of mesh set m are of body model 'anny', not 'smpl'\.") as caught:
        body_of(table(), "mesh set m", "smpl:gone.npz")
    assert "reidclip synth DIR --meshes --body smpl:gone.npz" in caught.value.remedy


def test_other_data_of_the_model() -> None:
    with pytest.raises(UserError, match=r"mesh set m were made by anny 0123456789ab, this is anny .*: the same numbers") as caught:
        body_of(table("0123456789abcdef"), "mesh set m")
    assert "--body anny:FILE" in caught.value.remedy
