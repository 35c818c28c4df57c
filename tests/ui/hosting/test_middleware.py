"""What reaches the page, asked over HTTP as anybody can: never a traceback, always a sentence."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from select import select
from threading import Event

import gradio as gr
import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.utils import QueueError
from PIL import Image

from fastrcnn.detector import Detector
from fastrcnn.images import save_image
from fastrcnn.ui.hosting import uploads
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.page import Page
from fastrcnn.ui.sessions import Analysis
from tests.ui.conftest import assert_is_one_sentence, served

API = "/gradio_api"
FILE = {"_type": "gradio.FileData"}
MB = 2**20


@pytest.fixture(scope="module")
def place(detector) -> Iterator[tuple[Page, str]]:
    with served(detector, Limits(upload_mb=1, pixels=100_000)) as there:
        yield there


@pytest.fixture
def http(place) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=place[1], timeout=120) as client:
        yield client


@pytest.fixture(autouse=True)
def no_traceback(capfd):
    yield
    printed = capfd.readouterr()
    assert "Traceback" not in printed.out + printed.err


@pytest.fixture
def no_files() -> None:
    """Those of earlier tests count too, and go at any time."""
    for path in uploads.FILES.rglob("*"):
        if path.is_file():
            path.unlink(missing_ok=True)


@contextmanager
def opened(detector: Detector, limits: Limits) -> Iterator[tuple[Page, httpx.Client]]:
    with (
        served(detector, limits) as (page, address),
        httpx.Client(base_url=address, timeout=180) as http,
    ):
        yield page, http


def send(http: httpx.Client, content: bytes, name: str = "picture.png") -> httpx.Response:
    return http.post(f"{API}/upload", files={"files": (name, content)})


def ask(http: httpx.Client, name: str, *data: object) -> tuple[str, object]:
    """The last event of an endpoint's answer, and what it holds."""
    joined = http.post(f"{API}/call/{name}", json={"data": data})
    assert joined.status_code == 200, joined.text
    events = http.get(f"{API}/call/{name}/{joined.json()['event_id']}").text
    event, data = events.strip().split("\n\n")[-1].split("\n")
    return event.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def sentence(answer: httpx.Response) -> str:
    detail = answer.json()["detail"]
    assert_is_one_sentence(detail)
    return detail


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# Files


def test_a_file_is_where_only_its_sender_knows(http, photo):
    content = photo.read_bytes()
    first, second = (send(http, content).json()[0] for _ in range(2))
    assert first != second and Path(first).parent != Path(second).parent
    for path in (first, second):
        assert Path(path).is_relative_to(uploads.FILES)
        assert http.get(f"{API}/file={path}").content == content
        assert Path(path).stat().st_mode & 0o077 == 0
    assert ask(http, "detect", {"path": first}, 0.5, 0.3)[0] == "complete"
    Path(first).unlink()
    event, error = ask(http, "detect", {"path": first}, 0.5, 0.3)
    assert event == "error" and error["error"].startswith("No picture was given")
    # The other one is its own sender's, whatever became of the first.
    assert ask(http, "detect", {"path": second}, 0.5, 0.3)[0] == "complete"


def test_a_file_may_have_so_many_megabytes(http):
    assert send(http, bytes(MB)).status_code == 200
    for length in (MB + 1, MB + 100_000, 3 * MB):
        answer = send(http, bytes(length))
        assert answer.status_code == 413
        assert answer.text == "A file may have at most 1 MB here; send a smaller picture."


def test_a_file_without_a_length_may_have_no_more(http):
    def form() -> Iterator[bytes]:
        head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        yield head
        for _ in range(40):
            yield bytes(100_000)
        yield b"\r\n--b--\r\n"

    kind = {"content-type": "multipart/form-data; boundary=b"}
    answer = http.post(f"{API}/upload", content=form(), headers=kind)
    assert answer.status_code == 413 and "at most 1 MB" in answer.text


def test_many_files_in_one_form_may_have_no_more(http):
    files = [("files", (f"{k}.png", bytes(MB // 2))) for k in range(4)]
    answer = http.post(f"{API}/upload", files=files)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "a" * 300, "é\x00.png", ".", ""]
)
def test_a_files_name_leads_nowhere(http, name):
    answer = send(http, b"x", name)
    if answer.status_code == 200:
        for path in answer.json():
            assert Path(path).is_relative_to(uploads.FILES) and Path(path).read_bytes() == b"x"
    else:
        assert_is_one_sentence(answer.text)


@pytest.mark.parametrize("content", [b"", b"{", b"--b\r\n", b"\xff" * 1000])
@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=b", "a/b", ""]
)
def test_what_is_no_form_is_refused(http, content, kind):
    answer = http.post(f"{API}/upload", content=content, headers={"content-type": kind})
    assert answer.status_code == 400 or answer.json() == []
    if answer.status_code == 400:
        assert_is_one_sentence(answer.text)


def test_the_page_keeps_so_many_megabytes_of_files(detector, no_files):
    with opened(detector, Limits(upload_mb=2, uploads_mb=3)) as (_, http):
        kept = [send(http, bytes(MB)).json()[0] for _ in range(3)]
        answer = send(http, bytes(MB))
        assert answer.status_code == 503
        assert_is_one_sentence(answer.text)
        assert answer.text.startswith("This page holds ") and "MB of files" in answer.text
        Path(kept[0]).unlink()
        assert send(http, bytes(MB)).status_code == 200


@contextmanager
def announcing(http: httpx.Client, length: int, sent: int) -> Iterator[socket.socket]:
    """Somebody who says that so many bytes of a file will come, and sends some of them."""
    url = http.base_url
    with socket.create_connection((url.host, url.port)) as line:
        line.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\nContent-Disposition: "
            b'form-data; name="files"; filename="a.png"\r\n\r\n' % length + bytes(sent)
        )
        yield line


def test_who_announces_much_and_sends_nothing_takes_no_room_from_others(detector, no_files):
    with opened(detector, Limits(upload_mb=4, uploads_mb=5)) as (_, http):
        before = set(uploads.FILES.iterdir())
        with announcing(http, 4 * MB, 10_000), announcing(http, 4 * MB, 10_000):
            until(lambda: len(set(uploads.FILES.iterdir()) - before) == 2)
            assert send(http, bytes(MB)).status_code == 200


def test_what_comes_together_finds_no_more_room_than_there_is(detector, no_files):
    """Each fits when it is announced; all of them do not."""
    with opened(detector, Limits(upload_mb=4, uploads_mb=5)) as (_, http):
        before = set(uploads.FILES.iterdir())
        with announcing(http, 4 * MB, 10_000) as first, announcing(http, 4 * MB, 10_000) as second:
            until(lambda: len(set(uploads.FILES.iterdir()) - before) == 2)
            first.sendall(bytes(3_900_000))
            until(lambda: any(path.stat().st_size > 3_800_000 for path in uploads.FILES.iterdir()))
            second.settimeout(180)
            with suppress(ConnectionError):  # refused before all of it has come
                second.sendall(bytes(3_900_000))
            assert b" 503 " in second.recv(1000)
            first.setblocking(False)
            with pytest.raises(BlockingIOError):  # it is still being listened to
                first.recv(1000)


def test_many_tiny_files_are_many(detector, no_files):
    with opened(detector, Limits(uploads_mb=1)) as (_, http):
        answers = [send(http, b"x", f"{k}.png").status_code for k in range(7)]
    assert answers == [200] * 5 + [503] * 2  # a quarter of an MB each, and a little more


def test_a_file_that_takes_too_long_to_come_is_let_go_of(http, monkeypatch):
    monkeypatch.setattr("fastrcnn.ui.hosting.upload_requests.SECONDS", 0.5)
    with announcing(http, 500_000, 1000) as line:
        line.settimeout(180)
        answer = b""
        while b"too long" not in answer and (more := line.recv(1000)):
            answer += more
    assert b" 408 " in answer.split(b"\r\n")[0]
    assert answer.endswith(b"The file took too long to come; send it again.")


def test_a_full_disk_is_one_sentence(http, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(uploads, "new_folder", full)
    answer = send(http, b"x")
    assert answer.status_code == 507
    assert answer.text == "The file could not be kept (No space left on device); try again later."


def test_who_leaves_while_sending_leaves_nothing(http, monkeypatch):
    before = set(uploads.FILES.rglob("*"))
    with announcing(http, 900_000, 300_000):
        until(lambda: set(uploads.FILES.rglob("*")) != before)
    monkeypatch.setattr(uploads, "_UNCHANGED_SECONDS", 0.0)
    # The page's own sweeping may come first.
    until(lambda: uploads.sweep(600) or not set(uploads.FILES.rglob("tmp*")))
    assert send(http, b"x").status_code == 200


def test_files_are_deleted_while_the_page_is_open(detector, photo):
    with opened(detector, Limits(file_seconds=0.2)) as (page, http):
        path = send(http, photo.read_bytes()).json()[0]

        def is_gone() -> bool:
            with suppress(httpx.RemoteProtocolError):  # swept away while it was being sent
                return http.get(f"{API}/file={path}").status_code == 403
            return False

        until(is_gone)
        assert not Path(path).exists()
        until(lambda: not any(map(len, page.temp_file_sets)))


def test_memory_is_given_back_once_after_each_sweep_and_no_oftener(detector, monkeypatch):
    done = []
    sweep = uploads.sweep
    monkeypatch.setattr(uploads, "sweep", lambda *inputs: done.append("swept") or sweep(*inputs))
    monkeypatch.setattr("fastrcnn.ui.page.release_memory", lambda: done.append("gave back"))
    with opened(detector, Limits(file_seconds=0.05)):
        until(lambda: len(done) >= 8)
    assert done[:8] == ["swept", "gave back"] * 4


# Addresses


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/hostname", "../../../etc/hostname", "/dev/zero", "app.py", ".lock"),
        *("http://127.0.0.1/", "https://example.com/", "HTTPS://example.com/", "ftp://a/b"),
    ],
)
def test_no_other_file_is_served(http, path):
    assert http.get(f"{API}/file={path}").status_code in (403, 404)
    lock = uploads.FOLDER / ".lock"
    assert http.get(f"{API}/file={lock}").status_code == 403
    assert http.get(f"{API}/file={uploads.FILES}").status_code == 403


@pytest.mark.parametrize("form", ["file=", "file/"])
def test_the_server_fetches_nothing_to_serve_it(http, form, monkeypatch):
    fetched = []
    monkeypatch.setattr(
        "gradio.routes.secure_url_stream_response", lambda url, request: fetched.append(url)
    )
    for address in ("http://192.0.2.1/a.png", "https://192.0.2.1/a.png"):
        assert http.get(f"{API}/{form}{address}").status_code in (403, 404)
    assert fetched == []


def test_nothing_is_allowed_beyond_what_is_sent(place):
    page, _ = place
    assert page.allowed_paths == []
    icons = Path(gr.__file__).resolve().parent / "icons"
    assert {path.parent for path in gr.data_classes._StaticFiles.all_paths} <= {icons}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{API}/deep_link?session_hash=abc"),
        ("GET", f"{API}/proxy=https://example.hf.space/"),
        ("GET", f"{API}/dev/reload"),
        ("GET", f"{API}/custom_component/a/client/b/c"),
        ("GET", f"{API}/stream/a/b/1/playlist-file"),
        ("GET", f"{API}/call/detect/nosuch"),
        ("GET", f"{API}/call/v2/detect/nosuch"),
        ("GET", "/?page=nosuch"),
        ("GET", "/config?deep_link=nosuch"),
        ("GET", "/assets/" + "x" * 3000),
        ("GET", f"{API}/file=" + "x" * 3000),
        ("GET", f"{API}/runs"),
        ("GET", f"{API}/run-history/buckets"),
        ("GET", "/monitoring"),
        ("POST", f"{API}/run/detect"),
        ("POST", f"{API}/api/detect"),
        ("POST", f"{API}/predict"),
        ("POST", f"{API}/process_recording"),
        ("POST", f"{API}/vibe-edit"),
        ("POST", f"{API}/stream/abc"),
        ("POST", "/login"),
        ("POST", "/"),
    ],
)
def test_what_the_page_does_not_need_is_closed(http, method, path):
    before = set(uploads.FILES.rglob("*"))
    answer = http.request(
        method, path, json={"data": [None, 0.5, 0.3]} if method == "POST" else None
    )
    assert answer.status_code in (403, 404), answer.text
    assert set(uploads.FILES.rglob("*")) == before


def test_who_asks_for_news_of_nothing_is_told_so(http):
    answer = http.get(f"{API}/queue/data", params={"session_hash": "nobody"})
    message = json.loads(answer.text.removeprefix("data: "))
    assert message["msg"] == "unexpected_error" and message["session_not_found"]


# Questions


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"5", b'"a"', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000]
)
@pytest.mark.parametrize(
    "path", ["queue/join", "call/detect", "call/v2/detect", "component_server"]
)
def test_what_is_no_json_object_is_told_so(http, path, body):
    answer = http.post(f"{API}/{path}", content=body)
    assert answer.status_code == 400
    assert sentence(answer) == "A request to this page is a JSON object."


@pytest.mark.parametrize(
    "path", ["queue/join", "call/detect", "component_server", "cancel", "run/x"]
)
def test_a_question_may_have_so_many_megabytes(http, path):
    answer = http.post(f"{API}/{path}", content=b" " * (MB + 1))
    assert answer.status_code == 413
    assert sentence(answer) == "A request to this page may have at most 1 MB."


def test_the_questions_of_all_may_have_so_many_megabytes(detector):
    def asking() -> socket.socket:
        url = http.base_url
        line = socket.create_connection((url.host, url.port), timeout=180)
        head = b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000\r\n"
        line.sendall(head + b"\r\n" + bytes(900_000))
        return line

    with opened(detector, Limits(uploads_mb=1)) as (_, http):
        with asking() as first, asking() as second:
            readable, _, _ = select([first, second], [], [], 180)
            assert len(readable) == 1
            assert b" 503 " in readable[0].recv(1000).split(b"\r\n")[0]
        # Once they have left there is room again.
        until(lambda: http.post(f"{API}/queue/join", content=bytes(900_000)).status_code == 400)


def test_a_question_that_takes_too_long_to_come_is_let_go_of(http, monkeypatch):
    monkeypatch.setattr("fastrcnn.ui.hosting.middleware.SECONDS", 0.5)

    def slowly() -> Iterator[bytes]:
        yield b"{"
        time.sleep(2)
        yield b"}"

    answer = http.post(f"{API}/queue/join", content=slowly())
    assert answer.status_code == 408 and "too long" in sentence(answer)


def test_so_many_requests_are_answered_at_a_time(detector):
    with opened(detector, Limits(connections=2)) as (_, http):
        with (
            http.stream("GET", f"{API}/heartbeat/me"),
            http.stream("GET", f"{API}/heartbeat/you"),
        ):
            answer = http.get("/config")
            assert answer.status_code == 503 and "2 requests at a time" in sentence(answer)
        until(lambda: http.get("/config").status_code == 200)


def test_a_server_function_takes_no_files(http):
    """Gradio would read a thousand of them into memory."""
    answer = http.post(f"{API}/component_server", files={"a": ("a", b"x")}, data={"data": "{}"})
    assert answer.status_code == 400


EVENT = {"data": [None, 0.5, 0.3], "fn_index": 0, "session_hash": "me"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        *(("queue/join", EVENT | {"fn_index": index}) for index in (None, -1, 999, "0", 0.5, True)),
        *(("queue/join", EVENT | {"data": data}) for data in (None, {}, "x", [None] * 50)),
        *(("queue/join", EVENT | {"data": [None], "session_hash": s}) for s in (5, "", "x" * 101)),
        *(("call/detect", {"data": data}) for data in (None, {}, [], [1], [None] * 4)),
        ("call/detect", {}),
        ("call/nosuch", {"data": []}),
        ("call/", {"data": []}),
        *(
            ("call/v2/detect", body)
            for body in ({}, {"score_threshold": 1}, {"image": None, "x": 1})
        ),
        ("call/v2/nosuch", {"image": None}),
        *(
            ("component_server", {"fn_name": "x", "session_hash": "me", "data": {}} | wrong)
            for wrong in (
                *({}, {"component_id": None}, {"component_id": 99_999}, {"component_id": "1"}),
                *({"component_id": 1}, {"component_id": 1, "fn_name": "__class__"}),
                *({"component_id": 1, "fn_name": 5}, {"component_id": 1, "session_hash": {}}),
            )
        ),
    ],
)
def test_what_is_asked_wrongly_is_answered_in_one_sentence(http, path, body):
    answer = http.post(f"{API}/{path}", json=body)
    assert answer.status_code in (404, 405, 422)
    if path != "call/":
        sentence(answer)


@pytest.mark.parametrize(
    "image",
    [
        *(
            "hello",
            5,
            True,
            [],
            [1],
            {},
            {"path": None},
            {"path": 5},
            {"path": ""},
            {"path": "a\0"},
        ),
        *({"path": path} for path in ("/etc/hostname", "/dev/zero", "x" * 5000, "nosuch.png")),
        {"path": "/etc/hostname", "meta": FILE},
        {"url": "https://example.com/a.png", "meta": FILE},
        {"path": "x", "meta": "gradio.FileData", "size": "many", "is_stream": True},
    ],
)
def test_what_is_no_file_that_was_sent_is_no_picture(http, image):
    event, error = ask(http, "detect", image, 0.5, 0.3)
    assert event == "error"
    assert error["error"].startswith("No picture was given")


def test_a_web_address_is_no_file_either(http):
    for address in ("https://example.com/a.png", "HTTP://127.0.0.1/a.png"):
        event, error = ask(http, "detect", {"path": address, "meta": FILE}, 0.5, 0.3)
        assert event == "error"
        assert error["error"].startswith("Nothing is fetched from other hosts")


def test_no_address_is_fetched_wherever_it_is_named(http, photo, monkeypatch):
    def fetch(*_, **__):
        raise AssertionError("an address was fetched")

    monkeypatch.setattr("gradio.processing_utils.async_ssrf_protected_download", fetch)
    there = {"path": "https://example.com/a.png", "url": "https://example.com/a.png", "meta": FILE}
    sent = {"path": send(http, photo.read_bytes()).json()[0]}
    event, error = ask(http, "pool", sent, [there, {"a": [there]}], 0, "paper")
    assert event == "error" and error["error"].startswith("A box is")
    event, error = ask(http, "pool", sent, [0, 0, 9, 9], there, there)
    assert event == "error" and error["error"].startswith("channel must")


def test_both_forms_of_the_endpoints_answer(http, photo):
    sent = {"path": send(http, photo.read_bytes()).json()[0], "orig_name": "mine.png"}
    joined = http.post(f"{API}/call/v2/proposals", json={"image": sent, "mode": "single"})
    events = http.get(f"{API}/call/v2/proposals/{joined.json()['event_id']}").text
    named = json.loads(events.strip().split("\n")[-1].removeprefix("data: "))
    assert ("complete", named) == ask(http, "proposals", sent, "single")
    assert named[0]["image"] == "mine.png"


def test_a_picture_may_have_so_many_pixels(http, tmp_path):
    for size, expected in (((400, 250), "complete"), ((401, 250), "error")):
        Image.new("RGB", size).save(tmp_path / "a.png")
        sent = {"path": send(http, (tmp_path / "a.png").read_bytes()).json()[0]}
        event, answer = ask(http, "proposals", sent, "single")
        assert event == expected
    assert answer["error"] == "The file has more than 100,000 pixels; reduce it first."


# Waiting


class Slow(Detector):
    """Counts its calls, and answers when the test lets it."""

    def __init__(self, detector: Detector) -> None:
        super().__init__(detector.model, detector.metadata, detector.search)
        self.calls = 0
        self.go_on = Event()

    def trace(self, *values, **named):
        self.calls += 1
        assert self.go_on.wait(180)
        return super().trace(*values, **named)


@pytest.fixture
def slow(detector) -> Iterator[Slow]:
    slow = Slow(detector)
    yield slow
    slow.go_on.set()


@pytest.mark.parametrize("at_once", [1, 2])
def test_so_many_are_analysed_and_so_many_wait(slow, photo, tmp_path, at_once):
    limits = Limits(analyses=at_once, queue=2)
    with served(slow, limits) as (page, address):
        client = Client(address, verbose=False, download_files=tmp_path)
        jobs = []
        for count in range(at_once + limits.queue):
            # Each its own: Gradio writes the same answer again while its file may be being read.
            own = tmp_path / f"{count}.png"
            save_image(own, np.full((120, 160, 3), count, np.uint8))
            jobs.append(client.submit(handle_file(own), api_name="/detect"))
            until(lambda c=count: slow.calls + len(page._queue) == c + 1)
        time.sleep(0.3)
        assert slow.calls == at_once and len(page._queue) == limits.queue
        with pytest.raises(QueueError):
            client.predict(handle_file(photo), api_name="/detect")
        answer = httpx.post(
            f"{address.rstrip('/')}{API}/call/detect", json={"data": [None, 0.5, 0.3]}
        )
        assert answer.status_code == 503 and "Max size is 2" in answer.json()["detail"]
        slow.go_on.set()
        assert all(job.result(180)[0]["width"] == 160 for job in jobs)
        assert client.predict(handle_file(photo), api_name="/detect")
        client.close()


# Sessions


@contextmanager
def shown(http: httpx.Client, session: str) -> Iterator[None]:
    """A browser keeps such a connection for as long as it shows the page."""
    with http.stream("GET", f"{API}/heartbeat/{session}") as answer:
        lines = answer.iter_lines()
        assert next(lines)
        yield
        lines.close()


def test_who_has_the_page_open_is_present(place, http):
    page, _ = place
    with shown(http, "somebody"):
        with shown(http, "somebody"):
            assert page.present["somebody"] == 2
        until(lambda: page.present["somebody"] == 1)
    until(lambda: "somebody" not in page.present)


def test_what_the_absent_hold_is_freed(detector, scene):
    with opened(detector, Limits(away_seconds=0.3)) as (page, http):
        analyses = page.analyses
        with shown(http, "here"):
            tokens = {
                session: analyses.open(session, Analysis(session, detector))
                for session in ("here", "away")
            }
            until(lambda: len(analyses) == 1)
            time.sleep(0.5)
            assert analyses.get(tokens["here"]).name == "here"
        until(lambda: len(analyses) == 0)


def test_gradio_keeps_few_sessions(detector):
    with opened(detector, Limits(pictures=3)) as (page, http):
        lens = next(n for n, block in page.blocks.items() if block.elem_id == "explore")
        for number in range(20):
            body = {"component_id": lens, "session_hash": f"session {number}", "data": {}}
            answer = http.post(f"{API}/component_server", json=body | {"fn_name": "picture"})
            assert_is_one_sentence(answer.json()["error"])
        assert len(page.state_holder.session_data) == 6
