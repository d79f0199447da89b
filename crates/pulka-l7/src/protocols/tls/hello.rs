//! The two hellos of a handshake: what each side offers and takes.

/// What the client offers.
#[derive(Debug, Default, PartialEq)]
pub struct ClientHello {
    pub server_name: Vec<u8>,
    /// Names separated by commas.
    pub alpn: Vec<u8>,
}

/// What the server took.
#[derive(Debug, PartialEq)]
pub struct ServerHello {
    pub version: u16,
    pub cipher: u16,
    pub alpn: Option<Vec<u8>>,
}

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;
/// The random of a ServerHello that asks for another ClientHello (RFC 8446, 4.1.3): only its beginning is compared.
const RETRY: [u8; 8] = [0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11];

/// A cursor over length-prefixed fields; None at the first that does not fit.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<usize> {
        self.take(1).map(|bytes| usize::from(bytes[0]))
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn vector8(&mut self) -> Option<Reader<'a>> {
        let length = self.u8()?;
        self.take(length).map(Reader)
    }

    fn vector16(&mut self) -> Option<Reader<'a>> {
        let length = usize::from(self.u16()?);
        self.take(length).map(Reader)
    }

    /// Calls `each` with the type and body of every extension.
    fn extensions(&mut self, mut each: impl FnMut(u16, Reader<'a>)) -> Option<()> {
        let mut extensions = self.vector16()?;
        while !extensions.0.is_empty() {
            let kind = extensions.u16()?;
            each(kind, extensions.vector16()?);
        }
        Some(())
    }
}

/// Reads what is there: a broken hello gives what came before the damage.
pub fn client_hello(message: &[u8]) -> ClientHello {
    let mut hello = ClientHello::default();
    read_client(&mut Reader(message), &mut hello);
    hello
}

fn read_client(message: &mut Reader<'_>, hello: &mut ClientHello) -> Option<()> {
    message.take(2 + 32)?;
    message.vector8()?; // session
    message.vector16()?; // ciphers
    message.vector8()?; // compression
    message.extensions(|kind, body| match kind {
        SERVER_NAME => hello.server_name = server_name(body).unwrap_or_default(),
        ALPN => hello.alpn = alpn(body).unwrap_or_default(),
        _ => {}
    })
}

fn server_name(mut body: Reader<'_>) -> Option<Vec<u8>> {
    let mut names = body.vector16()?;
    let kind = names.u8()?;
    let name = names.vector16()?.0;
    (kind == 0).then(|| name[..name.len().min(255)].to_vec())
}

fn alpn(mut body: Reader<'_>) -> Option<Vec<u8>> {
    let (mut list, mut names) = (body.vector16()?, Vec::new());
    while !list.0.is_empty() && names.len() < 128 {
        if !names.is_empty() {
            names.push(b',');
        }
        names.extend_from_slice(list.vector8()?.0);
    }
    Some(names)
}

/// None when it is broken, or asks the client for another hello.
pub fn server_hello(message: &[u8]) -> Option<ServerHello> {
    let mut message = Reader(message);
    let version = message.u16()?;
    if message.take(32)?.starts_with(&RETRY) {
        return None;
    }
    let draft = version >> 8 == 0x7f; // drafts of 1.3 up to 21 left out session and compression
    if !draft {
        message.vector8()?; // session
    }
    let cipher = message.u16()?;
    if !draft {
        message.u8()?; // compression
    }
    let mut hello = ServerHello { version, cipher, alpn: None };
    message.extensions(|kind, mut body| match kind {
        SUPPORTED_VERSIONS => hello.version = body.u16().unwrap_or(version),
        ALPN => hello.alpn = alpn(body),
        _ => {}
    });
    Some(hello)
}

pub fn version_name(version: u16) -> String {
    match version {
        0x0300 => "SSL 3.0".into(),
        0x0301..=0x0304 => format!("1.{}", version - 0x0301),
        0x7f00..=0x7fff => "1.3".into(), // drafts
        _ => format!("0x{version:04x}"),
    }
}

pub fn cipher_name(cipher: u16) -> String {
    let name = match cipher {
        0x0004 => "TLS_RSA_WITH_RC4_128_MD5",
        0x0005 => "TLS_RSA_WITH_RC4_128_SHA",
        0x000a => "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
        0x002f => "TLS_RSA_WITH_AES_128_CBC_SHA",
        0x0033 => "TLS_DHE_RSA_WITH_AES_128_CBC_SHA",
        0x0035 => "TLS_RSA_WITH_AES_256_CBC_SHA",
        0x0039 => "TLS_DHE_RSA_WITH_AES_256_CBC_SHA",
        0x003c => "TLS_RSA_WITH_AES_128_CBC_SHA256",
        0x003d => "TLS_RSA_WITH_AES_256_CBC_SHA256",
        0x009c => "TLS_RSA_WITH_AES_128_GCM_SHA256",
        0x009d => "TLS_RSA_WITH_AES_256_GCM_SHA384",
        0x009e => "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
        0x009f => "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
        0x1301 => "TLS_AES_128_GCM_SHA256",
        0x1302 => "TLS_AES_256_GCM_SHA384",
        0x1303 => "TLS_CHACHA20_POLY1305_SHA256",
        0xc009 => "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
        0xc00a => "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
        0xc011 => "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
        0xc013 => "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
        0xc014 => "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
        0xc027 => "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
        0xc028 => "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
        0xc02b => "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        0xc02c => "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        0xc02f => "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        0xc030 => "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        0xcca8 => "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        0xcca9 => "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        _ => return format!("0x{cipher:04x}"),
    };
    name.into()
}

pub fn alert_name(alert: u8) -> &'static str {
    match alert {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        22 => "record_overflow",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        109 => "missing_extension",
        112 => "unrecognized_name",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => "alert",
    }
}
