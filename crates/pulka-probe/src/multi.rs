//! Functions of TLS libraries probed by `uprobe_multi` (Linux 6.6): a link for each file and program, instead of a perf event and a link for each function.
//!
//! In: the object that aya loaded, a second time, because aya 0.14 loads no program for such links; both share the maps. Guarantees: as with all other
//! links, nothing is pinned. Whether the kernel has it is found by asking for a link that it must refuse.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aya::maps::Map;
use aya::{Btf, Ebpf};
use aya_obj::generated::bpf_insn;
use aya_obj::{Object, ProgramSection};

use crate::bpf;
use crate::feature::describe;
use crate::library::Point;
use crate::watchdog::{self, Cost};

/// Programs as the kernel takes them: relocated for its structs and for the maps of an `Ebpf`, which must live until they are loaded.
pub struct Code {
    programs: Vec<Instructions>,
    license: CString,
}

struct Instructions {
    name: &'static str,
    returns: bool,
    code: Vec<bpf_insn>,
}

impl Code {
    pub fn relocate(object: &[u8], btf: &Btf, ebpf: &Ebpf, names: &[&'static str]) -> Result<Code, String> {
        let mut object = Object::parse(object).map_err(|error| describe(&error))?;
        object.relocate_btf(btf).map_err(|error| describe(&error))?;
        let maps = std::mem::take(&mut object.maps);
        let shared = maps.iter().filter_map(|(name, map)| Some((name.as_str(), descriptor(ebpf.map(name)?)?, map)));
        let texts: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
        object.relocate_maps(shared, &texts).map_err(|error| describe(&error))?;
        object.relocate_calls(&texts).map_err(|error| describe(&error))?;
        let programs: Option<Vec<Instructions>> = names.iter().map(|name| instructions(&object, name)).collect();
        Ok(Code { programs: programs.ok_or("a program is missing")?, license: object.license })
    }
}

fn instructions(object: &Object, name: &'static str) -> Option<Instructions> {
    let program = object.programs.get(name)?;
    let returns = matches!(program.section, ProgramSection::URetProbe { .. });
    Some(Instructions { name, returns, code: object.functions.get(&program.function_key())?.instructions.clone() })
}

/// Of the types of map that the programs use.
fn descriptor(map: &Map) -> Option<RawFd> {
    match map {
        Map::Array(data) | Map::LruHashMap(data) | Map::PerCpuArray(data) | Map::RingBuf(data) | Map::SkStorage(data) => Some(data.fd().as_fd().as_raw_fd()),
        _ => None,
    }
}

/// The programs, loaded.
pub struct Multi {
    programs: Vec<Program>,
}

struct Program {
    name: &'static str,
    returns: bool,
    descriptor: OwnedFd,
}

impl Multi {
    /// Or why the kernel does not take them, or has no such links.
    pub fn load(code: &Code) -> Result<Multi, String> {
        let programs = code.programs.iter().map(|program| {
            let descriptor = bpf::load(program.name, &program.code, &code.license)?;
            Ok(Program { name: program.name, returns: program.returns, descriptor })
        });
        let programs: Vec<Program> = programs.collect::<io::Result<_>>().map_err(|error| format!("its programs are refused ({error})"))?;
        let first = programs.first().ok_or("there are no programs")?;
        knows_links(bpf::link(first.descriptor.as_fd(), c"/", &[0], &[0], false))?;
        Ok(Multi { programs })
    }

    /// Probe functions of a file. What ends a call is probed before what begins it: a beginning whose end is missed would be taken for a call under way.
    pub fn attach(&self, path: &Path, points: &[Point]) -> io::Result<Vec<OwnedFd>> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        self.programs.iter().rev().filter_map(|program| program.attach(&path, points)).collect()
    }

    /// Run time of all programs so far.
    pub fn cost(&self) -> Cost {
        self.programs.iter().filter_map(|program| bpf::cost(program.descriptor.as_fd()).ok()).fold(Cost::default(), watchdog::sum)
    }
}

impl Program {
    /// None: it belongs to none of the points.
    fn attach(&self, path: &CStr, points: &[Point]) -> Option<io::Result<OwnedFd>> {
        let own = points.iter().filter(|point| point.kind.programs().contains(&self.name));
        let (offsets, cookies): (Vec<u64>, Vec<u64>) = own.map(|point| (point.offset, point.cookie)).unzip();
        (!offsets.is_empty()).then(|| {
            has_spare_descriptors(self.descriptor.as_fd())?;
            bpf::link(self.descriptor.as_fd(), path, &offsets, &cookies, self.returns)
        })
    }
}

/// A link to a directory is refused by every kernel: those that know `uprobe_multi` look at the path, and say that it is no file; the others do not look.
fn knows_links(tried: io::Result<OwnedFd>) -> Result<(), String> {
    match tried {
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => Ok(()),
        Err(error) => Err(format!("it needs Linux 6.6 ({error})")),
        Ok(_) => Err("it is not as it is known".to_owned()),
    }
}

/// Linux before 6.12 goes on using freed memory when the probes are there but no descriptor is left for their link (CVE-2024-47675). Other threads open
/// files too, so it must be more than one.
fn has_spare_descriptors(any: BorrowedFd<'_>) -> io::Result<()> {
    const SPARE: usize = 16;
    (0..SPARE).map(|_| any.try_clone_to_owned()).collect::<io::Result<Vec<_>>>().map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn only_one_refusal_tells_that_the_kernel_knows_the_links() {
        let refused = |number: i32| knows_links(Err(io::Error::from_raw_os_error(number)));
        assert_eq!(refused(libc::EBADF), Ok(()));
        assert!(refused(libc::EINVAL).is_err_and(|why| why.contains("Linux 6.6")));
        assert!(refused(libc::EPERM).is_err());
        assert!(knows_links(Ok(File::open("/dev/null").expect("it is everywhere").into())).is_err());
    }
}
