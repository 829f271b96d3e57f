//! Sparse forms of runs: some entries of a run, under their positions in it (format-spec chapter 19).
//!
//! Recipes name (run, entry). Of a run of which backups need only some entries a prune keeps a form with these alone; whoever
//! asks for the run is given the form, and finds in it whatever it holds.

use crate::entry_set::EntrySet;
use crate::error::{FormatError, Result};
use crate::ids::ChunkId;
use crate::limits::{CHUNK_PLAIN_MAX, RUN_ENTRIES_MAX};
use crate::pack::FormOf;
use crate::run::Run;
use crate::wire::{Reader, Writer};

/// The first byte of a form, where a run has its order.
const FORM: u8 = 2;

/// Whether a chunk that stands for a run is a form of it.
pub fn is_form(bytes: &[u8]) -> bool {
    bytes.first() == Some(&FORM)
}

/// The run that a form is of.
///
/// # Errors
/// `BadValue` for what is no form, `CutShort`.
pub fn run_of(bytes: &[u8]) -> Result<ChunkId> {
    read_head(&mut Reader::new(bytes))
}

/// What a form has of which run, by its head.
///
/// # Errors
/// As `run_of`.
pub fn form_of(bytes: &[u8]) -> Result<FormOf> {
    let mut input = Reader::new(bytes);
    let run = read_head(&mut input)?;
    let entries = input.varint_max("entries", RUN_ENTRIES_MAX as u64)?;
    let kept = input.raw(usize::try_from(entries).unwrap_or(usize::MAX).div_ceil(8), "kept entries")?;
    Ok(FormOf { run, entries: EntrySet::from_bytes(kept).count() })
}

fn read_head(input: &mut Reader<'_>) -> Result<ChunkId> {
    match input.u8("form")? {
        FORM => Ok(ChunkId(input.array("run")?)),
        other => Err(FormatError::BadValue { field: "form", found: other.to_string() }),
    }
}

/// The chunk of a form: those entries of a run that `held` has.
///
/// # Errors
/// `BadValue` for a run that is whole, and as `Run::encode`.
pub fn encode(run: &ChunkId, held: &Run) -> Result<Vec<u8>> {
    let Some(entries) = held.whole_len() else {
        return Err(FormatError::BadValue { field: "form", found: "a whole run".into() });
    };
    let mut out = Writer::default();
    out.u8(FORM);
    out.raw(&run.0);
    out.varint(u64::from(entries));
    let mut kept = held.held().as_bytes().to_vec();
    kept.resize((entries as usize).div_ceil(8), 0);
    out.raw(&kept);
    out.raw(&held.encode_held()?);
    let bytes = out.into_bytes();
    match bytes.len() {
        found if found > CHUNK_PLAIN_MAX => {
            Err(FormatError::OverLimit { field: "sparse run", found: found as u64, limit: CHUNK_PLAIN_MAX as u64 })
        }
        _ => Ok(bytes),
    }
}

/// Reads a form of this run.
///
/// # Errors
/// Whatever is wrong with the bytes: also that they are a form of another run.
pub fn decode(run: &ChunkId, bytes: &[u8]) -> Result<Run> {
    decode_reusing(Run::default(), run, bytes)
}

/// Reads what stands for a run: the run itself, or a form of it. The memory of `done` is taken over.
///
/// # Errors
/// Whatever is wrong with the bytes.
pub fn decode_any(done: Run, run: &ChunkId, bytes: &[u8]) -> Result<Run> {
    if is_form(bytes) { decode_reusing(done, run, bytes) } else { Run::decode_reusing(done, bytes) }
}

fn decode_reusing(done: Run, run: &ChunkId, bytes: &[u8]) -> Result<Run> {
    if bytes.len() > CHUNK_PLAIN_MAX {
        return Err(FormatError::OverLimit { field: "sparse run", found: bytes.len() as u64, limit: CHUNK_PLAIN_MAX as u64 });
    }
    let mut input = Reader::new(bytes);
    let found = read_head(&mut input)?;
    if found != *run {
        return Err(FormatError::WrongContent { id: *run });
    }
    let entries = u32::try_from(input.varint_max("entries", RUN_ENTRIES_MAX as u64)?).unwrap_or(u32::MAX);
    let bits = input.raw((entries as usize).div_ceil(8), "kept entries")?;
    let kept = EntrySet::from_bytes(bits);
    if kept.end() > entries {
        return Err(FormatError::BadValue { field: "kept entries", found: format!("entry {} of {entries}", kept.end() - 1) });
    }
    let rest = input.raw(input.left(), "entries")?;
    Run::decode_reusing(done, rest)?.into_form(&kept, entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::KeyOrder;
    use proptest::prelude::*;

    const ID: ChunkId = ChunkId([7; 32]);

    fn run(entries: u32) -> Run {
        let mut run = Run::new(KeyOrder::Ascending, 0);
        (0..entries).for_each(|number| run.push(&number.to_be_bytes(), &number.to_le_bytes(), u64::from(number) << 8 | 1, &[]));
        run
    }

    proptest! {
        #[test]
        fn a_form_holds_the_entries_that_were_kept_and_no_others(entries in 1u32..300, kept: Vec<u32>, more: Vec<u32>) {
            let run = run(entries);
            let set = |numbers: Vec<u32>| numbers.into_iter().map(|number| number % entries).collect::<EntrySet>();
            let (kept, more) = (set(kept), set(more));
            let form = run.keep(&kept);
            if kept.is_empty() {
                prop_assert!(encode(&ID, &form).is_err());
                return Ok(());
            }
            let bytes = encode(&ID, &form).unwrap();
            prop_assert!(is_form(&bytes) && !is_form(&run.encode().unwrap()) && form.encode().is_err());
            prop_assert_eq!(form_of(&bytes).unwrap(), FormOf { run: ID, entries: kept.count() });
            let back = decode_any(Run::default(), &ID, &bytes).unwrap();
            prop_assert_eq!(&back, &form);
            prop_assert_eq!((back.held(), back.whole_len()), (kept.clone(), Some(entries)));
            for entry in 0..entries {
                let found = back.positions(entry, 1);
                prop_assert_eq!(found.is_some(), kept.contains(entry));
                if let Some(found) = found {
                    prop_assert_eq!(back.key(found.start), &entry.to_be_bytes());
                    prop_assert_eq!(back.number(found.start), entry);
                }
            }
            for range in kept.ranges() {
                prop_assert!(back.positions(range.start, range.end - range.start).is_some());
                prop_assert!(back.positions(range.start, range.end - range.start + 1).is_none());
            }
            let mut all = kept.clone();
            all.unite(&more);
            prop_assert_eq!(form.join(&run.keep(&more)).unwrap(), run.keep(&all));
            prop_assert_eq!(back.keep(&more).held(), kept.without(&kept.without(&more)));
        }

        #[test]
        fn a_form_has_one_encoding(bytes: Vec<u8>) {
            let bytes = [&[FORM][..], &ID.0, &bytes].concat();
            if let Ok(form) = decode(&ID, &bytes) {
                prop_assert_eq!(encode(&ID, &form).unwrap(), bytes);
            }
        }
    }

    #[test]
    fn a_form_of_another_run_or_with_bits_that_do_not_fit_is_refused() {
        let bytes = encode(&ID, &run(9).keep(&[1, 8].into_iter().collect())).unwrap();
        assert!(decode(&ID, &bytes).is_ok() && decode(&ChunkId([8; 32]), &bytes).is_err());
        // One entry behind the last, one bit too many, one too few.
        for (at, value) in [(35, 3), (34, 3), (34, 0)] {
            let mut bad = bytes.clone();
            bad[at] = value;
            assert!(decode(&ID, &bad).is_err(), "{at}");
        }
    }
}
