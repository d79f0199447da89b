//! Where to put a probe on x86-64, so that it costs least.
//!
//! The kernel runs the probed instruction elsewhere. Some it emulates (`push`, `nop`, jumps and calls: 0.7 us a hit); any other one it
//! single-steps, and the debug trap costs 11-18 us in a virtual machine. So a function is probed where its first instruction is emulated,
//! if there is such a place at which nothing has changed yet: arguments in their registers, the return address on top of the stack.
//!
//! Why that is safe. Only entries of functions are considered, and the instruction behind an `endbr64` at an entry: that one changes
//! no register and no memory, and a jump to the entry or behind it passes the probe alike. A probe never lies within an instruction, because
//! an entry is where a symbol or a direct call points. What is called is taken for the inner function only when two exported functions,
//! which both forward to it, agree on their first direct call (`SSL_read` and `SSL_read_ex` on `ssl_read_internal`).

use iced_x86::{Code, Decoder, DecoderOptions};

/// Bytes of a function that are looked at.
pub const WINDOW: usize = 192;

const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];

/// Offset from the entry of an instruction that the kernel emulates and before which nothing has happened. None: there is none.
pub fn cheap_point(code: &[u8]) -> Option<usize> {
    let skipped = if code.starts_with(&ENDBR64) { ENDBR64.len() } else { 0 };
    is_emulated(code.get(skipped..)?).then_some(skipped)
}

/// `arch/x86/kernel/uprobes.c`: push of a register, one-byte nop, near and short jumps and calls.
fn is_emulated(code: &[u8]) -> bool {
    matches!(code, [0x50..=0x57 | 0x90 | 0xe8 | 0xe9 | 0xeb, ..] | [0x41, 0x50..=0x57, ..])
}

/// Offset of the `push rbp` behind the stack check of a Go function (register ABI, Go 1.17 and later): arguments are in their
/// registers, a stack that must grow has grown. None for another prologue.
pub fn go_entry(code: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += match code.get(at..)? {
            [0x49, 0x3b, 0x66, 0x10, ..] | [0x4d, 0x3b, 0x66, 0x10, ..] => 4, // cmp rsp, [r14+16]; cmp r12, [r14+16]
            [0x4c, 0x8d, 0x64, 0x24, ..] => 5,                               // lea r12, [rsp+imm8]
            [0x4c, 0x8d, 0xa4, 0x24, ..] => 8,                               // lea r12, [rsp+imm32]
            [0x0f, 0x86, _, _, _, _, 0x55, ..] => return Some(at + 6),       // jbe morestack; push rbp
            [0x76, _, 0x55, ..] => return Some(at + 2),
            _ => return None,
        };
    }
}

/// Offsets of every RET of a whole function. None when one instruction of it cannot be decoded, or it has none: a probe must never be
/// within an instruction.
pub fn returns(code: &[u8]) -> Option<Vec<usize>> {
    let mut decoder = Decoder::new(64, code, DecoderOptions::NONE);
    let mut found = Vec::new();
    while decoder.can_decode() {
        let at = decoder.position();
        let instruction = decoder.decode();
        if instruction.is_invalid() {
            return None;
        }
        if instruction.code() == Code::Retnq {
            found.push(at);
        }
    }
    (!found.is_empty()).then_some(found)
}

/// What the first direct call of a function tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstCall {
    /// Relative to the function's entry.
    pub target: i64,
    /// An address on the stack goes into the fifth argument's register, and not into the fourth's: where a result is told.
    pub fifth: bool,
}

/// Walks along a function that forwards its arguments. Only instructions are known here that leave the first three argument
/// registers as they are (or widen the third), so an answer proves that the called function gets the same session and buffer.
/// None when anything else comes before the first call.
pub fn first_call(code: &[u8]) -> Option<FirstCall> {
    let (mut at, mut fifth) = (0, false);
    while at < code.len().min(WINDOW) {
        let rest = &code[at..];
        at += match rest {
            [0xe8, a, b, c, d, ..] => {
                let relative = i32::from_le_bytes([*a, *b, *c, *d]);
                return Some(FirstCall { target: at as i64 + 5 + i64::from(relative), fifth });
            }
            [0xf3, 0x0f, 0x1e, 0xfa, ..] => 4,                                     // endbr64
            [0x50 | 0x53 | 0x55, ..] | [0x90, ..] => 1,                             // push rax, rbx, rbp; nop
            [0x48, 0x83, 0xec, _, ..] => 4,                                        // sub rsp, imm8
            [0x48, 0x89, 0xe5, ..] => 3,                                           // mov rbp, rsp
            [0x64, 0x48, 0x8b, 0x04, 0x25, _, _, _, _, ..] => 9,                    // mov rax, fs:[..]: the stack guard
            [0x48, 0x89, 0x44, 0x24, _, ..] => 5,                                  // mov [rsp+x], rax
            [0x48, 0x89, 0x45, _, ..] => 4,                                        // mov [rbp+x], rax
            [0x31, 0xc0 | 0xc9, ..] => 2,                                          // xor eax, eax; xor ecx, ecx
            [0x85, 0xd2, ..] => 2,                                                 // test edx, edx
            [0x70..=0x7f, _, ..] => 2,                                             // a short jump, not taken
            [0x0f, 0x80..=0x8f, _, _, _, _, ..] => 6,                               // a near jump, not taken
            [0x48, 0x63, 0xd2, ..] => 3,                                           // movsxd rdx, edx
            [0x48, 0x89, 0xe1, ..] => 3,                                           // mov rcx, rsp
            [0x48, 0x8d, 0x4c, 0x24, _, ..] => 5,                                  // lea rcx, [rsp+x]
            [0x48, 0x8d, 0x4d, _, ..] => 4,                                        // lea rcx, [rbp+x]
            [0x49, 0x89, 0xe0 | 0xc8, ..] => {
                fifth = true; // mov r8, rsp; mov r8, rcx
                3
            }
            [0x4c, 0x8d, 0x44, 0x24, _, ..] => {
                fifth = true; // lea r8, [rsp+x]
                5
            }
            [0x4c, 0x8d, 0x45, _, ..] => {
                fifth = true; // lea r8, [rbp+x]
                4
            }
            _ => return None,
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `SSL_read` and `SSL_read_ex` of Debian 12's OpenSSL 3.0, as far as the call of `ssl_read_internal`.
    const SSL_READ: &[u8] = &[
        0x48, 0x83, 0xec, 0x18, 0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0, 0x48, 0x89, 0x44, 0x24, 0x08, 0x31, 0xc0, 0x85, 0xd2, 0x78, 0x2f, 0x48,
        0x89, 0xe1, 0x48, 0x63, 0xd2, 0xe8, 0x3d, 0xfe, 0xff, 0xff,
    ];
    const SSL_READ_EX: &[u8] = &[0x48, 0x83, 0xec, 0x08, 0xe8, 0xc7, 0xfd, 0xff, 0xff];

    #[test]
    fn the_first_call_of_a_real_function() {
        assert_eq!(first_call(SSL_READ), Some(FirstCall { target: 0x35290 - 0x35430, fifth: false }));
        assert_eq!(first_call(SSL_READ_EX), Some(FirstCall { target: 0x35290 - 0x354c0, fifth: false }));
        assert_eq!(cheap_point(SSL_READ), None);
    }

    #[test]
    fn a_function_that_changes_its_arguments_first_tells_nothing() {
        let changed = [&[0x48, 0x89, 0xf7][..], SSL_READ_EX].concat(); // mov rdi, rsi
        assert_eq!(first_call(&changed), None);
        assert_eq!(first_call(&[0x55, 0x48, 0x89, 0xe5, 0x41, 0x56]), None);
    }

    #[test]
    fn the_fifth_argument_is_told_from_the_fourth() {
        let later = [0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x83, 0xec, 0x18, 0x31, 0xc9, 0x4c, 0x8d, 0x44, 0x24, 0x08, 0xe8, 1, 0, 0, 0];
        assert_eq!(first_call(&later), Some(FirstCall { target: 21, fifth: true }));
    }

    #[test]
    fn entries_of_go_functions() {
        assert_eq!(go_entry(&[0x49, 0x3b, 0x66, 0x10, 0x0f, 0x86, 0x7a, 3, 0, 0, 0x55, 0x48]), Some(10));
        assert_eq!(go_entry(&[0x4c, 0x8d, 0x64, 0x24, 0xb8, 0x4d, 0x3b, 0x66, 0x10, 0x76, 0x20, 0x55]), Some(11));
        assert_eq!(go_entry(&[0x64, 0x48, 0x8b, 0x0c, 0x25]), None); // before Go 1.17
    }

    #[test]
    fn returns_are_instructions_and_not_bytes() {
        let code = [0xb8, 0xc3, 0xc3, 0xc3, 0xc3, 0x5d, 0xc3, 0x90, 0xc3]; // mov eax, 0xc3c3c3c3; pop rbp; ret; nop; ret
        assert_eq!(returns(&code), Some(vec![6, 8]));
        assert_eq!(returns(&[0x90]), None);
        assert_eq!(returns(&[0x06, 0xc3]), None);
    }

    #[test]
    fn cheap_points() {
        assert_eq!(cheap_point(&[0x41, 0x57, 0x41, 0x56]), Some(0)); // push r15
        assert_eq!(cheap_point(&[0xf3, 0x0f, 0x1e, 0xfa, 0x55]), Some(4)); // endbr64; push rbp
        assert_eq!(cheap_point(&[0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x83, 0xec, 0x08]), None);
        assert_eq!(cheap_point(&[0x48, 0x8d, 0x05]), None);
        assert_eq!(cheap_point(&[]), None);
    }

    #[test]
    fn no_bytes_panic() {
        let mut state = 7u64;
        for _ in 0..20_000 {
            let mut bytes = [0u8; 24];
            for byte in &mut bytes {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = (state >> 56) as u8;
            }
            for end in 0..bytes.len() {
                let (_, _) = (first_call(&bytes[..end]), cheap_point(&bytes[..end]));
            }
        }
    }
}
