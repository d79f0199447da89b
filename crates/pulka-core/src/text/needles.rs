//! Literals that every match of a regular expression has in it.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, ClassUnicode, Hir, HirKind, Repetition};

use super::fold;

/// Alternatives of one clause; an expression with more is not worth looking them up.
const ALTERNATIVES_MAX: usize = 64;

/// A text that occurs, in any case or exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Needle {
    pub text: String,
    pub ignore_case: bool,
}

/// Of each clause, at least one needle occurs. Clauses have at least one, and no needle is empty.
pub type Clauses = Vec<Vec<Needle>>;

/// What every text must have that `expression` matches somewhere; nothing when the expression is not understood.
pub fn needles(expression: &str, ignore_case: bool) -> Clauses {
    match ParserBuilder::new().case_insensitive(ignore_case).build().parse(expression) {
        Ok(hir) => needed(&hir),
        Err(_) => Clauses::new(),
    }
}

fn needed(hir: &Hir) -> Clauses {
    let mut found = Gatherer::default();
    found.walk(hir);
    found.finish()
}

/// Walks a concatenation, joining literals that stand side by side.
#[derive(Default)]
struct Gatherer {
    clauses: Clauses,
    run: Needle,
}

impl Gatherer {
    fn walk(&mut self, hir: &Hir) {
        match hir.kind() {
            HirKind::Empty => {}
            HirKind::Literal(literal) => self.literal(&literal.0),
            HirKind::Class(class) => match folded(class) {
                Some(character) => self.push(character, true),
                None => self.end_run(),
            },
            HirKind::Capture(capture) => self.walk(&capture.sub),
            HirKind::Concat(parts) => parts.iter().for_each(|part| self.walk(part)),
            HirKind::Repetition(repetition) => self.repetition(repetition),
            HirKind::Alternation(branches) => {
                self.end_run();
                self.clauses.extend(alternation(branches));
            }
            HirKind::Look(_) => {} // takes no text, so what is beside it stays side by side
        }
    }

    fn literal(&mut self, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(text) => text.chars().for_each(|character| self.push(character, false)),
            Err(_) => self.end_run(),
        }
    }

    fn push(&mut self, character: char, any_case: bool) {
        self.run.text.push(character);
        self.run.ignore_case |= any_case;
    }

    fn repetition(&mut self, repetition: &Repetition) {
        if repetition.min > 0 {
            self.walk(&repetition.sub); // once is certain; more may follow
        }
        self.end_run();
    }

    fn end_run(&mut self) {
        let run = std::mem::take(&mut self.run);
        if !run.text.is_empty() {
            self.clauses.push(vec![run]);
        }
    }

    fn finish(mut self) -> Clauses {
        self.end_run();
        self.clauses
    }
}

/// One clause of all branches, by what is longest in each; none when a branch needs nothing.
fn alternation(branches: &[Hir]) -> Option<Vec<Needle>> {
    let shortest = |clause: &Vec<Needle>| clause.iter().map(|needle| needle.text.len()).min();
    let best = |branch| needed(branch).into_iter().max_by_key(shortest);
    let mut clause: Vec<Needle> = branches.iter().map(best).collect::<Option<Vec<_>>>()?.concat();
    clause.sort();
    clause.dedup();
    (clause.len() <= ALTERNATIVES_MAX).then_some(clause)
}

/// The character whose cases a class is.
fn folded(class: &Class) -> Option<char> {
    let class: &ClassUnicode = match class {
        Class::Unicode(class) => class,
        Class::Bytes(class) => &class.to_unicode_class()?,
    };
    let mut characters = class.iter().flat_map(|range| range.start()..=range.end()).map(fold);
    let first = characters.next()?;
    characters.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(expression: &str) -> Vec<Vec<String>> {
        let text = |needle: Needle| format!("{}{}", if needle.ignore_case { "~" } else { "" }, needle.text);
        needles(expression, false).into_iter().map(|clause| clause.into_iter().map(text).collect()).collect()
    }

    #[test]
    fn needles_are_what_every_match_has() {
        assert_eq!(of("time(out|d out) after \\d+ ms"), [vec!["time"], vec!["d out", "out"], vec![" after "], vec![" ms"]]);
        assert_eq!(of("a+b"), [["a"], ["b"]]);
        assert_eq!(of("(ab)?c"), [["c"]]);
        assert_eq!(of("x|y*"), Vec::<Vec<String>>::new());
        assert_eq!(of("(?i)Foo"), [["~foo"]]);
        assert_eq!(of("^abc$"), [["abc"]]);
        assert_eq!(of("a.c"), [["a"], ["c"]]);
        assert_eq!(of("[a-z]"), Vec::<Vec<String>>::new());
        assert_eq!(of("(broken"), Vec::<Vec<String>>::new());
        assert_eq!(of("(?:ab){2,3}c"), [["ab"], ["c"]]);
    }
}
