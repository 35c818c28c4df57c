import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fastrcnn.errors import CheckpointError
from fastrcnn.training.optimizer import flatten_optimizer, restore_optimizer
from fastrcnn.training.run_folder import load_state, save_state
from tests.training.tiny import trainer


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


# A state file from a stranger: each is refused in a sentence, and nothing is trained from it


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The folder of a run that stopped after five iterations."""
    out = tmp_path_factory.mktemp("run")
    started = trainer(out, *SETTINGS)
    while started.iteration < 5:
        next(started)
    next(started)
    started.close()
    return out


SETTINGS = ("optimizer=adam", "checkpoint_minutes=0", "average_last=1")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t, h: h.pop("recipe"), "no recipe"),
        (lambda t, h: h.update(recipe=[]), "no recipe"),
        (lambda t, h: h.pop("position"), "position is not complete"),
        (lambda t, h: h["position"].pop("averaged"), "position is not complete"),
        (lambda t, h: h["position"].update(more=1), "position is not complete"),
        (lambda t, h: h["position"].update(iteration=10**9), "not one in this run"),
        (lambda t, h: h["position"].update(iteration=-1), "not one in this run"),
        (lambda t, h: h["position"].update(iteration="5"), "not one in this run"),
        (lambda t, h: h["position"].update(iteration=12, epoch_steps=0), "not one in this run"),
        (lambda t, h: h["position"].update(metrics_size=-5), "not one in this run"),
        (lambda t, h: h["position"].update(epoch_sums=[0.0]), "not one in this run"),
        (lambda t, h: h["position"].update(epoch_sums=[float("nan")] * 3), "not one in this run"),
        (lambda t, h: h.update(format_version=[2]), "another version"),
        (lambda t, h: t.pop("model.head.fc7.bias"), "head.fc7.bias is missing"),
        (lambda t, h: t.update({"model.more": torch.ones(1)}), "more is extra"),
        (lambda t, h: t.update({"model.head.fc7.bias": torch.ones(3)}), "head.fc7.bias is [3]"),
        (lambda t, h: t.update({"model.head.fc7.bias": torch.ones(12).half()}), "float16"),
        (lambda t, h: t["model.head.fc7.bias"].fill_(float("nan")), "not finite"),
        (lambda t, h: t["optimizer.0.exp_avg"].fill_(float("inf")), "not finite"),
        (lambda t, h: t.pop("average.head.fc7.bias"), "head.fc7.bias is missing"),
        (lambda t, h: t.pop("optimizer.0.exp_avg"), "lacks a part"),
        (lambda t, h: t.update({"optimizer.0.exp_avg": torch.ones(3)}), "has shape [3]"),
        (lambda t, h: t.update({"optimizer.99.exp_avg": torch.ones(3)}), "no part of"),
        (lambda t, h: t.update({"optimizer.x.exp_avg": torch.ones(3)}), "no part of"),
        (lambda t, h: t.update({"optimizer.0.more": torch.ones(3)}), "no part of"),
        (lambda t, h: t.update({"optimizer.0": torch.ones(3)}), "no part of"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(run: Path, tmp_path: Path, change, expected: str):
    tensors, header = load_state(run / "state.safetensors")
    change(tensors, header)
    save_state(tmp_path / "state.safetensors", tensors, header)
    with pytest.raises(CheckpointError) as caught:
        trainer(tmp_path, *SETTINGS, resume=True)
    message = str(caught.value)
    assert expected in message and "state.safetensors" in message
    assert "\n" not in message and message.endswith(".")


def test_the_same_state_unchanged_is_gone_on_with(run: Path, tmp_path: Path):
    save_state(tmp_path / "state.safetensors", *load_state(run / "state.safetensors"))
    assert trainer(tmp_path, *SETTINGS, resume=True).iteration == 5


@pytest.mark.parametrize("text", ["[]", "3", "null", "{", "[" * 100_000])
def test_a_state_whose_header_is_no_header(tmp_path: Path, text: str):
    path = tmp_path / "state.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"fastrcnn_run": text})
    with pytest.raises(CheckpointError, match="not the state") as caught:
        load_state(path)
    assert "\n" not in str(caught.value)


def test_a_pickle_is_never_unpickled(tmp_path: Path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "opened"),))

    torch.save({"weights": Bomb()}, tmp_path / "state.safetensors")
    with pytest.raises(CheckpointError, match="not the state"):
        load_state(tmp_path / "state.safetensors")
    assert not (tmp_path / "opened").exists()
