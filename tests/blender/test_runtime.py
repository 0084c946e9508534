"""The runtime is built by a real installer in a real environment, from a folder of small packages made here."""

import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("bpy")

from aios_blender.runtime import bundled_package, remove_runtime, state_of
from aios_blender.runtime import install as install_script
from aios_blender.runtime.install import environment_python, found_build, told
from aios_core.client import Job

ROOT = Path(__file__).parents[2]
TORCH = """
__version__ = "9.9"
class cuda:
    is_available = staticmethod(lambda: False)
class backends:
    class mps:
        is_available = staticmethod(lambda: False)
"""
CHECKPOINT = "def build_model(name):\n    assert name == 'open'\n"


def wheel(folder: Path, name: str, files: dict[str, str], requires: str = "") -> Path:
    """A pure wheel with these files."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    about = f"{name}-1.0.dist-info"
    files = files | {
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in files.items():
            archive.writestr(inside, text)
        archive.writestr(f"{about}/RECORD", "".join(f"{inside},,\n" for inside in files) + f"{about}/RECORD,,\n")
    return path


@pytest.fixture
def packages(tmp_path):
    """A folder of wheels, and the constraints that pin them."""
    folder = tmp_path / "wheels of mine"
    folder.mkdir()
    wheel(folder, "torch", {"torch/__init__.py": TORCH})
    wheel(
        folder, "aios_core",
        {
            "aios_core/__init__.py": "__version__ = '1.0'\n", "aios_core/model/__init__.py": "",
            "aios_core/model/checkpoint.py": CHECKPOINT,
        },
        "Requires-Dist: torch\n",
    )  # fmt: skip
    (tmp_path / "constraints.txt").write_text("torch==1.0\n")
    return folder


def command(packages: Path, runtime: Path) -> list[str]:
    return [
        sys.executable, install_script.__file__, "--folder", str(runtime), "--package",
        str(packages / "aios_core-1.0-py3-none-any.whl"), "--constraints", str(packages.parent / "constraints.txt"),
        "--build", "cpu", "--wheels", str(packages),
    ]  # fmt: skip


def test_a_runtime_is_set_up_without_a_network_repaired_and_removed(packages, tmp_path):
    runtime = tmp_path / "user" / "runtime"
    assert state_of(runtime).text == "Not set up"
    torch = packages / "torch-1.0-py3-none-any.whl"
    hidden = torch.rename(tmp_path / torch.name)

    failed = Job(command(packages, runtime)).wait()
    assert failed["event"] == "error"
    assert failed["message"].startswith("PyTorch: there is no fitting package torch for Python 3"), failed
    assert "setup.log" in failed["message"]
    assert state_of(runtime).text == "Set-up was not finished"

    hidden.rename(torch)
    job = Job(command(packages, runtime))
    done, events = None, []
    while done is None:
        events += job.poll()
        done = events[-1] if not job.running else None
        time.sleep(0.05)
    assert done["event"] == "done", done
    percents = [e["done"] for e in events if e["event"] == "progress"]
    assert percents == sorted(percents) and percents[-1] >= 95
    state = state_of(runtime)
    assert state.is_ready and state.text == "PyTorch 9.9 on cpu"
    said = subprocess.run(
        [environment_python(runtime), "-I", "-c", "import aios_core; print(aios_core.__version__)"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert said.stdout == "1.0\n", said.stderr

    settings = runtime / "venv" / "pyvenv.cfg"
    settings.write_text(settings.read_text().replace("home = ", "home = /gone"))
    assert "repair" in state_of(runtime).text and not state_of(runtime).is_ready

    remove_runtime(runtime)
    assert not runtime.exists() and state_of(runtime).text == "Not set up"


def test_cancelling_a_set_up_stops_it_and_leaves_no_runtime(packages, tmp_path):
    runtime = tmp_path / "runtime"
    job = Job(command(packages, runtime))
    while not any(event["event"] == "progress" for event in job.poll()):
        time.sleep(0.02)
    job.cancel()
    assert job.wait()["event"] == "cancelled"
    assert not state_of(runtime).is_ready


def test_a_set_up_ends_with_whoever_started_it(packages, tmp_path):
    process = subprocess.Popen(
        command(packages, tmp_path / "runtime"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert json.loads(process.stdout.readline())["event"] == "progress"
    process.stdin.close()
    assert process.wait(timeout=10) == 3
    assert not state_of(tmp_path / "runtime").is_ready


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"PYTHONS": ((3, 1), (3, 2))}, "the runtime needs 3.1 to 3.2"),
        ({"NEEDED_GIB": {"cpu": 1e9}}, "GB free; the runtime needs about"),
    ],
)
def test_what_stands_in_the_way_is_one_sentence(packages, tmp_path, capsys, monkeypatch, change, sentence):
    for name, value in change.items():
        monkeypatch.setattr(install_script, name, value)
    setup = install_script.Setup(tmp_path / "runtime", packages, packages, "cpu", packages)
    with pytest.raises(install_script.SetupError, match=sentence):
        install_script.install(setup)
    assert not (tmp_path / "runtime" / "venv").exists()


def test_downloads_become_progress_and_lines_stay(capsys):
    lines = ["Collecting torch==2.13.0", "Progress 50000000 of 200000000", "Progress 200000000 of 200000000", "Done"]
    assert list(told(lines, "PyTorch")) == ["Collecting torch==2.13.0", "Done"]
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[1]["stage"] == "PyTorch: torch, 50 of 200 MB"
    assert [e["done"] for e in events] == sorted(e["done"] for e in events)


def test_a_checkout_is_its_own_package_and_some_build_fits_this_computer():
    assert bundled_package() == ROOT
    assert found_build() in install_script.NEEDED_GIB
