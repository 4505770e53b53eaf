"""Looking into a pickle before it is opened: which functions and classes would it call?

A pickle names everything that is not plain data in its opcodes. So a file whose names are all
known to be harmless can be opened, even where no checksum tells who has made it.
"""

import pickletools
from pathlib import Path

# NumPy arrays, SciPy CSR matrices and dictionaries of lists, as Python 2 and 3 write them.
HARMLESS = frozenset(
    {
        "numpy.core.multiarray _reconstruct",
        "numpy._core.multiarray _reconstruct",
        "numpy ndarray",
        "numpy dtype",
        "scipy.sparse.csr csr_matrix",
        "scipy.sparse._csr csr_matrix",
        "collections defaultdict",
        "__builtin__ list",
        "builtins list",
    }
)
# Opcodes that fetch something by a name which is not written beside them.
HIDDEN_NAMES = frozenset({"STACK_GLOBAL", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID"})


class UnsafePickleError(ValueError):
    """A pickle calls for something that a data file does not need; it was not opened."""


def require_harmless(path: Path) -> None:
    """Check a pickle without opening it.

    Raises:
        UnsafePickleError: If it names anything but arrays, CSR matrices and dictionaries of lists,
            or is no pickle at all.
    """
    try:
        with path.open("rb") as stream:
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name in HIDDEN_NAMES:
                    raise UnsafePickleError(f"{path} uses {opcode.name}, and was not opened")
                if opcode.name in ("GLOBAL", "INST") and argument not in HARMLESS:
                    name = str(argument).replace(" ", ".")
                    raise UnsafePickleError(
                        f"{path} is a pickle that would call {name}, and was not opened; "
                        "put the published file in its place"
                    )
    except UnsafePickleError:
        raise
    except ValueError as error:
        raise UnsafePickleError(f"{path} is not a pickle ({error})") from None
