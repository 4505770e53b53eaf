"""Worker processes that end with the process that started them, however that ends."""

import os
import threading
import time
from typing import Any

from joblib.parallel import LokyBackend, register_parallel_backend

POLL_SECONDS = 1.0


class _MortalBackend(LokyBackend):
    def configure(self, *arguments: Any, **settings: Any) -> int:
        watch = {"initializer": _end_with, "initargs": (os.getpid(),)}
        return super().configure(*arguments, **settings, **watch)


def end_with_this_process() -> None:
    """Let joblib's workers end soon after this process, even if it is killed.

    Workers of loky would otherwise go on and hold its standard output open. The backend is
    replaced under its own name, as Hydra's launcher asks for it by that.
    """
    register_parallel_backend("loky", _MortalBackend)


def _end_with(parent: int) -> None:
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(1)  # at once, as the parent; runs go on from their checkpoints

    threading.Thread(target=watch, daemon=True).start()
