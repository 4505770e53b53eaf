"""The published forward pass of neural sheaf diffusion, from a state dict of its names, densely."""

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.reference import sheaf
from tests.reference.orthogonal import orthogonal_map


def made_up_weights(
    in_channels: int,
    width: int,
    num_classes: int,
    num_layers: int,
    stalk_dim: int,
    maps: str,
    *,
    orth: str = "householder",
    fixed: tuple[str, ...] = (),
    sparse_learner: bool = False,
    edge_weights: bool = True,
    second_linear: bool = False,
    linear: bool = False,
) -> dict[str, Tensor]:
    """Random weights under the names and in the shapes of the published code."""
    stalks = stalk_dim + len(fixed)
    total = stalks * width
    numbers = {"diag": stalk_dim, "general": stalk_dim**2}.get(maps)
    if numbers is None:
        diagonal = stalk_dim if orth in ("cayley", "exp") else 0
        numbers = stalk_dim * (stalk_dim - 1) // 2 + diagonal
    shapes = {"lin1": (total, in_channels), "lin2": (num_classes, total)}
    shapes |= {"lin12": (total, total)} if second_linear else {}
    state = {}
    for name, shape in shapes.items():
        state |= {f"{name}.weight": torch.randn(shape), f"{name}.bias": torch.randn(shape[0])}
    for layer in range(num_layers):
        state[f"lin_left_weights.{layer}.weight"] = torch.randn(stalks, stalks)
        state[f"lin_right_weights.{layer}.weight"] = torch.randn(width, width)
        state[f"epsilons.{layer}"] = torch.randn(stalks, 1)
        if layer and linear:
            continue
        seen = 2 * (width if sparse_learner else total)
        state[f"sheaf_learners.{layer}.linear1.weight"] = torch.randn(numbers, seen)
        if maps == "bundle" and edge_weights:
            state[f"weight_learners.{layer}.linear1.weight"] = torch.randn(1, 2 * total)
    return {name: 0.4 * value.double() for name, value in state.items()}


def forward(
    state: dict[str, Tensor],
    x: Tensor,
    edge_index: Tensor,
    stalk_dim: int,
    maps: str,
    orth: str = "householder",
    fixed: tuple[str, ...] = (),
) -> Tensor:
    """Logits; `edge_index` holds every edge once in each direction and no self-loops."""
    h = F.elu(F.linear(x, state["lin1.weight"], state["lin1.bias"]))
    if "lin12.weight" in state:
        h = F.linear(h, state["lin12.weight"], state["lin12.bias"])
    num_layers = sum(name.startswith("epsilons.") for name in state)
    delta = None
    for layer in range(num_layers):
        if f"sheaf_learners.{layer}.linear1.weight" in state:
            delta = _laplacian(state, layer, h, edge_index, stalk_dim, maps, orth, fixed)
        state_h = h.view(x.size(0), stalk_dim + len(fixed), -1)
        mixed = state[f"lin_left_weights.{layer}.weight"] @ state_h
        mixed = mixed @ state[f"lin_right_weights.{layer}.weight"].T
        moved = F.elu(delta @ mixed.flatten(0, 1)).view_as(mixed)
        h = ((1 + state[f"epsilons.{layer}"].tanh()) * state_h - moved).flatten(1)
    return F.linear(h, state["lin2.weight"], state["lin2.bias"])


def _laplacian(state, layer, h, edge_index, stalk_dim, maps, orth, fixed) -> Tensor:
    learner = state[f"sheaf_learners.{layer}.linear1.weight"]
    stalks = stalk_dim + len(fixed)
    made, shares = [], []
    for source, target in edge_index.t().tolist():
        ends = torch.cat([h[target], h[source]])
        # The sparse learner cuts both ends into as many rows as there are stalk dimensions.
        sparse = learner.size(1) < ends.numel()
        score = torch.tanh(learner @ (ends.view(stalks, -1).sum(0) if sparse else ends))
        made.append(_map(score, stalk_dim, maps, orth))
        if (weight := state.get(f"weight_learners.{layer}.linear1.weight")) is not None:
            shares.append(torch.sigmoid(weight @ ends)[0])
    made, weight = torch.stack(made), None
    if shares:
        shares = torch.stack(shares)
        weight = (shares * shares[sheaf.reverse(edge_index)]) ** 2
    dense, degree = sheaf.laplacian(edge_index, made, h.size(0), weight, fixed)
    return sheaf.normalized(dense, degree, "sym")


def _map(score: Tensor, dim: int, maps: str, orth: str) -> Tensor:
    if maps == "diag":
        return torch.diag(score)
    if maps == "general":
        return score.view(dim, dim)
    if orth in ("cayley", "exp"):  # the published parameters include the diagonal
        lower = torch.zeros(dim, dim, dtype=score.dtype)
        rows, cols = torch.tril_indices(dim, dim)
        lower = lower.index_put((rows, cols), score)
        score = lower[tuple(torch.tril_indices(dim, dim, -1))]
    return orthogonal_map(score, dim, orth)
