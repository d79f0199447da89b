//! How many distinct values there are: HyperLogLog (Flajolet et al. 2007) of 1,024 registers, an error of about 3 %.

const REGISTER_BITS: u32 = 10;
const REGISTERS: usize = 1 << REGISTER_BITS;

#[derive(Clone, Debug)]
pub struct Distinct {
    registers: Box<[u8; REGISTERS]>,
}

impl Default for Distinct {
    fn default() -> Self {
        Distinct { registers: Box::new([0; REGISTERS]) }
    }
}

impl Distinct {
    pub const BYTES: usize = REGISTERS;

    pub fn add(&mut self, value: &[u8]) {
        let hash = xxhash_rust::xxh3::xxh3_64(value);
        let register = &mut self.registers[(hash >> (64 - REGISTER_BITS)) as usize];
        *register = (*register).max((hash << REGISTER_BITS | 1 << (REGISTER_BITS - 1)).leading_zeros() as u8 + 1);
    }

    pub fn estimate(&self) -> u64 {
        let n = REGISTERS as f64;
        let sum: f64 = self.registers.iter().map(|register| 0.5f64.powi(i32::from(*register))).sum();
        let raw = 0.7213 / (1.0 + 1.079 / n) * n * n / sum;
        let empty = self.registers.iter().filter(|register| **register == 0).count();
        let few = raw <= 2.5 * n && empty > 0;
        (if few { n * (n / empty as f64).ln() } else { raw }).round() as u64
    }
}
