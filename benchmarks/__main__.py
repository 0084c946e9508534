"""`make bench`: everything a laptop can measure in a few minutes; each table has its baseline in the same run."""

import subprocess
import sys

for module in ("benchmarks.network", "benchmarks.skinning", "benchmarks.blender_build"):
    print(f"\n{module}", flush=True)
    subprocess.run([sys.executable, "-m", module], check=True)
