//! What `/proc` tells of a process, read at once when it is first seen: it may be gone a moment later.

use std::fs;
use std::path::PathBuf;

/// Facts to name a service by. Of the environment only the variables of `VARIABLES` are kept: the rest may hold secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    /// Clock ticks after boot: tells a process from a later one with the same number.
    pub started: u64,
    pub exe: String,
    pub argv: Vec<String>,
    pub env: Vec<(String, String)>,
    pub cgroup: String,
    pub cwd: String,
}

pub const VARIABLES: [&str; 9] = [
    "DD_SERVICE",
    "DD_TAGS",
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "GUNICORN_CMD_ARGS",
    "WSGI_APP",
    "SPRING_APPLICATION_NAME",
    "CATALINA_BASE",
    "JAVA_TOOL_OPTIONS",
];
const ARGUMENTS_MAX: usize = 256;
const ARGUMENT_BYTES_MAX: usize = 4096;

impl Process {
    /// None when it is gone, or a thread of the kernel.
    pub fn read(pid: u32) -> Option<Process> {
        let at = |name: &str| PathBuf::from(format!("/proc/{pid}/{name}"));
        let link = |name: &str| fs::read_link(at(name)).ok().map(|path| path.to_string_lossy().into_owned());
        let text = |name: &str| fs::read(at(name)).unwrap_or_default();
        Some(Process {
            pid,
            started: started(&fs::read(at("stat")).ok()?)?,
            exe: link("exe")?.trim_end_matches(" (deleted)").to_owned(),
            argv: words(&text("cmdline")).take(ARGUMENTS_MAX).collect(),
            env: words(&text("environ")).filter_map(|entry| wanted(&entry)).collect(),
            cgroup: String::from_utf8_lossy(&text("cgroup")).into_owned(),
            cwd: link("cwd").unwrap_or_default(),
        })
    }

}

/// Whether the process that began at `start` still has this number.
pub fn runs(pid: u32, start: u64) -> bool {
    fs::read(format!("/proc/{pid}/stat")).is_ok_and(|stat| started(&stat) == Some(start))
}

fn words(bytes: &[u8]) -> impl Iterator<Item = String> {
    let cut = |word: &[u8]| String::from_utf8_lossy(&word[..word.len().min(ARGUMENT_BYTES_MAX)]).into_owned();
    bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(cut)
}

fn wanted(entry: &str) -> Option<(String, String)> {
    let (name, value) = entry.split_once('=')?;
    VARIABLES.contains(&name).then(|| (name.to_owned(), value.to_owned()))
}

/// Field 22 of `stat`; the name in field 2 may hold anything, also blanks and parentheses.
fn started(stat: &[u8]) -> Option<u64> {
    let stat = String::from_utf8_lossy(stat);
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_read() {
        let own = Process::read(std::process::id()).expect("it runs");
        assert!(own.exe.contains("pulka_probe") && runs(own.pid, own.started) && !own.argv.is_empty());
        assert_eq!(Process::read(u32::MAX), None);
    }

    #[test]
    fn names_with_blanks_and_parentheses() {
        let stat = b"7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        assert_eq!(started(stat), Some(4711));
        assert_eq!(started(b"7 (x"), None);
    }

    #[test]
    fn only_the_named_variables_are_kept() {
        assert_eq!(wanted("OTEL_SERVICE_NAME=shop"), Some(("OTEL_SERVICE_NAME".to_owned(), "shop".to_owned())));
        assert_eq!(wanted("AWS_SECRET_ACCESS_KEY=x"), None);
    }
}
