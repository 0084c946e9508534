"""The published recipe in the training loop: joints, several processes, stopping and going on, checkpoints."""

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.multiprocessing
from safetensors.torch import load_file

from aios_core.body import files
from aios_core.body.files import open_body
from aios_core.body.joints import JOINTS_137_FROM_144
from aios_core.config import AIOS
from aios_core.errors import CheckpointError, DataSetError, OutputError
from aios_core.model.predictions import LayerPredictions
from aios_core.model.preprocess import pad_batch
from tests import aios_synth
from tests.conformance import FIELDS
from tests.training.humandata_files import arrays_of, everybody, save, write_pictures
from tests.training.paper_pictures import QUICK, SMALL, MadeUpPictures, recipe
from training.checkpoints import checkpoints
from training.paper.config import PAPER
from training.paper.denoising import noised_copies
from training.paper.joints import PredictedJoints
from training.paper.recipe import PaperBatch, PaperRecipe
from training.paper.targets import join
from training.processes import processes
from training.recipe import Randomness
from training.train import Limits, compile_trunk, distributed, gradient, train

ROOT = Path(__file__).parents[2]

# Joints


@pytest.fixture(scope="module")
def joints(tmp_path_factory) -> PredictedJoints:
    path = tmp_path_factory.mktemp("body") / "SMPLX_NEUTRAL.npz"
    np.savez(path, **aios_synth.smplx_arrays())
    return PredictedJoints(files.load_body(path), hands_relative_to_mean=True)


@pytest.mark.parametrize("prefix", ["A.out", "A.aux2", "A.aux4"])
def test_joints_of_predicted_people_are_the_published_ones(joints, prefix):
    """Of the layers before the whole-body stage too, whose people have the mean hand and no expression."""
    with np.load(Path(__file__).parent.parent / "fixtures" / "aios_bodies.npz") as stored:
        fixture = {k: torch.from_numpy(stored[k]).float() for k in stored.files if k.startswith(f"{prefix}.pred_smpl")}
    everybody = len(fixture[f"{prefix}.pred_smpl_beta"][0])
    values = {}
    for name, field in FIELDS.items():
        if f"{prefix}.{name}" in fixture:  # every 20th is there of all
            value = fixture[f"{prefix}.{name}"][0]
            values[field] = value[:: 20 * len(value) // everybody]
    expected = fixture[f"{prefix}.pred_smpl_kp3d"][0]
    expected = expected[:: 20 * len(expected) // everybody]
    found = joints(LayerPredictions(logits=None, boxes=None, **values), prefix != "A.aux2")
    stored_joints = np.arange(144) if expected.shape[1] == 144 else np.arange(0, 144, 4)
    both = np.intersect1d(stored_joints, JOINTS_137_FROM_144)
    ours = [int(np.flatnonzero(joint == JOINTS_137_FROM_144)[0]) for joint in both]
    theirs = [int(np.flatnonzero(stored_joints == joint)[0]) for joint in both]
    torch.testing.assert_close(found[:, ours], expected[:, theirs], atol=2e-3, rtol=0)


# Several processes


def batch_of(numbers: range) -> PaperBatch:
    """Pictures of a joint batch of four, padded and noised as in it."""
    pictures = [MadeUpPictures().sample(3 + number) for number in range(4)]
    images, mask = pad_batch([image for image, _ in pictures])
    copies, clean = noised_copies([t for _, t in pictures], QUICK, torch.Generator().manual_seed(0))
    chosen = slice(numbers.start, numbers.stop)
    targets = join([target for _, target in pictures[chosen]], torch.float64)
    copies = replace(copies, labels=copies.labels[chosen], boxes=copies.boxes[chosen], group=copies.group[chosen])
    return PaperBatch(images[chosen].double(), mask[chosen], targets, copies, clean[chosen].double())


def gradient_of(config, module_of, *batches: PaperBatch) -> dict[str, torch.Tensor]:
    own = recipe(config).double().train()
    gradient(module_of(own), own.told_of_each_other(list(batches)))
    return {name: p.grad for name, p in own.named_parameters() if p.grad is not None}


def one_of_two(rank: int, port: int, out: str) -> None:
    """What each of two processes does: the gradient of its half of the pictures, after the exchange."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    os.environ["MASTER_PORT"] = str(port)
    torch.set_num_threads(1)
    with processes("cpu") as group:
        for is_global in (True, False):
            config = replace(QUICK, global_normalisers=is_global)
            batch = batch_of(range(2 * rank, 2 * rank + 2))
            found = gradient_of(config, lambda own: distributed(own, group), batch)
            torch.save(found, f"{out}/{is_global}_{rank}.pt")


def test_two_processes_have_the_gradient_of_one_with_all_pictures(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(one_of_two, (port, str(tmp_path)), nprocs=2)
    alone = gradient_of(QUICK, lambda own: own, batch_of(range(4)))
    assert len(alone) > 200
    for is_global in (True, False):
        halves = [torch.load(tmp_path / f"{is_global}_{rank}.pt", weights_only=True) for rank in range(2)]
        assert set(halves[0]) >= set(alone)
        errors = [
            float((half[name] - value).abs().max() / (1e-9 + value.abs().max()))
            for half in halves
            for name, value in alone.items()
        ]
        assert (max(errors) < 1e-12) == is_global, max(errors)


def test_batches_that_make_one_step_together_have_the_gradient_of_one_large_batch():
    alone = gradient_of(QUICK, lambda own: own, batch_of(range(4)))
    together = gradient_of(QUICK, lambda own: own, batch_of(range(1)), batch_of(range(1, 4)))
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, rtol=0, atol=1e-12 * float(value.abs().max()) + 1e-15)


def test_pictures_without_anybody_teach_that_there_is_nobody():
    class Nobody(MadeUpPictures):
        def sample(self, index):
            return super().sample(4 * index)

    own = recipe(pictures=Nobody())
    batch = own.draw(0, Randomness(np.random.default_rng(0), torch.Generator().manual_seed(0)))
    assert len(batch.targets) == 0
    found = gradient(own, own.told_of_each_other([batch]))
    assert all(torch.isfinite(p.grad).all() for p in own.parameters() if p.grad is not None)
    told = {name for name, value in found.items() if value != 0}
    assert {name.split("/")[0] for name in told} == {
        "classification", "denoising_classification", "denoising_box", "denoising_giou", "total",
    }  # fmt: skip


def test_the_loss_is_computed_where_the_batch_is():
    """On a GPU everything has to be there; here 'meta', which computes nothing, stands for the other device."""
    own = recipe()
    batch = own.draw(0, Randomness(np.random.default_rng(0), torch.Generator().manual_seed(0)))
    (batch,) = own.told_of_each_other([batch])
    with torch.device("meta"):
        total, _ = own(batch)
    assert torch.isfinite(total)


# Runs


def test_a_run_that_was_stopped_has_the_weights_of_one_that_was_not(tmp_path):
    for folder, stops in (("whole", [5]), ("halves", [2, 5])):
        for stop in stops:
            train(recipe(), tmp_path / folder, Limits(steps=stop))
    for name in ("weights.safetensors", "weights_last.safetensors"):
        whole, halves = (load_file(tmp_path / folder / name) for folder in ("whole", "halves"))
        assert all(torch.equal(whole[key], halves[key]) for key in whole)
    fresh = recipe().network.state_dict()["heads.class_embed.5.weight"]
    assert not torch.equal(fresh, whole["class_embed.5.weight"])
    logs = [(tmp_path / folder / "log.jsonl").read_text().splitlines() for folder in ("whole", "halves")]
    totals = [[json.loads(line)["total"] for line in log] for log in logs]
    assert totals[0] == totals[1] and len(totals[0]) == 5


def settings(config, changed, prefix="") -> list[str]:
    """The settings on a command line that make the one configuration the other."""
    found = []
    for field in fields(config):
        old, new = getattr(config, field.name), getattr(changed, field.name)
        if is_dataclass(old):
            found += settings(old, new, f"{prefix}{field.name}.")
        elif old != new:
            found.append(f"--set={prefix}{field.name}={new if isinstance(new, str) else json.dumps(new)}")
    return found


def torchrun(count: int, *arguments: str) -> str:
    """What `torchrun -m training.train` with these arguments says, with `count` processes."""
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={count}", "--standalone"]
    command += ["-m", "training.train", "--preset=paper", "--device=cpu", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_processes_train_on_human_data_files_and_go_on_where_they_stopped(tmp_path):
    people = everybody([2, 1, 3], 4)
    for name in ("agora", "coco"):
        save(tmp_path / "data" / name / "train.npz", arrays_of(people))
        write_pictures(tmp_path / "data" / name / "images", people)
    quick = replace(
        QUICK, data_sets=("agora", "coco"), augmentation=replace(PAPER.augmentation, short_sides=(64, 96)), batch=1
    )
    chosen = [f"--data={tmp_path / 'data'}", *settings(PAPER, quick), *settings(AIOS, SMALL, "model.")]
    torchrun(2, *chosen, f"--out={tmp_path / 'whole'}", "--steps=3")
    torchrun(2, *chosen, f"--out={tmp_path / 'halves'}", "--steps=1")
    told = torchrun(2, *chosen, f"--out={tmp_path / 'halves'}", "--steps=3")
    assert "Going on from step 1. \n" in told
    whole, halves = (load_file(tmp_path / folder / "weights_last.safetensors") for folder in ("whole", "halves"))
    assert all(torch.equal(whole[key], halves[key]) for key in whole)
    assert len((tmp_path / "halves" / "log.jsonl").read_text().splitlines()) == 3
    assert len(json.loads((tmp_path / "halves/checkpoints/step-000000003/manifest.json").read_text())["random"]) == 2


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The folder of a run of three steps that wrote a checkpoint at each."""
    out = tmp_path_factory.mktemp("run")
    train(recipe(replace(QUICK, checkpoint_seconds=0.0)), out, Limits(steps=3))
    return out


def test_the_last_checkpoints_are_kept_in_files_of_bounded_size(run):
    assert [path.name for path in checkpoints(run / "checkpoints")] == ["step-000000002", "step-000000003"]
    manifest = json.loads((checkpoints(run / "checkpoints")[-1] / "manifest.json").read_text())
    assert len(manifest["files"]) > 2 and max(file["bytes"] for file in manifest["files"]) < 1.2 * 2**20
    assert manifest["step"] == 3 and manifest["config"]["copies"] == 7


def test_a_damaged_checkpoint_is_refused_with_the_way_out(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    newest = checkpoints(tmp_path / "run" / "checkpoints")[-1]
    shard = newest / "state-00001.safetensors"
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"state-00001.safetensors is damaged.*Remove .*step-000000003 to go on"):
        train(recipe(), tmp_path / "run", Limits(steps=4))
    shutil.rmtree(newest)
    train(recipe(), tmp_path / "run", Limits(steps=3))
    assert checkpoints(tmp_path / "run" / "checkpoints")[-1].name == "step-000000003"
    again, first = (load_file(folder / "weights.safetensors") for folder in (tmp_path / "run", run))
    assert all(torch.equal(again[key], first[key]) for key in first)


def test_a_checkpoint_that_cannot_be_written_is_said_and_leaves_nothing(run, tmp_path, monkeypatch):
    shutil.copytree(run, tmp_path / "run")

    def full(*_arguments):
        raise OSError("No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(OutputError, match=r"Cannot write the checkpoint .*step-000000004: No space left"):
        train(recipe(), tmp_path / "run", Limits(steps=4))
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == [
        "step-000000002", "step-000000003",
    ]  # fmt: skip


def test_a_half_written_checkpoint_does_not_count(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / ".step-000000009.partial").mkdir()
    assert checkpoints(tmp_path / "run" / "checkpoints")[-1].name == "step-000000003"


def test_another_network_cannot_go_on_from_a_checkpoint_but_another_rate_can(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    other = PaperRecipe(QUICK, replace(SMALL, queries=11), MadeUpPictures(), open_body())
    with pytest.raises(CheckpointError, match="network with other settings: queries"):
        train(other, tmp_path / "run", Limits(steps=4))
    train(recipe(replace(QUICK, rate=1e-4)), tmp_path / "run", Limits(steps=4))
    assert "Going on from step 3. Changed since: checkpoint_seconds, rate." in capsys.readouterr().out


def test_a_run_ends_with_its_time_its_epochs_or_when_it_is_asked_to(tmp_path):
    def steps_of(folder: str, config=QUICK, **limits) -> int:
        train(recipe(config), tmp_path / folder, Limits(**limits))
        return len((tmp_path / folder / "log.jsonl").read_text().splitlines())

    assert steps_of("epochs", replace(QUICK, epochs=1, batch=4)) == 2, "eight pictures are an epoch"
    assert 1 <= steps_of("time", seconds=0.5) < 20
    assert steps_of("asked", asked_to_end=iter([False, False, True]).__next__) == 2


def test_processes_that_prepare_pictures_change_nothing_and_pass_errors_on(tmp_path):
    class Broken(MadeUpPictures):
        def sample(self, index):
            if index == 2 or index % 2**40 == 5:
                raise DataSetError(f"No such picture: {index % 2**40}.png.")
            return super().sample(index % 2**40)

    for workers in (0, 2):
        with pytest.raises(DataSetError, match=r"^No such picture: 5.png.$"):
            config = replace(QUICK, loader_workers=workers, log_steps=2)
            train(recipe(config, Broken()), tmp_path / str(workers), Limits(steps=3))
    train(recipe(replace(QUICK, log_steps=2)), tmp_path / "whole", Limits(steps=2))
    totals = [json.loads((tmp_path / run / "log.jsonl").read_text())["total"] for run in ("0", "2", "whole")]
    assert totals[0] == totals[1] == totals[2], "number 2 had another picture in its place, here the same one"


def test_processes_that_prepare_pictures_start_after_opencv_has_used_threads():
    code = """
import cv2, numpy as np
from dataclasses import replace
from tests.training.paper_pictures import QUICK, recipe
from training.recipe import Randomness
import torch
cv2.setNumThreads(4)
cv2.GaussianBlur(np.zeros((900, 900, 3), np.uint8), (0, 0), 3)
own = recipe(replace(QUICK, loader_workers=2))
own.draw(0, Randomness(np.random.default_rng(0), torch.Generator().manual_seed(0)))
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60, check=True)


def test_half_precision_runs_and_differs_little(tmp_path):
    totals = []
    for is_half in (False, True):
        train(recipe(replace(QUICK, bfloat16=is_half)), tmp_path / str(is_half), Limits(steps=2))
        lines = (tmp_path / str(is_half) / "log.jsonl").read_text().splitlines()
        totals.append(json.loads(lines[0])["total"])
    assert totals[0] != totals[1] and totals[0] == pytest.approx(totals[1], rel=0.1)


def test_a_compiled_trunk_gives_the_same_loss():
    """With a backend that traces and compiles nothing: that takes minutes."""
    own, randomness = recipe(), Randomness(np.random.default_rng(0), torch.Generator().manual_seed(0))
    batches = [own.told_of_each_other([own.draw(step, randomness)])[0] for step in range(2)]
    plain = [float(own(batch)[0].detach()) for batch in batches]
    names = list(own.state_dict())
    compile_trunk(own.network, backend="eager")
    assert [float(own(batch)[0].detach()) for batch in batches] == pytest.approx(plain, rel=1e-4)
    assert list(own.state_dict()) == names, "checkpoints do not change"


def test_the_same_picture_again_and_again_is_learned(tmp_path):
    class OnePicture(MadeUpPictures):
        def sample(self, index):
            return super().sample(3)

    steady = replace(QUICK, gradient_clip=10.0, batch=1, log_steps=5, rate=2e-3, backbone_rate=2e-3)
    train(recipe(steady, OnePicture()), tmp_path, Limits(steps=20))
    totals = [json.loads(line)["total"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert totals[-1] < 0.8 * totals[0]


def test_tensorboard_gets_every_number(tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train(recipe(), tmp_path, Limits(steps=2))
    board = reader.EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    line = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert set(board.Tags()["scalars"]) == set(line) - {"step"}
    assert board.Scalars("total")[-1].value == pytest.approx(line["total"], rel=1e-4)
