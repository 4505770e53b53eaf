"""The package stays cheap to import and independent of the rest."""

import subprocess
import sys


def test_importing_results_loads_nothing_heavy():
    code = (
        "import sys, gnnzoo.results;"
        "heavy = {'torch', 'numpy', 'pandas', 'matplotlib', 'scipy', 'rich', 'hydra', 'yaml'};"
        "own = {'gnnzoo.' + part for part in ('ops', 'nn', 'models', 'heads', 'data', 'train')};"
        "print(sorted((heavy | own) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
