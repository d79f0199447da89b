//! Feature groups and what loading them told: yes, no (needs X), or could not tell.

use aya::programs::ProgramError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Yes,
    /// It cannot work here; the text says what it needs or why it was switched off.
    No(String),
    /// Loading failed in a way that says nothing about the kernel (memory, a race).
    Unknown(String),
}

/// One group of programs that work together or not at all.
#[derive(Clone, Debug)]
pub struct Feature {
    pub name: &'static str,
    pub programs: &'static [&'static str],
    /// What it is for, and what takes its place.
    pub purpose: &'static str,
    pub needs: &'static str,
    /// Without it the agent refuses to start.
    pub required: bool,
    pub answer: Answer,
    /// By which of several ways it works; empty where there is one.
    pub way: String,
}

/// Among the features that are left off: TLS is probed by perf events, also where `uprobe_multi` works.
pub const UPROBE_MULTI: &str = "uprobe_multi";

pub const BYTES: usize = 0;
pub const STATE: usize = 1;
pub const OWNER: usize = 2;
pub const FILES: usize = 3;
pub const TLS: usize = 4;

const fn feature(name: &'static str, programs: &'static [&'static str], purpose: &'static str, needs: &'static str) -> Feature {
    Feature { name, programs, purpose, needs, required: false, answer: Answer::Unknown(String::new()), way: String::new() }
}

/// In the order of the constants above. The minimum viable hook set is `bytes`: everything else has a stand-in.
pub fn all() -> Vec<Feature> {
    let mut features = vec![
        feature("bytes", &["bytes_ingress", "bytes_egress"], "plaintext of every socket", "cgroup v2, Linux 5.10 with BTF, CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"),
        feature("state", &["conn_state"], "opens, closes and roles of connections; otherwise by listening ports", "the tracepoint inet_sock_set_state with BTF"),
        feature("owner", &["owner_sends", "owner_receives"], "the process of a socket; otherwise the one that listens or connected", "the tracepoints tcp_sendmsg_locked and sock_recv_length (Linux 6.15)"),
        feature("files", &["conn_files"], "connections older than the agent; otherwise who listens, and connections whose opening was seen, from /proc", "BPF iterators (Linux 5.12)"),
        feature("tls", &["tls_enter", "tls_exit", "go_write", "go_read", "go_read_return", "rust_chunk", "rust_consume"], "plaintext of OpenSSL, GnuTLS, Go and rustls", "x86-64, uprobes with cookies (Linux 5.15), the feature owner"),
    ];
    features[BYTES].required = true;
    features
}

/// Linux 6.11 to 6.13 return from a uretprobe by a system call that a filter (seccomp) of the probed process may answer with its end;
/// 6.14 lets it pass. Some of these kernels have the correction, but none says so: a process that dies is worse than one not seen.
pub fn kills_filtered_processes(release: &str) -> bool {
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    matches!((numbers.next(), numbers.next()), (Some(6), Some(11..=13)))
}

/// What an error of the loader says about the kernel.
pub fn answer_of(error: &ProgramError, needs: &str) -> Answer {
    let text = describe(error);
    let transient = ["Cannot allocate memory", "Resource temporarily unavailable", "Interrupted"];
    if transient.iter().any(|sign| text.contains(sign)) { Answer::Unknown(text) } else { Answer::No(format!("needs {needs} ({text})")) }
}

/// The error with its causes; of the verifier's log only the last line that tells something.
pub fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = next.source();
    }
    const STATISTICS: [&str; 3] = ["processed ", "verification time ", "stack depth "];
    let telling = |line: &&str| !line.trim().is_empty() && !STATISTICS.iter().any(|start| line.starts_with(start));
    let lines: Vec<&str> = text.lines().filter(telling).collect();
    match lines.as_slice() {
        [] => text,
        [only] => (*only).to_owned(),
        [first, .., last] => format!("{first} … {last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::kills_filtered_processes;

    #[test]
    fn kernels_whose_uretprobes_may_end_a_process() {
        assert_eq!(["6.10.9", "6.11.0-29-generic", "6.12.30", "6.13", "6.14.1", "6.18.44-fc", "5.15.0"].map(kills_filtered_processes), [false, true, true, true, false, false, false]);
    }
}
