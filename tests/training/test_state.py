from pathlib import Path

import pytest
import torch

from fastrcnn.errors import CheckpointError
from fastrcnn.training.state import flatten_optimizer, load_state, restore_optimizer, save_state


def test_a_state_comes_back_as_it_was(tmp_path: Path):
    path = tmp_path / "state.safetensors"
    tensors = {"a": torch.randn(3, 2).t(), "step": torch.tensor(4.0)}
    for iteration in (1, 2):
        save_state(path, tensors, {"iteration": iteration, "sum": 0.1 + 0.2})
    loaded, header = load_state(path)
    assert header == {"iteration": 2, "sum": 0.1 + 0.2}
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_what_is_not_a_state_is_refused(tmp_path: Path):
    path = tmp_path / "state.safetensors"
    save_state(path, {"a": torch.zeros(100)}, {})
    whole = path.read_bytes()
    for content in (b"", b"nonsense" * 10, whole[:-50], whole.replace(b"fastrcnn", b"somewhat")):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="not the state"):
            load_state(path)


def test_a_state_that_cannot_be_written_is_told(tmp_path: Path):
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_state(tmp_path / "none" / "state.safetensors", {"a": torch.zeros(1)}, {})


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW"])
def test_an_optimizer_goes_on_as_if_it_had_not_stopped(kind: str, tmp_path: Path):
    def step(weight: torch.nn.Parameter, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        (weight**2 * torch.arange(5)).sum().backward()
        optimizer.step()

    extra = {"momentum": 0.9} if kind == "SGD" else {}
    first, second = (torch.nn.Parameter(torch.ones(5)) for _ in range(2))
    one, two = (getattr(torch.optim, kind)([w], lr=0.01, **extra) for w in (first, second))
    for _ in range(3):
        step(first, one)
    second.data.copy_(first.data)
    save_state(tmp_path / "state", flatten_optimizer(one), {})
    restore_optimizer(two, load_state(tmp_path / "state")[0])
    for _ in range(3):
        step(first, one)
        step(second, two)
    assert torch.equal(first, second)
