//! Numbers out of arbitrary bytes; where these have ended, zeros.

/// The bytes that are left.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl Bytes<'_> {
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    pub(crate) fn word(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    pub(crate) fn long(&mut self) -> u64 {
        u64::from(self.word()) | u64::from(self.word()) << 32
    }

    /// One of `n`.
    pub(crate) fn one_of(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Any number: most of one byte, some of the usual suspects, some of any bits.
    pub(crate) fn float(&mut self) -> f32 {
        const SUSPECTS: [f32; 16] = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.999_999_94,
            f32::MIN_POSITIVE,
            1e-45,
            -1e-45,
            f32::MAX,
            f32::MIN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            1e30,
            -1e30,
            f32::EPSILON,
        ];
        match self.byte() {
            byte @ 0..=199 => (f32::from(byte) - 100.0) / 64.0,
            byte @ 200..=231 => SUSPECTS[usize::from(byte) % 16],
            _ => f32::from_bits(self.word()),
        }
    }

    pub(crate) fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.float()).collect()
    }

    /// Any size: most are small, some are as great as there are.
    pub(crate) fn size(&mut self) -> usize {
        match self.byte() {
            byte @ 0..=223 => usize::from(byte) % 32,
            byte @ 224..=239 => usize::MAX >> (byte - 224),
            240..=247 => self.word() as usize,
            _ => self.long() as usize,
        }
    }
}
