from pathlib import Path

import numpy as np
from PIL import Image

from fastrcnn.training import plot_losses


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
