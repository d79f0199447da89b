"""The name of a container or pod, from files that its manager keeps on the host: no socket of a manager is asked."""

import json
import re
from pathlib import Path

__all__ = ["container_name"]

_LABELS = ("com.docker.compose.service", "com.docker.swarm.service.name", "io.kubernetes.container.name", "org.opencontainers.image.title")


def container_name(cgroup: str, host: Path = Path("/")) -> tuple[str, str] | None:
    """(name, source) of the container whose cgroup this is; None outside of containers, or when nothing names it."""
    return _pod(cgroup, host) or _docker(cgroup, host)


def _pod(cgroup: str, host: Path) -> tuple[str, str] | None:
    found = re.search(r"pod([0-9a-f]{8}[-_](?:[0-9a-f]{4}[-_]){3}[0-9a-f]{12})", cgroup)
    if found is None:
        return None
    uid = found.group(1).replace("_", "-")
    for directory in (host / "var/log/pods").glob(f"*_*_{uid}"):
        pod = directory.name.split("_")[1]
        return _workload(pod), "pod"
    return None


def _workload(pod: str) -> str:
    """A deployment's pods are `name-<hash>-<random>`, a daemon set's `name-<random>`, a stateful set's `name-<number>`."""
    return re.sub(r"(-[0-9a-f]{6,10})?-[0-9a-z]{5}$|-\d+$", "", pod)


def _docker(cgroup: str, host: Path) -> tuple[str, str] | None:
    found = re.search(r"(?:docker[-/]|libpod-|/)([0-9a-f]{64})", cgroup)
    if found is None:
        return None
    try:
        config = json.loads((host / "var/lib/docker/containers" / found.group(1) / "config.v2.json").read_bytes())
    except (OSError, ValueError):
        return None
    labels = (config.get("Config") or {}).get("Labels") or {}
    name = next((labels[label] for label in _LABELS if labels.get(label)), str(config.get("Name", "")).lstrip("/"))
    return (name, "container") if name else None
