"""What can be asked for: the page, its API, and nothing by a path that a client gives."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect

from reidclip.errors import ReidclipError
from reidclip.serve.access import Access
from reidclip.serve.answers import Health, Info, Problem, SearchAnswer
from reidclip.serve.assets import Asset, read_assets
from reidclip.serve.finder import Finder
from reidclip.serve.gate import Gate, Workers
from reidclip.serve.refusal import Refusal
from reidclip.serve.request import FIELDS, LISTS, read_request
from reidclip.serve.settings import ServeSettings
from reidclip.serve.thumbnails import Thumbnails
from reidclip.serve.uploads import read_form

_LONGEST_LOGIN = 4096  # bytes
_DRAWN, _DRAWN_OR_WAITING = 8, 512  # thumbnails at one time: a browser asks for all of a page
_TOLD: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The request is wrong: a field, a broken form or picture."},
    401: {"model": Problem, "description": "A token is asked for."},
    403: {"model": Problem, "description": "Another site's page sent the request."},
}
_TOLD_OF_UPLOADS: dict[int | str, dict[str, Any]] = {
    **_TOLD,
    408: {"model": Problem, "description": "The picture arrived too slowly."},
    413: {"model": Problem, "description": "The picture is too large, in bytes or pixels."},
    415: {"model": Problem, "description": "The file is no JPEG, PNG, WebP or BMP."},
    503: {"model": Problem, "description": "Too many searches at one time; `Retry-After` says when to come back."},
}
_TOLD_OF_LOGIN: dict[int | str, dict[str, Any]] = {
    **_TOLD,
    401: {"model": Problem, "description": "That is not the token."},
    408: {"model": Problem, "description": "The token arrived too slowly."},
    413: {"model": Problem, "description": "That is longer than any token."},
    429: {"model": Problem, "description": "Too many wrong tokens came from this address."},
}


def add_page(app: FastAPI) -> None:
    """The page, its files, and the page about the API."""
    assets = read_assets()

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return _file(assets["index.html"])

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return _file(assets["docs.html"])

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon() -> Response:
        return _file(assets["icon.svg"])

    @app.get("/assets/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        if name not in assets:
            raise Refusal(404, "There is no such page.", "Begin at /.")
        return _file(assets[name])


def add_login(app: FastAPI, access: Access, timeout: float) -> None:
    """From a token to a cookie that this page's scripts cannot read."""

    @app.post("/api/login", status_code=204, responses=_TOLD_OF_LOGIN, openapi_extra={"requestBody": _LOGIN})
    async def login(request: Request) -> Response:
        """Exchange the token for a cookie; programs send `Authorization: Bearer TOKEN` with every request instead."""
        response = Response(status_code=204)
        if access.wants_token:
            token = await _token_of(request, timeout)
            code = access.code_for(token, request.client.host if request.client else "")
            response.set_cookie(access.cookie_name, code, httponly=True, samesite="strict", secure=request.url.scheme == "https")
        return response


def add_api(app: FastAPI, finder: Finder, thumbnails: Thumbnails, settings: ServeSettings, workers: tuple[Workers, Workers]) -> None:
    """Search, pictures, and what there is; ``workers`` are those that search and those that draw."""
    gate = Gate(settings.reading, settings.waiting, settings.timeout)
    pictures = Gate(_DRAWN, _DRAWN_OR_WAITING, settings.timeout, "thumbnails")
    searching, drawing = workers
    roots = finder.folders

    @app.get("/api/health")
    async def health() -> Health:
        """Whether the server answers; asks for no token."""
        return Health()

    @app.get("/api/info", responses={401: _TOLD[401]})
    async def info() -> Info:
        """The gallery, its model, and what the filters can be."""
        return finder.info

    @app.post("/api/search", responses=_TOLD_OF_UPLOADS, openapi_extra={"requestBody": _SEARCH})
    async def search(request: Request) -> SearchAnswer:
        """Find the items nearest to a picture, or to an item of the gallery. Pictures are kept nowhere."""
        async with gate.enter():
            form = await read_form(request, settings)
            asked = read_request(form.fields, settings)
            if (form.picture is None) == (asked.item is None):
                raise Refusal(400, "A search has either a picture or an item.", "Send one part 'picture', or one field 'item'.")
            try:
                return await searching.run(lambda: finder.search(asked, form.picture), settings.timeout)
            except ReidclipError as error:
                raise Refusal.of(error, roots) from error

    @app.get(
        "/api/items/{row}/thumbnail",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}, 401: _TOLD[401], 404: {"model": Problem, "description": "No such picture."}},
    )
    async def thumbnail(row: int) -> Response:
        """The crop of one item as a small JPEG."""
        async with pictures.enter():
            content = await drawing.run(lambda: thumbnails.of(row), settings.timeout)
        return Response(content, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"})


def _file(asset: Asset) -> Response:
    return Response(asset.content, media_type=asset.media_type, headers={"Cache-Control": "no-cache"})


async def _body_of(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _LONGEST_LOGIN:
            raise Refusal(413, "That is longer than any token.", "")
    return bytes(body)


async def _token_of(request: Request, timeout: float) -> str:
    try:
        body = await asyncio.wait_for(_body_of(request), timeout)
    except asyncio.TimeoutError:
        raise Refusal(408, f"The token took longer than {timeout:g} s to arrive.", "Send it at once.") from None
    except ClientDisconnect:
        raise Refusal(400, "The request was cut off.") from None
    try:
        token = json.loads(body)["token"]
    except (ValueError, KeyError, TypeError, RecursionError):
        token = None
    if not isinstance(token, str):
        raise Refusal(400, "The request holds no token.", 'Send {"token": "..."}.')
    return token


def _described(name: str) -> dict[str, Any]:
    text = {"type": "string", "description": FIELDS[name]}
    return {"type": "array", "items": {"type": "string"}, "description": FIELDS[name]} if name in LISTS else text


_LOGIN = {
    "required": True,
    "content": {"application/json": {"schema": {"type": "object", "required": ["token"], "properties": {"token": {"type": "string"}}}}},
}
_PICTURE = {"type": "string", "format": "binary", "description": "A JPEG, PNG, WebP or BMP: one person, cropped."}
_SEARCH = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {"picture": _PICTURE, **{name: _described(name) for name in FIELDS}}}
        }
    },
}
