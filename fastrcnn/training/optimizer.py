"""How the weights change: the optimizer, the pull towards the start, the averages.

All state that training needs is kept as tensors with names, so that a run can be saved and resumed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fastrcnn.errors import RecipeError
from fastrcnn.model import FastRCNN
from fastrcnn.model.svd import full_rank, truncated_svd
from fastrcnn.training.recipe import Recipe

_OPTIMIZER_KEYS = {
    torch.optim.SGD: {"momentum_buffer"},
    torch.optim.Adam: {"step", "exp_avg", "exp_avg_sq"},
    torch.optim.AdamW: {"step", "exp_avg", "exp_avg_sq"},
}


class Solver:
    """Learns a model's weights from their gradients, as the recipe says.

    trainable: the parameters that learn, by name. averaged: the number of iterations whose weights
    are in `average`. Raises RecipeError when svd_rank would not make the model's fc6 smaller.
    """

    def __init__(self, recipe: Recipe, model: FastRCNN, iterations: int) -> None:
        full = full_rank(model.head.fc6)
        if recipe.svd_rank is not None and recipe.svd_rank >= full:
            raise RecipeError(
                f"svd_rank is {recipe.svd_rank}; for this network it must be 1 to {full - 1}."
            )
        self._recipe = recipe
        self._model = model
        self._iterations = iterations
        self.trainable = _trainable(model)
        self.optimizer = build_optimizer(recipe, self.trainable)
        self.average: dict[str, Tensor] = {}
        self.averaged = 0
        # The convolutions are pulled towards these values, or moved back to them at the end.
        self.start: dict[str, Tensor] = {}
        if recipe.needs_start:
            self.start = {
                name: parameter.detach().clone()
                for name, parameter in self.trainable.items()
                if name.startswith("backbone.")
            }

    def zero_grad(self) -> None:
        """Forget the gradients of the last step."""
        self.optimizer.zero_grad(set_to_none=True)

    @torch.no_grad()
    def step(self, iteration: int) -> None:
        """Change the weights by the gradients of `iteration`, counted from 0."""
        recipe = self._recipe
        lr = recipe.learning_rate(iteration, self._iterations)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["lr_factor"]
        if recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.trainable.values(), recipe.clip_norm)
        self.optimizer.step()
        if recipe.start_decay:
            # Done apart from the gradients, just as AdamW decays weights towards zero.
            share = min(lr * recipe.conv_lr_factor * recipe.start_decay, 1.0)
            for name, start in self.start.items():
                self.trainable[name].lerp_(start, share)
        self._update_average(iteration + 1)

    def _update_average(self, done: int) -> None:
        """Update the mean of the weights over iterations; it is steadier than the last weights."""
        last = round(self._recipe.average_last * self._iterations)
        if self._recipe.average_decay:
            # At the start the average must follow quickly, or random weights would stay in it.
            keeps = min(self._recipe.average_decay, (1 + self.averaged) / (10 + self.averaged))
        elif done > self._iterations - last:
            keeps = self.averaged / (self.averaged + 1)
        else:
            return
        for name, parameter in self.trainable.items():
            if self.averaged == 0:
                self.average[name] = parameter.detach().clone()
            else:
                self.average[name].lerp_(parameter, 1 - keeps)
        self.averaged += 1

    @torch.no_grad()
    def cut_fc6(self, rank: int) -> None:
        """Truncated SVD of fc6 (paper, section 3.1), of the averaged weights if there are any.

        The optimizer keeps its state for all other layers. The average starts anew.
        """
        self._take_average()
        fc6 = self._model.head.fc6
        learns = next(fc6.parameters()).requires_grad
        self._model.head.fc6 = truncated_svd(fc6, rank).requires_grad_(learns)
        self._model.config = self._model.config.but(fc6_rank=rank)
        before = self.optimizer.state
        self.trainable = _trainable(self._model)
        self.optimizer = build_optimizer(self._recipe, self.trainable)
        for parameter in self.trainable.values():
            if parameter in before:
                self.optimizer.state[parameter] = before[parameter]
            elif isinstance(self.optimizer, torch.optim.SGD):
                # SGD needs momentum for all parameters or for none. A first step starts with 0.
                still = {"momentum_buffer": torch.zeros_like(parameter)}
                self.optimizer.state[parameter] = still
        self.average, self.averaged = {}, 0

    @torch.no_grad()
    def finish(self) -> None:
        """Put the averages in place, then move the convolutions back towards their start."""
        self._take_average()
        if self._recipe.conv_share < 1:
            for name, start in self.start.items():
                parameter = self.trainable[name]
                parameter.copy_(start.lerp(parameter, self._recipe.conv_share))

    def _take_average(self) -> None:
        for name, average in self.average.items():
            self.trainable[name].copy_(average)

    def tensors(self) -> dict[str, Tensor]:
        """The state that resuming needs, apart from the model's weights."""
        state = {f"optimizer.{name}": t for name, t in flatten_optimizer(self.optimizer).items()}
        return state | {f"average.{name}": tensor for name, tensor in self.average.items()}

    def close(self) -> None:
        """Free all but the model. Gradients and optimizer state take three times its memory."""
        self.zero_grad()
        self.optimizer.state.clear()
        self.average.clear()
        self.start.clear()


def _trainable(model: FastRCNN) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def build_optimizer(recipe: Recipe, trainable: dict[str, nn.Parameter]) -> torch.optim.Optimizer:
    """Groups weights and biases of convolutions and head. A group learns at lr x `lr_factor`."""
    groups: dict[tuple[bool, bool], dict] = {}
    for name, parameter in trainable.items():
        is_conv, is_bias = name.startswith("backbone."), name.endswith(".bias")
        group = groups.setdefault((is_conv, is_bias), {"params": []})
        group["params"].append(parameter)
        group["lr_factor"] = (recipe.conv_lr_factor if is_conv else 1.0) * (
            recipe.bias_lr_factor if is_bias else 1.0
        )
        decays = (recipe.bias_decay or not is_bias) and not (is_conv and recipe.start_decay)
        group["weight_decay"] = recipe.weight_decay if decays else 0.0
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            list(groups.values()), recipe.lr, momentum=recipe.momentum, fused=True
        )
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(list(groups.values()), recipe.lr, fused=True)


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state per parameter, as tensors with names."""
    return {
        f"{index}.{key}": value
        for index, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of `flatten_optimizer`, for an optimizer of the same parameters.

    Raises ValueError if the tensors are not the state of such an optimizer.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    keys = _OPTIMIZER_KEYS[type(optimizer)]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        if key not in keys or index not in map(str, range(len(parameters))):
            raise ValueError(f"{name} is no part of the optimizer")
        shape = torch.Size() if key == "step" else parameters[int(index)].shape
        if tensor.shape != shape:
            raise ValueError(f"{name} has shape {list(tensor.shape)}, not {list(shape)}")
        state.setdefault(int(index), {})[key] = tensor
    for number, values in state.items():
        if values.keys() != keys:
            raise ValueError(f"{number} lacks a part of the optimizer's state")
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
