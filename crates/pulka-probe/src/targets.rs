//! Which files hold a TLS library, found by the processes that map them and by the dynamic linker: each file once, whoever loads it, also within containers.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{major, minor};

use crate::library::{Kind, Point, points};

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
    numbered: u64,
}

/// Processes and files remembered; beyond it what is known is dropped and looked up again, but for files that are probed.
const VISITED_MAX: usize = 16_384;

/// Its own files, and the machine's where those are others: the first process has them.
const ROOTS: [&str; 2] = ["", "/proc/1/root"];

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
            if is_library(&path) || Path::new(&path) == exe {
                let local = PathBuf::from(format!("/proc/{pid}/root{path}"));
                self.look_into(id, path, &local, &mut attach);
            }
        }
    }

    /// Libraries that programs of this machine are linked with: once one of them has loaded it, its first connection would be over before it is found.
    pub fn visit_installed(&mut self, mut attach: impl FnMut(&Path, &[Point]) -> Result<(), String>) {
        for root in ROOTS {
            let cache = fs::read(format!("{root}/etc/ld.so.cache")).unwrap_or_default();
            for path in installed(&cache) {
                let local = PathBuf::from(format!("{root}{path}"));
                if let Some(id) = file_id(&local) {
                    self.look_into(id, path, &local, &mut attach);
                }
            }
        }
    }

    fn look_into(&mut self, id: FileId, path: String, local: &Path, attach: &mut impl FnMut(&Path, &[Point]) -> Result<(), String>) {
        if self.files.contains_key(&id) {
            return;
        }
        let mut found = points(local);
        self.numbered += 1;
        found.iter_mut().filter(|point| point.kind == Kind::GoWrite).for_each(|point| point.cookie = self.numbered);
        let attached = if found.is_empty() { Err("no known TLS functions among its symbols".to_owned()) } else { attach(local, &found) };
        let (points, trouble) = attached.map_or_else(|why| (Vec::new(), why), |()| (found, String::new()));
        self.files.insert(id, Target { path, points, trouble });
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

/// As the kernel writes it for `mapped`. (Where a file system has its own numbers for devices, a library is probed twice: a call is then told once all the same.)
fn file_id(path: &Path) -> Option<FileId> {
    let file = fs::metadata(path).ok()?;
    Some((format!("{:02x}:{:02x}", major(file.dev()), minor(file.dev())), file.ino()))
}

/// Of the linker's cache, whose paths are strings that end with a zero.
fn installed(cache: &[u8]) -> Vec<String> {
    let of_tls = |path: &&str| path.starts_with('/') && path.rsplit('/').next().is_some_and(|name| name.starts_with("libssl.so") || name.starts_with("libgnutls.so"));
    cache.split(|byte| *byte == 0).filter_map(|text| std::str::from_utf8(text).ok()).filter(of_tls).map(str::to_owned).collect()
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
    fn libraries_of_the_linker() {
        let cache = b"glibc-ld.so.cache1.1\0\x07\xff\x01\0libssl.so.3\0/lib/x86_64-linux-gnu/libssl.so.3\0libssl3.so\0/lib/libssl3.so\0/lib/libgnutls.so.30\0/lib/libgnutlsxx.so.30\0";
        assert_eq!(installed(cache), ["/lib/x86_64-linux-gnu/libssl.so.3", "/lib/libgnutls.so.30"]);
        assert_eq!(installed(b""), [""; 0]);
    }

    #[test]
    fn a_file_has_the_number_that_its_mappings_have() {
        let own = std::env::current_exe().unwrap();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let (id, _) = mapped(&maps).into_iter().find(|(_, path)| Path::new(path) == own).unwrap();
        assert_eq!(file_id(&own), Some(id));
        assert_eq!(file_id(Path::new("/nowhere")), None);
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
