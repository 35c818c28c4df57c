"""The requests that the page sends to the server, answered by a server of the test's own."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from fastrcnn.ui.shared.modules import ADDRESS

pytestmark = pytest.mark.system

MODULE = f"{ADDRESS}/shared/requests.js"

# What is asked for while the reply to {run: 0} is on its way, and all that is sent then.
WAITING = [
    ([], [0]),
    ([1], [0, 1]),
    ([1, 2, 3], [0, 3]),
    ([0], [0, 0]),  # as the merges are asked for, with the same words as the segments before them
    ([1, 0], [0, 0]),
]


@pytest.fixture
def script(context, address) -> Page:
    """A page of the same server with nothing on it but the script's text."""
    page = context.new_page()
    page.goto(address + MODULE)
    return page


@pytest.mark.parametrize(("waiting", "sent"), WAITING)
@pytest.mark.parametrize("reply", [{"count": 3}, {"error": "There are no regions yet."}, None])
def test_of_what_is_asked_for_meanwhile_the_last_is_sent(script, waiting, sent, reply):
    found = script.evaluate(
        """async ({ waiting, reply }) => {
          const { createRequester } = await import(location.href);
          const asked = [];
          const answer = [];
          const server = {
            segments({ run }) {
              asked.push(run);
              return asked.length === 1 ? new Promise((resolve) => answer.push(resolve)) : reply;
            },
          };
          const requester = createRequester({ server, state: { token: "a" }, showStatus() {} });
          const request = requester("segments", () => {});
          const first = request({ run: 0 });
          for (const run of waiting) request({ run });
          answer[0](reply);
          await first;
          return asked;
        }""",
        {"waiting": waiting, "reply": reply},
    )
    assert found == sent


def test_a_reply_is_dropped_where_another_picture_has_come(script):
    found = script.evaluate(
        """async () => {
          const { createRequester } = await import(location.href);
          const state = { token: "a" };
          const sent = [];
          const replies = [];
          const server = {
            async segments({ token, run }) {
              sent.push([token, run]);
              if (run === 0) state.token = "b";
              return { token };
            },
          };
          const requester = createRequester({ server, state, showStatus() {} });
          const request = requester("segments", ({ token }) => replies.push(token));
          await Promise.all([request({ run: 0 }), request({ run: 1 })]);
          return { sent, replies };
        }"""
    )
    # What was asked for last was for the picture that has come.
    assert found == {"sent": [["a", 0], ["b", 1]], "replies": ["b"]}
