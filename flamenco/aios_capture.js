// Flamenco job type: one capture a clip. Put it into the "scripts" folder beside the Flamenco Manager.
// Clips, output folder and Python must be paths that every worker knows.

const JOB_TYPE = {
    label: "AiOS Capture",
    description: "Motion capture of everybody in some clips",
    settings: [
        { key: "clips", type: "string", required: true,
          description: "Footage, one path after the other, separated by semicolons" },
        { key: "output", type: "string", required: true, subtype: "dir_path",
          description: "Folder for the Mocap files and scenes" },
        { key: "python", type: "string", required: true, default: "python",
          description: "Python with aios-core on the workers" },
        { key: "options", type: "string", required: false, default: "",
          description: "Further options of `aios run`, as in --threshold 0.4" },
        { key: "blend", type: "bool", required: false, default: false,
          description: "Also write a .blend for every clip; the workers' Python needs bpy, or Blender on PATH" },
        { key: "task_type", type: "string", required: false, default: "misc",
          description: "Type of the tasks: one of your own keeps captures on workers with a GPU" },
    ],
};

function compileJob(job) {
    const settings = job.settings;
    const clips = settings.clips.split(";").map(clip => clip.trim()).filter(clip => clip);
    const options = (settings.options || "").split(" ").filter(option => option);
    if (!clips.length) {
        throw new Error("AiOS Capture: no clips are given.");
    }
    // Every task gets the whole list, so that clips of one name get the same names as in any other run of the list.
    clips.forEach((clip, i) => {
        const task = author.Task("capture " + clip.split(/[\\/]/).pop(), settings.task_type || "misc");
        task.addCommand(author.Command("exec", {
            exe: settings.python,
            args: [
                "-m", "aios_core", "run", ...clips, "-o", settings.output, "--shard", `${i + 1}/${clips.length}`,
                "--progress", "none", ...(settings.blend ? [] : ["--no-blend"]), ...options,
            ],
        }));
        job.addTask(task);
    });
}
