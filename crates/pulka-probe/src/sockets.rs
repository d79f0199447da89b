//! Who has which socket, without BPF: the kernel's tables of each network namespace joined with the descriptors of each process. For kernels
//! without iterators over open files; it costs a walk over `/proc`, and knows sockets by their addresses only.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::wire::{Conn, Role};

/// Of TCP and UDP, listeners included. `Conn::conn` is 0.
pub fn open() -> Vec<Conn> {
    let (mut owners, mut namespaces) = (HashMap::new(), HashSet::new());
    let mut tables = Vec::new();
    for pid in pids() {
        let process = format!("/proc/{pid}");
        let sockets = sockets(Path::new(&process));
        if !sockets.is_empty() && namespaces.insert(fs::read_link(format!("{process}/ns/net")).unwrap_or_default()) {
            tables.extend(["tcp", "tcp6", "udp", "udp6"].map(|name| (name.starts_with("udp"), fs::read_to_string(format!("{process}/net/{name}")).unwrap_or_default())));
        }
        for inode in sockets {
            owners.entry(inode).or_insert(pid);
        }
    }
    tables.iter().flat_map(|(udp, table)| table.lines().filter_map(|line| conn(line, *udp, &owners))).collect()
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Inodes of the sockets that a process has open.
fn sockets(process: &Path) -> Vec<u64> {
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let inode = |link: &Path| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    descriptors.filter_map(|descriptor| inode(&fs::read_link(descriptor.path()).ok()?)).collect()
}

/// A line of `/proc/net/tcp` and its kin: number, local, remote, state, ..., inode in field 9.
fn conn(line: &str, udp: bool, owners: &HashMap<u64, u32>) -> Option<Conn> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, local, remote, state, _, _, _, _, _, inode, ..] = fields[..] else { return None };
    let tgid = *owners.get(&inode.parse().ok()?)?;
    let state = u32::from_str_radix(state, 16).ok()?;
    Some(Conn { conn: 0, role: Role::Unknown, ts_ns: 0, local: address(local)?, remote: address(remote)?, udp, tgid, state, namespace: 0, parent: 0 })
}

/// `0100007F:1F90`: words of the address as this machine has them in memory, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let words = (0..address.len()).step_by(8).map(|at| u32::from_str_radix(address.get(at..at + 8)?, 16).ok());
    let bytes: Vec<u8> = words.collect::<Option<Vec<u32>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let address = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        _ => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;
    use crate::wire::LISTEN;

    #[test]
    fn own_sockets_are_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let client = TcpStream::connect(server).unwrap();
        let bound = UdpSocket::bind("[::1]:0").unwrap();
        let found: Vec<_> = open().into_iter().filter(|conn| conn.tgid == std::process::id()).map(|conn| (conn.local, conn.remote, conn.udp, conn.state)).collect();
        assert!(found.contains(&(server, "0.0.0.0:0".parse().unwrap(), false, LISTEN)), "{found:?}");
        assert!(found.contains(&(client.local_addr().unwrap(), server, false, 1)), "{found:?}");
        assert!(found.contains(&(bound.local_addr().unwrap(), "[::]:0".parse().unwrap(), true, 7)), "{found:?}");
    }

    #[test]
    fn lines_that_are_none() {
        let owners = HashMap::from([(7, 1)]);
        for line in ["", "sl  local_address rem_address   st", "0: 0100007F:0050 00000000:0000 0A 0 0 0 0 0 8", "0: 01:0050 00000000:0000 0A 0 0 0 0 0 7"] {
            assert_eq!(conn(line, false, &owners), None, "{line}");
        }
        let line = "0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 7 1 0";
        assert_eq!(conn(line, false, &owners).map(|conn| (conn.local.port(), conn.tgid, conn.state)), Some((80, 1, LISTEN)));
    }
}
