//! Where the functions of a TLS library are in a file, and how each is to be probed.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use object::read::ReadCache;
use object::{Architecture, Object, ObjectSegment, ObjectSymbol};

use crate::x86::{self, FirstCall};

/// Which programs belong to a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A function of a C library: its entry and its return.
    Library,
    GoWrite,
    GoRead,
    GoReadReturn,
}

impl Kind {
    pub fn programs(self) -> &'static [&'static str] {
        match self {
            Kind::Library => &["tls_enter", "tls_exit"],
            Kind::GoWrite => &["go_write"],
            Kind::GoRead => &["go_read"],
            Kind::GoReadReturn => &["go_read_return"],
        }
    }
}

/// A place to probe, as an offset in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    pub function: &'static str,
    pub kind: Kind,
    pub offset: u64,
    /// `bpf/tls.h`: whether it writes, and how it tells the number of bytes.
    pub cookie: u64,
    /// The kernel emulates the instruction there.
    pub cheap: bool,
}

const WRITES: u64 = 1;
const FOURTH: u64 = 2;
const FIFTH: u64 = 4;

const GO_FUNCTION_BYTES_MAX: usize = 64 << 10;

struct Function {
    name: &'static str,
    cookie: u64,
}

const fn function(name: &'static str, cookie: u64) -> Function {
    Function { name, cookie }
}

/// Of each pair, the first forwards to the same inner function as the second does (OpenSSL 1.1.1 and 3).
const OPENSSL: [[Function; 2]; 2] = [
    [function("SSL_read", 0), function("SSL_read_ex", FOURTH)],
    [function("SSL_write", WRITES), function("SSL_write_ex", WRITES | FOURTH)],
];
const GNUTLS: [Function; 2] = [function("gnutls_record_recv", 0), function("gnutls_record_send", WRITES)];

const GO_READ: &str = "crypto/tls.(*Conn).Read";
const GO_WRITE: &str = "crypto/tls.(*Conn).Write";

/// The points of OpenSSL, GnuTLS or Go's crypto/tls in a library, or in a program that contains one of them. Empty: neither is there.
pub fn points(path: &Path) -> Vec<Point> {
    read(path).unwrap_or_default()
}

fn read(path: &Path) -> Option<Vec<Point>> {
    let cache = ReadCache::new(File::open(path).ok()?);
    let file = object::File::parse(&cache).ok()?;
    if file.architecture() != Architecture::X86_64 {
        return None;
    }
    let mut code = Code { file: File::open(path).ok()?, segments: segments(&file), symbols: symbols(&file) };
    let mut points: Vec<Point> = OPENSSL.iter().flat_map(|pair| code.pair(pair)).collect();
    points.extend(GNUTLS.iter().filter_map(|function| code.alone(function)));
    points.extend(code.go().unwrap_or_default());
    Some(points)
}

struct Segment {
    address: u64,
    offset: u64,
    bytes: u64,
}

struct Code {
    file: File,
    segments: Vec<Segment>,
    symbols: Vec<Symbol>,
}

struct Symbol {
    name: &'static str,
    address: u64,
    bytes: u64,
}

fn segments<'a>(file: &object::File<'a, &'a ReadCache<File>>) -> Vec<Segment> {
    let of = |segment: object::Segment<'a, '_, &'a ReadCache<File>>| {
        let (offset, bytes) = segment.file_range();
        Segment { address: segment.address(), offset, bytes }
    };
    file.segments().map(of).collect()
}

fn symbols<'a>(file: &object::File<'a, &'a ReadCache<File>>) -> Vec<Symbol> {
    let wanted: Vec<&'static str> = OPENSSL.iter().flatten().chain(&GNUTLS).map(|function| function.name).chain([GO_READ, GO_WRITE]).collect();
    let mut found: Vec<Symbol> = Vec::new();
    for symbol in file.dynamic_symbols().chain(file.symbols()).filter(|symbol| symbol.is_definition()) {
        let Ok(name) = symbol.name() else { continue };
        if let Some(known) = wanted.iter().find(|known| **known == name) && !found.iter().any(|other| other.name == *known) {
            found.push(Symbol { name: known, address: symbol.address(), bytes: symbol.size() });
            if found.len() == wanted.len() {
                break;
            }
        }
    }
    found
}

impl Code {
    fn address(&self, name: &str) -> Option<u64> {
        self.symbols.iter().find(|symbol| symbol.name == name).map(|symbol| symbol.address)
    }

    fn offset(&self, address: u64) -> Option<u64> {
        let segment = self.segments.iter().find(|segment| (segment.address..segment.address + segment.bytes).contains(&address))?;
        Some(address - segment.address + segment.offset)
    }

    fn bytes(&mut self, address: u64) -> Option<Vec<u8>> {
        self.code(address, x86::WINDOW)
    }

    fn code(&mut self, address: u64, length: usize) -> Option<Vec<u8>> {
        self.file.seek(SeekFrom::Start(self.offset(address)?)).ok()?;
        let mut bytes = vec![0; length];
        let read = self.file.read(&mut bytes).ok()?;
        bytes.truncate(read);
        Some(bytes)
    }

    /// The function behind both if that is cheap, otherwise each of them.
    fn pair(&mut self, pair: &[Function; 2]) -> Vec<Point> {
        if let Some(inner) = self.inner(pair) {
            return vec![inner];
        }
        pair.iter().filter_map(|function| self.alone(function)).collect()
    }

    fn inner(&mut self, pair: &[Function; 2]) -> Option<Point> {
        let mut targets = pair.iter().map(|function| {
            let address = self.address(function.name)?;
            let call = x86::first_call(&self.bytes(address)?)?;
            Some((address.checked_add_signed(call.target)?, call))
        });
        let (first, second) = (targets.next()??, targets.next()??);
        drop(targets);
        if first.0 != second.0 {
            return None;
        }
        let point = self.point(&pair[1], first.0)?;
        let told = if told_in_fifth(first.1, &pair[1]) { FIFTH } else { FOURTH };
        point.cheap.then_some(Point { cookie: pair[0].cookie | told, ..point })
    }

    fn alone(&mut self, function: &Function) -> Option<Point> {
        let address = self.address(function.name)?;
        self.point(function, address)
    }

    /// All points of Go's crypto/tls or none: a read without its returns would tell nothing.
    fn go(&mut self) -> Option<Vec<Point>> {
        let (read, read_bytes) = self.symbols.iter().find(|symbol| symbol.name == GO_READ).map(|symbol| (symbol.address, symbol.bytes))?;
        let write = self.address(GO_WRITE)?;
        let write_entry = x86::go_entry(&self.bytes(write)?)?;
        let code = self.code(read, usize::try_from(read_bytes).ok().filter(|bytes| *bytes <= GO_FUNCTION_BYTES_MAX)?)?;
        let mut points = vec![
            self.go_point(GO_WRITE, Kind::GoWrite, write, write_entry)?,
            self.go_point(GO_READ, Kind::GoRead, read, x86::go_entry(&code)?)?,
        ];
        for at in x86::returns(&code)? {
            points.push(Point { cheap: false, ..self.go_point(GO_READ, Kind::GoReadReturn, read, at)? });
        }
        Some(points)
    }

    fn go_point(&self, function: &'static str, kind: Kind, address: u64, at: usize) -> Option<Point> {
        Some(Point { function, kind, offset: self.offset(address + at as u64)?, cookie: 0, cheap: true })
    }

    fn point(&mut self, function: &Function, address: u64) -> Option<Point> {
        let cheap = x86::cheap_point(&self.bytes(address)?);
        let offset = self.offset(address + cheap.unwrap_or(0) as u64)?;
        Some(Point { function: function.name, kind: Kind::Library, offset, cookie: function.cookie, cheap: cheap.is_some() })
    }
}

/// Since OpenSSL 3.3 `ssl_write_internal` has flags before the place where it tells the number of bytes.
fn told_in_fifth(call: FirstCall, function: &Function) -> bool {
    function.cookie & WRITES != 0 && call.fifth
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_of_this_machine() {
        let path = Path::new("/usr/lib/x86_64-linux-gnu/libssl.so.3");
        if !path.exists() {
            return;
        }
        let found = points(path);
        assert!(found.iter().any(|point| point.cookie & WRITES == 0) && found.iter().any(|point| point.cookie & WRITES != 0), "{found:?}");
        assert!(found.iter().all(|point| point.offset > 0), "{found:?}");
    }

    #[test]
    fn what_is_no_library_has_no_points() {
        assert_eq!(points(Path::new("/etc/passwd")), []);
        assert_eq!(points(Path::new("/nowhere")), []);
    }
}
