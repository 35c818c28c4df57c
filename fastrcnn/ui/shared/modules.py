"""The page's JavaScript and texts, served as files of the package.

The scripts are ES modules that import each other by their relative names, so there is no build
step. Their address contains one version for all of them. So a browser may cache them for good:
a new version has a new address.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

_UI = Path(__file__).parents[1]
_TYPES = {".js": "text/javascript", ".json": "application/json"}
_YEAR = 365 * 24 * 3600  # seconds

# The keys are paths below ui/. Nothing else is served.
FILES = {
    path.relative_to(_UI).as_posix(): path.read_bytes()
    for pattern in ("*/*.js", "texts/*.json")
    for path in sorted(_UI.glob(pattern))
}
VERSION = hashlib.sha256(repr(FILES).encode()).hexdigest()[:16]
ADDRESS = f"modules/{VERSION}"


def route() -> Route:
    """The route that serves the files at ADDRESS, for the page's own application."""
    return Route(f"/{ADDRESS}/{{path:path}}", _serve)


def _serve(request: Request) -> Response:
    path = request.path_params["path"]
    if path not in FILES:
        return PlainTextResponse("This page has no such file.", 404)
    return Response(
        FILES[path],
        media_type=_TYPES[Path(path).suffix],
        headers={"Cache-Control": f"public, max-age={_YEAR}, immutable"},
    )
