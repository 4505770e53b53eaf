"""WikiCS: articles on computer science, their links, and twenty training splits."""

import warnings

from torch import Tensor

from gnnzoo.data.card import load_card
from gnnzoo.data.dataset import GraphDataset, Masks, published
from gnnzoo.data.mirrors import combined_sha256, ensure_raw
from gnnzoo.data.pyg import parse_raw


def wikics(check_sizes: bool = True) -> GraphDataset:
    """Load WikiCS, undirected, with its twenty splits, which share one test set.

    The authors publish two sets beside the training nodes of each split: ``val_mask`` to choose
    settings and ``stopping_mask`` to stop training. The masks ``wikics`` validate on the first and
    leave the second unused; ``luo2024`` validates on both together, as Luo et al. 2024 do.

    Args:
        check_sizes: Hold the sizes against the card; off for a stand-in with the same layout.

    Raises:
        MissingDataError: If the raw file is nowhere to be had.
        ValueError: If the sizes differ from the card.
    """
    card = load_card("wikics")
    folder = ensure_raw(card)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of slow conversions
        raw = parse_raw("WikiCS", folder, is_undirected=True)

    def masks(val: Tensor) -> Masks:
        return raw.train_mask, val, raw.test_mask.view(-1, 1).expand_as(val)

    return published(
        card,
        raw,
        sha256=combined_sha256(card.files["graph"], folder),
        masks={
            "wikics": lambda: masks(raw.val_mask),
            "luo2024": lambda: masks(raw.val_mask | raw.stopping_mask),
        },
        keep_arcs=False,
        check_sizes=check_sizes,
    )
