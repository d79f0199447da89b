"""Java: the Spring application's name, else the application server, else the jar, else the main class."""

import re
import zipfile
from collections.abc import Sequence
from pathlib import PurePosixPath

from pulka.edge.files import GENERIC, Files

__all__ = ["java_name"]

_FLAGS_WITH_VALUE = {"-cp", "-classpath", "--class-path", "-p", "--module-path", "--add-modules", "--add-opens", "--add-exports", "--add-reads"}
_KNOWN = {
    "org.apache.catalina.startup.Bootstrap": "tomcat",
    "org.jboss.modules.Main": "jboss",
    "weblogic.Server": "weblogic",
    "com.ibm.ws.runtime.WsServer": "websphere",
    "kafka.Kafka": "kafka",
    "org.apache.zookeeper.server.quorum.QuorumPeerMain": "zookeeper",
}
_SPRING_FILES = ("BOOT-INF/classes/application.properties", "BOOT-INF/classes/application.yml", "BOOT-INF/classes/application.yaml",
                 "BOOT-INF/classes/bootstrap.yml", "BOOT-INF/classes/bootstrap.properties")  # fmt: skip
_CONFIG_BYTES_MAX = 1 << 20


def java_name(argv: Sequence[str], files: Files) -> tuple[str, str] | None:
    """(name, source) from `java [flags] -jar x.jar ...` or `java [flags] Class ...`."""
    for word in argv:
        if found := re.match(r"(?:-D|--)spring\.application\.name=(.+)", word):
            return found.group(1), "spring"
    rest = list(argv[1:])
    while rest:
        if rest[0] == "-jar" and len(rest) > 1:
            return _jar(rest[1], files)
        if rest[0] in ("-m", "--module") and len(rest) > 1:
            return rest[1].partition("/")[0].rpartition(".")[2], "java module"
        if not rest[0].startswith(("-", "@")):
            return _main_class(rest[0], argv)
        rest = rest[2:] if rest[0] in _FLAGS_WITH_VALUE else rest[1:]
    return None


def _jar(jar: str, files: Files) -> tuple[str, str]:
    if name := _spring(jar, files):
        return name, "spring"
    stem = PurePosixPath(jar).name.rpartition(".")[0] or PurePosixPath(jar).name
    return re.sub(r"[-_.]v?\d+(\.\w+)*([-.](SNAPSHOT|RELEASE|FINAL|all|exec|boot))*$", "", stem, flags=re.IGNORECASE) or stem, "jar"


def _spring(jar: str, files: Files) -> str | None:
    try:
        with zipfile.ZipFile(files.local(jar)) as archive:
            for name in set(_SPRING_FILES) & set(archive.namelist()):
                if archive.getinfo(name).file_size <= _CONFIG_BYTES_MAX and (found := _in_config(archive.read(name).decode(errors="replace"))):
                    return found
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError, KeyError):
        return None
    return None


def _in_config(text: str) -> str | None:
    """`spring.application.name` of properties or of YAML with its usual nesting; placeholders are no name."""
    flat = re.search(r"^\s*spring\.application\.name\s*[=:]\s*(\S+)", text, re.MULTILINE)
    nested = re.search(r"^spring:\s*\n(?:[ \t]+.*\n)*?[ \t]+application:\s*\n(?:[ \t]+.*\n)*?[ \t]+name:\s*['\"]?([^\s'\"]+)", text + "\n", re.MULTILINE)
    found = flat or nested
    return found.group(1) if found and not found.group(1).startswith("${") else None


def _main_class(main: str, argv: Sequence[str]) -> tuple[str, str]:
    if main in _KNOWN:
        return _base_of_tomcat(argv) or _KNOWN[main], "java server"
    if found := re.match(r"org\.(?:apache|elasticsearch|opensearch|neo4j|eclipse)(?:\.(\w+))?", main):
        return (found.group(1) if main.startswith("org.apache.") and found.group(1) else main.split(".")[1]), "java main class"
    parts = main.split(".")
    return next((part for part in reversed(parts) if part.lower() not in GENERIC), main), "java main class"


def _base_of_tomcat(argv: Sequence[str]) -> str | None:
    for word in argv:
        if word.startswith("-Dcatalina.base="):
            name = PurePosixPath(word.partition("=")[2]).name
            return None if re.fullmatch(r"(apache-)?tomcat[\d.-]*|base|default", name) else name
    return None
