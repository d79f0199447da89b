//! How far the answer to a command is: packet by packet, until the last one.

use super::packets::{Packet, capability, error_code, integer};
use crate::reader::Reader;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    /// Any packet is all of it.
    Single,
    /// Until OK or an error; requests for more of the login come before.
    Login,
    /// The first packet of a result.
    First,
    /// So many definitions of columns are to come.
    Columns(u64),
    /// After the last definition, where an EOF may stand.
    ColumnsDone,
    Rows,
    /// The client sends a file; one packet comes after it.
    File,
    /// The first packet of an answer to a preparation.
    Prepared,
    /// So many definitions, and EOFs after them, are to come.
    Definitions(u32),
}

pub enum Progress {
    More,
    Done,
    Failed(u16),
    File,
    /// The prepared statement's number.
    Prepared(u32),
    PreparedDone(u32),
}

const MORE_RESULTS: u16 = 8;
const CURSOR: u16 = 64;
const NO_ERROR: u16 = 0xffff;

pub fn packet(answer: &mut Answer, packet: &Packet<'_>, capabilities: Option<u32>) -> Progress {
    if let Some(code) = error_code(packet.body) {
        return if code == NO_ERROR { Progress::More } else { Progress::Failed(code) };
    }
    let first = packet.body.first().copied().unwrap_or(0);
    match *answer {
        Answer::Single | Answer::File => Progress::Done,
        Answer::Login => if first == 0 { Progress::Done } else { Progress::More },
        Answer::First => first_packet(answer, packet, first),
        Answer::Columns(left) => {
            *answer = if left <= 1 { Answer::ColumnsDone } else { Answer::Columns(left - 1) };
            Progress::More
        }
        Answer::ColumnsDone if first == 0xfe && packet.length == 5 => {
            *answer = Answer::Rows;
            if end_status(packet.body) & CURSOR != 0 { Progress::Done } else { Progress::More }
        }
        Answer::ColumnsDone | Answer::Rows => row(answer, packet, first),
        Answer::Prepared => prepared(answer, packet.body, capabilities),
        Answer::Definitions(left) => {
            *answer = Answer::Definitions(left.saturating_sub(1));
            if left <= 1 { Progress::Done } else { Progress::More }
        }
    }
}

fn first_packet(answer: &mut Answer, packet: &Packet<'_>, first: u8) -> Progress {
    match first {
        0 => if ok_status(packet.body) & MORE_RESULTS != 0 { Progress::More } else { Progress::Done },
        0xfb => {
            *answer = Answer::File;
            Progress::File
        }
        0xfe if packet.length < 9 => Progress::Done,
        _ => {
            let mut reader = Reader::new(packet.body);
            let columns = integer(&mut reader).unwrap_or(1);
            let cached = reader.u8() == Some(0); // MariaDB: the client has the definitions already
            *answer = if cached { Answer::ColumnsDone } else { Answer::Columns(columns) };
            Progress::More
        }
    }
}

/// A row, or what ends them. A row that begins with 0xfe has a value of 16 MB, and such a packet is of the greatest length.
fn row(answer: &mut Answer, packet: &Packet<'_>, first: u8) -> Progress {
    *answer = Answer::Rows;
    if first != 0xfe || packet.length >= super::CONTINUED {
        return Progress::More;
    }
    let status = if packet.length == 5 { end_status(packet.body) } else { ok_status(packet.body) };
    if status & MORE_RESULTS != 0 {
        *answer = Answer::First;
        return Progress::More;
    }
    Progress::Done
}

fn prepared(answer: &mut Answer, body: &[u8], capabilities: Option<u32>) -> Progress {
    let mut reader = Reader::new(body);
    let (Some(_), Some(id), Some(columns), Some(parameters)) = (reader.u8(), reader.u32_le(), reader.u16_le(), reader.u16_le()) else { return Progress::Done };
    let ends = capabilities.is_some_and(|known| known & capability::DEPRECATE_EOF == 0);
    let of = |count: u16| u32::from(count) + u32::from(ends && count > 0);
    let left = of(columns) + of(parameters);
    *answer = Answer::Definitions(left);
    if left == 0 { Progress::PreparedDone(id) } else { Progress::Prepared(id) }
}

/// The server's status, when `packet` is an OK or EOF that tells it.
pub fn status(answer: Answer, packet: &Packet<'_>) -> Option<u16> {
    match (answer, packet.body.first()?) {
        (Answer::Single | Answer::Login | Answer::First | Answer::File, 0) if packet.length >= 7 => Some(ok_status(packet.body)),
        (Answer::ColumnsDone | Answer::Rows, 0xfe) if packet.length == 5 => Some(end_status(packet.body)),
        (Answer::ColumnsDone | Answer::Rows, 0xfe) if packet.length < super::CONTINUED => Some(ok_status(packet.body)),
        _ => None,
    }
}

/// The server's status in an EOF packet.
fn end_status(body: &[u8]) -> u16 {
    body.get(3..5).map_or(0, |status| u16::from_le_bytes([status[0], status[1]]))
}

/// The server's status in an OK packet.
fn ok_status(body: &[u8]) -> u16 {
    let mut reader = Reader::new(body.get(1..).unwrap_or_default());
    let (_, _) = (integer(&mut reader), integer(&mut reader));
    reader.u16_le().unwrap_or(0)
}
