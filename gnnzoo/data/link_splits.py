"""Drawing links to validate and to test on."""

import math

import torch
from torch import Tensor

from gnnzoo.data.dataset import GraphDataset
from gnnzoo.data.links import link_keys


def generator_seed(split: str | int, seed: int) -> int:
    """The seed that draws a random split.

    Raises:
        ValueError: If ``split`` is none of what is known.
    """
    if split == "fixed":
        return 0
    if split == "by_seed":
        return seed
    if isinstance(split, int) and not isinstance(split, bool) and split >= 0:
        return split
    raise ValueError(f"split must be fixed, by_seed or a number from 0, got {split!r}")


def check_shares(val: float, test: float) -> None:
    """Refuse shares of links that are no shares."""
    if not (val > 0 and test > 0 and val + test < 1):
        raise ValueError(f"val and test must be positive shares below 1, got {val} and {test}")


def undirected_links(dataset: GraphDataset) -> Tensor:
    """Every link once, the smaller id first, in ascending order; self-loops are no links.

    Shapes:
        returns: ``[2, num_links]``, int64.
    """
    num_nodes = dataset.data.num_nodes
    keys = link_keys(dataset.data.edge_index, num_nodes).unique()
    links = torch.stack([keys.div(num_nodes, rounding_mode="floor"), keys % num_nodes])
    return links[:, links[0] != links[1]]


def draw_parts(
    links: Tensor, val: float, test: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, int]:
    """Training, validation and test links, and the size of the pool that validation is taken from.

    Raises:
        ValueError: If the shares are out of range or leave a part without links.
    """
    check_shares(val, test)
    if val > test:
        raise ValueError(f"val must be at most test, which is {test}, got {val}")
    num_links = links.size(1)
    num_test = num_pool = math.floor(test * num_links)
    num_val = int(num_pool * (val / test))
    if num_val < 1 or 2 * num_pool > num_links or num_links - num_val - num_test < 1:
        raise ValueError(
            f"val={val} and test={test} of {num_links} links leave {num_val} to validate on, "
            f"{num_test} to test on and {num_links - num_val - num_test} to train on; each part "
            "needs one, and test at most half of the links"
        )
    drawn = links[:, torch.randperm(num_links, generator=generator)]
    pool, tested, rest = drawn.split([num_pool, num_test, num_links - num_pool - num_test], dim=1)
    validated, back = pool.split([num_val, num_pool - num_val], dim=1)
    return torch.cat([rest, back], dim=1), validated, tested, num_pool
