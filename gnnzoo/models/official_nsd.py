"""Weights that the authors' code of neural sheaf diffusion has saved, for `NSD`."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from gnnzoo.models.nsd import NSD

WHOLE = {
    "lin1": "embedding.linear",
    "lin12": "second",
    "lin2": "classifier",
}


def load_official_nsd(model: NSD, weights: str | Path | Mapping[str, Tensor]) -> NSD:
    """Put the authors' weights into a model; nothing changes unless all of them fit.

    The model has to be built with the settings that the weights were trained with; their names in
    the authors' code are on the left:

    ===================  ===========================================================
    ``d``                ``stalk_dim``
    ``hidden_channels``  ``hidden_channels``
    ``layers``           ``num_layers``
    ``model``            ``maps``: DiagSheaf is ``diag``, BundleSheaf ``bundle``, GeneralSheaf
                         ``general``
    ``orth``             ``orth``, with ``matrix_exp`` as ``exp``
    ``sheaf_act``        ``map_act``
    ``linear``           ``share_maps``
    ``sparse_learner``   ``learner="stalk_sum_official"``
    ===================  ===========================================================

    and ``add_lp``, ``add_hp``, ``edge_weights``, ``second_linear``, ``left_weights`` and
    ``right_weights`` are called alike, without the plural. Logits are then those of the authors'
    code before its log-softmax. Their ``cayley`` and ``matrix_exp`` maps have parameters on the
    diagonal, which cancel and are left out.

    Args:
        model: Discrete model with learned maps.
        weights: State dict; or file with one, of safetensors or ``torch.save``, of which nothing
            but tensors is read.

    Raises:
        ValueError: If `model` learns no maps of edges, or some weight is missing, left over or of
            another shape; it is named.
    """
    if any(layer.conv.maps not in ("diag", "bundle", "general") for layer in model.layers):
        raise ValueError("the authors' weights are of maps 'diag', 'bundle' or 'general'")
    if model.connection is not None:
        raise ValueError("the authors' weights hold learned maps; this model computes its maps")
    given = dict(weights if isinstance(weights, Mapping) else _read(Path(weights)))
    own = model.state_dict()
    taken = {name: _take(given, *_source(name, model), own[name].shape, name) for name in own}
    if given:
        raise ValueError(
            f"the weights hold {next(iter(given))!r}, which this model lacks; build it with the "
            "settings that they were trained with"
        )
    model.load_state_dict(taken)
    return model


def _read(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{path} holds no state dict, which maps names to tensors")
    return state


def _source(name: str, model: NSD) -> tuple[str, str]:
    """Name in the authors' code, and how the weight lies there."""
    for theirs, ours in WHOLE.items():
        if name.startswith(f"{ours}."):
            return name.replace(ours, theirs), "same"
    _, layer, _, part, *_ = name.split(".")
    if part in ("left", "right"):
        return f"lin_{part}_weights.{layer}.weight", "same"
    if part == "epsilon":
        return f"epsilons.{layer}", "column"
    if part == "weight_learner":
        return f"weight_learners.{layer}.linear1.weight", "pair"
    learner = model.layers[int(layer)].conv.learner
    skew = learner.maps == "bundle" and learner.orth in ("cayley", "exp")
    return f"sheaf_learners.{layer}.linear1.weight", "skew" if skew else "pair"


def _take(given: dict[str, Tensor], theirs: str, form: str, shape: torch.Size, ours: str) -> Tensor:
    """One weight in our shape, removed from those that are left."""
    if theirs not in given:
        raise ValueError(f"the weights lack {theirs!r}, which is {ours!r} of this model")
    value = given.pop(theirs)
    want = list(shape)
    if form == "column":
        want = [*shape, 1]
    elif form in ("pair", "skew"):
        want = [shape[1], 2 * shape[2]]
    if form == "skew":
        dim = _dim_of(shape[1])
        want[0] += dim
        strict = [i * (i + 1) // 2 + j for i in range(dim) for j in range(i)]
    if list(value.shape) != want:
        raise ValueError(
            f"{theirs!r} must have shape {want} for this model, got {list(value.shape)}"
        )
    if form == "skew":
        value = value[strict]
    if form in ("pair", "skew"):  # the receiver's columns come first, then the sender's
        value = value.reshape(value.size(0), 2, -1).transpose(0, 1)
    return value.reshape(shape)


def _dim_of(num_strict: int) -> int:
    """Size of a matrix with so many entries below its diagonal."""
    return next(dim for dim in range(2, num_strict + 2) if dim * (dim - 1) // 2 == num_strict)
