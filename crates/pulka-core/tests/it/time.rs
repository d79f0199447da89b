//! Times against a slow reference that counts the days of each year.

use proptest::prelude::*;
use pulka_core::decode::time::{accept, parse_float, parse_number, parse_text};

/// 2026-01-01
const START_S: i64 = 1_767_225_600;
const START_NS: i64 = START_S * 1_000_000_000;

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn slow_days(year: i64, month: usize, day: i64) -> i64 {
    let years: i64 = (1970..year).map(|year| 365 + i64::from(is_leap(year))).sum();
    let lengths = [31, 28 + i64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    years + lengths[..month - 1].iter().sum::<i64>() + day - 1
}

fn zone_text(form: u8, minutes: i64) -> (String, i64) {
    let sign = if minutes < 0 { '-' } else { '+' };
    let (hour, minute) = (minutes.abs() / 60, minutes.abs() % 60);
    match form {
        0 => (String::new(), 0),
        1 => ("Z".to_string(), 0),
        2 => (format!("{sign}{hour:02}:{minute:02}"), minutes),
        3 => (format!("{sign}{hour:02}{minute:02}"), minutes),
        _ => (format!(" {sign}{hour:02}{minute:02} CET m=+0.5"), minutes),
    }
}

proptest! {
    #[test]
    fn equals_the_reference(
        year in 1970i64..2262, month in 1usize..=12, day in 1i64..=28, second in 0i64..86_400, nano in 0i64..1_000_000_000,
        mark in "[T ]", point in "[.,]", form in 0u8..5, minutes in -1439i64..1440,
    ) {
        let clock = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
        let (zone, minutes) = zone_text(form, minutes);
        let text = format!("{year}-{month:02}-{day:02}{mark}{clock}{point}{nano:09}{zone}");
        let seconds = slow_days(year, month, day) * 86_400 + second - minutes * 60;
        prop_assert_eq!(parse_text(&text), Some(seconds * 1_000_000_000 + nano));
    }

    #[test]
    fn any_text_never_panics(text in ".{0,40}", near in "[0-9]{4}-[0-9TZ:., +-]{0,40}", number in any::<i64>(), float in any::<f64>()) {
        parse_text(&text);
        parse_text(&near);
        parse_number(number);
        parse_float(float);
    }
}

#[test]
fn reads_the_usual_spellings() {
    for text in [
        "2026-01-01",
        "2026-01-01T00:00:00Z",
        "2026-01-01t00:00:00z",
        "2026-01-01 00:00:00",
        "2026-01-01 00:00:00 UTC",
        "2026-01-01 00:00:00 +0000 UTC m=+12.5",
        "2026-01-01T01:00:00+01",
        "1767225600",
        "1767225600000",
        "1767225600000000",
        "1767225600000000000",
    ] {
        assert_eq!(parse_text(text), Some(START_NS), "{text}");
    }
    assert_eq!(parse_text("2026-01-01T00:00:00.1234567891Z"), Some(START_NS + 123_456_789));
    assert_eq!(parse_text("1767225600.25"), Some(START_NS + 250_000_000));
    assert_eq!(parse_text("1767225600000.5"), Some(START_NS + 500_000));
    assert_eq!(parse_float(1_767_225_600.123), Some(START_NS + 123_000_000));
    assert_eq!(parse_float(1.7672256e18), Some(START_NS));
}

#[test]
fn refuses_what_is_no_time() {
    for text in [
        "", "now", "2026-13-01", "2026-02-29", "2026-01-01X00:00:00", "2026-01-01T25:00:00", "2026-01-01T00:00",
        "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+1", "12 ms", "1.5.2", "0x10", "99999999999999999999999",
    ] {
        assert_eq!(parse_text(text), None, "{text}");
    }
    assert_eq!(parse_float(f64::NAN), None);
}

#[test]
fn accepts_what_is_believable() {
    assert!(accept(START_NS, START_NS) && accept(START_NS + 86_400_000_000_000, START_NS));
    assert!(!accept(START_NS + 86_400_000_000_001, START_NS));
    assert!(accept(31_536_000_000_000_000, START_NS) && !accept(31_535_999_999_999_999, START_NS));
    assert!(!accept(parse_text("9999-01-01").unwrap(), START_NS));
}
