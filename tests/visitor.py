"""A visitor of the page without a browser, who makes the requests that a browser would make."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

import httpx
from gradio_client.utils import apply_diff

API = "/gradio_api"
PATIENCE = 300.0  # seconds; slow machines take their time


class Refused(Exception):
    """The page's answer was a sentence. full: because too many wait."""

    def __init__(self, sentence: str, full: bool = False) -> None:
        super().__init__(sentence)
        self.full = full


class Visitor:
    """One who has opened the page at an address."""

    def __init__(self, address: str) -> None:
        self.session = secrets.token_hex(6)
        self.http = httpx.Client(base_url=address.rstrip("/"), timeout=PATIENCE)
        config = self.http.get("/config").json()
        self._views = {
            block["props"]["elem_id"]: block["id"]
            for block in config["components"]
            if block["props"].get("elem_id")
        }
        self._functions = {
            tuple(target): function["id"]
            for function in config["dependencies"]
            for target in function["targets"]
        }
        # The page is open for as long as this connection is.
        self._here = self.http.send(
            self.http.build_request("GET", f"{API}/heartbeat/{self.session}"), stream=True
        )

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Close the page, whatever is going on."""
        self._here.close()
        self.http.close()

    def send(self, content: bytes, name: str) -> dict:
        """Upload a file. Raises Refused."""
        answer = self.http.post(f"{API}/upload", files={"files": (name, content)})
        if answer.status_code != 200:
            raise Refused(answer.text, full=answer.status_code == 503)
        (path,) = answer.json()
        return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}

    def events(
        self, view: str, event: str, *data: object, event_data: object = None
    ) -> Iterator[list]:
        """What an event of a view puts out, step by step. Raises Refused.

        event_data: what a custom view's script sends with the event.
        """
        yield from self._follow(
            "queue/join",
            "queue/data",
            {
                "fn_index": self._functions[self._views[view], event],
                "data": data,
                "event_data": event_data,
                "session_hash": self.session,
                "trigger_id": self._views[view],
            },
        )

    def look_at(self, content: bytes, name: str) -> Iterator[dict]:
        """Upload a photograph and follow the notes of its analysis. Raises Refused."""
        yield from self.look_at_sent(self.send(content, name))

    def look_at_sent(self, file: dict) -> Iterator[dict]:
        """The same for a file that is uploaded already."""
        yield from self._notes(self.events("photo", "change", file))

    def look_at_example(self, name: str) -> Iterator[dict]:
        yield from self.notes("explore", "example", name=name)

    def notes(self, view: str, event: str, **inputs: object) -> Iterator[dict]:
        """The notes that a view gets from one of its own events. Raises Refused."""
        yield from self._notes(self.events(view, event, event_data=inputs))

    def train(self, **inputs: object) -> dict:
        """Start a training; the note that names it. Raises Refused."""
        *_, note = self.notes("train", "start", **inputs)
        return note

    def ask(self, view: str, name: str, **inputs: object) -> dict:
        """Ask a view's server function. Raises Refused."""
        answer = self.http.post(
            f"{API}/component_server",
            json={
                "component_id": self._views[view],
                "fn_name": name,
                "session_hash": self.session,
                "data": inputs,
            },
        )
        answer.raise_for_status()
        reply = answer.json()
        if "error" in reply:
            raise Refused(reply["error"])
        return reply

    def call(self, endpoint: str, *data: object) -> list:
        """Ask one of the endpoints for programs. Raises Refused."""
        joined = self.http.post(f"{API}/call/{endpoint}", json={"data": data})
        if joined.status_code != 200:
            raise Refused(joined.json()["detail"], full=joined.status_code == 503)
        events = self.http.get(f"{API}/call/{endpoint}/{joined.json()['event_id']}").text
        event, data = events.strip().split("\n\n")[-1].split("\n")
        answer = json.loads(data.removeprefix("data: "))
        if event != "event: complete":
            raise Refused(answer["error"])
        return answer

    @staticmethod
    def _notes(outputs: Iterator[list]) -> Iterator[dict]:
        for (note,) in outputs:
            if "error" in note:
                raise Refused(note["error"])
            yield note

    def _follow(self, join: str, data: str, body: dict) -> Iterator[list]:
        joined = self.http.post(f"{API}/{join}", json=body)
        if joined.status_code != 200:
            raise Refused(joined.json()["detail"], full=joined.status_code == 503)
        event = joined.json()["event_id"]
        shown: list | None = None
        session = {"session_hash": self.session}
        with self.http.stream("GET", f"{API}/{data}", params=session) as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data: ")) if line else {}
                if message.get("event_id") != event or "output" not in message:
                    continue
                output = message["output"]
                if not message["success"]:
                    raise Refused(str(output.get("error")))
                if message["msg"] == "process_generating":
                    # The first whole, then what has changed.
                    if shown is None:
                        shown = output["data"]
                    else:
                        changes = zip(shown, output["data"], strict=True)
                        shown = [apply_diff(value, change) for value, change in changes]
                    yield shown
                elif message["msg"] == "process_completed":
                    if shown is None:
                        yield output["data"]
                    return
