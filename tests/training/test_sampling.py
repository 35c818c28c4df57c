import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrcnn.training import sample_rois


def labels(foreground: int, background: int, ignored: int) -> torch.Tensor:
    parts = [torch.full((foreground,), 4), torch.zeros(background), torch.full((ignored,), -1)]
    every = torch.cat(parts).long()
    return every[torch.randperm(len(every), generator=torch.Generator().manual_seed(0))]


def sample(every: torch.Tensor, replacement: bool = False, seed: int = 0) -> torch.Tensor:
    return sample_rois(every, 64, 0.25, np.random.default_rng(seed), replacement)


def test_every_class_is_foreground_and_no_roi_is_drawn_twice():
    every = torch.tensor([1, 0, -1, 2, 0, 20])
    chosen = sample_rois(every, 6, 0.5, np.random.default_rng(0)).tolist()
    assert sorted(chosen[:3]) == [0, 3, 5] and sorted(chosen[3:]) == [1, 4]


@pytest.mark.parametrize(
    ("foreground", "background", "expected"),
    [
        (100, 100, (16, 48)),
        (5, 100, (5, 59)),  # background makes up for missing foreground
        (100, 20, (16, 20)),  # but foreground not for background
        (0, 100, (0, 64)),
        (3, 4, (3, 4)),
        (0, 0, (0, 0)),
    ],
)
def test_counts_without_replacement(foreground, background, expected):
    every = labels(foreground, background, 30)
    chosen = sample(every)
    assert ((every[chosen] > 0).sum(), (every[chosen] == 0).sum()) == expected
    assert len(set(chosen.tolist())) == len(chosen) == sum(expected)


@pytest.mark.parametrize(
    ("foreground", "background", "expected"),
    [(1, 2, (16, 48)), (100, 100, (16, 48)), (0, 1, (0, 64)), (1, 0, (16, 0)), (0, 0, (0, 0))],
)
def test_with_replacement_the_batch_is_full_if_there_is_background(
    foreground, background, expected
):
    every = labels(foreground, background, 30)
    chosen = sample(every, replacement=True)
    assert ((every[chosen] > 0).sum(), (every[chosen] == 0).sum()) == expected


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 80), st.integers(0, 80), st.integers(0, 20), st.booleans())
def test_foreground_comes_first_and_nothing_ignored_is_drawn(fg, bg, ignored, replacement):
    every = labels(fg, bg, ignored)
    drawn = every[sample(every, replacement)]
    assert drawn.tolist() == sorted(drawn.tolist(), reverse=True)
    assert -1 not in drawn


def test_every_roi_is_equally_likely():
    every = labels(10, 0, 5)
    counts = np.zeros(15)
    random = np.random.default_rng(0)
    for _ in range(2000):
        counts[sample_rois(every, 8, 0.25, random)] += 1
    assert counts[every < 0].sum() == 0
    # 2 of 10, 2000 times: 400 each, standard deviation 18.
    assert np.all(np.abs(counts[every > 0] - 400) < 90)


def test_the_generator_decides_which_rois_are_drawn():
    every = labels(100, 100, 0)
    assert sample(every, seed=1).tolist() == sample(every, seed=1).tolist()
    assert sample(every, seed=1).tolist() != sample(every, seed=2).tolist()
