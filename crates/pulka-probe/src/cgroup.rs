//! Where the root of cgroup v2 is: found by file-system type, because hybrid machines mount it at `unified`.

use std::fs;
use std::path::PathBuf;

pub fn root() -> Option<PathBuf> {
    root_in(&fs::read_to_string("/proc/self/mountinfo").ok()?)
}

fn root_in(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ');
        let (subtree, target) = (fields.nth(3)?, fields.next()?);
        (system.starts_with("cgroup2 ") && subtree == "/").then(|| PathBuf::from(target))
    })
}

#[cfg(test)]
mod tests {
    use super::root_in;
    use std::path::Path;

    #[test]
    fn hybrid_and_unified_machines() {
        let hybrid = "24 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n30 24 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(root_in(hybrid).as_deref(), Some(Path::new("/sys/fs/cgroup/unified")));
        assert_eq!(root_in("24 1 0:22 / /sys/fs/cgroup rw - cgroup2 none rw").as_deref(), Some(Path::new("/sys/fs/cgroup")));
        assert_eq!(root_in("24 1 0:22 /docker/x /sys/fs/cgroup rw - cgroup2 none rw"), None);
        assert_eq!(root_in("nonsense"), None);
    }
}
