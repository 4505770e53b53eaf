"""Fixtures shared by all tests."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before any kernel is defined


@pytest.fixture(autouse=True)
def _one_thread():
    """Small graphs gain nothing from threads, and equal thread counts make sums repeat exactly."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in, with runs and data below it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GNNZOO_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("GNNZOO_TRUSTED_TARGETS", raising=False)
    return tmp_path


def write_toy_graph(path: Path, num_nodes: int = 60, seed: int = 0) -> Path:
    """Two communities whose features and edges both tell the class; masks in thirds."""
    random = np.random.default_rng(seed)
    y = np.arange(num_nodes) % 2
    x = random.normal(size=(num_nodes, 5)).astype(np.float32) + y[:, None]
    source = random.integers(num_nodes, size=6 * num_nodes)
    target = random.integers(num_nodes, size=6 * num_nodes)
    keep = (y[source] == y[target]) | (random.random(len(source)) < 0.2)
    edges = np.stack([source[keep], target[keep]])
    part = random.permutation(num_nodes) % 3
    np.savez(
        path,
        x=x,
        y=y,
        edge_index=np.concatenate([edges, edges[::-1]], axis=1),
        train_mask=part == 0,
        val_mask=part == 1,
        test_mask=part == 2,
    )
    return path


@pytest.fixture
def toy_graph(tmp_path: Path) -> Path:
    """Path of a small graph file."""
    return write_toy_graph(tmp_path / "toy.npz")
