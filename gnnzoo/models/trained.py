"""Parts of a run that has finished, for a run that starts from them."""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from gnnzoo.models.inputs import inputs


def load_part(module: nn.Module, path: str, part: str, new: Sequence[str] = ()) -> None:
    """Give a module the weights that it had in a finished run.

    Args:
        module: The same kind of module with the same settings.
        path: ``weights.safetensors`` of the run.
        part: What the module is there: "encoder" or "head.predictor".
        new: First words of names that the file need not have.

    Raises:
        ValueError: If the file is missing, or holds other weights than the module has.
    """
    if not Path(path).is_file():
        raise ValueError(
            f"there are no weights at {path!r}; path must name weights.safetensors in the folder "
            "of a finished run to start from"
        )
    saved = load_file(path)
    prefix = f"{part}."
    state = {key.removeprefix(prefix): saved[key] for key in saved if key.startswith(prefix)}
    own = module.state_dict()
    differs = [key for key in state if key not in own or own[key].shape != state[key].shape]
    differs += [key for key in own.keys() - state.keys() if key.split(".")[0] not in new]
    if differs:
        raise ValueError(
            f"{path} has other weights of {part} than {type(module).__name__} needs, among them "
            f"{min(differs)}; both runs must have the same settings of it"
        )
    module.load_state_dict(own | state)


class TrainedOutput(BaseTransform):
    """Embeddings that a trained encoder gives, in place of the features.

    They are made once, of the graph as it is in training, and stay when links are taken away: a
    head that predicts links needs ``target_link_removal=false``.

    Args:
        encoder: The encoder, built with all its settings.
        path: ``weights.safetensors`` of the run that trained it.

    Raises:
        ValueError: As `load_part`.
    """

    reads_edges = False
    keeps_edges_in_features = True

    def __init__(self, encoder: nn.Module, path: str) -> None:
        load_part(encoder, path, "encoder")
        self.encoder = encoder.eval()

    @torch.no_grad()
    def forward(self, data: Data) -> Data:
        x = self.encoder(**inputs(self.encoder, data))
        data = data.clone()
        data.x = x
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.encoder})"
