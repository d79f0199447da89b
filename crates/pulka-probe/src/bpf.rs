//! Calls of bpf(2) that aya 0.14 does not make: programs and links of the attach type `uprobe_multi`. This is the only `unsafe` of the repository, behind
//! functions that anybody may call.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::from_mut;
use std::time::Duration;

use aya_obj::generated::bpf_attach_type::BPF_TRACE_UPROBE_MULTI;
use aya_obj::generated::bpf_cmd::{self, BPF_LINK_CREATE, BPF_OBJ_GET_INFO_BY_FD, BPF_PROG_LOAD};
use aya_obj::generated::bpf_prog_type::BPF_PROG_TYPE_KPROBE;
use aya_obj::generated::{BPF_F_UPROBE_MULTI_RETURN, bpf_attr, bpf_insn, bpf_prog_info};

use crate::watchdog::Cost;

const NAME_BYTES: usize = 16;

/// Load a program for links of `uprobe_multi`. Errors: what the kernel says; kernels that do not know such links may load it.
pub fn load(name: &str, instructions: &[bpf_insn], license: &CStr) -> io::Result<OwnedFd> {
    let mut attributes = nothing();
    let mut shown = [0; NAME_BYTES];
    shown.iter_mut().zip(name.bytes().take(NAME_BYTES - 1)).for_each(|(to, byte)| *to = byte as _);
    attributes.__bindgen_anon_3.prog_name = shown;
    attributes.__bindgen_anon_3.prog_type = BPF_PROG_TYPE_KPROBE as u32;
    attributes.__bindgen_anon_3.expected_attach_type = BPF_TRACE_UPROBE_MULTI as u32;
    attributes.__bindgen_anon_3.insns = instructions.as_ptr() as u64;
    attributes.__bindgen_anon_3.insn_cnt = instructions.len() as u32;
    attributes.__bindgen_anon_3.license = license.as_ptr() as u64;
    // SAFETY: the instructions (as many as it says) and the license outlive the call, which only reads them.
    unsafe { descriptor(BPF_PROG_LOAD, &mut attributes) }
}

/// Run a program wherever any process executes one of `offsets` of a file (or returns from there), until the link is closed. `cookies`: one for each offset.
pub fn link(program: BorrowedFd<'_>, path: &CStr, offsets: &[u64], cookies: &[u64], returns: bool) -> io::Result<OwnedFd> {
    assert_eq!(offsets.len(), cookies.len());
    let mut attributes = nothing();
    attributes.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    attributes.link_create.attach_type = BPF_TRACE_UPROBE_MULTI as u32;
    attributes.link_create.__bindgen_anon_3.uprobe_multi.path = path.as_ptr() as u64;
    attributes.link_create.__bindgen_anon_3.uprobe_multi.offsets = offsets.as_ptr() as u64;
    attributes.link_create.__bindgen_anon_3.uprobe_multi.cookies = cookies.as_ptr() as u64;
    attributes.link_create.__bindgen_anon_3.uprobe_multi.cnt = offsets.len() as u32;
    attributes.link_create.__bindgen_anon_3.uprobe_multi.flags = if returns { BPF_F_UPROBE_MULTI_RETURN } else { 0 };
    // SAFETY: the path ends with a zero and both arrays have as many items as it says; all outlive the call, which only reads them.
    unsafe { descriptor(BPF_LINK_CREATE, &mut attributes) }
}

/// Run time of a program so far.
pub fn cost(program: BorrowedFd<'_>) -> io::Result<Cost> {
    // SAFETY: it holds integers only, so all zeros is one of its values.
    let mut info: bpf_prog_info = unsafe { zeroed() };
    let mut attributes = nothing();
    attributes.info.bpf_fd = program.as_raw_fd() as u32;
    attributes.info.info_len = size_of::<bpf_prog_info>() as u32;
    attributes.info.info = from_mut(&mut info) as u64;
    // SAFETY: the kernel writes at most `info_len` bytes, which is what `info` has, and follows no pointer within it: their lengths are 0.
    unsafe { call(BPF_OBJ_GET_INFO_BY_FD, &mut attributes) }?;
    Ok(Cost { run_time: Duration::from_nanos(info.run_time_ns), runs: info.run_cnt })
}

fn nothing() -> bpf_attr {
    // SAFETY: a union of structs of integers, for which the kernel itself wants zeros where nothing is said.
    unsafe { zeroed() }
}

/// A call that answers with a new file descriptor.
///
/// # Safety
/// As `call`; and `command` must be one of those.
unsafe fn descriptor(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: what is asked of `call` is asked of this function too; the descriptor is new, so nobody else owns it.
    unsafe { Ok(OwnedFd::from_raw_fd(call(command, attributes)?)) }
}

/// # Safety
/// Each address in `attributes` must be valid for what `command` does with it.
unsafe fn call(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<i32> {
    // SAFETY: bpf(2) takes a command, an address and how many bytes are there; the addresses within are the caller's to answer for.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command as libc::c_long, from_mut(attributes), size_of::<bpf_attr>()) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer as i32) }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_is_no_program_is_an_error() {
        let file = File::open("/dev/null").expect("it is everywhere");
        assert!(load("nonsense", &[], c"GPL").is_err());
        assert!(link(file.as_fd(), c"/dev/null", &[0], &[0], false).is_err());
        assert!(cost(file.as_fd()).is_err());
    }
}
