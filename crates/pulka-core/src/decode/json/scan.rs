//! The tokens of JSON, strictly after RFC 8259, without building anything. Nesting never uses the stack.

/// Deeper nesting is refused.
pub const NESTING_MAX: usize = 128;

/// Why a value could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The text ends too early.
    End,
    /// Something else stands at this byte of the text.
    Wanted { what: &'static str, at: usize },
    TooDeep,
}

/// A number, read no further than it is exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number<'t> {
    I64(i64),
    F64(f64),
    /// Beyond what 64 bits hold: its digits.
    Text(&'t str),
}

/// A place in a text. Every position between tokens is a character boundary, for tokens begin and end in ASCII.
pub struct Scanner<'t> {
    text: &'t str,
    pub at: usize,
    /// White space between tokens, or half a surrogate pair, was seen since this was last reset.
    pub untidy: bool,
    /// Half a surrogate pair was replaced by U+FFFD.
    pub lossy: bool,
}

impl<'t> Scanner<'t> {
    pub fn new(text: &'t str, at: usize) -> Self {
        Scanner { text, at, untidy: false, lossy: false }
    }

    #[inline]
    fn bytes(&self) -> &'t [u8] {
        self.text.as_bytes()
    }

    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.bytes().get(self.at).copied()
    }

    pub fn since(&self, start: usize) -> &'t str {
        &self.text[start..self.at]
    }

    /// Skip white space.
    #[inline]
    pub fn blank(&mut self) {
        if matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.untidy = true;
            while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
                self.at += 1;
            }
        }
    }

    #[cold]
    pub fn fault(&self, what: &'static str) -> Fault {
        if self.at >= self.text.len() { Fault::End } else { Fault::Wanted { what, at: self.at } }
    }

    #[inline]
    pub fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Fault> {
        if self.peek() != Some(byte) {
            return Err(self.fault(what));
        }
        self.at += 1;
        Ok(())
    }

    /// Skip `expected`, bytes of a key with its closing quote, when they are next.
    #[inline]
    pub fn take(&mut self, expected: &[u8]) -> bool {
        let found = self.bytes()[self.at..].starts_with(expected);
        if found {
            self.at += expected.len();
        }
        found
    }

    /// After a key: the colon.
    #[inline]
    pub fn colon(&mut self) -> Result<(), Fault> {
        self.blank();
        self.expect(b':', "`:`")?;
        self.blank();
        Ok(())
    }

    /// After a member of an object: whether there is another one. Skips to its key or past the brace.
    #[inline]
    pub fn next_member(&mut self) -> Result<bool, Fault> {
        self.blank();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.blank();
                Ok(true)
            }
            Some(b'}') => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.fault("`,` or `}`")),
        }
    }

    /// A string with its quotes, unescaped: a piece of the text, or of `scratch` when it has escapes.
    #[inline]
    pub fn string<'s>(&mut self, scratch: &'s mut String) -> Result<&'s str, Fault>
    where
        't: 's,
    {
        self.expect(b'"', "`\"`")?;
        let start = self.at;
        self.at = plain_end(self.bytes(), start);
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(&self.text[start..self.at - 1]);
        }
        scratch.clear();
        self.rest_of_string(start, Some(scratch))?;
        Ok(scratch)
    }

    /// Skip a string with its quotes.
    pub fn skip_string(&mut self) -> Result<(), Fault> {
        self.expect(b'"', "`\"`")?;
        self.skip_to_quote()
    }

    /// Skip the rest of a string whose opening quote was read.
    pub fn skip_to_quote(&mut self) -> Result<(), Fault> {
        self.rest_of_string(self.at, None)
    }

    /// Read on to the closing quote; what was read since `start` is copied to `out`, unescaped.
    fn rest_of_string(&mut self, mut start: usize, mut out: Option<&mut String>) -> Result<(), Fault> {
        loop {
            self.at = plain_end(self.bytes(), self.at);
            if let Some(out) = out.as_deref_mut() {
                out.push_str(&self.text[start..self.at]);
            }
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    let unescaped = self.escape()?;
                    if let Some(out) = out.as_deref_mut() {
                        out.push(unescaped);
                    }
                    start = self.at;
                }
                _ => return Err(self.fault("no control character in a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        self.at += 1;
        let unescaped = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.fault("an escape")),
        };
        self.at += 1;
        Ok(unescaped)
    }

    /// `uXXXX`, with a second one when the first is half a pair; half a pair alone becomes U+FFFD.
    fn unicode_escape(&mut self) -> Result<char, Fault> {
        let high = self.four_digits()?;
        let mut code = u32::from(high);
        if (0xD800..0xDC00).contains(&high) && self.bytes()[self.at..].starts_with(b"\\u") {
            let after_high = self.at;
            self.at += 1;
            let low = self.four_digits()?;
            if (0xDC00..0xE000).contains(&low) {
                code = 0x10000 + (u32::from(high - 0xD800) << 10) + u32::from(low - 0xDC00);
            } else {
                self.at = after_high;
            }
        }
        Ok(char::from_u32(code).unwrap_or_else(|| {
            (self.untidy, self.lossy) = (true, true);
            char::REPLACEMENT_CHARACTER
        }))
    }

    fn four_digits(&mut self) -> Result<u16, Fault> {
        let mut code = 0;
        for _ in 0..4 {
            self.at += 1;
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            code = code << 4 | digit.ok_or_else(|| self.fault("four hexadecimal digits"))? as u16;
        }
        self.at += 1;
        Ok(code)
    }

    /// Skip exactly these letters.
    pub fn literal(&mut self, word: &'static str) -> Result<(), Fault> {
        if self.take(word.as_bytes()) {
            return Ok(());
        }
        let ends_early = word.as_bytes().starts_with(&self.bytes()[self.at..]);
        Err(if ends_early { Fault::End } else { self.fault("a value") })
    }

    #[inline]
    pub fn number(&mut self) -> Result<Number<'t>, Fault> {
        let start = self.at;
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let first = self.at;
        let mut value: i64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            // Wraps only where there are too many digits for this to be used.
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
            self.at += 1;
        }
        let digits = self.at - first;
        if digits == 0 {
            return Err(self.fault("a value"));
        }
        if digits > 1 && self.bytes()[first] == b'0' {
            self.at = first + 1;
            return Err(self.fault("no zero before a number"));
        }
        if matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            return self.float(start);
        }
        if digits <= 18 {
            return Ok(Number::I64(if negative { -value } else { value }));
        }
        let text = self.since(start);
        Ok(text.parse().map_or(Number::Text(text), Number::I64))
    }

    /// The fraction and exponent of a number that began at `start`.
    fn float(&mut self, start: usize) -> Result<Number<'t>, Fault> {
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        let text = self.since(start);
        Ok(match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Number::F64(value),
            _ => Number::Text(text),
        })
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.fault("a digit")) } else { Ok(()) }
    }

    /// Skip any value that stands inside `nesting` others, checking all of it.
    pub fn skip_value(&mut self, nesting: usize) -> Result<(), Fault> {
        // Bit 0 says whether the innermost open bracket is an object's.
        let mut objects: u128 = 0;
        let mut level = 0;
        loop {
            if let Some(bracket @ (b'{' | b'[')) = self.peek() {
                level += 1;
                if nesting + level > NESTING_MAX {
                    return Err(Fault::TooDeep);
                }
                let is_object = bracket == b'{';
                objects = objects << 1 | u128::from(is_object);
                self.at += 1;
                self.blank();
                if self.peek() != Some(closing(is_object)) {
                    self.skip_key(is_object)?;
                    continue;
                }
                self.at += 1;
                objects >>= 1;
                level -= 1;
            } else {
                self.skip_scalar()?;
            }
            while level > 0 && !self.skip_comma(objects & 1 == 1)? {
                objects >>= 1;
                level -= 1;
            }
            if level == 0 {
                return Ok(());
            }
        }
    }

    fn skip_scalar(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"') => self.skip_string(),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            _ => self.number().map(|_| ()),
        }
    }

    /// After an element: skip to the next one, or past the closing bracket, which is false.
    fn skip_comma(&mut self, is_object: bool) -> Result<bool, Fault> {
        self.blank();
        let next = self.peek();
        if next == Some(b',') {
            self.at += 1;
            self.blank();
            self.skip_key(is_object)?;
        } else if next == Some(closing(is_object)) {
            self.at += 1;
        } else {
            return Err(self.fault(if is_object { "`,` or `}`" } else { "`,` or `]`" }));
        }
        Ok(next == Some(b','))
    }

    /// Skip to an element's value.
    fn skip_key(&mut self, is_object: bool) -> Result<(), Fault> {
        if is_object {
            self.skip_string()?;
            self.colon()?;
        }
        Ok(())
    }

    /// Skip to the next line that begins with `byte`, or to the end.
    pub fn skip_to_line_with(&mut self, byte: u8) {
        while let Some(length) = memchr::memchr(b'\n', &self.bytes()[self.at..]) {
            self.at += length + 1;
            if self.peek() == Some(byte) {
                return;
            }
        }
        self.at = self.text.len();
    }

    /// Skip a value by its brackets alone, however deep and broken. False when the text ends before they close.
    pub fn skip_brackets(&mut self) -> bool {
        let mut open = 0usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    if self.skip_string().is_err() {
                        return false;
                    }
                    continue;
                }
                b'{' | b'[' => open += 1,
                b'}' | b']' => open = open.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                return true;
            }
        }
        false
    }
}

fn closing(is_object: bool) -> u8 {
    if is_object { b'}' } else { b']' }
}

/// Valid JSON text without white space between its tokens and without half surrogate pairs.
pub fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut scan = Scanner::new(text, 0);
    let mut scratch = String::new();
    while let Some(byte) = scan.peek() {
        let start = scan.at;
        if byte != b'"' {
            scan.at = text[start..].find('"').map_or(text.len(), |length| start + length);
            out.extend(text[start..scan.at].split_ascii_whitespace());
            continue;
        }
        scan.lossy = false;
        let unescaped = scan.string(&mut scratch).map(str::len);
        match unescaped {
            Ok(_) if scan.lossy => out.push_str(&quoted(&scratch)),
            Ok(_) => out.push_str(scan.since(start)),
            Err(_) => return text.to_string(),
        }
    }
    out
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    crate::batch::write_str(&mut out, text);
    out
}

const ONES: u64 = 0x0101_0101_0101_0101;

/// Where the plain part of a string that begins at `at` ends: at a quote, a backslash, a control character or the end.
#[inline]
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some([low, high]) = bytes.get(at..).and_then(|rest| rest.as_chunks().0.first_chunk()) {
        let (low, high) = (special(u64::from_le_bytes(*low)), special(u64::from_le_bytes(*high)));
        if low != 0 {
            return at + low.trailing_zeros() as usize / 8;
        }
        if high != 0 {
            return at + 8 + high.trailing_zeros() as usize / 8;
        }
        at += 16;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len())
}

/// The high bit of every byte that is a quote, a backslash or a control character. The lowest one is exact; above it
/// a borrow may set more.
#[inline]
fn special(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let quotes = quote.wrapping_sub(ONES) & !quote;
    let backslashes = backslash.wrapping_sub(ONES) & !backslash;
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    (quotes | backslashes | controls) & (ONES * 0x80)
}
