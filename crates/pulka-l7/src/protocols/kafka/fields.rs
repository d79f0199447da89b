//! Strings, arrays and tagged fields, in their plain and their compact form.

use crate::reader::Reader;

pub struct Fields<'a> {
    pub reader: Reader<'a>,
    pub flexible: bool,
}

impl<'a> Fields<'a> {
    pub fn new(bytes: &'a [u8], flexible: bool) -> Self {
        Fields { reader: Reader::new(bytes), flexible }
    }

    /// A string; empty when it is null.
    pub fn string(&mut self) -> Option<&'a [u8]> {
        let length = if self.flexible { self.reader.varint()?.saturating_sub(1) as usize } else { usize::try_from(self.reader.i16_be()?).unwrap_or(0) };
        self.reader.bytes(length)
    }

    /// The number of elements; none when it is null.
    pub fn array(&mut self) -> Option<u32> {
        if self.flexible { Some(self.reader.varint()?.saturating_sub(1)) } else { Some(u32::try_from(self.reader.i32_be()?).unwrap_or(0)) }
    }

    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.array()?;
        self.reader.bytes(length as usize)
    }

    pub fn skip(&mut self, count: usize) -> Option<()> {
        self.reader.bytes(count).map(|_| ())
    }

    pub fn skip_if(&mut self, condition: bool, count: usize) -> Option<()> {
        if condition { self.skip(count) } else { Some(()) }
    }

    /// An array of numbers of four bytes.
    pub fn numbers(&mut self) -> Option<()> {
        let count = self.array()?;
        self.skip((count as usize).checked_mul(4)?)
    }

    pub fn tags(&mut self) -> Option<()> {
        if self.flexible {
            for _ in 0..self.reader.varint()? {
                self.reader.varint()?;
                let length = self.reader.varint()?;
                self.skip(length as usize)?;
            }
        }
        Some(())
    }
}
