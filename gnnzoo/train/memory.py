"""Peak memory of a stretch of work, in MiB."""

import resource
import sys
from pathlib import Path

import torch


class PeakMemory:
    """Peak memory since :meth:`start`: of the CUDA device, or resident memory of the process.

    On Linux the kernel's high-water mark is reset at the start. Elsewhere the mark of the whole
    process life is returned, an upper bound.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def start(self) -> None:
        """Begin a new measurement."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        elif sys.platform == "linux":
            try:
                Path("/proc/self/clear_refs").write_text("5")
            except OSError:  # some containers forbid it; the mark then spans the process's life
                return

    def mib(self) -> float:
        """Peak since :meth:`start` in MiB."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        if sys.platform == "linux":
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2**20 if sys.platform == "darwin" else peak / 1024
