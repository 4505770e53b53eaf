"""Random entries of sparse rows: the step that neighbour sampling repeats for each hop."""

import torch
from torch import Tensor

from gnnzoo.ops.csr import row_entries


def sample_rows(rowptr: Tensor, rows: Tensor, num_neighbors: int) -> tuple[Tensor, Tensor]:
    """Draw at most `num_neighbors` entries of each row, every set of them equally likely.

    Draws from torch's global generator of the device, and nothing where no row has more entries
    than asked for. Time and memory go with what is returned, not with the length of the rows.

    Args:
        rowptr: Where each row of a CSR pattern starts.
        rows: Rows to draw from.
        num_neighbors: Most entries per row, -1 for all.

    Shapes:
        rowptr: ``[num_rows + 1]``, integer.
        rows: ``[num_chosen]``, int64.
        returns: entries ``[num_drawn]``, int64, different within a row; and for each of them the
            position of its row in `rows`, ``[num_drawn]``, int64.
    """
    counts = rowptr[rows + 1] - rowptr[rows]
    long = counts > (num_neighbors if num_neighbors >= 0 else rowptr[-1])
    short = (~long).nonzero().squeeze(1)
    entries, owner = row_entries(rowptr, rows[short])
    owner = short[owner]
    long = long.nonzero().squeeze(1)
    if long.numel() == 0:
        return entries, owner
    drawn = rowptr[rows[long]].long().unsqueeze(1) + distinct(counts[long].long(), num_neighbors)
    drawn_owner = long.repeat_interleave(num_neighbors)
    return torch.cat([entries, drawn.flatten()]), torch.cat([owner, drawn_owner])


def distinct(high: Tensor, num_draws: int) -> Tensor:
    r"""Different whole numbers below `high`, drawn without a list of all of them.

    Floyd's way: for :math:`t = n - k, \dots, n - 1` draw a number up to t; if it was drawn before,
    t itself is taken, which no earlier draw can have been.

    Shapes:
        high: ``[num_rows]``, int64, each at least `num_draws`.
        returns: ``[num_rows, num_draws]``, int64; each set is equally likely, its order is not.
    """
    steps = torch.arange(num_draws, device=high.device)
    top = high.unsqueeze(1) - num_draws + steps  # [num_rows, num_draws]
    share = torch.rand(top.shape, dtype=torch.float64, device=high.device)
    drawn = (share * (top + 1)).long()
    for step in range(1, num_draws):
        taken = (drawn[:, :step] == drawn[:, step : step + 1]).any(dim=1)
        drawn[:, step] = torch.where(taken, top[:, step], drawn[:, step])
    return drawn
