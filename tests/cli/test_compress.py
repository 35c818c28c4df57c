"""`compress`."""

from __future__ import annotations

from fastrcnn.cli import main
from fastrcnn.model import Resize, load_checkpoint
from tests.cli.conftest import one_sentence


def test_compress_writes_a_smaller_detector_that_still_detects(photo, tmp_path, capsys):
    out = tmp_path / "small.safetensors"
    command = ["compress", "--fc6-rank", "4", "--fc7-rank", "2", "--out", str(out)]
    assert main(command) == 0
    model, metadata = load_checkpoint(out)
    assert (model.config.fc6_rank, model.config.fc7_rank) == (4, 2)
    assert metadata["data"] == "none"
    assert main(["detect", str(photo), "--checkpoint", str(out)]) == 0
    capsys.readouterr()
    assert main(["compress", "--fc6-rank", "99", "--fc7-rank", "2", "--out", str(out)]) == 1
    assert one_sentence(capsys.readouterr().err)
    assert main(["compress", "--shorter", "90", "--out", str(out)]) == 0
    assert load_checkpoint(out)[0].config.resize == Resize(shorter=90, longer=150)
    assert main(["compress", "--shorter", "9", "--out", str(out)]) == 1
    assert one_sentence(capsys.readouterr().err)
