"""What every human parser must do, run over the registry; the bundled one runs with its bundled weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reidclip import registry
from reidclip.errors import UserError
from reidclip.interfaces import Parser, ParserSession
from reidclip.settings import Settings
from tests.trees import picture

GROUP = "reidclip.parsers"
NAMES = [info.name for info in registry.all_infos(GROUP) if info.object is not None]


@pytest.fixture(params=NAMES)
def parser(request: pytest.FixtureRequest) -> Parser:
    found: Parser = registry.get(GROUP, request.param)
    assert found.name == request.param
    return found


@pytest.fixture
def session(parser: Parser) -> ParserSession:
    try:
        return parser.open(parser.settings(), torch.device("cpu"))
    except UserError as error:
        assert error.remedy  # weights that a user must fetch: says what to do
        pytest.skip(error.what)


def test_bundled_parser_is_registered() -> None:
    assert "schp" in NAMES


def test_fulfils_the_protocol(parser: Parser) -> None:
    assert isinstance(parser, Parser)
    assert parser.title and issubclass(parser.settings, Settings)
    assert all(field.description for field in parser.settings.model_fields.values())


def test_session_names_itself_and_its_labels(session: ParserSession) -> None:
    assert session.name and session.version
    assert session.labels[0].lower() == "background" and len(set(session.labels)) == len(session.labels) <= 256


def test_label_maps_have_the_sizes_of_their_pictures(session: ParserSession) -> None:
    sizes = [(128, 64), (33, 77), (1, 1), (300, 90)]
    maps = session([picture(i, *size) for i, size in enumerate(sizes)])
    assert [m.shape for m in maps] == sizes
    assert all(m.dtype == np.uint8 and int(m.max()) < len(session.labels) for m in maps)


def test_no_pictures_no_maps(session: ParserSession) -> None:
    assert session([]) == []


def test_same_pictures_same_maps_and_pictures_are_left_alone(session: ParserSession) -> None:
    image = picture(5, 96, 48)
    before = image.copy()
    first, second = session([image])[0], session([image])[0]
    assert (first == second).all() and (image == before).all()


def test_a_map_does_not_depend_on_the_other_pictures_of_the_call(session: ParserSession) -> None:
    pictures = [picture(i, 128, 64) for i in range(5)]
    together = session(pictures)
    for image, expected in zip(pictures, together, strict=True):
        assert (session([image])[0] == expected).mean() > 0.99  # kernels may round differently for another batch size


def test_pictures_need_not_be_contiguous(session: ParserSession) -> None:
    image = picture(6, 128, 64)
    assert (session([image[:, ::-1]])[0] == session([np.ascontiguousarray(image[:, ::-1])])[0]).all()
