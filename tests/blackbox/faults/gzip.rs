//! gzip by hand (RFC 1951 and 1952), as much of it as a fault needs: stored bytes, and very many zeros in very few.

/// A gzip member that holds `bytes` uncompressed; at most 65,535 of them.
pub fn stored(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("one stored block is enough for an answer");
    let mut out = HEADER.to_vec();
    out.push(1);
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(bytes);
    out.extend(crc32fast::hash(bytes).to_le_bytes());
    out.extend(u32::from(length).to_le_bytes());
    out
}

/// A gzip member of about `count` zeros: one, and then copies of it, 258 at a time in 13 bits.
pub fn zeros(count: usize) -> Vec<u8> {
    let copies = count / 258;
    let mut bits = Bits { out: HEADER.to_vec(), held: 0, count: 0 };
    // A last block with fixed Huffman codes.
    bits.push(0b011, 3);
    bits.push_code(0b0011_0000, 8);
    for _ in 0..copies {
        bits.push_code(0b1100_0101, 8);
        bits.push_code(0, 5);
    }
    bits.push_code(0, 7);
    let mut out = bits.finish();
    let whole = 1 + copies * 258;
    let mut hasher = crc32fast::Hasher::new();
    let block = vec![0; 1 << 16];
    let mut left = whole;
    while left > 0 {
        let now = left.min(block.len());
        hasher.update(&block[..now]);
        left -= now;
    }
    out.extend(hasher.finalize().to_le_bytes());
    out.extend((whole as u32).to_le_bytes());
    out
}

const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Bits into bytes, the lowest first.
struct Bits {
    out: Vec<u8>,
    held: u32,
    count: u32,
}

impl Bits {
    fn push(&mut self, bits: u32, count: u32) {
        self.held |= bits << self.count;
        self.count += count;
        while self.count >= 8 {
            self.out.push(self.held as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }

    /// Huffman codes go the other way round.
    fn push_code(&mut self, code: u32, count: u32) {
        self.push(code.reverse_bits() >> (32 - count), count);
    }

    fn finish(mut self) -> Vec<u8> {
        self.push(0, (8 - self.count) % 8);
        self.out
    }
}

/// The bytes were held against zlib, which makes 517 zeros of them.
#[test]
fn a_bomb_is_what_gzip_unpacks() {
    let hex: String = zeros(516).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "1f8b08000000000000ff631805a3000031187d5105020000");
    assert!(zeros(64 << 20).len() < 450_000);
}
