//! Trimmed automata: what texts a column of a fragment may hold, in a few hundred bytes.
//!
//! A trie of the values by characters, where every state counts the values that pass it. Trimming keeps the states that
//! most values pass: from the root, the heaviest first, a state keeps all its edges if they fit the budget, otherwise it is
//! cut and takes any text from there on. That only ever adds texts, so a value that was added is never denied. Trimming
//! to twice the budget while the trie is built bounds the memory; trimming only at the end would favour what came first.
//! The scheme is that of Datadog's event store, as published in Quickwit's repository (zonemap).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Edges of a finished automaton: measured (docs/design/pruning.md), 64 blur what two dozen names of pods are.
pub const TRANSITIONS_MAX: usize = 256;
/// Values between two trimmings.
const PRUNE_EVERY: usize = 1000;
/// Edges kept while values still come, per edge at the end.
const MULTIPLIER: usize = 2;
/// States that texts reach after this many characters are cut.
const DEPTH_MAX: usize = 256;

const ROOT: usize = 0;

/// One state of the trie; a tree, as no two edges lead to one state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Values that pass.
    weight: u64,
    /// A value ends here.
    pub is_end: bool,
    /// Any text that is not empty may follow.
    pub is_cut: bool,
    pub edges: Vec<(char, usize)>,
}

impl State {
    pub fn new(is_end: bool, is_cut: bool) -> State {
        State { is_end, is_cut, ..State::default() }
    }
}

/// Gathers values.
pub struct Builder {
    states: Vec<State>,
    transitions_max: usize,
    added: usize,
}

impl Builder {
    pub fn new(transitions_max: usize) -> Builder {
        Builder { states: vec![State::default()], transitions_max, added: 0 }
    }

    pub fn add(&mut self, value: &str) {
        self.walk(value);
        self.added += 1;
        if self.added.is_multiple_of(PRUNE_EVERY) {
            self.prune(MULTIPLIER * self.transitions_max);
        }
    }

    fn walk(&mut self, value: &str) {
        let mut at = ROOT;
        self.states[ROOT].weight += 1;
        for (depth, character) in value.chars().enumerate() {
            if self.states[at].is_cut {
                return;
            }
            at = self.next(at, character, depth + 1);
            self.states[at].weight += 1;
        }
        self.states[at].is_end = true;
    }

    fn next(&mut self, at: usize, character: char, depth: usize) -> usize {
        if let Some((_, next)) = self.states[at].edges.iter().find(|(edge, _)| *edge == character) {
            return *next;
        }
        let is_cut = depth >= DEPTH_MAX;
        self.states.push(State::new(false, is_cut));
        let new = self.states.len() - 1;
        self.states[at].edges.push((character, new));
        new
    }

    /// Cut until at most `transitions` edges are left.
    fn prune(&mut self, transitions: usize) {
        let mut room = transitions;
        let mut open = BinaryHeap::from([(self.states[ROOT].weight, Reverse(0), ROOT)]);
        let mut visited = 0;
        while let Some((_, _, at)) = open.pop() {
            if self.states[at].edges.len() > room {
                self.cut(at);
            }
            room -= self.states[at].edges.len();
            for &(_, next) in &self.states[at].edges {
                visited += 1;
                open.push((self.states[next].weight, Reverse(visited), next));
            }
        }
        self.sweep();
    }

    fn cut(&mut self, at: usize) {
        self.states[at].is_cut = true;
        self.states[at].edges.clear();
    }

    /// Forget states that nothing leads to.
    fn sweep(&mut self) {
        let mut kept = Vec::new();
        self.keep(ROOT, &mut kept);
        self.states = kept;
    }

    fn keep(&mut self, at: usize, kept: &mut Vec<State>) -> usize {
        let (place, mut state) = (kept.len(), std::mem::take(&mut self.states[at]));
        kept.push(State::default());
        state.edges.iter_mut().for_each(|(_, next)| *next = self.keep(*next, kept));
        kept[place] = state;
        place
    }

    /// None when nothing was added, or nothing is known of any value's first character.
    pub fn finish(mut self) -> Option<Automaton> {
        self.prune(self.transitions_max);
        self.states.iter_mut().for_each(|state| state.edges.sort_unstable());
        self.sweep();
        (self.added > 0 && !self.states[ROOT].is_cut).then_some(Automaton { states: self.states })
    }
}

/// A finished automaton: states in preorder, edges sorted by character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Automaton {
    pub states: Vec<State>,
}

impl Automaton {
    /// The automaton of `values`.
    pub fn of<S: AsRef<str>>(values: &[S], transitions_max: usize) -> Option<Automaton> {
        let mut builder = Builder::new(transitions_max);
        values.iter().for_each(|value| builder.add(value.as_ref()));
        builder.finish()
    }

    /// Whether it takes the values that were added and no other text.
    pub fn is_exact(&self) -> bool {
        self.states.iter().all(|state| !state.is_cut)
    }
}
