"""What this installation has, what it lacks, and how to get it."""

import importlib.util
import platform

import torch

from gnnzoo.ops import backends
from gnnzoo.paths import conf_root, data_root, mirrors, runs_root
from gnnzoo.results import versions

_EXTRAS = {
    "torch_scatter": (
        "segment reductions in one kernel",
        "pip install torch-scatter --no-build-isolation (after torch)",
    ),
    "triton": ("fused kernels of sheaves and scans on CUDA", "comes with torch's CUDA builds"),
    "mamba_ssm": ("Mamba's own scan on CUDA, method='mamba_ssm'", "pip install mamba-ssm"),
    "pyg_lib": (
        "PyG's neighbour sampler instead of ours",
        "see https://github.com/pyg-team/pyg-lib",
    ),
    "optuna": ("hyper-parameter search", 'pip install "gnnzoo[tune]"'),
    "tensorboard": ("mirroring runs, track=tensorboard", 'pip install "gnnzoo[track]"'),
    "wandb": ("mirroring runs, track=wandb", 'pip install "gnnzoo[track]"'),
}


def report() -> str:
    """The answer of ``gnnzoo doctor`` as plain text."""
    sections = {
        "versions": versions(),
        "devices": _devices(),
        "back-ends": backends.report(),
        "optional packages": _optional(),
        "folders": _folders(),
    }
    lines: list[str] = []
    for title, entries in sections.items():
        width = max(map(len, entries))
        lines += [title, *(f"  {name:<{width}}  {value}" for name, value in entries.items()), ""]
    return "\n".join(lines).rstrip()


def _devices() -> dict[str, str]:
    found = {"cpu": f"{platform.machine()}, {torch.get_num_threads()} torch threads"}
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found[f"cuda:{index}"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    if len(found) == 1:
        found["cuda"] = "none that torch can see"
    return found


def _optional() -> dict[str, str]:
    return {
        name: "installed" if importlib.util.find_spec(name) else f"missing ({use}): {how}"
        for name, (use, how) in _EXTRAS.items()
    }


def _folders() -> dict[str, str]:
    folders = {
        "configuration": str(conf_root()),
        "runs (GNNZOO_RUNS)": str(runs_root()),
        "data (GNNZOO_DATA)": str(data_root()),
    }
    for index, mirror in enumerate(mirrors()):
        state = "" if mirror.is_dir() else " (missing)"
        folders[f"mirror {index + 1} (GNNZOO_MIRROR)"] = f"{mirror}{state}"
    if not mirrors():
        folders["mirrors (GNNZOO_MIRROR)"] = "none; raw files are then downloaded"
    return folders
