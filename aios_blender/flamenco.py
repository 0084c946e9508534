"""Hand the queue to a Flamenco Manager, whose workers capture it (job type `flamenco/aios_capture.js`)."""

from __future__ import annotations

import json
import platform
import urllib.error
import urllib.request
from collections.abc import Sequence

from aios_core.errors import AiosError

JOB_TYPE = "aios-capture"
SECONDS = 10


def job_of(
    clips: Sequence[str], output: str, python: str, options: Sequence[str], name: str, blend: bool = False
) -> dict:
    """The job that captures these clips, as the Manager's interface wants it; blend: and writes their .blend files."""
    return {
        "name": name, "type": JOB_TYPE, "priority": 50, "submitter_platform": platform.system().lower(),
        "settings": {
            "clips": ";".join(clips), "output": output, "python": python, "options": " ".join(options), "blend": blend,
        },
    }  # fmt: skip


def submit(manager: str, job: dict) -> str:
    """The id that the Manager at this address gives the job.

    Raises:
        AiosError: it cannot be reached, does not know the job type, or refuses the job.
    """
    request = urllib.request.Request(
        f"{manager.rstrip('/')}/api/v3/jobs", json.dumps(job).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return str(json.load(answer)["id"])
    except urllib.error.HTTPError as error:
        raise AiosError(f"Flamenco refused the job: {_message(error)}.") from error
    except (OSError, ValueError, KeyError) as error:
        reason = getattr(error, "reason", error)
        raise AiosError(f"No Flamenco Manager answers at {manager}: {reason}.") from error


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["message"]).rstrip(".")
    except (ValueError, KeyError, OSError):
        return f"{error.code} {error.reason}"
