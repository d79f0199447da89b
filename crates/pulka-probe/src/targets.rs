//! Which files hold a TLS library, found by the processes that map them: each file once, whoever loads it, also within containers.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::library::{Point, points};

/// A file, by what the kernel tells files apart by.
pub type FileId = (String, u64);

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub path: String,
    /// Functions that are probed; empty with a reason in `trouble`.
    pub points: Vec<Point>,
    pub trouble: String,
}

#[derive(Default)]
pub struct Targets {
    visited: HashSet<u32>,
    files: HashMap<FileId, Target>,
}

/// Processes and files remembered; beyond it what is known is dropped and looked up again, but for files that are probed.
const VISITED_MAX: usize = 16_384;

impl Targets {
    /// Files of a process that were not known yet and hold a library, to be attached by `attach` (path, points) which may refuse.
    pub fn visit(&mut self, pid: u32, mut attach: impl FnMut(&Path, &[Point]) -> Result<(), String>) {
        if self.visited.len() >= VISITED_MAX {
            self.visited.clear();
        }
        if self.files.len() >= VISITED_MAX {
            self.files.retain(|_, target| !target.points.is_empty());
        }
        if !self.visited.insert(pid) {
            return;
        }
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        for (id, path) in mapped(&maps) {
            if self.files.contains_key(&id) || !(is_library(&path) || Path::new(&path) == exe) {
                continue;
            }
            let local = PathBuf::from(format!("/proc/{pid}/root{path}"));
            let found = points(&local);
            let attached = if found.is_empty() { Err("no known TLS functions among its symbols".to_owned()) } else { attach(&local, &found) };
            let (points, trouble) = attached.map_or_else(|why| (Vec::new(), why), |()| (found, String::new()));
            self.files.insert(id, Target { path, points, trouble });
        }
    }

    /// A process ended: another one may get its number.
    pub fn forget(&mut self, pid: u32) {
        self.visited.remove(&pid);
    }

    pub fn all(&self) -> impl Iterator<Item = &Target> {
        self.files.values()
    }
}

/// Executable mappings of files: (device and inode, path).
fn mapped(maps: &str) -> Vec<(FileId, String)> {
    let mut found: Vec<(FileId, String)> = Vec::new();
    for line in maps.lines() {
        let fields: Vec<&str> = line.splitn(6, ' ').collect();
        let [_, mode, _, device, inode, path] = fields[..] else { continue };
        let (Ok(inode), path) = (inode.parse::<u64>(), path.trim_start()) else { continue };
        if mode.contains('x') && inode != 0 && path.starts_with('/') && !path.ends_with(" (deleted)") {
            let id = (device.to_owned(), inode);
            if !found.iter().any(|(known, _)| *known == id) {
                found.push((id, path.to_owned()));
            }
        }
    }
    found
}

/// Also as wheels bundle them: `libssl-2f0fab1b.so.3`.
fn is_library(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    ["libssl.so", "libssl-", "libssl3-", "libgnutls.so", "libgnutls-"].iter().any(|start| name.starts_with(start)) && name.contains(".so")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_files_are_found_once() {
        let maps = "\
55d0-55d1 r--p 00000000 fe:00 11                         /usr/bin/python3.11
55d1-55d2 r-xp 00001000 fe:00 11                         /usr/bin/python3.11
7f00-7f01 r-xp 00001000 fe:00 22                         /usr/lib/libssl.so.3
7f01-7f02 r-xp 00002000 fe:00 22                         /usr/lib/libssl.so.3
7f02-7f03 r-xp 00002000 fe:00 23                         /tmp/gone.so (deleted)
7ffd-7ffe rw-p 00000000 00:00 0                          [stack]
7ffe-7fff r-xp 00000000 00:00 0                          [vdso]
";
        let found: Vec<String> = mapped(maps).into_iter().map(|(_, path)| path).collect();
        assert_eq!(found, ["/usr/bin/python3.11", "/usr/lib/libssl.so.3"]);
    }

    #[test]
    fn libraries_by_name() {
        for name in ["/usr/lib/libssl.so.3", "/x/libssl.so.1.1", "/x/wheel.libs/libssl-2f0fab1b.so.3", "/lib/libgnutls.so.30"] {
            assert!(is_library(name), "{name}");
        }
        for name in ["/usr/lib/libsslcommon.so", "/usr/bin/ssl", "/lib/libcrypto.so.3"] {
            assert!(!is_library(name), "{name}");
        }
    }
}
