//! The methods of AMQP 0-9-1: names, directions, and what the ones that matter say.

use crate::reader::Reader;
use crate::subject::quantise_name;

#[derive(Clone, Copy)]
pub struct Method<'a> {
    pub class: u16,
    pub number: u16,
    pub arguments: Reader<'a>,
}

impl<'a> Method<'a> {
    pub fn read(payload: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        Some(Method { class: reader.u16_be()?, number: reader.u16_be()?, arguments: reader })
    }

    /// The delivery tag of an acknowledgement, and whether it is for all up to it.
    pub fn tag(&self) -> (u64, bool) {
        let mut reader = self.arguments;
        (reader.u64_be().unwrap_or(0), reader.u8().is_some_and(|bits| bits & 1 != 0))
    }
}

/// Requests of clients that are answered.
pub fn method_name(class: u16, number: u16) -> Option<&'static str> {
    Some(match (class, number) {
        (20, 10) => "channel.open",
        (20, 20) => "channel.flow",
        (20, 40) => "channel.close",
        (40, 10) => "exchange.declare",
        (40, 20) => "exchange.delete",
        (40, 30) => "exchange.bind",
        (40, 40) => "exchange.unbind",
        (50, 10) => "queue.declare",
        (50, 20) => "queue.bind",
        (50, 30) => "queue.purge",
        (50, 40) => "queue.delete",
        (50, 50) => "queue.unbind",
        (60, 10) => "basic.qos",
        (60, 20) => "consume",
        (60, 30) => "basic.cancel",
        (60, 70) => "get",
        (60, 110) => "basic.recover",
        (85, 10) => "confirm.select",
        (90, 10) => "tx.select",
        (90, 20) => "tx.commit",
        (90, 30) => "tx.rollback",
        _ => return None,
    })
}

pub fn is_client_method(method: &Method<'_>) -> bool {
    let also = matches!((method.class, method.number), (10, 11 | 21 | 31 | 40 | 50 | 51 | 70) | (20, 21 | 41) | (60, 31 | 40 | 80 | 90 | 100 | 120));
    also || method_name(method.class, method.number).is_some()
}

pub fn is_server_method(method: &Method<'_>) -> bool {
    matches!(
        (method.class, method.number),
        (10, 10 | 20 | 30 | 41 | 50 | 51 | 60 | 61)
            | (20, 11 | 20 | 21 | 40 | 41)
            | (40, 11 | 21 | 31 | 51)
            | (50, 11 | 21 | 31 | 41 | 51)
            | (60, 11 | 21 | 30 | 31 | 50 | 60 | 71 | 72 | 80 | 111 | 120)
            | (85, 11)
            | (90, 11 | 21 | 31)
    )
}

#[derive(Default)]
pub struct RequestTarget {
    pub target: String,
    pub no_wait: bool,
    pub no_ack: bool,
}

/// The exchange or queue that a request is about.
pub fn request_target(method: &Method<'_>, limit_bytes: usize) -> RequestTarget {
    read_target(method, limit_bytes).unwrap_or_default()
}

fn read_target(method: &Method<'_>, limit_bytes: usize) -> Option<RequestTarget> {
    let mut reader = method.arguments;
    if !matches!((method.class, method.number), (40 | 50, _) | (60, 20 | 70)) {
        return Some(RequestTarget::default());
    }
    reader.u16_be()?;
    let name = short(&mut reader)?;
    let mut request = RequestTarget { target: quantise_name(name, b".", limit_bytes), ..RequestTarget::default() };
    match (method.class, method.number) {
        (40, 10) => {
            short(&mut reader)?;
            request.no_wait = reader.u8()? & 16 != 0;
        }
        (50, 10) => request.no_wait = reader.u8()? & 16 != 0,
        (40, 20) => request.no_wait = reader.u8()? & 2 != 0,
        (40, 30 | 40) | (50, 20) => {
            short(&mut reader)?;
            short(&mut reader)?;
            request.no_wait = reader.u8()? & 1 != 0;
        }
        (50, 30) => request.no_wait = reader.u8()? & 1 != 0,
        (50, 40) => request.no_wait = reader.u8()? & 4 != 0,
        (60, 20) => {
            short(&mut reader)?;
            let bits = reader.u8()?;
            (request.no_ack, request.no_wait) = (bits & 2 != 0, bits & 8 != 0);
        }
        _ => {}
    }
    Some(request)
}

/// Exchange and routing key as `orders:created`; the default exchange has no name.
pub fn destination(reader: &mut Reader<'_>, limit_bytes: usize) -> Option<String> {
    let (exchange, key) = (short(reader)?, short(reader)?);
    let exchange = quantise_name(exchange, b".", limit_bytes / 2);
    let key = quantise_name(key, b".", limit_bytes / 2 - 1);
    Some(if exchange.is_empty() || key.is_empty() { exchange + &key } else { format!("{exchange}:{key}") })
}

fn short<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = reader.u8()?;
    reader.bytes(length.into())
}

pub fn close_name(code: u16) -> Option<&'static str> {
    Some(match code {
        311 => "CONTENT_TOO_LARGE",
        312 => "NO_ROUTE",
        313 => "NO_CONSUMERS",
        320 => "CONNECTION_FORCED",
        402 => "INVALID_PATH",
        403 => "ACCESS_REFUSED",
        404 => "NOT_FOUND",
        405 => "RESOURCE_LOCKED",
        406 => "PRECONDITION_FAILED",
        501 => "FRAME_ERROR",
        502 => "SYNTAX_ERROR",
        503 => "COMMAND_INVALID",
        504 => "CHANNEL_ERROR",
        505 => "UNEXPECTED_FRAME",
        506 => "RESOURCE_ERROR",
        530 => "NOT_ALLOWED",
        540 => "NOT_IMPLEMENTED",
        541 => "INTERNAL_ERROR",
        _ => return None,
    })
}
