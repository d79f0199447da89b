//! A test of texts, and how a whole page of them is searched for what passes it.

use memchr::memmem::Finder;
use regex::{Regex, RegexBuilder};

use super::pages::Texts;
use crate::text::needles::needles;

pub struct TextTest {
    /// A text that matches has one of these in it; without any, every text is looked at.
    finders: Vec<Finder<'static>>,
    /// The finders are of lower case, and find what is ASCII only.
    fold: bool,
    matcher: Matcher,
}

enum Matcher {
    /// One of the finders is all it takes.
    Found,
    /// One of these as a whole, at the front, at the end.
    Equals(Vec<String>),
    StartsWith(Vec<String>),
    EndsWith(Vec<String>),
    Regex(Regex),
}

impl TextTest {
    pub fn equals(texts: Vec<String>) -> TextTest {
        TextTest::of(Matcher::Equals(texts), &[])
    }

    pub fn starts_with(texts: Vec<String>) -> TextTest {
        TextTest::of(Matcher::StartsWith(texts.clone()), &texts)
    }

    pub fn ends_with(texts: Vec<String>) -> TextTest {
        TextTest::of(Matcher::EndsWith(texts.clone()), &texts)
    }

    pub fn contains(texts: Vec<String>) -> TextTest {
        TextTest::of(Matcher::Found, &texts)
    }

    /// None for what the engine would refuse.
    pub fn regex(expression: &str, ignore_case: bool) -> Option<TextTest> {
        let regex = RegexBuilder::new(expression).case_insensitive(ignore_case).build().ok()?;
        let clauses = needles(expression, ignore_case).into_iter();
        let clause = clauses.max_by_key(|clause| clause.iter().map(|needle| needle.text.len()).min()).unwrap_or_default();
        let fold = clause.iter().any(|needle| needle.ignore_case);
        let texts: Vec<String> = clause.into_iter().map(|needle| if fold { needle.text.to_ascii_lowercase() } else { needle.text }).collect();
        let found = if fold && !texts.iter().all(|text| text.is_ascii()) { &[] } else { &texts[..] };
        Some(TextTest { fold, ..TextTest::of(Matcher::Regex(regex), found) })
    }

    fn of(matcher: Matcher, texts: &[String]) -> TextTest {
        let finders = if texts.iter().any(String::is_empty) { Vec::new() } else { texts.iter().map(|text| Finder::new(text).into_owned()).collect() };
        TextTest { finders, fold: false, matcher }
    }

    /// How long a text is that certainly occurs: the longer, the rarer.
    pub fn needle_bytes(&self) -> usize {
        self.finders.iter().map(|finder| finder.needle().len()).min().unwrap_or(0)
    }

    /// Of which texts a page must have at least one; nothing when that is not known, or not in the bytes as they are.
    pub fn sought(&self) -> &[Finder<'static>] {
        if self.fold { &[] } else { &self.finders }
    }

    pub fn matches(&self, value: &[u8]) -> bool {
        match &self.matcher {
            Matcher::Found => self.finders.is_empty() || self.finders.iter().any(|finder| finder.find(value).is_some()),
            Matcher::Equals(texts) => texts.iter().any(|text| value == text.as_bytes()),
            Matcher::StartsWith(texts) => texts.iter().any(|text| value.starts_with(text.as_bytes())),
            Matcher::EndsWith(texts) => texts.iter().any(|text| value.ends_with(text.as_bytes())),
            Matcher::Regex(regex) => simdutf8::basic::from_utf8(value).is_ok_and(|text| regex.is_match(text)),
        }
    }

    /// Set those of `found`, one for each text, that match and are `wanted`.
    pub fn find(&self, texts: &Texts, wanted: impl Fn(usize) -> bool, found: &mut [bool]) {
        if self.finders.is_empty() || (self.fold && !texts.buffer.is_ascii()) {
            (0..found.len()).for_each(|at| found[at] = wanted(at) && self.matches(texts.get(at)));
            return;
        }
        let folded = if self.fold { texts.buffer.to_ascii_lowercase() } else { Vec::new() };
        let bytes = if self.fold { &folded[..] } else { &texts.buffer[..] };
        let sure = matches!(self.matcher, Matcher::Found);
        for finder in &self.finders {
            occurrences(finder, bytes, texts, |at| found[at] = found[at] || (wanted(at) && (sure || self.matches(texts.get(at)))));
        }
    }
}

/// Call `visit` with each text that `finder` occurs in.
fn occurrences(finder: &Finder<'static>, bytes: &[u8], texts: &Texts, mut visit: impl FnMut(usize)) {
    let (mut from, mut at) = (0, 0);
    while let Some(found) = bytes.get(from..).and_then(|rest| finder.find(rest)) {
        let start = from + found;
        at += texts.places[at..].partition_point(|place| place.end <= start);
        let Some(place) = texts.places.get(at) else { break };
        if place.start <= start && start + finder.needle().len() <= place.end {
            visit(at);
            from = place.end;
        } else {
            from = start + 1; // across two texts
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(values: &[String]) -> Texts {
        let ends = values.iter().scan(0, |end, value| {
            *end += value.len();
            Some(*end - value.len()..*end)
        });
        Texts { places: ends.collect(), buffer: values.concat().into_bytes().into() }
    }

    fn check(test: &TextTest, values: &[String], wanted: impl Fn(&str) -> bool) {
        let mut found = vec![false; values.len()];
        test.find(&texts(values), |at| at % 5 != 4, &mut found);
        for (at, value) in values.iter().enumerate() {
            assert_eq!(test.matches(value.as_bytes()), wanted(value), "{value:?}");
            assert_eq!(found[at], at % 5 != 4 && wanted(value), "{value:?} in {values:?}");
        }
    }

    proptest! {
        #[test]
        fn a_page_is_searched_as_its_texts_are(values in prop::collection::vec("[abkK\u{212a}é ]{0,6}", 0..40), one in "[abk]{1,2}", two in "[abké]{0,2}") {
            let pair = || vec![one.clone(), two.clone()];
            check(&TextTest::contains(pair()), &values, |value| value.contains(&one) || value.contains(&two));
            check(&TextTest::starts_with(pair()), &values, |value| value.starts_with(&one) || value.starts_with(&two));
            check(&TextTest::ends_with(pair()), &values, |value| value.ends_with(&one) || value.ends_with(&two));
            check(&TextTest::equals(pair()), &values, |value| value == one || value == two);
            for (expression, ignore_case) in [(regex::escape(&one), true), (format!("{one}|{two}b"), false), (format!("{one}.*{two}"), true), ("(?i)k".to_string(), false)] {
                let regex = RegexBuilder::new(&expression).case_insensitive(ignore_case).build().unwrap();
                check(&TextTest::regex(&expression, ignore_case).unwrap(), &values, |value| regex.is_match(value));
            }
        }
    }
}
