//! What requests are about: topics and consumer groups. A request that is cut off tells what it says before.

use super::apis::{FETCH, Header, METADATA, PRODUCE, is_flexible};
use super::fields::Fields;
use super::responses::Topics;
use crate::text::printable;

/// More topics than these make a target no longer than it is.
const TOPICS: usize = 3;

#[derive(Default)]
pub struct Body {
    pub topics: String,
    pub group: Option<String>,
    /// A producer that wants no acknowledgement.
    pub unanswered: bool,
}

pub fn body(header: &Header<'_>, known: &Topics, limit_bytes: usize) -> Body {
    let mut fields = Fields { reader: header.rest, flexible: false };
    let mut body = Body::default();
    if fields.string().is_none() {
        return body;
    }
    fields.flexible = is_flexible(header.key, header.version);
    if fields.tags().is_none() {
        return body;
    }
    let mut names = Names { names: Vec::new(), known };
    let version = header.version;
    let _ends_early = match header.key {
        PRODUCE => produce(&mut fields, version, &mut names, &mut body.unanswered),
        FETCH => fetch(&mut fields, version, &mut names),
        METADATA => metadata(&mut fields, version, &mut names),
        2 => list_offsets(&mut fields, version, &mut names),
        8 => offset_commit(&mut fields, version, &mut names, &mut body.group),
        9..=14 if header.key != 10 && !(header.key == 9 && version >= 8) => group(&mut fields, &mut body.group),
        19 => first_name(&mut fields, &mut names),
        20 if version < 6 => names_only(&mut fields, &mut names),
        68 => group(&mut fields, &mut body.group),
        _ => Some(()),
    };
    body.topics = names.joined(limit_bytes);
    body.group = body.group.map(|group| group.chars().take(limit_bytes).collect());
    body
}

struct Names<'a> {
    names: Vec<String>,
    known: &'a Topics,
}

impl Names<'_> {
    fn add(&mut self, name: &[u8]) {
        let name = printable(name, 249);
        if !name.is_empty() && !self.names.contains(&name) && self.names.len() <= TOPICS {
            self.names.push(name);
        }
    }

    fn joined(mut self, limit_bytes: usize) -> String {
        self.names.sort();
        let more = if self.names.len() > TOPICS { ",..." } else { "" };
        self.names.truncate(TOPICS);
        printable((self.names.join(",") + more).as_bytes(), limit_bytes)
    }

    /// A topic's name, or its id in later versions.
    fn topic(&mut self, fields: &mut Fields<'_>, by_id: bool) -> Option<()> {
        if by_id {
            let id = fields.reader.array::<16>()?;
            let name = self.known.name(&id).unwrap_or_default().to_owned();
            self.add(name.as_bytes());
        } else {
            let name = fields.string()?;
            self.add(name);
        }
        Some(())
    }
}

fn produce(fields: &mut Fields<'_>, version: i16, names: &mut Names<'_>, unanswered: &mut bool) -> Option<()> {
    if version >= 3 {
        fields.string()?;
    }
    *unanswered = fields.reader.i16_be()? == 0;
    fields.skip(4)?;
    for _ in 0..fields.array()? {
        names.topic(fields, version >= 13)?;
        for _ in 0..fields.array()? {
            fields.skip(4)?;
            fields.bytes()?;
            fields.tags()?;
        }
        fields.tags()?;
    }
    Some(())
}

fn fetch(fields: &mut Fields<'_>, version: i16, names: &mut Names<'_>) -> Option<()> {
    let of = |condition: bool, bytes: usize| if condition { bytes } else { 0 };
    fields.skip(of(version < 15, 4) + 8 + of(version >= 3, 4) + of(version >= 4, 1) + of(version >= 7, 8))?;
    let partition = 4 + of(version >= 9, 4) + 8 + of(version >= 12, 4) + of(version >= 5, 8) + 4;
    for _ in 0..fields.array()? {
        names.topic(fields, version >= 13)?;
        for _ in 0..fields.array()? {
            fields.skip(partition)?;
            fields.tags()?;
        }
        fields.tags()?;
    }
    Some(())
}

fn metadata(fields: &mut Fields<'_>, version: i16, names: &mut Names<'_>) -> Option<()> {
    for _ in 0..fields.array()? {
        fields.skip_if(version >= 10, 16)?;
        names.topic(fields, false)?;
        fields.tags()?;
    }
    Some(())
}

fn list_offsets(fields: &mut Fields<'_>, version: i16, names: &mut Names<'_>) -> Option<()> {
    fields.skip(4)?;
    fields.skip_if(version >= 2, 1)?;
    first_name(fields, names)
}

fn offset_commit(fields: &mut Fields<'_>, version: i16, names: &mut Names<'_>, into: &mut Option<String>) -> Option<()> {
    group(fields, into)?;
    if version >= 1 {
        fields.skip(4)?;
        fields.string()?;
    }
    if version >= 7 {
        fields.string()?;
    }
    fields.skip_if((2..=4).contains(&version), 8)?;
    (version < 10).then_some(())?;
    first_name(fields, names)
}

fn group(fields: &mut Fields<'_>, into: &mut Option<String>) -> Option<()> {
    *into = Some(printable(fields.string()?, 249));
    Some(())
}

fn first_name(fields: &mut Fields<'_>, names: &mut Names<'_>) -> Option<()> {
    if fields.array()? > 0 { names.topic(fields, false) } else { Some(()) }
}

fn names_only(fields: &mut Fields<'_>, names: &mut Names<'_>) -> Option<()> {
    for _ in 0..fields.array()? {
        names.topic(fields, false)?;
    }
    Some(())
}
