//! Random numbers from a seed (SplitMix64), so that a failure can be thrown again.

/// The stream of one seed.
pub struct Dice(u64);

impl Dice {
    /// The seed of this run: `LOGSPINE_SEED`, or always the same.
    pub fn seed() -> u64 {
        std::env::var("LOGSPINE_SEED")
            .map_or(20_250_901, |seed| seed.parse().expect("LOGSPINE_SEED is a number"))
    }

    /// A stream of its own for each name, so that schemas do not depend on each other.
    pub fn named(seed: u64, name: &str, version: i16) -> Dice {
        let hash =
            name.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Dice(hash.wrapping_add(version as u64))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `end`.
    pub fn below(&mut self, end: u64) -> usize {
        (self.bits() % end) as usize
    }

    /// True once in `n`.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// A number for `width` bytes, often near an edge.
    pub fn number(&mut self) -> i64 {
        match self.below(4) {
            0 => self.below(200) as i64 - 100,
            1 => 1 << self.below(64),
            2 => (u64::MAX >> self.below(64)) as i64,
            _ => self.bits() as i64,
        }
    }

    /// Bytes, now and then so many that a compact length takes two bytes.
    pub fn bytes(&mut self) -> Vec<u8> {
        let len = if self.one_in(15) { 200 } else { self.below(20) };
        (0..len).map(|_| self.bits() as u8).collect()
    }

    /// The length of an array of plain values, now and then one whose compact form takes two bytes.
    pub fn array_len(&mut self) -> usize {
        if self.one_in(20) { 127 + self.below(10) } else { self.below(4) }
    }

    /// Text with letters of one to four bytes.
    pub fn text(&mut self) -> String {
        let len = if self.one_in(15) { 120 + self.below(20) } else { self.below(12) };
        let letter = |dice: &mut Dice| match dice.below(50) {
            0 => char::from_u32(0x1f600 + dice.below(60) as u32),
            1..3 => char::from_u32(0x80 + dice.below(0xd000) as u32),
            _ => char::from_u32(0x20 + dice.below(95) as u32),
        };
        (0..len).map(|_| letter(self).unwrap_or('?')).collect()
    }
}
