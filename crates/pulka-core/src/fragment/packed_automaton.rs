//! Automata as bytes, the form that the catalog keeps and queries are answered by: states in preorder, each a number
//! `edges * 4 + ends * 2 + cut` and then, edge by edge, the character and the state it leads to. Numbers are LEB128.

use super::automaton::{Automaton, State};
use crate::text::pattern::{Pattern, Places};

const CUT: u32 = 1;
const ENDS: u32 = 2;
/// Deeper bytes are not of our making.
const DEPTH_MAX: usize = 512;

impl Automaton {
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.pack(0, &mut bytes);
        bytes
    }

    fn pack(&self, at: usize, bytes: &mut Vec<u8>) {
        let state = &self.states[at];
        let flags = if state.is_end { ENDS } else { 0 } | if state.is_cut { CUT } else { 0 };
        push_number(bytes, (4 * state.edges.len() as u32) | flags);
        for (character, next) in &state.edges {
            push_number(bytes, u32::from(*character));
            self.pack(*next, bytes);
        }
    }

    /// None when the bytes are broken.
    pub fn from_bytes(bytes: &[u8]) -> Option<Automaton> {
        let (mut rest, mut states) = (bytes, Vec::new());
        unpack(&mut rest, &mut states, 0)?;
        rest.is_empty().then_some(Automaton { states })
    }
}

/// Whether a packed automaton takes a text that `pattern` matches; so do broken bytes.
pub fn may_match(mut bytes: &[u8], pattern: &Pattern) -> bool {
    meets(&mut bytes, pattern, pattern.start(), 0).unwrap_or(true)
}

/// Reads the state that `rest` begins with, all below it included; None when the bytes are broken.
fn meets(rest: &mut &[u8], pattern: &Pattern, places: Places, depth: usize) -> Option<bool> {
    let head = number(rest).filter(|_| depth < DEPTH_MAX)?;
    let mut met = head & ENDS != 0 && pattern.is_end(places) || head & CUT != 0 && pattern.goes_on(places);
    for _ in 0..head / 4 {
        let character = char::from_u32(number(rest)?)?;
        let next = if met || places == 0 { 0 } else { pattern.step(places, character) };
        met |= meets(rest, pattern, next, depth + 1)?;
    }
    Some(met)
}

fn unpack(rest: &mut &[u8], states: &mut Vec<State>, depth: usize) -> Option<usize> {
    let head = number(rest).filter(|_| depth < DEPTH_MAX)?;
    let place = states.len();
    states.push(State::new(head & ENDS != 0, head & CUT != 0));
    for _ in 0..head / 4 {
        let character = char::from_u32(number(rest)?)?;
        let next = unpack(rest, states, depth + 1)?;
        states[place].edges.push((character, next));
    }
    Some(place)
}

fn push_number(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let mut number = 0u32;
    for shift in [0, 7, 14, 21] {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}
