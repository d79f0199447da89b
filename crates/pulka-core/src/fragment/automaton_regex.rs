//! Automata as anchored regular expressions, for readers that know nothing of ours.
//!
//! A cut state is `[\s\S]+`, or `[\s\S]*` where a value ends too (`.` would miss newlines). Characters that lead to the
//! same expression become a class, neighbouring ones a range, and a wildcard that ends several branches stands once.

use super::automaton::Automaton;

const ANY: &str = "[\\s\\S]*";
const SOME: &str = "[\\s\\S]+";
const META: &str = r"\.+*?()|[]{}^$-";

impl Automaton {
    /// `^...$`
    pub fn regex(&self) -> String {
        let Tail { body, wildcard } = self.tail(0);
        format!("^{body}{wildcard}$")
    }

    /// What may follow at a state.
    fn tail(&self, at: usize) -> Tail {
        let state = &self.states[at];
        if state.is_cut {
            return Tail { body: String::new(), wildcard: if state.is_end { ANY } else { SOME } };
        }
        let mut branches = self.branches(at);
        match (branches.len(), state.is_end) {
            (0, _) => Tail::default(),
            (1, false) => branches.remove(0),
            (_, false) => factored(branches),
            (count, true) => {
                let tail = factored(branches);
                let in_brackets = count > 1 && tail.wildcard.is_empty();
                Tail { body: optional(tail.text(), in_brackets), wildcard: "" }
            }
        }
    }

    /// The ways on from a state, one for each different tail.
    fn branches(&self, at: usize) -> Vec<Tail> {
        let mut ways: Vec<(Vec<char>, Tail)> = Vec::new();
        for (character, next) in &self.states[at].edges {
            let tail = self.tail(*next);
            match ways.iter_mut().find(|(_, known)| *known == tail) {
                Some((characters, _)) => characters.push(*character),
                None => ways.push((vec![*character], tail)),
            }
        }
        let joined = |(characters, tail): (Vec<char>, Tail)| Tail { body: class(&characters) + &tail.body, ..tail };
        ways.into_iter().map(joined).collect()
    }
}

/// An expression and the wildcard that ends it.
#[derive(Default, PartialEq)]
struct Tail {
    body: String,
    wildcard: &'static str,
}

impl Tail {
    fn text(self) -> String {
        self.body + self.wildcard
    }
}

/// Several branches as one, their wildcards taken out of the brackets.
fn factored(branches: Vec<Tail>) -> Tail {
    let mut groups: Vec<(&'static str, Vec<String>)> = Vec::new();
    for Tail { body, wildcard } in branches {
        match groups.iter_mut().find(|(known, _)| *known == wildcard) {
            Some((_, bodies)) => bodies.push(body),
            None => groups.push((wildcard, vec![body])),
        }
    }
    if groups.len() == 1 {
        let (wildcard, bodies) = groups.remove(0);
        return Tail { body: any_of(bodies), wildcard };
    }
    Tail { body: any_of(groups.into_iter().map(|(wildcard, bodies)| any_of(bodies) + wildcard).collect()), wildcard: "" }
}

fn any_of(mut branches: Vec<String>) -> String {
    if branches.len() == 1 { branches.remove(0) } else { format!("(?:{})", branches.join("|")) }
}

fn optional(text: String, in_brackets: bool) -> String {
    if in_brackets || is_one_character(&text) { text + "?" } else { format!("(?:{text})?") }
}

fn is_one_character(text: &str) -> bool {
    let escaped = text.starts_with('\\') && text.chars().count() == 2;
    let class = text.starts_with('[') && text.find(']') == Some(text.len() - 1);
    text.chars().count() == 1 || escaped || class
}

/// One of `characters`, which are sorted.
fn class(characters: &[char]) -> String {
    if let [only] = characters {
        return escaped(*only);
    }
    let spans = characters.chunk_by(|one, next| *one as u32 + 1 == *next as u32);
    format!("[{}]", spans.map(span).collect::<String>())
}

fn span(characters: &[char]) -> String {
    match characters {
        [first, .., last] if characters.len() > 2 => format!("{}-{}", escaped(*first), escaped(*last)),
        few => few.iter().map(|character| escaped(*character)).collect(),
    }
}

fn escaped(character: char) -> String {
    match character {
        '\n' => "\\n".into(),
        '\r' => "\\r".into(),
        '\t' => "\\t".into(),
        _ if META.contains(character) => format!("\\{character}"),
        _ if character.is_ascii_control() => format!("\\x{:02x}", character as u32),
        _ => character.into(),
    }
}
