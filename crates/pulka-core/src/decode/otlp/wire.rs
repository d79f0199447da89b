//! The protobuf wire format, read in place. Everything malformed is an error, never a panic.

/// Why an item cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    pub reason: &'static str,
    pub detail: &'static str,
}

pub const fn broken(detail: &'static str) -> Broken {
    Broken { reason: "broken_protobuf", detail }
}

/// The value of one field, as the wire has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wire<'b> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'b [u8]),
    Fixed32(u32),
}

const WRONG_TYPE: Broken = broken("a field has the wrong wire type");
const TRUNCATED: Broken = broken("the message ends within a field");

impl<'b> Wire<'b> {
    #[inline]
    pub fn varint(self) -> Result<u64, Broken> {
        if let Wire::Varint(value) = self { Ok(value) } else { Err(WRONG_TYPE) }
    }

    #[inline]
    pub fn fixed64(self) -> Result<u64, Broken> {
        if let Wire::Fixed64(value) = self { Ok(value) } else { Err(WRONG_TYPE) }
    }

    #[inline]
    pub fn fixed32(self) -> Result<u32, Broken> {
        if let Wire::Fixed32(value) = self { Ok(value) } else { Err(WRONG_TYPE) }
    }

    #[inline]
    pub fn bytes(self) -> Result<&'b [u8], Broken> {
        if let Wire::Bytes(value) = self { Ok(value) } else { Err(WRONG_TYPE) }
    }

    pub fn double(self) -> Result<f64, Broken> {
        self.fixed64().map(f64::from_bits)
    }

    /// int32, uint32 and enumerations: the low 32 bits count, as in every protobuf implementation.
    pub fn int32(self) -> Result<i32, Broken> {
        self.varint().map(|value| value as i32)
    }

    pub fn uint32(self) -> Result<u32, Broken> {
        self.varint().map(|value| value as u32)
    }

    pub fn sint32(self) -> Result<i32, Broken> {
        let value = self.uint32()?;
        Ok((value >> 1) as i32 ^ -((value & 1) as i32))
    }

    pub fn bool(self) -> Result<bool, Broken> {
        self.varint().map(|value| value != 0)
    }

    /// One element of a repeated fixed64 (or double) field, or a packed run of them.
    pub fn each_fixed64(self, mut take: impl FnMut(u64)) -> Result<(), Broken> {
        let Wire::Bytes(packed) = self else { return self.fixed64().map(take) };
        let (values, rest) = packed.as_chunks::<8>();
        values.iter().for_each(|value| take(u64::from_le_bytes(*value)));
        if rest.is_empty() { Ok(()) } else { Err(TRUNCATED) }
    }

    /// One element of a repeated varint field, or a packed run of them.
    pub fn each_varint(self, mut take: impl FnMut(u64)) -> Result<(), Broken> {
        let Wire::Bytes(packed) = self else { return self.varint().map(take) };
        let mut values = Fields { rest: packed };
        while !values.rest.is_empty() {
            take(values.varint()?);
        }
        Ok(())
    }
}

/// The fields of a message in their order. Ends after the first error.
pub struct Fields<'b> {
    rest: &'b [u8],
}

pub fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

impl<'b> Iterator for Fields<'b> {
    type Item = Result<(u32, Wire<'b>), Broken>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl<'b> Fields<'b> {
    #[inline(always)]
    fn field(&mut self) -> Result<(u32, Wire<'b>), Broken> {
        let key = u32::try_from(self.varint()?).map_err(|_| broken("a field number is too large"))?;
        if key < 8 {
            return Err(broken("a field has the number 0"));
        }
        let value = match key & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => Wire::Bytes(self.delimited()?),
            5 => Wire::Fixed32(u32::from_le_bytes(self.array()?)),
            3 | 4 => return Err(broken("groups are not part of OTLP")),
            _ => return Err(broken("a wire type is not known")),
        };
        Ok((key >> 3, value))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Broken> {
        match self.rest.split_first() {
            Some((byte, rest)) if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Broken> {
        let mut value = 0;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return if index == 9 && *byte > 1 { Err(broken("a varint exceeds 64 bits")) } else { Ok(value) };
            }
        }
        Err(if self.rest.len() < 10 { TRUNCATED } else { broken("a varint exceeds 64 bits") })
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (value, rest) = self.rest.split_first_chunk::<N>().ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(*value)
    }

    #[inline]
    fn delimited(&mut self) -> Result<&'b [u8], Broken> {
        let length = usize::try_from(self.varint()?).map_err(|_| TRUNCATED)?;
        let (value, rest) = self.rest.split_at_checked(length).ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(value)
    }
}
