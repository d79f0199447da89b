//! Frames of HTTP/2: nine bytes of header, then a payload.

pub const HEADER_BYTES: usize = 9;
/// RFC 9113 allows up to 2^24 - 1, but nobody announces more than this.
const LENGTH: usize = 1 << 22;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Data,
    Headers,
    Priority,
    Reset,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    /// ALTSVC, ORIGIN, PRIORITY_UPDATE and whatever follows: passed over.
    Extension,
}

impl Kind {
    /// Its payload matters.
    pub fn is_read(self) -> bool {
        matches!(self, Kind::Headers | Kind::PushPromise | Kind::Continuation | Kind::Reset)
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub length: usize,
    pub kind: Kind,
    flags: u8,
    pub stream: u32,
    reserved: bool,
}

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

impl Header {
    pub fn read(bytes: &[u8]) -> Option<Header> {
        let [a, b, c, kind, flags, stream @ ..] = bytes.first_chunk::<HEADER_BYTES>()?;
        let stream = u32::from_be_bytes(*stream);
        let kind = match kind {
            0 => Kind::Data,
            1 => Kind::Headers,
            2 => Kind::Priority,
            3 => Kind::Reset,
            4 => Kind::Settings,
            5 => Kind::PushPromise,
            6 => Kind::Ping,
            7 => Kind::GoAway,
            8 => Kind::WindowUpdate,
            9 => Kind::Continuation,
            _ => Kind::Extension,
        };
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        Some(Header { length, kind, flags: *flags, stream: stream & 0x7fff_ffff, reserved: stream >> 31 == 1 })
    }

    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, Kind::Data | Kind::Headers) && self.flags & END_STREAM != 0
    }

    pub fn ends_headers(&self) -> bool {
        self.flags & END_HEADERS != 0
    }

    /// Whether length, flags and stream fit the type.
    pub fn is_valid(&self) -> bool {
        let fits = match self.kind {
            Kind::Data => self.stream != 0 && self.flags & !(END_STREAM | PADDED) == 0,
            Kind::Headers => self.stream != 0 && self.length > 0 && self.flags & !(END_STREAM | END_HEADERS | PADDED | PRIORITY) == 0,
            Kind::Priority => self.stream != 0 && self.length == 5,
            Kind::Reset => self.stream != 0 && self.length == 4,
            Kind::Settings => self.stream == 0 && self.length.is_multiple_of(6) && self.length <= 6 * 64 && (self.flags & 1 == 0 || self.length == 0),
            Kind::PushPromise => self.stream != 0 && self.length >= 4,
            Kind::Ping => self.stream == 0 && self.length == 8 && self.flags <= 1,
            Kind::GoAway => self.stream == 0 && self.length >= 8,
            Kind::WindowUpdate => self.length == 4,
            Kind::Continuation => self.stream != 0,
            Kind::Extension => self.length <= 16_384,
        };
        fits && !self.reserved && self.length <= LENGTH
    }
}

/// The HPACK block of HEADERS or PUSH_PROMISE, without padding, priority and promised stream.
pub fn header_block<'a>(header: &Header, payload: &'a [u8]) -> Option<&'a [u8]> {
    let (padding, start) = if header.flags & PADDED != 0 { (usize::from(*payload.first()?), 1) } else { (0, 0) };
    let start = start
        + match header.kind {
            Kind::PushPromise => 4,
            _ if header.flags & PRIORITY != 0 => 5,
            _ => 0,
        };
    payload.get(start..payload.len().checked_sub(padding)?)
}

/// The stream that PUSH_PROMISE announces.
pub fn promised(header: &Header, payload: &[u8]) -> u32 {
    let start = usize::from(header.flags & PADDED != 0);
    payload.get(start..).and_then(<[u8]>::first_chunk::<4>).map_or(0, |bytes| u32::from_be_bytes(*bytes) & 0x7fff_ffff)
}

/// Error codes of RST_STREAM as values of `error.type`.
pub fn error_name(code: u32) -> &'static str {
    const NAMES: [&str; 14] = [
        "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL",
        "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
    ];
    NAMES.get(code as usize).copied().unwrap_or("_OTHER")
}
