"""Requests with a JSON body, rebuilt from the fields that the page knows.

Gradio itself accepts much more. It fetches the address of any value that is marked as a file, and
it fails with a traceback on fields of the wrong type.
"""

from __future__ import annotations

import json

import gradio as gr
from gradio.blocks import Block

from fastrcnn.ui.hosting import gradio_private as gradio
from fastrcnn.ui.hosting.refused import Refused

_UNCHECKED = (gradio.CANCEL, gradio.RESET)  # Gradio checks all inputs of these


class JsonRequests:
    """The requests that one page accepts."""

    def __init__(self, page: gr.Blocks) -> None:
        self._page = page

    def checked(self, path: str, body: bytes) -> bytes:
        """The body that Gradio reads instead of `body`. Raises Refused."""
        if path in _UNCHECKED:
            return body
        try:
            request = json.loads(body)
            if not isinstance(request, dict):
                raise ValueError
            return json.dumps(self._rebuilt(path, request)).encode()
        except (ValueError, RecursionError):
            raise Refused(400, "A request to this page is a JSON object.") from None

    def _rebuilt(self, path: str, request: dict) -> dict:
        if path == gradio.JOIN:
            number = request.get("fn_index")
            return {"fn_index": number} | self._event(request, number)
        if path == gradio.COMPONENT_SERVER:
            return self._component(request)
        if path.startswith(gradio.CALL_BY_NAME):
            return self._named(path.removeprefix(gradio.CALL_BY_NAME), request)
        if path.startswith(gradio.CALL):
            return self._event(request, self._function(path.removeprefix(gradio.CALL)))
        raise Refused(404, "This page has no such address.")

    def _event(self, request: dict, number: object) -> dict:
        """The inputs of a function, and whose event it is."""
        blocks, data = gradio.function_inputs(self._page, number), request.get("data")
        if blocks is None or not isinstance(data, list) or len(data) != len(blocks):
            raise Refused(422, "This page has no function that takes these values.")
        event = {
            "data": [_input(value, block) for value, block in zip(data, blocks, strict=True)],
            "event_data": _without_files(request.get("event_data")),
        }
        session = request.get("session_hash")
        if session is not None:
            event["session_hash"] = _session(session)
        if type(request.get("trigger_id")) is int:
            event["trigger_id"] = request["trigger_id"]
        return event

    def _function(self, name: str) -> int:
        functions = gradio.public_functions(self._page)
        if name not in functions:
            raise Refused(404, f"There is no such endpoint; there are {', '.join(functions)}.")
        return functions[name]

    def _named(self, name: str, request: dict) -> dict:
        """The inputs of a function by name."""
        blocks = gradio.named_inputs(self._page, self._function(name))
        required = {name for name, block in blocks.items() if gradio.default_value(block) is None}
        if not required <= set(request) <= set(blocks):
            raise Refused(422, f"{name} takes {', '.join(blocks)}, by name.")
        return {key: _input(value, blocks[key]) for key, value in request.items()}

    def _component(self, request: dict) -> dict:
        """A call of a custom view's server function."""
        number, name = request.get("component_id"), request.get("fn_name")
        if not gradio.has_component(self._page, number) or type(name) is not str:
            raise Refused(404, "This page has no such function.")
        return {
            "component_id": number,
            "fn_name": name,
            "session_hash": _session(request.get("session_hash")),
            "data": request.get("data"),
        }


def _input(value: object, block: Block) -> object:
    """An input's value. Of a picture only the name and the path, which the endpoints check.

    Nothing is marked as a file, because Gradio would fetch the file from its given address.
    """
    if not isinstance(block, gr.Image):
        return _without_files(value)
    if not isinstance(value, dict) or not isinstance(value.get("path"), str):
        return None
    path, name = value["path"], value.get("orig_name")
    return {"path": path, "orig_name": name if isinstance(name, str) else None}


def _session(session: object) -> str:
    if not isinstance(session, str) or not 0 < len(session) <= 100:
        raise Refused(422, "A session is named by at most 100 letters and digits.")
    return session


def _without_files(value: object) -> object:
    if isinstance(value, dict):
        return {k: _without_files(v) for k, v in value.items() if k not in ("path", "url")}
    return [_without_files(item) for item in value] if isinstance(value, list) else value
