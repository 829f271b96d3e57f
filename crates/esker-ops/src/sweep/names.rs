//! Runs by number: the pieces of a sweep name each run many times, and a number takes an eighth of an id.

use std::collections::HashMap;

use esker_format::ChunkId;

/// Gives each run a number, in the order in which they are met.
#[derive(Default)]
pub(super) struct Numbering {
    ids: Vec<ChunkId>,
    numbers: HashMap<ChunkId, u32>,
}

impl Numbering {
    /// The numbers of these runs.
    pub(super) fn numbers(&mut self, runs: &[ChunkId]) -> Vec<u32> {
        let number = |run: &ChunkId| {
            *self.numbers.entry(*run).or_insert_with(|| {
                self.ids.push(*run);
                u32::try_from(self.ids.len() - 1).unwrap_or(u32::MAX)
            })
        };
        runs.iter().map(number).collect()
    }

    /// All are met.
    pub(super) fn finish(self) -> RunNames {
        RunNames(self.ids)
    }
}

/// The runs by their numbers.
#[derive(Default)]
pub(super) struct RunNames(Vec<ChunkId>);

impl RunNames {
    pub(super) fn of(&self, numbers: &[u32]) -> Vec<ChunkId> {
        numbers.iter().filter_map(|number| self.0.get(*number as usize).copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_has_one_number() {
        let run = |number| ChunkId([number; 32]);
        let mut numbering = Numbering::default();
        let numbers = [[1, 2, 1], [3, 1, 2]].map(|runs| numbering.numbers(&runs.map(run)));
        assert_eq!(numbers, [vec![0, 1, 0], vec![2, 0, 1]]);
        let names = numbering.finish();
        assert_eq!(numbers.map(|numbers| names.of(&numbers)), [[1, 2, 1], [3, 1, 2]].map(|runs| runs.map(run).to_vec()));
    }
}
