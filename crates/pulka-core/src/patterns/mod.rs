//! Templates of log messages, in the manner of Drain (He et al. 2017): a tree of fixed depth leads from the number of words and
//! the first two of them to a few templates, of which the most similar takes the message.
//!
//! Values are masked first (`text::mask`), so words with digits never split the tree. Memory is bounded: past `templates_max`
//! a message goes to the most similar template it can reach, and where there is none, to the one that is nothing but `<*>`.
//! Every message belongs to exactly one template, so the counts add up to the messages seen.

use ahash::RandomState;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::summary::heavy::cut;
use crate::text::mask::{ANY, mask};

const WORDS_MAX: usize = 64;
const MESSAGE_BYTES_MAX: usize = 2048;
const SAMPLE_BYTES_MAX: usize = 1024;
/// Words in one place of the tree; what comes after goes the way of `<*>`.
const CHILDREN_MAX: usize = 128;
/// The share of words that must agree.
const SIMILARITY_MIN: f64 = 0.5;

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Template {
    words: Vec<Box<str>>,
    pub count: u64,
    /// The first message of it.
    pub sample: String,
}

impl Template {
    pub fn text(&self) -> String {
        self.words.join(" ")
    }

    /// The share of places whose word is the same; a place left open agrees with any.
    fn similarity(&self, words: &[&str]) -> f64 {
        let same = self.words.iter().zip(words).filter(|(own, word)| &***own == **word).count();
        same as f64 / words.len().max(1) as f64
    }

    fn open(&mut self, words: &[&str]) {
        for (own, word) in self.words.iter_mut().zip(words) {
            if **own != **word {
                *own = ANY.into();
            }
        }
    }
}

type Place = (usize, Box<str>, Box<str>);

#[derive(Clone, Debug)]
pub struct Patterns {
    templates: Vec<Template>,
    tree: HashMap<Place, Vec<usize>, RandomState>,
    children: HashMap<(usize, Box<str>), Vec<Box<str>>, RandomState>,
    templates_max: usize,
    rest: Option<usize>,
    masked: String,
}

impl Patterns {
    pub fn new(templates_max: usize) -> Patterns {
        let hasher = || RandomState::with_seeds(1, 2, 3, 4); // the same answer every time
        Patterns {
            templates: Vec::new(),
            tree: HashMap::with_hasher(hasher()),
            children: HashMap::with_hasher(hasher()),
            templates_max: templates_max.max(1),
            rest: None,
            masked: String::new(),
        }
    }

    /// Count a message; the place of its template in `templates`.
    pub fn add(&mut self, message: &str) -> usize {
        let mut masked = std::mem::take(&mut self.masked);
        masked.clear();
        mask(cut(message, MESSAGE_BYTES_MAX), MESSAGE_BYTES_MAX, &mut masked);
        let words: Vec<&str> = masked.split_ascii_whitespace().take(WORDS_MAX).collect();
        let found = self.take(&words, 1, message);
        self.masked = masked;
        found
    }

    /// Count what another has seen.
    pub fn merge(&mut self, other: &[Template]) {
        for template in other {
            let words: Vec<&str> = template.words.iter().map(|word| &**word).collect();
            self.take(&words, template.count, &template.sample);
        }
    }

    pub fn templates(&self) -> &[Template] {
        &self.templates
    }

    /// All that was seen, as bytes for `merge_bytes`.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.templates).unwrap_or_default() // text and numbers always serialize
    }

    /// Count what `to_bytes` of another says; None when the bytes are no such thing.
    pub fn merge_bytes(&mut self, bytes: &[u8]) -> Option<()> {
        self.merge(&serde_json::from_slice::<Vec<Template>>(bytes).ok()?);
        Some(())
    }

    fn take(&mut self, words: &[&str], times: u64, sample: &str) -> usize {
        let place = self.place(words);
        let full = self.templates.len() + 1 >= self.templates_max;
        let nearest = self.nearest(&place, words, if full { 0.0 } else { SIMILARITY_MIN });
        let found = match nearest {
            Some(found) => found,
            None if full => self.rest(sample),
            None => self.begin(place, words, sample),
        };
        let template = &mut self.templates[found];
        if Some(found) != self.rest {
            template.open(words);
        }
        template.count += times;
        found
    }

    fn nearest(&self, place: &Place, words: &[&str], at_least: f64) -> Option<usize> {
        let known = self.tree.get(place)?;
        let scored = known.iter().map(|index| (self.templates[*index].similarity(words), *index));
        // Of equals the first: `max_by` would take the last.
        let best = scored.reduce(|best, one| if one.0 > best.0 { one } else { best })?;
        (best.0 >= at_least || words.is_empty()).then_some(best.1)
    }

    fn begin(&mut self, place: Place, words: &[&str], sample: &str) -> usize {
        self.templates.push(Template {
            words: words.iter().map(|word| Box::from(*word)).collect(),
            count: 0,
            sample: cut(sample, SAMPLE_BYTES_MAX).to_owned(),
        });
        self.tree.entry(place).or_default().push(self.templates.len() - 1);
        self.templates.len() - 1
    }

    /// The template of all that has no other.
    fn rest(&mut self, sample: &str) -> usize {
        *self.rest.get_or_insert_with(|| {
            self.templates.push(Template { words: vec![ANY.into()], count: 0, sample: cut(sample, SAMPLE_BYTES_MAX).to_owned() });
            self.templates.len() - 1
        })
    }

    fn place(&mut self, words: &[&str]) -> Place {
        let first = self.child(words.len(), "", words.first().copied().unwrap_or(""));
        let second = self.child(words.len(), &first, words.get(1).copied().unwrap_or(""));
        (words.len(), first, second)
    }

    /// The branch that a word takes below `parent`.
    fn child(&mut self, length: usize, parent: &str, word: &str) -> Box<str> {
        let known = self.children.entry((length, Box::from(parent))).or_default();
        if known.iter().any(|one| **one == *word) {
            return word.into();
        }
        if known.len() >= CHILDREN_MAX || self.templates.len() + 1 >= self.templates_max || word.contains(ANY) {
            return ANY.into();
        }
        known.push(word.into());
        word.into()
    }
}
