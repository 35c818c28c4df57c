"""The notebook runs from top to bottom, and what it computes by hand is what the detector does."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

pytestmark = pytest.mark.system

ASSETS = Path(__file__).parents[1] / "assets"
NOTEBOOK = ASSETS / "walkthrough.ipynb"
# Run in the notebook's own kernel, after its last cell.
CHECKS = """
with torch.inference_mode():
    roi = torch.cat([torch.zeros(1), box * torch.tensor([*scale, *scale])])[None]
    assert torch.equal(model.roi_pool(features, roi)[0], pooled)
    trace = detector.trace(PHOTO, vote_threshold=None)
torch.testing.assert_close(probability, trace.probabilities[chosen], atol=1e-4, rtol=0)
label = 1 + int(probability[1:].argmax())
assert names[label] == "cow"
moved = torch.from_numpy(moved)
cut = clip(moved, height, width)[0]
torch.testing.assert_close(cut, trace.regressed[chosen, label], atol=0.1, rtol=0)
assert iou(moved, cow) > iou(box[None], cow) > 0.6
found = sorted(found, key=lambda item: -item[0])
assert [name for _, name, _ in found] == detections.names and len(detections) > 0
for (score, _, where), detection in zip(found, detections, strict=True):
    assert abs(score - detection.score) < 1e-4
    torch.testing.assert_close(where, torch.tensor(detection.box), atol=0.1, rtol=0)
"""


@pytest.fixture(scope="module")
def notebook() -> NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_has_twelve_steps_each_with_its_text_and_no_output_in_it(notebook):
    nbformat.validate(notebook)
    assert [cell.cell_type for cell in notebook.cells] == ["markdown", "code"] * 12
    steps = notebook.cells[1::2]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in steps)
    for number, text in enumerate(notebook.cells[::2], start=1):
        assert f"## {number}. " in text.source


def test_it_runs_and_its_numbers_are_the_detectors(notebook, monkeypatch):
    monkeypatch.delenv("FASTRCNN_CHECKPOINT", raising=False)
    run = nbformat.v4.new_notebook(
        metadata=notebook.metadata,
        cells=[*notebook.cells, nbformat.v4.new_code_cell(CHECKS)],
    )
    where = {"metadata": {"path": str(ASSETS)}}
    NotebookClient(run, timeout=900, kernel_name="python3", resources=where).execute()
    steps = [cell for cell in run.cells if cell.cell_type == "code"][:-1]
    for number, cell in enumerate(steps, start=1):
        shown = [kind for output in cell.outputs for kind in output.get("data", {})]
        assert "image/png" in shown or number == 11, f"step {number} shows no picture"
        errors = [output for output in cell.outputs if output.get("name") == "stderr"]
        assert not errors, errors
