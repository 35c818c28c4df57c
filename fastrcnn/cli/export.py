"""`export`: the network as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastrcnn.cli import shared


def export(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The ONNX file.")],
    checkpoint: shared.Checkpoint = None,
) -> None:
    """Write the network as ONNX, for programs without PyTorch.

    Writes the network, from a picture and boxes to scores and regressed boxes, as one ONNX file.
    Proposals, resizing and non-maximum suppression are left to the program that uses it. The
    file's metadata names the classes and says how pictures are resized. Needs the package
    onnxscript.
    """
    from fastrcnn.model import load_checkpoint
    from fastrcnn.model.onnx import INPUTS, OUTPUTS, export_onnx

    model, _ = load_checkpoint(checkpoint)
    export_onnx(model, out)
    size = out.stat().st_size / 1e6
    print(f"{out}: {size:.0f} MB; takes {' and '.join(INPUTS)}, gives {', '.join(OUTPUTS)}")
