"""Search hyper-parameters on validation scores alone and write the winner down as a recipe."""

from gnnzoo.tune.recipe import recipe
from gnnzoo.tune.search import Search
from gnnzoo.tune.space import draw, load_space
from gnnzoo.tune.study import tune

__all__ = ["Search", "draw", "load_space", "recipe", "tune"]
