//! DNS messages (RFC 1035): header, first question, and whether the rest holds together.

/// What names a transaction.
#[derive(Debug, PartialEq)]
pub struct Message {
    pub id: u16,
    pub response: bool,
    pub opcode: u8,
    pub truncated: bool,
    pub rcode: u8,
    /// Name without the last dot (`.` for the root), and type, of the question or else of the first answer.
    pub question: Option<(Vec<u8>, u16)>,
    pub answers: u16,
    /// Every record was there, and nothing after the last one.
    pub whole: bool,
}

const HEADER: usize = 12;
const POINTERS: usize = 32;

/// None when `bytes` cannot be a message: too short, an unknown opcode, impossible counts, a question that is none.
pub fn message(bytes: &[u8]) -> Option<Message> {
    let word = |offset: usize| bytes.get(offset..)?.first_chunk::<2>().map(|pair| u16::from_be_bytes(*pair));
    let (flags, counts) = (word(2)?, [word(4)?, word(6)?, word(8)?, word(10)?]);
    let opcode = (flags >> 11 & 15) as u8;
    if !matches!(opcode, 0 | 1 | 2 | 4 | 5 | 6) || flags & 0x40 != 0 || counts[0] > 64 || counts[1] > 4096 || counts[2] > 4096 || counts[3] > 4096 {
        return None;
    }
    let mut offset = HEADER;
    let mut question = None;
    for index in 0..counts[0] {
        let (name, after) = name(bytes, offset)?;
        let (kind, class) = (word(after)?, word(after + 2)?);
        if !matches!(class & 0x7fff, 1 | 3 | 4 | 254 | 255) || kind == 0 {
            return None; // mDNS sets the highest bit to ask for an answer to one
        }
        offset = after + 4;
        if index == 0 {
            question = Some((name, kind));
        }
    }
    if question.is_none() && counts[1] > 0 {
        let (name, after) = name(bytes, offset)?; // multicast answers repeat no question: the first record says what it was
        question = Some((name, word(after)?));
    }
    let end = (0..counts[1..].iter().map(|count| usize::from(*count)).sum()).try_fold(offset, |offset, _| record(bytes, offset));
    let (response, truncated) = (flags >> 15 == 1, flags & 0x200 != 0);
    Some(Message { id: word(0)?, response, opcode, truncated, rcode: (flags & 15) as u8, question, answers: counts[1], whole: end == Some(bytes.len()) })
}

/// The offset after a resource record.
fn record(bytes: &[u8], offset: usize) -> Option<usize> {
    let (_, after) = name(bytes, offset)?;
    let length = u16::from_be_bytes(*bytes.get(after + 8..)?.first_chunk::<2>()?);
    let end = after + 10 + usize::from(length);
    (end <= bytes.len()).then_some(end)
}

/// A name with its compression undone, and the offset after it. Follows a bounded number of pointers.
fn name(bytes: &[u8], mut offset: usize) -> Option<(Vec<u8>, usize)> {
    let (mut out, mut after) = (Vec::new(), None);
    for _ in 0..128 + POINTERS {
        let length = usize::from(*bytes.get(offset)?);
        match length {
            0 => {
                if out.is_empty() {
                    out.push(b'.');
                }
                return Some((out, after.unwrap_or(offset + 1)));
            }
            1..=63 => {
                let label = bytes.get(offset + 1..offset + 1 + length)?;
                if out.len() + length > 255 {
                    return None;
                }
                if !out.is_empty() {
                    out.push(b'.');
                }
                out.extend_from_slice(label);
                offset += 1 + length;
            }
            192.. => {
                after = after.or(Some(offset + 2));
                offset = (length & 63) << 8 | usize::from(*bytes.get(offset + 1)?);
            }
            _ => return None,
        }
    }
    None
}

pub fn type_name(kind: u16) -> String {
    let name = match kind {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        11 => "WKS",
        12 => "PTR",
        13 => "HINFO",
        15 => "MX",
        16 => "TXT",
        17 => "RP",
        18 => "AFSDB",
        24 => "SIG",
        25 => "KEY",
        28 => "AAAA",
        29 => "LOC",
        33 => "SRV",
        35 => "NAPTR",
        36 => "KX",
        37 => "CERT",
        39 => "DNAME",
        41 => "OPT",
        43 => "DS",
        44 => "SSHFP",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        50 => "NSEC3",
        51 => "NSEC3PARAM",
        52 => "TLSA",
        64 => "SVCB",
        65 => "HTTPS",
        99 => "SPF",
        249 => "TKEY",
        250 => "TSIG",
        251 => "IXFR",
        252 => "AXFR",
        255 => "ANY",
        257 => "CAA",
        _ => return format!("TYPE{kind}"),
    };
    name.into()
}

pub fn rcode_name(rcode: u8) -> &'static str {
    const NAMES: [&str; 12] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE", "DSOTYPENI"];
    NAMES.get(usize::from(rcode)).copied().unwrap_or("_OTHER")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_pointers_and_loops() {
        let bytes = b"\x03www\x07example\0\x01a\xc0\x04\xc0\x11\xc0\x13";
        assert_eq!(name(bytes, 0), Some((b"www.example".to_vec(), 13)));
        assert_eq!(name(bytes, 13), Some((b"a.example".to_vec(), 17)));
        assert_eq!(name(bytes, 12), Some((b".".to_vec(), 13)));
        assert_eq!(name(b"\xc0\x00", 0), None);
        assert_eq!(name(b"\x3fabc", 0), None);
        assert_eq!(name(b"\x40abc", 0), None);
    }
}
