"""The worth of bins and channels, held to a loop that empties one after another."""

from __future__ import annotations

import pytest
import torch

from fastrcnn.explanations.occlusion import occlude
from tests.explanations.conftest import BOXES


@pytest.mark.parametrize("index", range(len(BOXES)))
def test_each_bin_and_channel_is_emptied_alone(detector, trace, index):
    head = detector.model.head
    seen = detector.inspect(trace, trace.boxes[index])
    channels = torch.tensor([5, 0, 5])
    found = occlude(head, seen.pooled, channels)
    with torch.inference_mode():
        torch.testing.assert_close(found.whole, head(seen.pooled[None])[0][0])
        for row in range(7):
            for column in range(7):
                part = seen.pooled.clone()
                part[:, row, column] = 0
                expected = head(part[None])[0][0]
                torch.testing.assert_close(found.bins[row, column], expected)
        for place, channel in enumerate(channels):
            part = seen.pooled.clone()
            part[channel] = 0
            torch.testing.assert_close(found.channels[place], head(part[None])[0][0])


def test_the_scores_are_those_that_gave_the_probabilities(detector, trace):
    seen = detector.inspect(trace, trace.boxes[0])
    found = occlude(detector.model.head, seen.pooled, torch.tensor([0]))
    torch.testing.assert_close(found.whole.softmax(dim=0), seen.probabilities)


def test_what_is_empty_already_is_worth_nothing(detector):
    found = occlude(detector.model.head, torch.zeros(8, 7, 7), torch.arange(0))
    assert found.channels.shape == (0, 4)
    torch.testing.assert_close(found.bins, found.whole.expand(7, 7, 4))
