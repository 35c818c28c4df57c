import pytest
import torch

from fastrcnn.model import FastRCNN
from fastrcnn.training import Recipe, with_settings
from fastrcnn.training.optimizer import Solver
from tests.training.tiny import CLASSES, RECIPE, tiny_backbone


def solver(*settings: str, iterations: int = 10) -> tuple[Solver, FastRCNN]:
    recipe: Recipe = with_settings(RECIPE, settings)
    torch.manual_seed(0)
    model = FastRCNN(recipe.network_config(CLASSES), tiny_backbone())
    model.freeze(recipe.first_trainable)
    return Solver(recipe, model, iterations), model


def gradients(model: FastRCNN, seed: int = 0, size: float = 1.0) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = size * torch.randn(parameter.shape, generator=random)
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def weights(model: FastRCNN) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


SGD = ("optimizer=sgd", "momentum=0", "lr=0.1", "weight_decay=0", "bias_lr_factor=1")


def test_large_gradients_are_scaled_down_together():
    for size, limited in ((1.0, True), (1e-4, False)):
        made, model = solver(*SGD, "clip_norm=0.5")
        before, given = weights(model), gradients(model, size=size)
        norm = torch.stack([g.norm() for g in given.values()]).norm()
        assert (norm > 0.5) == limited
        made.step(0)
        scale = 0.5 / norm if limited else 1
        for name, gradient in given.items():
            moved = weights(model)[name] - before[name]
            assert torch.allclose(moved, -0.1 * scale * gradient, atol=1e-6), name


def test_convolutions_are_pulled_to_where_they_started():
    settings = (*SGD, "weight_decay=0.3", "conv_lr_factor=0.5", "start_decay=2")
    made, model = solver(*settings)
    start = weights(model)
    given = gradients(model)
    made.step(0)
    after = weights(model)
    # A step of 0.05 times the gradient, and then 0.05 times 2 of the way back.
    for name in ("backbone.conv2.weight", "backbone.conv2.bias"):
        stepped = start[name] - 0.05 * given[name]
        assert torch.allclose(after[name], stepped + 0.1 * (start[name] - stepped)), name
    # The head decays towards zero as ever.
    name = "head.fc7.weight"
    expected = start[name] - 0.1 * (given[name] + 0.3 * start[name])
    assert torch.allclose(after[name], expected)


def test_the_pull_is_the_slope_of_half_the_squared_distance():
    """By finite differences: lr times the slope of decay / 2 |w - w0|^2."""
    made, model = solver(*SGD, "conv_lr_factor=1", "start_decay=0.5")
    parameter = model.backbone.conv2.weight
    start = parameter.detach().clone()
    with torch.no_grad():
        parameter += 0.3
    before = parameter.detach().clone()
    for p in model.parameters():
        p.grad = torch.zeros_like(p) if p.requires_grad else None
    made.step(0)

    def penalty(value: float) -> float:
        return 0.5 / 2 * (value - start[0, 0, 0, 0].item()) ** 2

    at, small = before[0, 0, 0, 0].item(), 1e-4
    slope = (penalty(at + small) - penalty(at - small)) / (2 * small)
    assert (parameter[0, 0, 0, 0].item() - at) == pytest.approx(-0.1 * slope, rel=1e-3)


def test_the_moving_average_by_hand():
    made, model = solver(*SGD, "average_decay=0.25")
    average = None
    for iteration in range(6):
        gradients(model, seed=iteration)
        made.step(iteration)
        now = weights(model)["head.fc7.weight"]
        keeps = min(0.25, (1 + iteration) / (10 + iteration))
        average = now if average is None else keeps * average + (1 - keeps) * now
        assert torch.allclose(made.average["head.fc7.weight"], average, atol=1e-6)
    made.finish()
    assert torch.allclose(weights(model)["head.fc7.weight"], average, atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.8, 1.0])
def test_convolutions_end_on_the_line_to_where_they_started(share: float):
    made, model = solver(*SGD, f"conv_share={share}")
    start = weights(model)
    for iteration in range(3):
        gradients(model, seed=iteration)
        made.step(iteration)
    learned = weights(model)
    made.finish()
    end = weights(model)
    for name in start:
        expected = learned[name]
        if name.startswith("backbone."):
            expected = start[name] + share * (learned[name] - start[name])
        assert torch.allclose(end[name], expected, atol=1e-6), name


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_fc6_is_cut_and_the_other_layers_go_on_as_they_were(optimizer: str):
    settings = (f"optimizer={optimizer}", "average_decay=0.9")
    made, model = solver(*settings)
    for iteration in range(3):
        gradients(model, seed=iteration)
        made.step(iteration)
    averaged = {name: tensor.clone() for name, tensor in made.average.items()}
    fc7 = model.head.fc7.weight
    kept = {key: value.clone() for key, value in made.optimizer.state[fc7].items()}
    made.cut_fc6(5)
    first, second = model.head.fc6.first.weight, model.head.fc6.second.weight
    assert first.shape[0] == model.config.fc6_rank == 5
    # From the averaged weights, and the best that rank 5 can do (Eckart and Young).
    wanted = averaged["head.fc6.weight"]
    u, s, v = torch.linalg.svd(wanted, full_matrices=False)
    assert torch.allclose(second @ first, u[:, :5] * s[:5] @ v[:5], atol=1e-5)
    assert torch.equal(fc7, averaged["head.fc7.weight"])
    for key, value in kept.items():
        assert torch.equal(made.optimizer.state[fc7][key], value)
    assert all(not value.any() for value in made.optimizer.state[first].values())
    assert made.averaged == 0 and not made.average
    assert "head.fc6.second.bias" in made.trainable and "head.fc6.weight" not in made.trainable
    before = weights(model)
    gradients(model)
    made.step(3)
    after = weights(model)
    for name in ("head.fc6.first.weight", "head.fc6.second.weight", "head.fc7.weight"):
        assert not torch.equal(after[name], before[name])


def test_only_weights_decay_where_biases_do_not():
    made, _ = solver("optimizer=adamw", "weight_decay=0.05")
    for group in made.optimizer.param_groups:
        assert group["weight_decay"] == (0.05 if group["params"][0].dim() > 1 else 0)
