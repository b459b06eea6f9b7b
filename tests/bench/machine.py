"""machine - what a figure depends on and a reader must know: processor, kernel, versions, commit."""
import os
import pathlib
import platform
import shutil
import subprocess
import time

PROJECT = pathlib.Path(__file__).resolve().parents[2]


def said(*argv):
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20, cwd=PROJECT).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def field(path, name):
    for row in pathlib.Path(path).read_text().splitlines():
        key, _, value = row.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def facts():
    changed = said("git", "status", "--porcelain", "--untracked-files=no")
    dockerd = said("dockerd", "--version") if shutil.which("dockerd") else None
    return {"cores": len(os.sched_getaffinity(0)), "cpu": field("/proc/cpuinfo", "model name"), "kernel": platform.release(),
            "memory_mib": int(field("/proc/meminfo", "MemTotal").split()[0]) >> 10, "dockerd": dockerd,
            "openssl": said("openssl", "version"), "commit": said("git", "rev-parse", "--short=12", "HEAD"),
            "changed_files": len(changed.splitlines()) if changed is not None else None,
            "load_before": os.getloadavg()[0], "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
