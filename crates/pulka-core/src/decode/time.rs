//! Reads the many spellings of an event's time, always as nanoseconds since 1970 UTC.
//!
//! Times that 64 bits cannot hold saturate, so `accept` refuses them.

const SECOND_NS: i64 = 1_000_000_000;
const DAY_S: i64 = 86_400;
/// 1971-01-01: earlier times are clocks that were never set.
const FIRST_NS: i64 = 365 * DAY_S * SECOND_NS;

/// Whether a time is believable for an event that arrived then.
pub fn accept(ns: i64, arrival_ns: i64) -> bool {
    ns >= FIRST_NS && ns <= arrival_ns.saturating_add(DAY_S * SECOND_NS)
}

/// Epoch seconds, milliseconds, microseconds or nanoseconds, told apart by magnitude.
pub fn parse_number(epoch: i64) -> i64 {
    epoch.saturating_mul(unit_ns(epoch.unsigned_abs()))
}

/// As `parse_number`, with a fraction; read from the shortest decimal text, which is what the sender wrote.
pub fn parse_float(epoch: f64) -> Option<i64> {
    (epoch.abs() < 1e19).then(|| parse_epoch(&format!("{epoch}")))?
}

/// RFC 3339 with or without zone, a plain date, an epoch number as text, or a time as Go prints it.
pub fn parse_text(text: &str) -> Option<i64> {
    let text = text.trim_ascii();
    match text.as_bytes() {
        [_, _, _, _, b'-', ..] => parse_date_time(text.as_bytes()),
        _ => parse_epoch(text),
    }
}

/// Nanoseconds of one unit of an epoch number: seconds until the year 5138, and so on.
fn unit_ns(epoch: u64) -> i64 {
    match epoch {
        0..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    }
}

/// Digits, a sign before and a fraction after them if need be.
fn parse_epoch(text: &str) -> Option<i64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    if whole.is_empty() || whole.len() > 19 || !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let unit = unit_ns(whole);
    let (billionths, rest) = parse_fraction(fraction.as_bytes())?;
    let whole = i64::try_from(whole).unwrap_or(i64::MAX);
    let ns = whole.saturating_mul(unit).saturating_add(billionths * unit / SECOND_NS);
    rest.is_empty().then_some(if negative { -ns } else { ns })
}

/// The digits of a fraction as billionths (further ones are dropped), and what follows them.
fn parse_fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 {
        return None;
    }
    let (digits, rest) = text.split_at(count);
    let kept = &digits[..count.min(9)];
    let value = kept.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some((value * 10i64.pow(9 - kept.len() as u32), rest))
}

fn parse_date_time(text: &[u8]) -> Option<i64> {
    let (date, rest) = text.split_first_chunk::<10>()?;
    let days = parse_date(date)?;
    let Some((mark, rest)) = rest.split_first() else { return Some(total_ns(days, 0, 0)) };
    if !matches!(mark, b'T' | b't' | b' ') {
        return None;
    }
    let (clock, rest) = rest.split_first_chunk::<8>()?;
    let seconds = parse_clock(clock)?;
    let (billionths, rest) = match rest {
        [b'.' | b',', rest @ ..] => parse_fraction(rest)?,
        _ => (0, rest),
    };
    Some(total_ns(days, seconds - parse_zone(rest)?, billionths))
}

fn total_ns(days: i64, seconds: i64, billionths: i64) -> i64 {
    (days * DAY_S + seconds).saturating_mul(SECOND_NS).saturating_add(billionths)
}

fn pair(tens: u8, ones: u8) -> Option<i64> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
}

/// Days since 1970 of `YYYY-MM-DD`.
fn parse_date(text: &[u8; 10]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text else { return None };
    let year = pair(y1, y2)? * 100 + pair(y3, y4)?;
    let (month, day) = (pair(m1, m2)?, pair(d1, d2)?);
    ((1..=12).contains(&month) && (1..=month_days(year, month)).contains(&day)).then(|| days_since_1970(year, month, day))
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Howard Hinnant's days_from_civil for years from 0: the year begins in March, so the leap day is its last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year } + 400;
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468 - 146_097
}

/// Seconds of `HH:MM:SS`; a leap second is the next minute's first.
fn parse_clock(text: &[u8; 8]) -> Option<i64> {
    let [h1, h2, b':', m1, m2, b':', s1, s2] = *text else { return None };
    let (hour, minute, second) = (pair(h1, h2)?, pair(m1, m2)?, pair(s1, s2)?);
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
}

/// Seconds east of UTC: `Z`, `+01:00`, `+0100`, `+01`, ` UTC`, ` +0100 CET m=+1.5`, or nothing for UTC.
fn parse_zone(text: &[u8]) -> Option<i64> {
    match text.trim_ascii() {
        b"" | b"Z" | b"z" | b"UTC" | b"GMT" => Some(0),
        [sign @ (b'+' | b'-'), offset @ ..] => {
            let (offset, rest) = parse_offset(offset)?;
            is_go_tail(rest).then_some(if *sign == b'-' { -offset } else { offset })
        }
        [b'U', b'T', b'C', rest @ ..] => is_go_tail(rest).then_some(0),
        _ => None,
    }
}

fn parse_offset(text: &[u8]) -> Option<(i64, &[u8])> {
    let (hour, minute, rest) = match text {
        [h1, h2, b':', m1, m2, rest @ ..] => (pair(*h1, *h2)?, pair(*m1, *m2)?, rest),
        [h1, h2, m1 @ b'0'..=b'9', m2, rest @ ..] => (pair(*h1, *h2)?, pair(*m1, *m2)?, rest),
        [h1, h2, rest @ ..] => (pair(*h1, *h2)?, 0, rest),
        _ => return None,
    };
    (hour < 24 && minute < 60).then_some((hour * 3600 + minute * 60, rest))
}

/// What Go prints after the offset: the zone's name and the reading of the monotonic clock.
fn is_go_tail(text: &[u8]) -> bool {
    let mut words = text.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    text.first().is_none_or(|byte| *byte == b' ')
        && words.all(|word| word.starts_with(b"m=") || word.iter().all(|byte| byte.is_ascii_alphabetic()))
}
