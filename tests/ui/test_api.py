"""The page, served from this process, asked as a program asks it."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from fastrcnn.images import load_image
from fastrcnn.proposals import selective_search
from tests.ui.conftest import assert_is_one_sentence, served


@pytest.fixture(scope="module")
def client(detector, tmp_path_factory) -> Iterator[Client]:
    with served(detector) as (_, address):
        client = Client(address, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))
        yield client
        client.close()


@pytest.fixture(scope="module")
def trace(detector, photo):
    return detector.trace(photo)


def assert_refused(client: Client, message: str, *values, api_name: str) -> None:
    with pytest.raises(AppError, match=message) as error:
        client.predict(*values, api_name=api_name)
    assert_is_one_sentence(str(error.value))


def test_three_endpoints_are_described(client):
    listed = client.view_api(return_format="dict", print_info=False)
    assert listed["named_endpoints"].keys() == {"/detect", "/proposals", "/pool"}
    assert listed["unnamed_endpoints"] == {}
    names = {
        name: [parameter["parameter_name"] for parameter in endpoint["parameters"]]
        for name, endpoint in listed["named_endpoints"].items()
    }
    assert names == {
        "/detect": ["image", "score_threshold", "nms_threshold"],
        "/proposals": ["image", "mode"],
        "/pool": ["image", "box", "channel", "pooling"],
    }
    for endpoint in listed["named_endpoints"].values():
        assert endpoint["description"].endswith(".")


@pytest.mark.parametrize("values", [{}, {"score": 0.05, "nms": 0.6}, {"score": 1}])
def test_detect_gives_the_detectors_detections_and_the_picture_with_them(
    client, detector, photo, values
):
    named = {f"{name}_threshold": value for name, value in values.items()}
    record, drawn = client.predict(handle_file(photo), **named, api_name="/detect")
    trace = detector.trace(photo, **named)
    assert record["image"] == "shapes.png"
    assert (record["width"], record["height"]) == (160, 120)
    assert record["detections"] == trace.detections.to_list()
    assert record["seconds"].keys() == trace.seconds.keys()
    with Image.open(drawn) as image:
        assert image.format == "PNG"
        assert (np.asarray(image) == trace.detections.draw(trace.image)).all()


@pytest.mark.parametrize("mode", ["single", "fast"])
def test_proposals_are_those_of_selective_search(client, photo, mode):
    found = client.predict(handle_file(photo), mode, api_name="/proposals")
    boxes = selective_search(load_image(photo), mode).boxes
    assert (found["image"], found["width"], found["height"]) == ("shapes.png", 160, 120)
    assert found["boxes"] == np.round(boxes.astype(float), 2).tolist()


@pytest.mark.parametrize("form", ["paper", "walkthrough", "align"])
def test_pool_gives_the_pooled_values_of_one_channel(client, detector, trace, photo, form):
    box = [10, 20.5, 90, 110]
    pooled = client.predict(handle_file(photo), box, 17, form, api_name="/pool")
    seen = detector.inspect(trace, torch.tensor(box), form)
    assert pooled == np.round(seen.pooled[17].double().numpy(), 5).tolist()
    assert np.shape(pooled) == (7, 7) and np.any(pooled)


def test_pool_has_the_papers_form_and_the_first_channel_by_default(client, photo):
    box = [10, 20, 90, 110]
    pooled = client.predict(handle_file(photo), box, api_name="/pool")
    assert pooled == client.predict(handle_file(photo), box, 0, "paper", api_name="/pool")


@pytest.mark.parametrize("name", ["/detect", "/proposals", "/pool"])
def test_what_is_not_a_picture_is_refused_without_naming_folders(client, tmp_path, name):
    (tmp_path / "broken.jpg").write_bytes(b"not a picture")
    values = [[0, 0, 50, 50]] if name == "/pool" else []
    broken = handle_file(tmp_path / "broken.jpg")
    assert_refused(client, "^The file is not a picture", broken, *values, api_name=name)
    assert_refused(client, "^No picture was given", None, *values, api_name=name)


@pytest.mark.parametrize("name", ["/detect", "/proposals", "/pool"])
def test_what_was_not_uploaded_is_not_read(client, photo, name):
    values = [[0, 0, 50, 50]] if name == "/pool" else []
    for image in ({"path": str(photo)}, {"path": "/dev/zero"}, {"path": "/"}, {"path": None}, {}):
        assert_refused(client, "^No picture was given", image, *values, api_name=name)


@pytest.mark.parametrize(
    "values",
    [
        *({"score_threshold": 2}, {"score_threshold": "0.5"}),
        *({"nms_threshold": -1}, {"nms_threshold": True}),
    ],
)
def test_detect_refuses_what_is_no_share(client, photo, values):
    (name,) = values
    with pytest.raises(AppError, match=f"^{name} must be a number from 0 to 1.$"):
        client.predict(handle_file(photo), **values, api_name="/detect")


@pytest.mark.parametrize("mode", ["slow", None, 5, ["fast"]])
def test_proposals_refuse_an_unknown_mode(client, photo, mode):
    assert_refused(client, "single, fast", handle_file(photo), mode, api_name="/proposals")


@pytest.mark.parametrize(
    ("message", "values"),
    [
        (r"^A box is .* 160 x 120\.$", [[200, 0, 300, 50]]),
        (r"^A box is", [[1, 2, 3]]),
        (r"^A box is", ["1, 2, 30, 40"]),
        (r"^A box is", [None]),
        (r"^channel must be a whole number from 0 to 511\.$", [[0, 0, 50, 50], 512]),
        (r"^channel must", [[0, 0, 50, 50], 1.5]),
        (r"^channel must", [[0, 0, 50, 50], "0"]),
        (r"paper, walkthrough, align", [[0, 0, 50, 50], 0, "x"]),
    ],
)
def test_pool_refuses_what_it_cannot_use(client, photo, message, values):
    assert_refused(client, message, handle_file(photo), *values, api_name="/pool")
