"""The web application over a gallery: a page and an API, with what guards them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from reidclip import __version__
from reidclip.gallery.gallery import Gallery
from reidclip.serve.access import Access, is_open
from reidclip.serve.decode import ignore_warnings
from reidclip.serve.finder import Finder
from reidclip.serve.gate import Workers
from reidclip.serve.guard import Guard
from reidclip.serve.refusal import Refusal
from reidclip.serve.routes import add_api, add_login, add_page
from reidclip.serve.settings import ServeSettings
from reidclip.serve.thumbnails import Thumbnails

if TYPE_CHECKING:
    from reidclip.clip.inference import InferenceEncoder

_DRAWERS = 2  # threads that cut out pictures
_ABOUT = (
    "Search a gallery of people by picture. Errors are JSON: `error` and `remedy`. "
    "Where the server asks for a token, send `Authorization: Bearer TOKEN`."
)


def make_app(gallery: Gallery, settings: ServeSettings | None = None, encoder: InferenceEncoder | None = None) -> FastAPI:
    """An ASGI application; any server runs it, and tests call it without one.

    Args:
        gallery: an open index; stays the caller's to close.
        settings: limits and the token; by default those of one person on their own machine.
        encoder: of the queries, where it is loaded already; else the gallery loads its own, here.

    Raises:
        UserError: the checkpoint of the gallery's vectors is not there, or makes others.
    """
    settings = settings or ServeSettings()
    ignore_warnings()
    finder = Finder(gallery, encoder or gallery.encoder(settings.device), settings)
    workers = Workers(settings.threads, "search"), Workers(_DRAWERS, "thumbnail")

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        for one in workers:
            one.close()

    app = FastAPI(
        title="reidclip",
        version=__version__,
        description=_ABOUT,
        docs_url=None,  # FastAPI's own pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=life,
    )
    access = Access(settings)
    app.add_middleware(Guard, access=access)
    app.add_exception_handler(HTTPException, _not_there)
    app.add_exception_handler(RequestValidationError, _not_fitting)
    add_page(app)
    add_login(app, access, settings.timeout)
    add_api(app, finder, Thumbnails(gallery), settings, workers)
    if access.wants_token:
        _describe_token(app)
    return app


def _describe_token(app: FastAPI) -> None:
    """Say in /openapi.json what asks for the token, and how it is sent."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        told = plain()
        scheme = {"type": "http", "scheme": "bearer", "description": "Printed where the server was started."}
        told.setdefault("components", {})["securitySchemes"] = {"token": scheme}
        for path, verbs in told["paths"].items():
            for verb in verbs.values():
                verb["security"] = [] if is_open(path) else [{"token": []}]
        return told

    app.openapi = described  # type: ignore[method-assign]


async def _not_there(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    refusal = Refusal(status, "There is no such page." if status == 404 else "That cannot be done here.", "The API is described at /docs.")
    refusal.headers.update(getattr(error, "headers", None) or {})  # what is allowed, where something else was tried
    return _response(refusal)


async def _not_fitting(request: Request, error: Exception) -> Response:
    return _response(Refusal(404, "There is no such row.", "Rows are numbers, from 0."))


def _response(refusal: Refusal) -> Response:
    return Response(refusal.body(), refusal.status, refusal.headers, media_type="application/json")
