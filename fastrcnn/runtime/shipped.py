"""Where the files are that come with the program: its weights and its example photographs.

In the repository their folders are beside the package. An installed package has them inside it.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def shipped(folder: str) -> Path:
    """The folder of this name: assets or checkpoints."""
    inside = _PACKAGE / folder
    return inside if inside.is_dir() else _PACKAGE.parent / folder
