"""The methods, each a choice of four parts: streams, local loss, what is merged in, schedule."""

from dataclasses import dataclass

from gnnzoo.train.forward.objectives import Goodness, Objective, Probe, PrototypeCE

NODE_METHODS = ("sf", "sf_t2i", "sf_t2l", "ff_la", "ff_vn", "train_mean", "probe")
LINK_METHODS = ("lp_ce", "lp_ff")
METHODS = NODE_METHODS + LINK_METHODS


@dataclass(frozen=True)
class Method:
    """What a method is made of.

    Args:
        streams: How labels enter the input: ``plain`` (not at all), ``virtual`` (nodes that stand
            for classes) or ``columns`` (appended to the features).
        objective: The loss of one layer; None for pairs of nodes, where the head knows it.
        merge: What a layer gets of those above it: None, ``concat_above`` (in its input) or
            ``mean_above`` (in its loss).
        order: None trains layer after layer; else all layers take turns, ``simultaneous``,
            ``alternating`` or ``bottom_up``.
        clip_norm: Largest norm of a layer's gradient, if the method has one.
    """

    streams: str
    objective: Objective | None
    merge: str | None = None
    order: str | None = None
    clip_norm: float | None = None

    @property
    def joint(self) -> bool:
        return self.order is not None


def make_method(
    name: str, num_classes: int, temperature: float, threshold: float, num_negatives: int | None
) -> Method:
    """A method by its name.

    Raises:
        ValueError: If there is no such method, or a setting is out of range.
    """
    if name not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {name!r}")
    prototypes = PrototypeCE(temperature)
    if name == "sf":
        return Method("virtual", prototypes)
    if name == "sf_t2i":
        return Method("virtual", prototypes, "concat_above", "alternating")
    if name == "sf_t2l":
        return Method("virtual", prototypes, "mean_above", "simultaneous", clip_norm=1.0)
    if name == "train_mean":
        return Method("plain", PrototypeCE(temperature, virtual=False))
    if name == "probe":
        return Method("plain", Probe())
    if name in LINK_METHODS:
        return Method("plain", None)
    wrong = num_classes - 1
    count = wrong if num_negatives is None else min(num_negatives, wrong)
    if count < 1:
        raise ValueError(f"num_negatives must be at least 1, got {num_negatives}")
    return Method("virtual" if name == "ff_vn" else "columns", Goodness(threshold, count))
