//! The audit log's tree (RFC 6962): which stored hashes a question needs, and the answer once they are there. Pure.
//!
//! Hashes of complete subtrees are stored in one sequence, at the positions of [`tlog_tiles::stored_hash_index`]. The library
//! reads them synchronously and in one go, so each question is asked twice: once to learn the positions, once to be answered.

use std::{cell::RefCell, collections::HashMap};

use tlog_tiles::{Error, Hash, HashReader};

/// One hash of the tree.
pub type Digest = [u8; 32];

/// What is asked of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// The root of the first `size` entries.
    Root { size: u64 },
    /// That the entry `seq` is in the tree of `size` entries.
    Inclusion { seq: u64, size: u64 },
    /// That the tree of `old` entries is a beginning of the one of `size`.
    Consistency { old: u64, size: u64 },
    /// What is stored when `leaf` becomes the entry `seq`, from its [`position_of`] on.
    Append { seq: u64, leaf: Digest },
}

/// A tree that lacks a hash, or a question that makes no sense for its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit log's tree lacks hashes; `backstop audit verify` says where")]
pub struct Incomplete;

/// The leaf's hash: SHA-256 of 0x00 and the entry's bytes.
pub fn leaf(bytes: &[u8]) -> Digest {
    tlog_tiles::record_hash(bytes).0
}

/// How many hashes a whole store of `size` entries holds.
pub fn stored_count(size: u64) -> u64 {
    tlog_tiles::stored_hash_count(size)
}

/// The position of an entry's own hash.
pub fn position_of(seq: u64) -> u64 {
    tlog_tiles::stored_hash_index(0, seq)
}

impl Question {
    /// The positions whose hashes [`Self::answer`] needs.
    pub fn needs(self) -> Result<Vec<u64>, Incomplete> {
        let listening = Listening::default();
        self.ask(&listening)?;
        Ok(listening.0.into_inner())
    }

    /// A root, a proof from the leaf upwards, or the hashes to store.
    pub fn answer(self, hashes: &impl Lookup) -> Result<Vec<Digest>, Incomplete> {
        Ok(self.ask(&Found(hashes))?.into_iter().map(|hash| hash.0).collect())
    }

    fn ask(self, reader: &impl HashReader) -> Result<Vec<Hash>, Incomplete> {
        let answer = match self {
            Self::Root { size } => tlog_tiles::tree_hash(size, reader).map(|root| vec![root]),
            Self::Inclusion { seq, size } if seq < size => tlog_tiles::prove_record(size, seq, reader),
            Self::Consistency { old, size } if (1..=size).contains(&old) => tlog_tiles::prove_tree(size, old, reader),
            Self::Append { seq, leaf } => tlog_tiles::stored_hashes_for_record_hash(seq, Hash(leaf), reader),
            Self::Inclusion { .. } | Self::Consistency { .. } => return Err(Incomplete),
        };
        answer.map_err(|_| Incomplete)
    }
}

/// Where stored hashes are looked up.
pub trait Lookup {
    fn at(&self, position: u64) -> Option<Digest>;
}

impl Lookup for Vec<Digest> {
    fn at(&self, position: u64) -> Option<Digest> {
        self.get(usize::try_from(position).ok()?).copied()
    }
}

impl Lookup for HashMap<u64, Digest> {
    fn at(&self, position: u64) -> Option<Digest> {
        self.get(&position).copied()
    }
}

/// Whether `proof` shows that `leaf` is the entry `seq` of the tree.
pub fn includes(proof: &[Digest], (size, root): (u64, Digest), seq: u64, leaf: Digest) -> bool {
    let proof = proof.iter().copied().map(Hash).collect();
    seq < size && tlog_tiles::check_record(&proof, size, Hash(root), seq, Hash(leaf)).is_ok()
}

/// Whether `proof` shows that `old` is a beginning of `new`.
pub fn extends(proof: &[Digest], new: (u64, Digest), old: (u64, Digest)) -> bool {
    let proof = proof.iter().copied().map(Hash).collect();
    tlog_tiles::check_tree(&proof, new.0, Hash(new.1), old.0, Hash(old.1)).is_ok()
}

#[derive(Default)]
struct Listening(RefCell<Vec<u64>>);

impl HashReader for Listening {
    fn read_hashes(&self, positions: &[u64]) -> Result<Vec<Hash>, Error> {
        self.0.borrow_mut().extend_from_slice(positions);
        Ok(vec![Hash([0; 32]); positions.len()])
    }
}

struct Found<'a, L>(&'a L);

impl<L: Lookup> HashReader for Found<'_, L> {
    fn read_hashes(&self, positions: &[u64]) -> Result<Vec<Hash>, Error> {
        let missing = || Error::InvalidInput("a stored hash is missing".into());
        positions.iter().map(|position| self.0.at(*position).map(Hash).ok_or_else(missing)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest as _, Sha256};

    use super::*;

    /// The leaves and roots that RFC 6962's reference implementation is tested with.
    const VECTORS: [(&str, &str); 8] = [
        ("", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
        ("00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
        ("10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
        ("2021", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
        ("3031", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
        ("40414243", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
        ("5051525354555657", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
        ("606162636465666768696a6b6c6d6e6f", "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
    ];

    fn grown(leaves: &[Vec<u8>]) -> Vec<Digest> {
        let mut hashes = Vec::new();
        for (seq, bytes) in (0..).zip(leaves) {
            assert_eq!(hashes.len() as u64, stored_count(seq));
            assert_eq!(hashes.len() as u64, position_of(seq));
            let more = Question::Append { seq, leaf: leaf(bytes) }.answer(&hashes).expect("has all it needs");
            hashes.extend(more);
        }
        hashes
    }

    fn root(hashes: &Vec<Digest>, size: usize) -> Digest {
        Question::Root { size: size as u64 }.answer(hashes).expect("is whole")[0]
    }

    /// RFC 6962, section 2.1, word for word.
    fn by_the_book(leaves: &[Vec<u8>]) -> Digest {
        match leaves {
            [] => Sha256::digest(b"").into(),
            [one] => Sha256::new_with_prefix([0]).chain_update(one).finalize().into(),
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                let (left, right) = (by_the_book(left), by_the_book(right));
                Sha256::new_with_prefix([1]).chain_update(left).chain_update(right).finalize().into()
            }
        }
    }

    #[test]
    fn roots_are_those_of_the_published_vectors() {
        let leaves: Vec<Vec<u8>> = VECTORS.iter().map(|(leaf, _)| hex::decode(leaf).expect("hex")).collect();
        let hashes = grown(&leaves);
        for (size, (_, expected)) in (1..).zip(VECTORS) {
            assert_eq!(hex::encode(root(&hashes, size)), expected, "{size}");
        }
        assert!(Question::Root { size: 9 }.answer(&hashes).is_err());
    }

    proptest! {
        #[test]
        fn proofs_hold_for_what_they_prove_and_for_nothing_else(
            leaves in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4), 1..70),
            picks in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        ) {
            let hashes = grown(&leaves);
            let size = leaves.len();
            let whole = (size as u64, root(&hashes, size));
            prop_assert_eq!(whole.1, by_the_book(&leaves));
            let (seq, old) = (picks.0.index(size), picks.1.index(size) + 1);
            let question = Question::Inclusion { seq: seq as u64, size: size as u64 };
            let proof = question.answer(&hashes).expect("is whole");
            prop_assert!(includes(&proof, whole, seq as u64, leaf(&leaves[seq])));
            prop_assert!(!includes(&proof, whole, seq as u64, leaf(b"another one")));
            prop_assert!(!includes(&proof, whole, size as u64, leaf(&leaves[seq])));
            let question = Question::Consistency { old: old as u64, size: size as u64 };
            let proof = question.answer(&hashes).expect("is whole");
            let before = (old as u64, root(&hashes, old));
            prop_assert_eq!(before.1, by_the_book(&leaves[..old]));
            prop_assert!(extends(&proof, whole, before));
            prop_assert!(!extends(&proof, whole, (old as u64, [7; 32])));
            for needed in question.needs().expect("makes sense") {
                prop_assert!(needed < hashes.len() as u64);
            }
        }
    }
}
