import subprocess
import sys


def test_layers_need_neither_configuration_nor_tables():
    """Only what we add counts: PyG may import SciPy by itself."""
    code = (
        "import sys, torch, torch_geometric.nn\n"
        "before = set(sys.modules)\n"
        "import gnnzoo.nn, gnnzoo.models\n"
        "new = {m.split('.')[0] for m in set(sys.modules) - before}\n"
        "print(sorted(new & {'hydra', 'omegaconf', 'pandas', 'rich', 'ogb', 'scipy', 'sklearn'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
