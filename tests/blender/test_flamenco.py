"""The farm: the job type makes a task a clip, and the queue is handed to a Manager that listens."""

import json
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

bpy = pytest.importorskip("bpy")

import aios_blender  # noqa: E402
from aios_blender.flamenco import job_of, submit  # noqa: E402
from aios_blender.queue import enqueue  # noqa: E402
from aios_core.cli import parser  # noqa: E402
from aios_core.errors import AiosError  # noqa: E402

JOB_TYPE = Path(__file__).parents[2] / "flamenco" / "aios_capture.js"
COMPILE = """
const tasks = [];
global.author = {
    Task: (name, type) => ({name, type, commands: [], addCommand(c) { this.commands.push(c); }}),
    Command: (name, parameters) => ({name, parameters}),
};
eval(require("fs").readFileSync(process.argv[1], "utf8") + `
    const settings = Object.fromEntries(JOB_TYPE.settings.filter(s => "default" in s).map(s => [s.key, s.default]));
    compileJob({settings: {...settings, ...JSON.parse(process.argv[2])}, addTask: t => tasks.push(t)});
`);
console.log(JSON.stringify(tasks));
"""


def compiled(settings: dict) -> list[dict]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node to run the job type")
    result = subprocess.run([node, "-e", COMPILE, str(JOB_TYPE), json.dumps(settings)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_the_job_type_makes_a_task_a_clip_that_the_command_line_understands():
    job = job_of(["/clips/a b.mp4", "/clips/c.mp4"], "/out", "/runtime/python", ["--threshold", "0.4", "--fit"], "x")
    tasks = compiled(job["settings"])
    assert [task["name"] for task in tasks] == ["capture a b.mp4", "capture c.mp4"]
    for i, task in enumerate(tasks):
        (command,) = task["commands"]
        assert command["name"] == "exec" and command["parameters"]["exe"] == "/runtime/python"
        arguments = command["parameters"]["args"]
        assert arguments[:2] == ["-m", "aios_core"]
        options = parser().parse_args(arguments[2:])
        assert options.footage == ["/clips/a b.mp4", "/clips/c.mp4"] and options.output == "/out"
        assert options.shard == f"{i + 1}/2" and options.fit and options.no_blend and options.threshold == 0.4


def test_a_job_without_clips_is_refused():
    with pytest.raises(AssertionError, match="no clips are given"):
        compiled({"clips": " ; ", "output": "/out"})


@pytest.fixture
def manager():
    """A Manager that takes jobs with clips and refuses others."""
    taken = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            assert self.path == "/api/v3/jobs"
            job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            taken.append(job)
            good = bool(job["settings"]["clips"])
            self.send_response(200 if good else 400)
            self.end_headers()
            self.wfile.write(json.dumps({"id": "abc"} if good else {"code": 400, "message": "no clips."}).encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("localhost", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}/", taken
    server.shutdown()


def test_a_manager_takes_the_job_or_says_why_not(manager):
    address, taken = manager
    assert submit(address, job_of(["/a.mp4"], "/out", "python", [], "one clip")) == "abc"
    assert taken[0]["type"] == "aios-capture" and taken[0]["settings"]["clips"] == "/a.mp4"
    with pytest.raises(AiosError, match=r"^Flamenco refused the job: no clips\.$"):
        submit(address, job_of([], "/out", "python", [], "nothing"))


def test_nobody_at_the_address_is_one_sentence():
    with pytest.raises(AiosError, match="No Flamenco Manager answers at http://localhost:9"):
        submit("http://localhost:9", {})


def test_the_button_hands_over_a_job_for_all_clips_of_the_same_settings(manager):
    address, taken = manager
    aios_blender.register()
    bpy.context.preferences.system.use_online_access = False
    try:
        scene = bpy.context.scene
        for clip in ("/clips/a.mp4", "/clips/b.mp4"):
            enqueue(scene, clip, scene.aios)
        scene.aios.threshold = 0.5
        enqueue(scene, "/clips/c.mp4", scene.aios)
        assert not bpy.ops.aios.submit_queue.poll(), "online access is asked for first"
        bpy.context.preferences.system.use_online_access = True
        with pytest.raises(RuntimeError, match="Choose a folder"):
            bpy.ops.aios.submit_queue(manager=address)
        assert bpy.ops.aios.submit_queue(manager=address, output="/out", python="py", blend=True) == {"FINISHED"}
        assert [job["settings"]["clips"] for job in taken] == ["/clips/a.mp4;/clips/b.mp4", "/clips/c.mp4"]
        assert all(job["settings"]["blend"] and job["settings"]["output"] == "/out" for job in taken)
        assert [(clip.state, clip.message) for clip in scene.aios_queue] == [("DONE", "Flamenco job abc")] * 3
    finally:
        bpy.context.preferences.system.use_online_access = False
        aios_blender.unregister()
