"""Learning with the rounding of a static int8 file, for networks that lose too much by it.

A network is followed once (torch.fx), and then run operation by operation, with every tensor rounded that
the file has as int8. Which those are is as in `export.quantize`: convolutions, with the batch normalisation
behind them folded into their weights, and linear layers, all but the first convolution and the last layer;
and what has no weights where all that it takes is int8, but for hard swish, quotients and norms. An
activation that the file does in one with the operation before it is rounded once. Biases, which a file has
as 32 bits, are not rounded. Large depthwise kernels, whose input a file measures as it runs, have rounded
weights only.

The network itself stays what it was, with weights and norms of its own, which learn; its statistics are kept.
"""

import training.torchvision_compat  # noqa: F401 - before Lightning, whose metrics import torchvision

# isort: split
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.nn import functional

from edge.bundle import Normalisation
from hw.errors import ConfigError
from training.recipe import Recipe
from training.rounding import folded, rounded_activations, rounded_weights
from training.run import normalised

__all__ = ["ObservedRanges", "RoundedNetwork", "check_recipe"]

_BATCH = 32
# Between two observations, each of which costs as much as a few of them.
_STEPS = 50

# Float in the file: their int8 kernels are slow, or they span more than eight bits.
_FLOAT = (
    nn.Hardswish, nn.LayerNorm, functional.hardswish, functional.layer_norm, operator.truediv,
    torch.div, torch.sqrt, torch.rsqrt, "div", "norm", "sqrt", "rsqrt",
)  # fmt: skip
# What the file does in one operation with the one before it, so that nothing is rounded in between.
_FUSED = (
    nn.ReLU, nn.ReLU6, nn.Hardsigmoid,
    torch.relu, functional.relu, functional.relu6, functional.hardsigmoid, "relu", "relu_",
)  # fmt: skip
# What moves values and changes none: what comes out is as round as what goes in.
_MOVING = (
    nn.Dropout, nn.Dropout2d, nn.Flatten, nn.MaxPool2d, nn.ZeroPad2d,
    torch.flatten, torch.permute, torch.reshape, functional.dropout, functional.max_pool2d, functional.pad,
    operator.getitem, getattr,
    "chunk", "contiguous", "expand", "flatten", "permute", "reshape", "split", "squeeze", "transpose",
    "unsqueeze", "view",
)  # fmt: skip
# Depthwise kernels of this size measure their input as they run.
_MEASURED_PX = 7


def check_recipe(recipe: Recipe) -> None:
    """Refuse a recipe whose network cannot learn with rounding, before anything is decoded.

    Raises
    ------
    ConfigError
        It starts from no run, is not in single precision, or levels each image.
    """
    if not recipe.quantization_aware:
        return
    if recipe.weights is None:
        raise ConfigError(
            "quantization_aware: rounds what has been learnt already; name the run to start from "
            "('train --from RUN', or 'weights' in the recipe), or leave 'quantization_aware' out"
        )
    if recipe.weights.is_file():
        raise ConfigError(
            f"quantization_aware: {recipe.weights} is a file of weights, and an export is compared with "
            "the run that was started from; name a run's folder"
        )
    if recipe.precision != "32-true":
        raise ConfigError(
            f"quantization_aware: the steps of int8 are too fine for precision '{recipe.precision}'; "
            "set precision: 32-true"
        )
    if recipe.levels != "as_is":
        raise ConfigError(
            f"quantization_aware: levels '{recipe.levels}' are not for static-int8; "
            "leave 'quantization_aware' out and export with --quantization dynamic-int8 or float32"
        )


class RoundedNetwork(nn.Module):
    """A network as its static int8 file would run it, to learn by.

    Parameters
    ----------
    network : in float; shared, not copied. Its own state is no part of this module's

    Attributes
    ----------
    ranges : (tensors, 2) least and largest value of each tensor that is rounded, in the order in which they
        are made; to be observed before anything is asked

    Raises
    ------
    ConfigError
        What the network does depends on what it sees, so that it cannot be followed.
    """

    ranges: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        # In a tuple, which registers it not a second time: checkpoints have it already.
        self._followed = (network, _follow(network))
        self.register_buffer("ranges", torch.zeros(len(self._followed[1].sites), 2))

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, H, W) to what the network gives, rounded on the way."""
        network, plan = self._followed
        site, ranges = plan.sites, self.ranges

        def rounded(name: str, value: Tensor) -> Tensor:
            return rounded_activations(value, *ranges[site[name]])

        out: Tensor = _Running(network, plan, rounded, rounded_weights).run(images)
        return out

    @torch.no_grad()
    def observe(self, batches: Sequence[Tensor]) -> None:
        """Set the ranges to what the float network makes of some images, as an export does.

        Parameters
        ----------
        batches : (N, 3, H, W) each, normalised; the network is in evaluation mode
        """
        network, plan = self._followed
        low = torch.full_like(self.ranges[:, 0], torch.inf)
        high = torch.full_like(low, -torch.inf)

        def watched(name: str, value: Tensor) -> Tensor:
            index = plan.sites[name]
            low[index] = torch.minimum(low[index], value.amin())
            high[index] = torch.maximum(high[index], value.amax())
            return value

        for images in batches:
            _Running(network, plan, watched, lambda weights: weights).run(images)
        self.ranges.copy_(torch.stack([low, high], dim=1))

    @property
    def rounded_layers(self) -> tuple[str, ...]:
        """Names of the layers whose weights are rounded."""
        _, plan = self._followed
        return tuple(str(node.target) for node in plan.graph.nodes if node.name in plan.weights)


class ObservedRanges(pl.Callback):
    """Observes the ranges anew every few steps, and before every validation.

    An export takes the extremes that the weights of its day give, whatever was learnt with. Ranges that were
    parameters would be thrown away; these follow the weights, so that rounding stays what the file's is. What
    is validated are averaged weights, which have ranges of their own: averaged ranges would be those of no
    network. Comes after the averaging, which puts those weights in place.

    Parameters
    ----------
    images : (N, 3, H, W) uint8, training images
    normalisation : of the images
    """

    def __init__(self, images: Tensor, normalisation: Normalisation) -> None:
        self._images = images
        self._normalisation = normalisation

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Observe where it is time to, without dropout."""
        if batch_idx % _STEPS == 0:
            pl_module.eval()
            self._observe(pl_module)
            pl_module.train()

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Observe the weights that are validated."""
        self._observe(pl_module)

    def _observe(self, pl_module: pl.LightningModule) -> None:
        rounded = pl_module.rounded
        assert isinstance(rounded, RoundedNetwork)
        batches = (batch.to(pl_module.device) for batch in self._images.split(_BATCH))
        rounded.observe([normalised(batch, self._normalisation) for batch in batches])


@dataclass(frozen=True)
class _Plan:
    """What is rounded where.

    Attributes
    ----------
    graph : the operations
    norms : batch normalisation that is folded into a convolution, target by the convolution's name
    passed : names of the operations that the folding makes superfluous
    weights : names of the layers whose weights are rounded
    sites : rows of the ranges, by the names of the operations whose result is rounded
    """

    graph: fx.Graph
    norms: dict[str, str]
    passed: frozenset[str]
    weights: frozenset[str]
    sites: dict[str, int]


class _Running(fx.Interpreter):
    """One pass through a network, with every result that a file has as int8 handed to a function."""

    def __init__(
        self,
        network: nn.Module,
        plan: _Plan,
        result: Callable[[str, Tensor], Tensor],
        weights: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__(network, graph=plan.graph)
        self._plan, self._result, self._weights = plan, result, weights

    def run_node(self, n: fx.Node) -> Any:
        value = self._value(n)
        # Sizes and other whole numbers have places in the graph too.
        if n.name in self._plan.sites and isinstance(value, Tensor) and value.is_floating_point():
            return self._result(n.name, value)
        return value

    def _value(self, n: fx.Node) -> Any:
        if n.op != "call_module":
            return super().run_node(n)
        taken = self.env[n.all_input_nodes[0]]
        if n.name in self._plan.passed:
            return taken
        layer = self.submodules[str(n.target)]
        if isinstance(layer, nn.BatchNorm2d):
            # Alone: no convolution took it in. Its statistics are kept, in whatever mode it is.
            mean, variance = layer.running_mean, layer.running_var
            return functional.batch_norm(taken, mean, variance, layer.weight, layer.bias, eps=layer.eps)
        if isinstance(layer, nn.Conv2d | nn.Linear):
            return self._weighted(n.name, layer, taken)
        return super().run_node(n)

    def _weighted(self, name: str, layer: nn.Conv2d | nn.Linear, taken: Tensor) -> Tensor:
        weights, bias = layer.weight, layer.bias
        if name in self._plan.norms:
            norm = self.submodules[self._plan.norms[name]]
            assert isinstance(layer, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            weights, bias = folded(layer, norm)
        if name in self._plan.weights:
            weights = self._weights(weights)
        given = {"weight": weights}
        if layer.bias is not None and bias is not None:
            given["bias"] = bias
        value: Tensor = functional_call(layer, given, taken)
        # Of a norm that was folded into a layer that had none.
        return value + bias.view(-1, 1, 1) if layer.bias is None and bias is not None else value


class _Follower(fx.Tracer):
    """Follows a network down to its layers, also to those that timm derives from torch's."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return (
            _is_norm_of_responses(m)
            or isinstance(m, nn.Conv2d | nn.Linear | nn.LayerNorm)
            or (super().is_leaf_module(m, module_qualified_name))
        )

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if type(m) is nn.Identity:
            return args[0]
        activation = getattr(m, "act", None)
        if isinstance(m, nn.BatchNorm2d) and isinstance(activation, nn.Module):
            # timm's norm has its activation within.
            norm = self.create_proxy("call_module", self.path_of_module(m), args, kwargs)
            return self.call_module(activation, activation.forward, (norm,), {})
        return super().call_module(m, forward, args, kwargs)


def _is_norm_of_responses(layer: nn.Module) -> bool:
    # By its name, since timm takes seconds to import: of ConvNeXt V2.
    return type(layer).__name__ == "GlobalResponseNorm"


def _follow(network: nn.Module) -> _Plan:
    try:
        graph = _Follower().trace(network)
    except (fx.proxy.TraceError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"quantization_aware: what {type(network).__name__} does cannot be followed ({reason}); choose "
            "another network, or export with --quantization dynamic-int8 or float32"
        ) from error
    layers = {n: network.get_submodule(str(n.target)) for n in graph.nodes if n.op == "call_module"}
    weighted = [n for n, layer in layers.items() if isinstance(layer, nn.Conv2d | nn.Linear)]
    folds = {
        norm.args[0]: norm
        for norm, layer in layers.items()
        if isinstance(layer, nn.BatchNorm2d) and norm.args[0] in weighted and len(norm.args[0].users) == 1
    }
    passed = set(folds.values())
    rounded = _rounded_weights(weighted, layers)

    def kind(node: fx.Node) -> Any:
        return type(layers[node]) if node in layers else node.target

    def computes_in_float(node: fx.Node) -> bool:
        layer = layers.get(node)
        if layer is not None and (isinstance(layer, nn.LayerNorm) or _is_norm_of_responses(layer)):
            return True
        return node.op in {"placeholder", "get_attr", "output"} or kind(node) in _FLOAT

    int8: set[fx.Node] = set()
    for node in graph.nodes:
        if node in weighted:
            is_int8 = node in rounded and not _measures(layers[node])
        else:
            takes = [each for each in node.all_input_nodes if each.op != "get_attr"]
            is_int8 = bool(takes) and not computes_in_float(node) and int8.issuperset(takes)
        if is_int8:
            int8.add(node)

    def joined(node: fx.Node) -> bool:
        """Whether the next operation is done in one with this."""
        users = list(node.users)
        return len(users) == 1 and (users[0] in passed or kind(users[0]) in _FUSED)

    sites = [
        n
        for n in graph.nodes
        if not joined(n) and (kind(n) not in _MOVING if n in int8 else not int8.isdisjoint(n.users))
    ]
    return _Plan(
        graph,
        {convolution.name: str(norm.target) for convolution, norm in folds.items()},
        frozenset(n.name for n in passed),
        frozenset(n.name for n in rounded),
        {n.name: index for index, n in enumerate(sites)},
    )


def _rounded_weights(weighted: list[fx.Node], layers: dict[fx.Node, nn.Module]) -> set[fx.Node]:
    """All after the first convolution, a depthwise one being another operation, and before the last layer."""
    first = next((i for i, n in enumerate(weighted) if getattr(layers[n], "groups", 0) == 1), -1)
    return set(weighted[first + 1 : -1])


def _measures(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d) and layer.groups > 1 and layer.kernel_size[0] >= _MEASURED_PX
