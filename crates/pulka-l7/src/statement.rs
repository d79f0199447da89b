//! Statements of SQL and CQL without their literals, so that they are few and tell no secrets.
//!
//! A small lexer, not a parser: what it does not understand it passes on, but never what stands between quotes or begins
//! with a digit. Comments go, white space becomes one space, and lists of nothing but values become one: `IN (?, ?)` is `IN (?)`.

use std::borrow::Cow;

use crate::text::printable;

/// How quotes and comments are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Standard strings, `E'..'` with escapes, `$tag$..$tag$`, nested comments.
    Postgresql,
    /// With escapes in all strings (`standard_conforming_strings` is off).
    PostgresqlEscapes,
    /// Escapes in all strings, `".."` is one, `` `name` ``, `#` comments.
    Mysql,
    /// Without escapes (`NO_BACKSLASH_ESCAPES`).
    MysqlStandard,
    /// Standard strings, `$$..$$`, `//` comments.
    Cassandra,
}

impl Dialect {
    fn escapes(self) -> bool {
        matches!(self, Dialect::Mysql | Dialect::PostgresqlEscapes)
    }

    fn is_mysql(self) -> bool {
        matches!(self, Dialect::Mysql | Dialect::MysqlStandard)
    }

    fn is_postgresql(self) -> bool {
        matches!(self, Dialect::Postgresql | Dialect::PostgresqlEscapes)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The verb in capitals, `OTHER` when it is none that is known.
    pub operation: &'static str,
    pub text: String,
}

const VERBS: &[&str] = &[
    "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "WITH", "VALUES", "TABLE", "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE",
    "SET", "RESET", "SHOW", "USE", "CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME", "COMMENT", "GRANT", "REVOKE", "EXPLAIN", "DESCRIBE", "DESC", "ANALYZE", "VACUUM",
    "COPY", "LOAD", "CALL", "DO", "PREPARE", "EXECUTE", "DEALLOCATE", "DECLARE", "FETCH", "MOVE", "CLOSE", "LISTEN", "UNLISTEN", "NOTIFY", "LOCK", "UNLOCK", "DISCARD",
    "CHECKPOINT", "CLUSTER", "REINDEX", "REFRESH", "REASSIGN", "IMPORT", "SECURITY", "OPTIMIZE", "REPAIR", "CHECK", "CHECKSUM", "FLUSH", "KILL", "HANDLER", "XA", "CHANGE",
    "PURGE", "INSTALL", "UNINSTALL", "CACHE", "STOP", "SHUTDOWN", "BATCH", "APPLY", "LIST", "IDENTIFY_SYSTEM", "START_REPLICATION", "READ_REPLICATION_SLOT", "BASE_BACKUP",
    "CREATE_REPLICATION_SLOT", "DROP_REPLICATION_SLOT", "TIMELINE_HISTORY",
];

pub const OTHER: &str = "OTHER";

enum Token<'a> {
    Space,
    /// A name or keyword.
    Word(&'a [u8]),
    /// A name between quotes.
    Quoted(&'a [u8]),
    Literal,
    /// `$1`, `:name`, `?`
    Parameter,
    Sign(u8),
}

/// `sql` (its first bytes, when it is long) as a statement of at most `limit_bytes`.
pub fn normalise(sql: &[u8], dialect: Dialect, limit_bytes: usize) -> Statement {
    let mut lexer = Lexer { rest: sql, dialect, after_word: false };
    let mut writer = Writer { out: Vec::with_capacity(sql.len().min(limit_bytes)), pending_space: false, limit_bytes, verb: None, depth: 0 };
    while let Some(token) = lexer.next() {
        writer.write(&token);
        if writer.is_full() {
            break;
        }
    }
    Statement { operation: writer.verb.unwrap_or(OTHER), text: printable(&writer.finish(), limit_bytes) }
}

/// The verb alone.
pub fn operation(sql: &[u8], dialect: Dialect) -> Cow<'static, str> {
    Cow::Borrowed(normalise(sql, dialect, 64).operation)
}

struct Writer {
    out: Vec<u8>,
    pending_space: bool,
    limit_bytes: usize,
    verb: Option<&'static str>,
    depth: usize,
}

impl Writer {
    fn is_full(&self) -> bool {
        self.out.len() > 2 * self.limit_bytes
    }

    fn write(&mut self, token: &Token<'_>) {
        match token {
            Token::Space => self.pending_space = !self.out.is_empty(),
            Token::Word(word) => {
                self.note_verb(word);
                self.put(word);
            }
            Token::Quoted(name) => self.put(name),
            Token::Literal | Token::Parameter => {
                self.put(b"?");
                self.fold_value();
            }
            Token::Sign(sign) => self.sign(*sign),
        }
    }

    /// The first word tells, but after `WITH` it is the first verb outside parentheses.
    fn note_verb(&mut self, word: &[u8]) {
        let verb = || VERBS.iter().copied().find(|verb| verb.as_bytes().eq_ignore_ascii_case(word));
        match self.verb {
            None => self.verb = Some(verb().unwrap_or(OTHER)),
            Some("WITH") if self.depth == 0 => {
                if let Some(found @ ("SELECT" | "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "VALUES")) = verb() {
                    self.verb = Some(found);
                }
            }
            Some(_) => {}
        }
    }

    fn put(&mut self, text: &[u8]) {
        if std::mem::take(&mut self.pending_space) {
            self.out.push(b' ');
        }
        self.out.extend_from_slice(text);
    }

    fn sign(&mut self, sign: u8) {
        match sign {
            b'(' => self.depth += 1,
            b')' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        // A space before a comma or a closing bracket says nothing, nor does one after an opening bracket.
        if matches!(sign, b',' | b')' | b']' | b';') || self.out.ends_with(b"(") || self.out.ends_with(b"[") {
            self.pending_space = false;
        }
        self.put(&[sign]);
        if matches!(sign, b')' | b']') {
            self.fold_rows();
        }
        self.pending_space = sign == b',';
    }

    /// `?, ?` is `?`, and so is `-?` after a comma or a bracket.
    fn fold_value(&mut self) {
        for signed in [&b"(-?"[..], b"(+?", b", -?", b", +?", b"[-?", b"= -?", b"=-?"] {
            if self.out.ends_with(signed) {
                self.out.truncate(self.out.len() - 2);
                self.out.push(b'?');
            }
        }
        for opening in [&b"("[..], b"["] {
            for list in [&b"? ?"[..], b"?, ?", b"? , ?", b"?,?"] {
                if self.out.ends_with(list) && self.out[..self.out.len() - list.len()].ends_with(opening) {
                    self.out.truncate(self.out.len() - list.len() + 1);
                }
            }
        }
    }

    /// `(?), (?)` is `(?)`.
    fn fold_rows(&mut self) {
        for rows in [&b"(?), (?)"[..], b"(?) , (?)", b"[?], [?]"] {
            if self.out.ends_with(rows) {
                self.out.truncate(self.out.len() - rows.len() + 3);
            }
        }
    }

    fn finish(mut self) -> Vec<u8> {
        while matches!(self.out.last(), Some(b';' | b' ')) {
            self.out.pop();
        }
        self.out
    }
}

struct Lexer<'a> {
    rest: &'a [u8],
    dialect: Dialect,
    /// The last byte belonged to a name: digits that follow do too.
    after_word: bool,
}

impl<'a> Lexer<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn next(&mut self) -> Option<Token<'a>> {
        let first = *self.rest.first()?;
        let second = self.rest.get(1).copied().unwrap_or(0);
        let comment = self.comment_bytes(first, second);
        let token = match first {
            _ if comment > 0 => {
                self.take(comment);
                Token::Space
            }
            b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c | 0 => {
                self.take(1);
                Token::Space
            }
            b'\'' => self.string(1, self.dialect.escapes()),
            b'"' if self.dialect.is_mysql() => self.string(1, self.dialect.escapes()),
            b'"' | b'`' => self.quoted(first),
            b'$' => self.dollar(),
            b'0'..=b'9' => self.number(),
            b'.' if second.is_ascii_digit() && !self.after_word => self.number(),
            b'?' => self.parameter(1),
            b':' if is_word(second) && !second.is_ascii_digit() && !self.rest.starts_with(b"::") && !self.after_word => {
                let name = 1 + self.rest[1..].iter().take_while(|byte| is_word(**byte)).count();
                self.parameter(name)
            }
            b':' if second == b':' => {
                self.take(1);
                self.rest = &self.rest[1..];
                self.after_word = true;
                return Some(Token::Word(b"::"));
            }
            _ if is_word(first) => self.word(),
            _ => {
                self.take(1);
                Token::Sign(first)
            }
        };
        self.after_word = matches!(token, Token::Word(_) | Token::Quoted(_));
        Some(token)
    }

    fn parameter(&mut self, bytes: usize) -> Token<'a> {
        self.take(bytes);
        Token::Parameter
    }

    fn comment_bytes(&self, first: u8, second: u8) -> usize {
        let line = || memchr::memchr(b'\n', self.rest).map_or(self.rest.len(), |end| end + 1);
        match (first, second) {
            (b'-', b'-') => line(),
            (b'#', _) if self.dialect.is_mysql() => line(),
            (b'/', b'/') if self.dialect == Dialect::Cassandra => line(),
            (b'/', b'*') => self.block_comment_bytes(),
            _ => 0,
        }
    }

    fn block_comment_bytes(&self) -> usize {
        let (mut depth, mut at) = (1, 2);
        while depth > 0 {
            let Some(next) = memchr::memchr2(b'*', b'/', self.rest.get(at..).unwrap_or_default()) else { return self.rest.len() };
            at += next;
            match self.rest.get(at..at + 2) {
                Some(b"*/") => (depth, at) = (depth - 1, at + 2),
                Some(b"/*") if self.dialect.is_postgresql() => (depth, at) = (depth + 1, at + 2),
                _ => at += 1,
            }
        }
        at
    }

    /// A string of which `skip` bytes, its opening quote included, are passed over first. One that does not end is one too.
    fn string(&mut self, skip: usize, escapes: bool) -> Token<'a> {
        let quote = self.take(skip).last().copied().unwrap_or(b'\'');
        loop {
            let stop = if escapes { memchr::memchr2(quote, b'\\', self.rest) } else { memchr::memchr(quote, self.rest) };
            let Some(stop) = stop else {
                self.rest = &[];
                return Token::Literal;
            };
            let doubled = self.rest.get(stop + 1) == Some(&quote);
            if self.rest[stop] == b'\\' || doubled {
                self.take(stop + 2);
                continue;
            }
            self.take(stop + 1);
            return Token::Literal;
        }
    }

    fn quoted(&mut self, quote: u8) -> Token<'a> {
        let end = memchr::memchr(quote, &self.rest[1..]);
        let Some(end) = end else {
            self.rest = &[];
            return Token::Literal; // cut off: it may be anything
        };
        Token::Quoted(self.take(end + 2))
    }

    /// `$1` is a parameter, `$tag$..$tag$` a string.
    fn dollar(&mut self) -> Token<'a> {
        let digits = self.rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 0 {
            return self.parameter(1 + digits);
        }
        let name = self.rest[1..].iter().take_while(|byte| is_word(**byte) && **byte != b'$').count();
        if self.dialect.is_mysql() || self.rest.get(1 + name) != Some(&b'$') {
            self.take(1);
            return Token::Sign(b'$');
        }
        let tag = self.take(name + 2);
        let end = memchr::memmem::find(self.rest, tag).map_or(self.rest.len(), |end| end + tag.len());
        self.take(end);
        Token::Literal
    }

    /// Digits and what belongs to them: `1.5e-3`, `0xff`, `1_000`, and in CQL times and UUIDs.
    fn number(&mut self) -> Token<'a> {
        if self.after_word {
            return self.word();
        }
        let mut at = 0;
        while let Some(byte) = self.rest.get(at) {
            let exponent = matches!(byte, b'+' | b'-') && at > 0 && matches!(self.rest[at - 1], b'e' | b'E') && self.rest[..at - 1].iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.'));
            let uuid = *byte == b'-' && self.dialect == Dialect::Cassandra && is_uuid(self.rest);
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || exponent || uuid) {
                break;
            }
            at += 1;
        }
        self.take(at);
        Token::Literal
    }

    fn word(&mut self) -> Token<'a> {
        if self.dialect == Dialect::Cassandra && is_uuid(self.rest) {
            self.take(36);
            return Token::Literal;
        }
        let length = self.rest.iter().take_while(|byte| is_word(**byte)).count();
        let word = &self.rest[..length];
        if self.rest.get(length) == Some(&b'\'') && is_string_prefix(word) {
            let escapes = self.dialect.escapes() || word.eq_ignore_ascii_case(b"e");
            return self.string(length + 1, escapes);
        }
        if self.dialect.is_postgresql() && word.eq_ignore_ascii_case(b"u") && self.rest[length..].starts_with(b"&'") {
            return self.string(length + 2, false);
        }
        Token::Word(self.take(length))
    }
}

/// `x'ff'`, `b'01'`, `n'text'`, `e'text'`, `_utf8mb4'text'`
fn is_string_prefix(word: &[u8]) -> bool {
    matches!(word, [b'x' | b'X' | b'b' | b'B' | b'n' | b'N' | b'e' | b'E']) || word.first() == Some(&b'_')
}

fn is_uuid(text: &[u8]) -> bool {
    let fits = |(index, byte): (usize, &u8)| if matches!(index, 8 | 13 | 18 | 23) { *byte == b'-' } else { byte.is_ascii_hexdigit() };
    text.len() >= 36 && text[..36].iter().enumerate().all(fits)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'@' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::{Dialect, Dialect::*, normalise};
    use proptest::prelude::*;

    fn check(dialect: Dialect, sql: &str, operation: &str, text: &str) {
        let statement = normalise(sql.as_bytes(), dialect, 256);
        assert_eq!((statement.operation, statement.text.as_str()), (operation, text), "{sql}");
    }

    #[test]
    fn literals_go() {
        check(Postgresql, "SELECT * FROM t WHERE a = 'x''y' AND b=42 AND c = -1.5e-3;", "SELECT", "SELECT * FROM t WHERE a = ? AND b=? AND c = ?");
        check(Postgresql, "select E'a\\'b', x'ff', U&'d', $tag$ 'it'' $tag$, 1", "SELECT", "select ?, ?, ?, ?, ?");
        check(Postgresql, "SELECT 'a\\' , 'secret'", "SELECT", "SELECT ?, ?");
        check(MysqlStandard, r"SELECT 'a\', 'secret' FROM t", "SELECT", "SELECT ?, ? FROM t");
        check(PostgresqlEscapes, r"SELECT 'a\', ''secret' FROM t", "SELECT", "SELECT ? FROM t");
        check(Mysql, r#"insert into foo (animal, name) values ("dog", 'it\'s')"#, "INSERT", "insert into foo (animal, name) values (?)");
        check(Mysql, "SELECT `a b`, @@version, _utf8'x', 0xFF FROM t1 # 'secret'", "SELECT", "SELECT `a b`, @@version, ?, ? FROM t1");
        check(Cassandra, "SELECT v FROM ks.t WHERE id = 3f2504e0-4f89-11d3-9a0c-0305e82c3301 // it", "SELECT", "SELECT v FROM ks.t WHERE id = ?");
        check(Cassandra, "INSERT INTO t (a) VALUES ($$ it's $$)", "INSERT", "INSERT INTO t (a) VALUES (?)");
        check(Postgresql, "ALTER ROLE a PASSWORD 'secret", "ALTER", "ALTER ROLE a PASSWORD ?");
    }

    #[test]
    fn parameters_and_casts() {
        check(Postgresql, "SELECT $1::int, a::text FROM t1 WHERE b = :name", "SELECT", "SELECT ?::int, a::text FROM t1 WHERE b = ?");
        check(Mysql, "SELECT ? , ?", "SELECT", "SELECT ?, ?");
    }

    #[test]
    fn lists_fold() {
        check(Postgresql, "SELECT a FROM t WHERE b IN (1,2, 3 , 'x')", "SELECT", "SELECT a FROM t WHERE b IN (?)");
        check(Mysql, "INSERT INTO t VALUES (1,'a'),(2,'b'), (3, 'c')", "INSERT", "INSERT INTO t VALUES (?)");
        check(Cassandra, "UPDATE t SET l = [1, 2] WHERE k = ?", "UPDATE", "UPDATE t SET l = [?] WHERE k = ?");
        check(Postgresql, "SELECT f(a, 1, 2)", "SELECT", "SELECT f(a, ?, ?)");
    }

    #[test]
    fn comments_and_spaces() {
        check(Postgresql, " /* a /* nested */ 'b' */ SELECT\n\t1 -- 'x\n , 2", "SELECT", "SELECT ?, ?");
        check(Mysql, "/* a /* b */ SELECT 1", "SELECT", "SELECT ?");
        check(Mysql, "SELECT 1 /* secret", "SELECT", "SELECT ?");
    }

    #[test]
    fn verbs() {
        check(Postgresql, "WITH a AS (DELETE FROM t RETURNING *) INSERT INTO u SELECT * FROM a", "INSERT", "WITH a AS (DELETE FROM t RETURNING *) INSERT INTO u SELECT * FROM a");
        check(Postgresql, "(select 1) union (select 2)", "SELECT", "(select ?) union (select ?)");
        check(Postgresql, "", "OTHER", "");
        check(Postgresql, "hunter2", "OTHER", "hunter2");
    }

    #[test]
    fn names_keep_their_digits() {
        check(Mysql, "SELECT t1.c2 FROM sharded_12", "SELECT", "SELECT t1.c2 FROM sharded_12");
    }

    proptest! {
        #[test]
        fn never_panics_and_is_bounded(sql in proptest::collection::vec(any::<u8>(), 0..400), limit in 0usize..300) {
            for dialect in [Postgresql, PostgresqlEscapes, Mysql, MysqlStandard, Cassandra] {
                prop_assert!(normalise(&sql, dialect, limit).text.len() <= limit);
            }
        }

        /// What stands between quotes is never told, nor is any number, however the statement is cut off.
        #[test]
        fn tells_no_secrets(text in "[a-z\"`$()#/*-]{0,12}", number in 1000u32..9999, cut in 0usize..120) {
            for dialect in [Postgresql, PostgresqlEscapes, Mysql, MysqlStandard, Cassandra] {
                let sql = format!("SELECT a FROM t WHERE b = 'ZQ{text}ZQ' AND c IN ({number}, 'ZQ{text}') AND d = {number}");
                let cut = &sql.as_bytes()[..cut.min(sql.len())];
                for sql in [sql.as_bytes(), cut] {
                    let statement = normalise(sql, dialect, 256).text;
                    prop_assert!(!statement.contains("ZQ") && !statement.contains(char::is_numeric), "{statement}");
                }
            }
        }

        #[test]
        fn says_the_same_twice(sql in "[a-zA-Z0-9'\"(),.;:$?=<>* \n-]{0,120}") {
            for dialect in [Postgresql, PostgresqlEscapes, Mysql, MysqlStandard, Cassandra] {
                let once = normalise(sql.as_bytes(), dialect, 1000);
                prop_assert!(normalise(once.text.as_bytes(), dialect, 1000).text.len() <= once.text.len());
            }
        }
    }
}
