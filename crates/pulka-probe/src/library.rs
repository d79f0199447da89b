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
    /// rustls lends what it has decrypted, told at the return, and is then told how much of it was taken.
    RustChunk,
    RustConsume,
}

impl Kind {
    pub fn programs(self) -> &'static [&'static str] {
        match self {
            Kind::Library => &["tls_enter", "tls_exit"],
            Kind::GoWrite => &["go_write"],
            Kind::GoRead => &["go_read"],
            Kind::GoReadReturn => &["go_read_return"],
            Kind::RustChunk => &["rust_chunk"],
            Kind::RustConsume => &["rust_consume"],
        }
    }
}

/// A place to probe, as an offset in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    pub function: &'static str,
    pub kind: Kind,
    pub offset: u64,
    /// `bpf/tls.h`: whether it writes, and how it tells the number of bytes. `bpf/go.h`: a number of the file.
    pub cookie: u64,
    /// The kernel emulates the instruction there.
    pub cheap: bool,
}

const WRITES: u64 = 1;
const FOURTH: u64 = 2;
const FIFTH: u64 = 4;
const RUST: u64 = 6;
const TABLE: u64 = 8;
const INDIRECT: u64 = 16;

/// Instances of generic functions; more are not probed.
const RUST_POINTS_MAX: usize = 32;
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

/// Functions of rustls 0.21 to 0.23 by what their names hold, as mangled in the old and in the new way. Those that are generic are there once
/// for each type they are used with; a program that was stripped, or optimised across crates, may have none of them.
struct Mangled {
    name: &'static str,
    parts: [&'static str; 2],
    kind: Kind,
    cookie: u64,
}

const fn mangled(name: &'static str, parts: [&'static str; 2], kind: Kind, cookie: u64) -> Mangled {
    Mangled { name, parts, kind, cookie }
}

const RUSTLS: [Mangled; 5] = [
    mangled("rustls Reader::read", ["connection..Reader$u20$as$u20$std..io..Read$GT$4read17h", "6ReaderNt"], Kind::Library, RUST | INDIRECT),
    mangled("rustls Reader::into_first_chunk", ["6Reader16into_first_chunk", "6Reader16into_first_chunk"], Kind::RustChunk, 0),
    mangled("rustls consume_first_chunk", ["14ChunkVecBuffer19consume_first_chunk", "14ChunkVecBuffer19consume_first_chunk"], Kind::RustConsume, 0),
    mangled("rustls write", ["PlaintextSink$GT$5write17h", "13PlaintextSink5write"], Kind::Library, RUST | WRITES),
    mangled("rustls write_vectored", ["PlaintextSink$GT$14write_vectored17h", "13PlaintextSink14write_vectored"], Kind::Library, RUST | WRITES | TABLE),
];

fn rustls(name: &str) -> Option<&'static Mangled> {
    if !name.contains("6rustls") && !name.contains("rustls..") {
        return None;
    }
    let is_read = |known: &Mangled| known.parts[1] != "6ReaderNt" || name.ends_with("4Read4read");
    RUSTLS.iter().find(|known| name.contains(known.parts[0]) || (name.contains(known.parts[1]) && is_read(known)))
}

/// The points of OpenSSL, GnuTLS, Go's crypto/tls or rustls in a library, or in a program that contains one of them. Empty: neither is there.
pub fn points(path: &Path) -> Vec<Point> {
    read(path).unwrap_or_default()
}

fn read(path: &Path) -> Option<Vec<Point>> {
    let cache = ReadCache::new(File::open(path).ok()?);
    let file = object::File::parse(&cache).ok()?;
    if file.architecture() != Architecture::X86_64 {
        return None;
    }
    let mut code = Code { file: File::open(path).ok()?, segments: segments(&file), symbols: symbols(&file), rust: rust_symbols(&file) };
    let mut points: Vec<Point> = OPENSSL.iter().flat_map(|pair| code.pair(pair)).collect();
    points.extend(GNUTLS.iter().filter_map(|function| code.alone(function)));
    points.extend(code.go().unwrap_or_default());
    points.extend(code.rustls().unwrap_or_default());
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
    rust: Vec<(&'static Mangled, u64)>,
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

fn rust_symbols<'a>(file: &object::File<'a, &'a ReadCache<File>>) -> Vec<(&'static Mangled, u64)> {
    let defined = file.symbols().filter(|symbol| symbol.is_definition());
    defined.filter_map(|symbol| Some((rustls(symbol.name().ok()?)?, symbol.address()))).take(RUST_POINTS_MAX).collect()
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

    /// A way to read and a way to write, or nothing: half a conversation tells nothing.
    fn rustls(&mut self) -> Option<Vec<Point>> {
        let found = std::mem::take(&mut self.rust);
        let has = |kind: Kind, writes: u64| found.iter().any(|(known, _)| known.kind == kind && known.cookie & WRITES == writes);
        if !has(Kind::Library, WRITES) || !(has(Kind::Library, 0) || (has(Kind::RustChunk, 0) && has(Kind::RustConsume, 0))) {
            return None;
        }
        found.iter().map(|(known, address)| {
            let point = self.point(&function(known.name, known.cookie), *address)?;
            Some(Point { kind: known.kind, ..point })
        }).collect()
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
    fn functions_of_rustls_by_either_mangling() {
        let name = |mangled: &str| rustls(mangled).map(|known| known.name);
        let read = "_ZN66_$LT$rustls..conn..connection..Reader$u20$as$u20$std..io..Read$GT$4read17h21c57d591636da98E";
        assert_eq!(name(read), Some("rustls Reader::read"));
        assert_eq!(name("_RNvXs1_NtNtCs4fhZ_6rustls4conn10connectionNtB5_6ReaderNtNtCsYY_3std2io4Read4read"), Some("rustls Reader::read"));
        let sink = "_ZN99_$LT$rustls..conn..ConnectionCommon$LT$T$GT$$u20$as$u20$rustls..conn..connection..PlaintextSink$GT$";
        assert_eq!(name(&format!("{sink}5write17h9baf0c4d9c00b0d4E")), Some("rustls write"));
        assert_eq!(name(&format!("{sink}14write_vectored17h9baf0c4d9c00b0d4E")), Some("rustls write_vectored"));
        assert_eq!(name(&format!("{sink}5flush17h9baf0c4d9c00b0d4E")), None);
        assert_eq!(name("_ZN6rustls4conn10connection6Reader16into_first_chunk17hb64d7911370a00ffE"), Some("rustls Reader::into_first_chunk"));
        assert_eq!(name("_ZN5tokio2io4read17hb64d7911370a00ffE"), None);
    }

    #[test]
    fn what_is_no_library_has_no_points() {
        assert_eq!(points(Path::new("/etc/passwd")), []);
        assert_eq!(points(Path::new("/nowhere")), []);
    }
}
