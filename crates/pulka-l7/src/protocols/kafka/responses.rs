//! The first error of an answer, and the topics that Metadata tells of. An answer that is cut off has no error before.

use std::collections::VecDeque;

use super::apis::{API_VERSIONS, FETCH, METADATA, PRODUCE, is_flexible};
use super::fields::Fields;
use crate::text::printable;

const TOPICS: usize = 256;

/// Names of topics by their ids.
#[derive(Default)]
pub struct Topics {
    names: VecDeque<([u8; 16], String)>,
}

impl Topics {
    pub fn name(&self, id: &[u8; 16]) -> Option<&str> {
        self.names.iter().find(|(known, _)| known == id).map(|(_, name)| name.as_str())
    }

    /// `body`: an answer to Metadata, after its correlation id.
    pub fn learn(&mut self, body: &[u8], version: i16) {
        if version >= 10 {
            let mut fields = Fields::new(body, true);
            let _ends_early = fields.tags().and_then(|()| metadata(&mut fields, version, &mut |id, name| self.insert(id, name)));
        }
    }

    fn insert(&mut self, id: [u8; 16], name: &[u8]) {
        if id == [0; 16] || name.is_empty() || self.name(&id).is_some() {
            return;
        }
        if self.names.len() == TOPICS {
            self.names.pop_front();
        }
        self.names.push_back((id, printable(name, 249)));
    }

    pub fn held_bytes(&self) -> usize {
        self.names.capacity() * size_of::<([u8; 16], String)>() + self.names.iter().map(|(_, name)| name.capacity()).sum::<usize>()
    }
}

/// `body`: what comes after the correlation id. The first code that is not zero.
pub fn error(key: i16, version: i16, body: &[u8]) -> Option<i16> {
    let mut fields = Fields::new(body, is_flexible(key, version));
    if key != API_VERSIONS {
        fields.tags()?; // that one answers in the oldest form, as its client may not know the newest
    }
    let throttled = |since: i16| if version >= since { 4 } else { 0 };
    let fields = &mut fields;
    match key {
        PRODUCE => produce(fields, version),
        FETCH => fetch(fields, version),
        METADATA => metadata(fields, version, &mut |_, _| ()),
        API_VERSIONS | 17 | 36 => fields.reader.i16_be(),
        2 => partitions(fields, throttled(2), 4),
        8 if version < 10 => partitions(fields, throttled(3), 4),
        9 if version < 8 => offset_fetch(fields, version, throttled(3)),
        10 if version < 4 => code_after(fields, throttled(1)),
        10 => find_coordinator(fields),
        11 => code_after(fields, throttled(2)),
        12..=14 | 16 => code_after(fields, throttled(1)),
        15 => first_of(fields, throttled(1)),
        19 => first_topic(fields, throttled(2), version >= 7),
        20 => first_topic(fields, throttled(1), version >= 6),
        22 | 25 | 26 | 60 | 68 | 71 => code_after(fields, 4),
        23 => partitions(fields, throttled(2), 0),
        24 if version < 4 => partitions(fields, 4, 4),
        28 => partitions(fields, 4, 4),
        32 => first_of(fields, 4),
        _ => None,
    }
}

fn code_after(fields: &mut Fields<'_>, bytes: usize) -> Option<i16> {
    fields.skip(bytes)?;
    fields.reader.i16_be()
}

/// The code at the beginning of the first element.
fn first_of(fields: &mut Fields<'_>, before: usize) -> Option<i16> {
    fields.skip(before)?;
    if fields.array()? > 0 { fields.reader.i16_be() } else { Some(0) }
}

fn first_topic(fields: &mut Fields<'_>, before: usize, with_id: bool) -> Option<i16> {
    fields.skip(before)?;
    if fields.array()? == 0 {
        return Some(0);
    }
    fields.string()?;
    fields.skip_if(with_id, 16)?;
    fields.reader.i16_be()
}

fn find_coordinator(fields: &mut Fields<'_>) -> Option<i16> {
    fields.skip(4)?;
    if fields.array()? == 0 {
        return Some(0);
    }
    fields.string()?;
    fields.skip(4)?;
    fields.string()?;
    code_after(fields, 4)
}

/// Topics with partitions, of which the first one's code is told.
fn partitions(fields: &mut Fields<'_>, before: usize, before_code: usize) -> Option<i16> {
    fields.skip(before)?;
    if fields.array()? == 0 {
        return Some(0);
    }
    fields.string()?;
    if fields.array()? > 0 { code_after(fields, before_code) } else { Some(0) }
}

fn offset_fetch(fields: &mut Fields<'_>, version: i16, before: usize) -> Option<i16> {
    fields.skip(before)?;
    for _ in 0..fields.array()? {
        fields.string()?;
        for _ in 0..fields.array()? {
            fields.skip(12)?;
            fields.skip_if(version >= 5, 4)?;
            fields.string()?;
            match fields.reader.i16_be()? {
                0 => fields.tags()?,
                code => return Some(code),
            }
        }
        fields.tags()?;
    }
    if version >= 2 { fields.reader.i16_be() } else { Some(0) }
}

fn topic(fields: &mut Fields<'_>, by_id: bool) -> Option<()> {
    if by_id { fields.skip(16) } else { fields.string().map(|_| ()) }
}

fn produce(fields: &mut Fields<'_>, version: i16) -> Option<i16> {
    for _ in 0..fields.array()? {
        topic(fields, version >= 13)?;
        for _ in 0..fields.array()? {
            match code_after(fields, 4)? {
                0 => produced(fields, version)?,
                code => return Some(code),
            }
        }
        fields.tags()?;
    }
    Some(0)
}

fn produced(fields: &mut Fields<'_>, version: i16) -> Option<()> {
    fields.skip(8)?;
    fields.skip_if(version >= 2, 8)?;
    fields.skip_if(version >= 5, 8)?;
    if version >= 8 {
        for _ in 0..fields.array()? {
            fields.skip(4)?;
            fields.string()?;
            fields.tags()?;
        }
        fields.string()?;
    }
    fields.tags()
}

fn fetch(fields: &mut Fields<'_>, version: i16) -> Option<i16> {
    fields.skip_if(version >= 1, 4)?;
    if version >= 7 {
        let code = fields.reader.i16_be()?;
        if code != 0 {
            return Some(code);
        }
        fields.skip(4)?;
    }
    for _ in 0..fields.array()? {
        topic(fields, version >= 13)?;
        for _ in 0..fields.array()? {
            match code_after(fields, 4)? {
                0 => fetched(fields, version)?,
                code => return Some(code),
            }
        }
        fields.tags()?;
    }
    Some(0)
}

fn fetched(fields: &mut Fields<'_>, version: i16) -> Option<()> {
    fields.skip(8)?;
    fields.skip_if(version >= 4, 8)?;
    fields.skip_if(version >= 5, 8)?;
    if version >= 4 {
        for _ in 0..fields.array()? {
            fields.skip(16)?;
            fields.tags()?;
        }
    }
    fields.skip_if(version >= 11, 4)?;
    fields.bytes()?;
    fields.tags()
}

/// The first topic's error. `found` is told of topics that have an id.
fn metadata(fields: &mut Fields<'_>, version: i16, found: &mut dyn FnMut([u8; 16], &[u8])) -> Option<i16> {
    fields.skip_if(version >= 3, 4)?;
    for _ in 0..fields.array()? {
        fields.skip(4)?;
        fields.string()?;
        fields.skip(4)?;
        if version >= 1 {
            fields.string()?;
        }
        fields.tags()?;
    }
    if version >= 2 {
        fields.string()?;
    }
    fields.skip_if(version >= 1, 4)?;
    let mut first = 0;
    for _ in 0..fields.array()? {
        let code = fields.reader.i16_be()?;
        let name = fields.string()?;
        if version >= 10 {
            found(fields.reader.array()?, name);
        }
        first = if first == 0 { code } else { first };
        if first != 0 && version < 10 {
            break;
        }
        if metadata_partitions(fields, version).is_none() {
            break;
        }
    }
    Some(first)
}

fn metadata_partitions(fields: &mut Fields<'_>, version: i16) -> Option<()> {
    fields.skip_if(version >= 1, 1)?;
    for _ in 0..fields.array()? {
        fields.skip(10)?;
        fields.skip_if(version >= 7, 4)?;
        fields.numbers()?;
        fields.numbers()?;
        if version >= 5 {
            fields.numbers()?;
        }
        fields.tags()?;
    }
    fields.skip_if(version >= 8, 4)?;
    fields.tags()
}
