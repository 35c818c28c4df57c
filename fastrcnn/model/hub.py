"""Detectors in folders of the form that the Hugging Face Hub knows, and on the Hub itself.

Such a folder holds the checkpoint `model.safetensors`, the network's settings as `config.json`, by
which the Hub counts downloads, and the model card `README.md`. The methods of `Detector` have the
names and options of huggingface_hub's `PyTorchModelHubMixin`. The mixin itself takes a second to
import, so huggingface_hub is imported only when it is used.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fastrcnn.errors import CheckpointError, reason
from fastrcnn.model.checkpoint import save_checkpoint
from fastrcnn.model.fast_rcnn import FastRCNN
from fastrcnn.runtime.atomic_write import atomic_write

CHECKPOINT, CONFIG, CARD = "model.safetensors", "config.json", "README.md"

_TEXT = """
# Fast R-CNN: {backbone}, {count} classes

It finds {classes}.

```python
from fastrcnn import Detector

detector = Detector.from_pretrained("{name}")
for label, score, box in detector("photo.jpg"):
    print(label, score, box)
```

How it was made:

```json
{metadata}
```
"""


def find_checkpoint(name: str | Path, **download: Any) -> Path:
    """The checkpoint in a folder, or of the Hub's repository `name`, which is downloaded once.

    download: options of `huggingface_hub.hf_hub_download`. Raises CheckpointError if the repository
    cannot be read.
    """
    if Path(name).is_dir():
        return Path(name) / CHECKPOINT
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(str(name), CHECKPOINT, **download))
    except Exception as error:  # see `push`
        raise CheckpointError(
            f"{name} is no folder here and cannot be read from the Hub: {reason(error)}."
        ) from error


def save_folder(
    folder: str | Path,
    model: FastRCNN,
    metadata: dict,
    half: bool = False,
    card: str | Path | None = None,
    name: str | None = None,
) -> None:
    """Write the three files; see `Detector.save_pretrained`.

    name: the repository's name for the card, by default the folder's. Raises CheckpointError if the
    folder cannot be written or the card not be read.
    """
    folder = Path(folder)
    text = None if card is None else _read(Path(card))
    save_checkpoint(folder / CHECKPOINT, model, metadata, half)
    try:
        _write(folder / CONFIG, json.dumps(model.config.model_dump(), indent=2) + "\n")
        if text is not None:
            _write(folder / CARD, text)
        elif not (folder / CARD).exists():
            _write(folder / CARD, model_card(name or folder.name, model, metadata))
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be written: {reason(error)}.") from error


def push(folder: Path, name: str, private: bool | None, token: str | None, message: str) -> str:
    """Upload a folder to the Hub's repository `name` in one commit; returns the commit's address.

    The repository is made if there is none. Raises CheckpointError if the Hub refuses.
    """
    from huggingface_hub import HfApi

    hub = HfApi(token=token)
    try:
        hub.create_repo(name, private=private, exist_ok=True)
        return hub.upload_folder(repo_id=name, folder_path=folder, commit_message=message)
    # Besides OSError, and ValueError for a name that no repository can have, the errors of its HTTP
    # library, which is another one from version to version.
    except Exception as error:
        raise CheckpointError(f"{name} cannot be written on the Hub: {reason(error)}.") from error


def model_card(name: str, model: FastRCNN, metadata: dict) -> str:
    """A card that says what the network is, how it is loaded and how it was made.

    It names no licence, because that depends on the weights and pictures of the training.
    """
    from huggingface_hub import ModelCardData

    head = ModelCardData(
        library_name="fastrcnn", pipeline_tag="object-detection", tags=["fast-r-cnn"]
    )
    config = model.config
    text = _TEXT.format(
        backbone=config.backbone,
        count=len(config.classes),
        classes=", ".join(config.classes),
        name=name,
        metadata=json.dumps(metadata, indent=2),
    )
    return f"---\n{head.to_yaml()}\n---\n{text}"


def _read(card: Path) -> str:
    try:
        return card.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise CheckpointError(f"The card {card} cannot be read: {reason(error)}.") from error


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8")
