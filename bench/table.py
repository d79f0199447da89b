"""Markdown tables, with the machine they were measured on."""

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path


def machine() -> str:
    """One line: date, CPU, cores, memory, kernel."""
    model = re.search(r"model name\s+: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    gib = int(memory[1]) >> 20 if memory else 0
    return f"{date}, {os.cpu_count()} cores of {model[1] if model else '?'}, {gib} GiB, Linux {platform.release()}"


def markdown(title: str, columns: list[str], rows: list[list[object]]) -> str:
    """A section with a table."""
    lines = [f"### {title}", "", f"{machine()}.", "", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows), ""])
