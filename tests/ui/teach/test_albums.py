"""Albums are counted in the visitors' memory and freed when visitors leave."""

from __future__ import annotations

import time

import pytest

from fastrcnn.errors import FastRCNNError
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.hosting.memory import Full, Memory, size_of
from fastrcnn.ui.teach.albums import Albums
from tests.ui.conftest import assert_is_one_sentence


def albums(**limits) -> Albums:
    made = Limits(**limits)
    return Albums(made, Memory(made))


def test_a_photograph_is_kept_without_the_regions_of_the_search_and_counted(trace):
    own = albums()
    photo = own.add("me", "a.jpg", trace)
    assert photo.trace.proposals is None and photo.trace.boxes is trace.boxes
    assert own.held("me") == own.held(None) == size_of(photo.trace)
    assert own.held("you") == 0
    token = own.of("me").token
    assert own.get(token).photos == {0: photo}
    own.close("me")
    assert own.held(None) == 0
    with pytest.raises(FastRCNNError, match="no longer kept"):
        own.get(token)


def test_a_full_album_and_a_full_memory_are_one_sentence(trace):
    own = albums(album_photos=2)
    for name in ("a", "b"):
        own.add("me", name, trace)
    with pytest.raises(FastRCNNError, match="can be 2 photographs") as error:
        own.add("me", "c", trace)
    assert_is_one_sentence(str(error.value))
    megabytes = size_of(albums().add("me", "a", trace).trace) / 2**20
    little = albums(session_mb=1.5 * megabytes)
    little.add("me", "a", trace)
    with pytest.raises(Full):
        little.add("me", "b", trace)
    assert len(little.of("me").photos) == 1


def test_an_absent_visitors_album_is_freed_and_a_present_one_stays(trace):
    own = albums(away_seconds=0.05)
    for session in ("me", "you"):
        own.add(session, "a", trace)
    time.sleep(0.1)
    own.close_absent({"you"})
    assert own.held("me") == 0 and own.held("you") > 0


@pytest.mark.parametrize("token", ["", "nosuch", None, 5, ["a"]])
def test_an_unknown_token_is_refused(token):
    with pytest.raises(FastRCNNError) as error:
        albums().get(token)
    assert_is_one_sentence(str(error.value))
