//! Finding out how the blocks behind the data blocks were made.

use crate::encoder::{EncoderId, candidates};
use crate::rest::build::RestBuilder;
use crate::rest::built_block::BuiltBlock;
use crate::rest::facts::TableFacts;
use crate::rest::proposal::{Proposal, filter, index};
use crate::rest::stored_rest::StoredRest;
use crate::table_map::TableMap;

/// One stretch of the bytes behind the data blocks. In order, without gaps, the parts cover all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestPart {
    /// Bytes to be kept as they are. No two such parts follow each other, and none is empty.
    Kept {
        /// How many.
        len: u64,
    },
    /// One block with its trailer, to be built.
    Built {
        /// What it is.
        block: BuiltBlock,
        /// Its bytes, trailer included.
        len: u64,
    },
}

/// Says of every byte of `rest`, the file from `rest_offset` to its end, whether it can be built from `facts`.
///
/// Each part that is to be built was built here and is equal to the file's bytes. A file that contradicts itself, or facts
/// that are not those of the file, only make more bytes kept.
pub fn plan(map: &TableMap, rest: &[u8], rest_offset: u64, facts: &TableFacts) -> Vec<RestPart> {
    let stored = StoredRest { bytes: rest, offset: rest_offset, checksum: map.tail.footer.block_checksum() };
    let mut proposals = Vec::new();
    if facts.len() == map.len() && !facts.is_empty() {
        let keys = index::propose(map, &stored, facts, &mut proposals);
        filter::propose(map, &stored, facts, keys, &mut proposals);
    }
    proposals.sort_by_key(|proposal: &Proposal| proposal.handle.offset);
    prove(&proposals, &stored, facts)
}

fn prove(proposals: &[Proposal], stored: &StoredRest<'_>, facts: &TableFacts) -> Vec<RestPart> {
    let mut prover = Prover { builder: RestBuilder::new(facts, stored.checksum), encoders: Encoders::default(), scratch: Vec::new() };
    let mut parts = Vec::new();
    let mut done = 0;
    for proposal in proposals {
        let Some(range) = stored.range(proposal.handle).filter(|range| range.start >= done) else { continue };
        let wanted = stored.bytes.get(range.clone()).unwrap_or_default();
        if let Some(block) = prover.prove(proposal, wanted) {
            push_kept(range.start - done, &mut parts);
            parts.push(RestPart::Built { block, len: range.len() as u64 });
            done = range.end;
        }
    }
    push_kept(stored.bytes.len().saturating_sub(done), &mut parts);
    parts
}

fn push_kept(len: usize, parts: &mut Vec<RestPart>) {
    if len > 0 {
        parts.push(RestPart::Kept { len: len as u64 });
    }
}

struct Prover<'f> {
    builder: RestBuilder<'f>,
    encoders: Encoders,
    scratch: Vec<u8>,
}

impl Prover<'_> {
    /// The first description of a proposal that builds the wanted bytes.
    fn prove(&mut self, proposal: &Proposal, wanted: &[u8]) -> Option<BuiltBlock> {
        let encoders = self.encoders.to_try(proposal.compression_type);
        let ways = encoders.iter().flat_map(|encoder| proposal.ways.iter().map(|block| block.with_encoder(*encoder)));
        let found = ways.into_iter().find(|block| self.is_equal(block, proposal, wanted));
        if proposal.compression_type != 0 {
            self.encoders.tried(found.and_then(|block| block.encoder()));
        }
        found
    }

    fn is_equal(&mut self, block: &BuiltBlock, proposal: &Proposal, wanted: &[u8]) -> bool {
        self.scratch.clear();
        if self.builder.build(block, proposal.handle.offset, &mut self.scratch).is_err() {
            return false;
        }
        if self.scratch == wanted {
            return true;
        }
        self.builder.forget_last(block);
        false
    }
}

/// Which encoders to try on index blocks.
#[derive(Default)]
struct Encoders {
    /// The one that gave an equal block last. Others may give the same for some blocks.
    found: Option<EncoderId>,
    misses: u32,
}

impl Encoders {
    /// Blocks on which every encoder failed before a file's encoder counts as unknown.
    const MISSES_MAX: u32 = 4;

    fn to_try(&self, compression_type: u8) -> Vec<Option<EncoderId>> {
        if compression_type == 0 {
            return vec![None];
        }
        let others = if self.misses < Self::MISSES_MAX { candidates(compression_type, false) } else { &[] };
        let others = others.iter().filter(|id| Some(**id) != self.found);
        self.found.iter().chain(others).copied().map(Some).collect()
    }

    fn tried(&mut self, found: Option<EncoderId>) {
        match found {
            Some(_) => self.found = found,
            None => self.misses += 1,
        }
    }
}
