"""What visitors do: each with pictures of its own, checking that every answer is about those."""

from __future__ import annotations

import base64
import io
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import numpy as np
from PIL import Image

from fastrcnn.images import load_image
from tests.visitor import Refused, Visitor

EXAMPLES = ("cow", "horses", "chelsea")
CROPS = 3  # requests of a visitor who watches R-CNN for a while
# What the page says when it has as many visitors as it may; anything else is an error.
POLITE = ("Queue is full.", "trainings are open on this page already")
TRAINING = {"pictures": 8, "folder": "", "paused": False, "recipe": "shapes"}
# What each tab asks about a token.
FIRST_REQUEST = {"explore": "picture", "train": "progress", "teach": "photo"}


class Foreign(AssertionError):
    """An answer about somebody else's picture or training."""


@dataclass
class Answer:
    """What was answered of a picture: to be held to the program's own proposals afterwards."""

    content: bytes
    boxes: list[list[float]]


@dataclass
class Tally:
    """What all visitors saw. Its methods may be called from any thread.

    seconds: what each kind of request took. polite: how often the page had no more room. gone:
    how often a visitor left in the middle. waits: how often an experiment was not yet anybody's
    turn. tokens: what pictures, trainings and albums went by.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    polite: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    gone: int = 0
    waits: int = 0
    tokens: list[tuple[str, str]] = field(default_factory=list)

    @contextmanager
    def timed(self, kind: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.seconds[kind].append(time.monotonic() - start)

    def latencies(self) -> str:
        """A line a kind of request: how many, median, 95 % and the worst, in seconds."""
        lines = [f"{'':28}{'count':>7}{'median':>9}{'95 %':>9}{'worst':>9}"]
        for kind, seconds in self.seconds.items():
            median, most = np.percentile(seconds, [50, 95])
            lines.append(f"{kind:28}{len(seconds):7}{median:9.3f}{most:9.3f}{max(seconds):9.3f}")
        return "\n".join(lines)


class Person(threading.Thread):
    """One who comes, does something, leaves, properly or not, and comes again."""

    def __init__(self, number: int, address: str, tally: Tally, until: float, seed: int) -> None:
        super().__init__(name=f"visitor {number}", daemon=True)
        self._number = number
        self._address = address
        self._tally = tally
        self._until = until
        self._random = random.Random(1000 * seed + number)
        self._turn = 0

    def run(self) -> None:
        while time.monotonic() < self._until:
            try:
                self._visit()
            except Foreign as foreign:
                self._tally.foreign.append(f"{self.name}: {foreign}")
            except Exception as error:
                self._tally.errors.append(f"{self.name}: {type(error).__name__}: {error}")
                time.sleep(1)

    def _visit(self) -> None:
        with self._tally.timed("open the page"):
            visitor = Visitor(self._address)
        with visitor:
            for _ in range(self._random.randint(1, 3)):
                if time.monotonic() > self._until:
                    return
                doing = self._random.choices(
                    (
                        *(self._upload, self._example, self._train),
                        *(self._teach, self._call, self._break_off),
                    ),
                    (6, 2, 2, 2, 2, 1),
                )[0]
                try:
                    stays = doing(visitor)
                except Refused as refused:
                    self._note_refused(refused)
                    time.sleep(self._random.uniform(0.5, 2))
                    continue
                if not stays:
                    self._tally.gone += 1
                    return

    def _note_refused(self, refused: Refused) -> None:
        polite = next((words for words in POLITE if words in str(refused)), None)
        if polite is None:
            raise refused
        self._tally.polite[polite] += 1

    # Pictures

    def _picture(self) -> tuple[bytes, str, np.ndarray]:
        """One that nobody else has: its size, its colours and its shapes are this turn's own."""
        self._turn += 1
        width = 120 + 4 * (self._number % 40) + self._turn % 4
        height = 90 + self._turn % 60
        colours = np.array([self._random.randrange(256) for _ in range(12)]).reshape(2, 2, 3)
        image = np.kron(colours, np.ones((height // 2 + 1, width // 2 + 1, 1)))[:height, :width]
        x, y = self._random.randrange(width // 2), self._random.randrange(height // 2)
        image[y : y + height // 3, x : x + width // 3] = 255 - image[y, x]
        image = image.astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        return file.getvalue(), f"visitor-{self._number}-{self._turn}.png", image

    def _upload(self, visitor: Visitor) -> bool:
        content, name, image = self._picture()
        leaves_at = self._random.choice((None, None, None, "read", "segments", "proposals"))
        with self._tally.timed("upload"):
            file = visitor.send(content, name)
        start = time.monotonic()
        for note in visitor.look_at_sent(file):
            if note["name"] != name:
                raise Foreign(f"a note about {note['name']}, not {name}")
            if note["stage"] == "read":
                self._tally.tokens.append(("explore", note["token"]))
                self._tally.seconds["wait for one's turn"].append(time.monotonic() - start)
            if note["stage"] == leaves_at:
                return False
        self._tally.seconds["upload to detections"].append(time.monotonic() - start)
        self._look_around(visitor, note["token"], name, content, image)
        return self._random.random() < 0.8

    def _look_around(
        self, visitor: Visitor, token: str, name: str, content: bytes, image: np.ndarray
    ) -> None:
        height, width = image.shape[:2]
        with self._tally.timed("the picture"):
            shown = visitor.ask("explore", "picture", token=token)
        if (shown["width"], shown["height"]) != (width, height):
            raise Foreign(f"a picture of {shown['width']} x {shown['height']}, not {name}")
        pixels = load_image(base64.b64decode(shown["src"].split(",", 1)[1])).astype(int)
        if np.abs(pixels - image).mean() > 8:  # as JPEG it has lost a little
            raise Foreign(f"other pixels than those of {name}")
        with self._tally.timed("the proposals"):
            boxes = visitor.ask("explore", "proposals", token=token)["boxes"]
        self._tally.answers.append(Answer(content, boxes))
        for _ in range(self._random.randint(1, 5)):
            index = self._random.randrange(len(boxes))
            with self._tally.timed("choose a box"):
                box = visitor.ask("explore", "box", token=token, box=index)
            if not np.allclose(box["box"], boxes[index], atol=0.06):
                raise Foreign(f"box {index} of {name} is {box['box']}, not {boxes[index]}")
        self._explain(visitor, token, name, len(boxes))
        own = [5.0, 5.0, width / 2, height / 2]
        with self._tally.timed("draw a box"):
            drawn = visitor.ask("explore", "mosaic", token=token, box=own)
        if drawn["size"] != 7:
            raise Foreign("a mosaic that is none")
        for score in (0.05, 0.5):
            with self._tally.timed("move a slider"):
                made = visitor.ask(
                    "explore", "decisions", token=token, score_threshold=score, nms_threshold=0.3
                )
            if len(made["background"]) != len(boxes):
                raise Foreign(f"decisions about {len(made['background'])} boxes")
        with self._tally.timed("take the result away"):
            taken = visitor.ask(
                "explore",
                "takeaway",
                token=token,
                score_threshold=0.05,
                nms_threshold=0.3,
                kind="json",
            )
        stem = name.removesuffix(".png")
        if taken["name"] != f"{stem}.json" or f'"width": {width}' not in taken["text"]:
            raise Foreign(f"{taken['name']} to take away, not that of {name}")

    def _explain(self, visitor: Visitor, token: str, name: str, count: int) -> None:
        """Ask why a box has its class, and watch R-CNN for a while."""
        index = self._random.randrange(count)
        scores = visitor.ask("explore", "box", token=token, box=index)["probabilities"]
        with self._tally.timed("why this class"):
            worth = self._experiment(visitor, "occlusion", token=token, box=index)
        powers = np.exp(worth["scores"])
        if not np.allclose(powers / powers.sum(), scores, atol=1e-3):
            raise Foreign(f"the worth of bins of another box than {index} of {name}")
        done = 0
        for _ in range(CROPS):
            if done >= count:
                break
            with self._tally.timed("R-CNN on two boxes"):
                crops = self._experiment(visitor, "rcnn", token=token, first=done)
            first = visitor.ask("explore", "box", token=token, box=done)["probabilities"]
            if crops["boxes"] != count or not np.allclose(crops["fast"][0], first, atol=1e-3):
                raise Foreign(f"R-CNN's box {done} of another picture than {name}")
            done += len(crops["src"])

    def _experiment(self, visitor: Visitor, experiment: str, **inputs: object) -> dict:
        """Ask again until it is this visitor's turn, as the views do."""
        while "busy" in (reply := visitor.ask("explore", experiment, **inputs)):
            self._tally.waits += 1
            time.sleep(0.2)
        return reply

    def _example(self, visitor: Visitor) -> bool:
        name = self._random.choice(EXAMPLES)
        with self._tally.timed("an example"):
            for note in visitor.look_at_example(name):
                if note["example"] != name:
                    raise Foreign(f"the example {note['example']}, not {name}")
        visitor.ask("explore", "box", token=note["token"], box=self._random.randrange(100))
        return True

    def _call(self, visitor: Visitor) -> bool:
        content, name, image = self._picture()
        with self._tally.timed("/detect"):
            record, drawn = visitor.call("detect", visitor.send(content, name), 0.05, 0.3)
        height, width = image.shape[:2]
        if (record["image"], record["width"], record["height"]) != (name, width, height):
            raise Foreign(f"detections of {record['image']}, not {name}")
        for found in record["detections"]:
            x1, y1, x2, y2 = found["box"]
            if not (0 <= x1 <= x2 <= width and 0 <= y1 <= y2 <= height):
                raise Foreign(f"a detection at {found['box']} in {name}")
        file = visitor.http.get(drawn["url"])
        if load_image(file.content).shape != image.shape:
            raise Foreign(f"another's picture with the detections of {name}")
        return True

    def _break_off(self, visitor: Visitor) -> bool:
        """Leave in the middle of an upload."""
        content, name, _ = self._picture()

        def some() -> Iterator[bytes]:
            head = f'--b\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
            yield head.encode() + content[: len(content) // 2]
            raise httpx.WriteError("the visitor has left")

        kind = {"content-type": "multipart/form-data; boundary=b"}
        try:
            visitor.http.post("/gradio_api/upload", content=some(), headers=kind)
        except httpx.WriteError:
            return False
        raise AssertionError("an upload that was broken off was answered")

    # Trainings and teachings

    def _teach(self, visitor: Visitor) -> bool:
        """Teach a class that nobody else has, from a picture that nobody else has."""
        content, name, image = self._picture()
        height, width = image.shape[:2]
        thing = f"thing {self._number}-{self._turn}"
        leaves = self._random.random() < 0.3
        with self._tally.timed("upload"):
            path = visitor.send(content, name)["path"]
        start = time.monotonic()
        *_, album = visitor.notes("teach", "collect", files=[{"uploaded": path, "name": name}])
        token = album["token"]
        self._tally.tokens.append(("teach", token))
        shown = visitor.ask("teach", "photo", token=token, photo=0)
        if (shown["width"], shown["height"]) != (width, height):
            raise Foreign(f"a picture of {shown['width']} x {shown['height']}, not {name}")
        boxes = {"0": [[2, 2, width // 2, height // 2]]}
        for note in visitor.notes("teach", "teach", token=token, name=thing, boxes=boxes):
            if [photo["name"] for photo in note["photos"]] != [name] or note["token"] != token:
                raise Foreign(f"the photographs {note['photos']}, not {name}")
            if leaves and note["steps"]:
                return False
        if note["taught"] != thing:
            raise Foreign(f"the class {note['taught']}, not {thing}")
        self._tally.seconds["upload to taught class"].append(time.monotonic() - start)
        return True

    def _train(self, visitor: Visitor) -> bool:
        iterations = 10 + self._number  # by which each knows its own
        leaves = self._random.random() < 0.3
        values = {"iterations": str(iterations), "rois_per_batch": "16", "seed": str(self._number)}
        with self._tally.timed("start a training"):
            note = visitor.train(**TRAINING, values=values)
        if f"iterations={iterations} " not in note["command"] + " ":
            raise Foreign(f"the training of another: {note['command']}")
        token = note["token"]
        self._tally.tokens.append(("train", token))
        start, seen = time.monotonic(), 0
        while True:
            with self._tally.timed("ask how it goes"):
                progress = visitor.ask("train", "progress", token=token, steps=seen)
            seen += len(progress["steps"])
            if progress["iterations"] != iterations or seen > iterations:
                raise Foreign(f"training of {progress['iterations']} iterations, not {iterations}")
            if progress["phase"] == "finished":
                break
            if progress["phase"] not in ("waiting", "preparing", "training"):
                raise AssertionError(f"a training is {progress['phase']}: {progress['trouble']}")
            if leaves and seen:
                return False
            time.sleep(0.5)
        self._tally.seconds["a whole training"].append(time.monotonic() - start)
        with self._tally.timed("the mini-batch"):
            batch = visitor.ask("train", "batch", token=token)
        if batch["iteration"] != iterations or seen != iterations:
            raise Foreign(f"the mini-batch of step {batch['iteration']} of {iterations}")
        return True


def visit(address: str, visitors: int, seconds: float, tally: Tally, seed: int = 0) -> None:
    """Let so many come for so long, and wait until the last has left."""
    until = time.monotonic() + seconds
    people = [Person(number, address, tally, until, seed) for number in range(visitors)]
    for person in people:
        person.start()
        time.sleep(min(0.2, seconds / visitors / 2))
    for person in people:
        person.join()


def still_answered(
    address: str, tokens: list[tuple[str, str]], patience: float = 60.0
) -> list[tuple[str, str]]:
    """Those tokens of people who have left that are answered all the same after so many seconds."""
    deadline = time.monotonic() + patience
    with Visitor(address) as visitor:
        while True:
            tokens = [token for token in tokens if is_answered(visitor, *token)]
            if not tokens or time.monotonic() > deadline:
                return tokens
            time.sleep(1)


def is_answered(visitor: Visitor, view: str, token: str) -> bool:
    try:
        visitor.ask(view, FIRST_REQUEST[view], token=token, photo=0)
    except Refused:
        return False
    return True
