"""`make bench`: what a laptop can measure in minutes, written to the tables of docs/speed.md."""

import subprocess
import sys
import time

from benchmarks.tables import machine, parser, show

MODULES = ("network", "onnx", "line", "start", "growth", "skinning", "blender_build")


def main() -> None:
    """Run every benchmark in a process of its own."""
    options = parser(__doc__)
    options.set_defaults(write=True)
    options = options.parse_args()
    begun = time.perf_counter()
    took = {}
    show("machine", machine(options.threads), options.write)
    for module in MODULES:
        command = [sys.executable, "-m", f"benchmarks.{module}", "--threads", str(options.threads)]
        start = time.perf_counter()
        subprocess.run([*command, "--write"] if options.write else command, check=True)
        took[module] = time.perf_counter() - start
    told = ", ".join(f"{module} {seconds:.0f}" for module, seconds in took.items())
    print(f"\n{time.perf_counter() - begun:.0f} seconds: {told}")


if __name__ == "__main__":
    main()
