import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastrcnn.runtime.atomic_write import atomic_write
from fastrcnn.training import plot_losses, plots


def metrics(steps: int, validations: int) -> list[dict]:
    losses = {"loss": 2.0, "loss_cls": 1.5, "loss_loc": 0.5}
    return [
        *({"event": "step", "iteration": i + 1, **losses} for i in range(steps)),
        *({"event": "validation", "iteration": i + 1, **losses} for i in range(validations)),
        {"event": "epoch", "iteration": steps, **losses},
    ]


def test_three_plots_with_both_curves(tmp_path: Path):
    def draw(name: str, steps: int, validations: int) -> np.ndarray:
        plot_losses(metrics(steps, validations), tmp_path / name)
        return np.array(Image.open(tmp_path / name).convert("RGB")).astype(int)

    picture = draw("both.png", 500, 3)
    width = picture.shape[1]
    blue, orange = [(31, 119, 180), (255, 127, 14)]  # matplotlib's first two colours
    for part in np.array_split(np.arange(width), 3):
        for colour in (blue, orange):
            assert (np.abs(picture[:, part] - colour).sum(axis=2) < 30).any()
    alone = draw("alone.png", 1, 0)
    assert not (np.abs(alone - orange).sum(axis=2) < 30).any()


def test_whoever_asks_one_thread_draws(tmp_path: Path, monkeypatch):
    drawn_by = []

    def noted(path: Path):
        drawn_by.append(threading.current_thread())
        return atomic_write(path)

    monkeypatch.setattr(plots, "atomic_write", noted)
    together = threading.Barrier(3)

    def request(number: int) -> threading.Thread:
        together.wait(60)
        plot_losses(metrics(3, 1), tmp_path / f"{number}.png")
        return threading.current_thread()

    with ThreadPoolExecutor(3) as pool:
        requested_by = set(pool.map(request, range(3)))
    assert len(requested_by) == 3 and len(drawn_by) == 3
    assert len(set(drawn_by)) == 1 and not requested_by & set(drawn_by)


def test_what_goes_wrong_in_drawing_reaches_who_asked(tmp_path: Path):
    with pytest.raises(OSError):
        plot_losses(metrics(3, 1), tmp_path / "no folder" / "loss.png")
