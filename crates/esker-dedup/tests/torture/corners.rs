//! Tables at the limits: huge values and keys, odd orders and encoders, a base that does not fit or is lost.

use esker_dedup::sorted::{Budget, Rebuilder, Refusal};
use esker_format::recipe::Piece;
use esker_testkit::seeded::SplitMix64;
use rocksdb::{BlockBasedOptions, BottommostLevelCompaction, CompactOptions, DB, DBCompressionType, Options, SstFileWriter};

use crate::folder;
use crate::vault::{Outcome, Stored, Vault};

fn options(compression: DBCompressionType) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_disable_auto_compactions(true);
    options.set_compression_type(compression);
    options
}

/// A table of these entries, which come in the comparator's order.
fn table(options: &Options, entries: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Vec<u8> {
    let folder = folder();
    let path = folder.path().join("table.sst");
    let mut writer = SstFileWriter::create(options);
    writer.open(&path).unwrap();
    entries.into_iter().for_each(|(key, value)| writer.put(key, value).unwrap());
    writer.finish().unwrap();
    std::fs::read(path).unwrap()
}

fn tables(database: &DB) -> Vec<Vec<u8>> {
    let files = database.live_files().unwrap();
    files.iter().map(|file| std::fs::read(format!("{}{}", database.path().display(), file.name)).unwrap()).collect()
}

fn compact(database: &DB) {
    let mut all = CompactOptions::default();
    all.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
    database.compact_range_opt(None::<&[u8]>, None::<&[u8]>, &all);
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    SplitMix64::new(seed).fill(&mut bytes);
    bytes
}

fn store(vault: &mut Vault, tables: &[Vec<u8>], base: &[&Stored]) -> Outcome {
    vault.store(tables, base, &mut SplitMix64::new(1))
}

/// All tables are stored, and come back.
#[track_caller]
fn exact(vault: &Vault, tables: &[Vec<u8>], outcome: Outcome) -> Vec<Stored> {
    let rebuilder = &mut Rebuilder::default();
    let stored: Vec<Stored> = outcome.fates.into_iter().map(|fate| fate.unwrap_or_else(|refusal| panic!("{refusal}"))).collect();
    assert!(tables.iter().zip(&stored).all(|(table, stored)| vault.rebuild(stored, rebuilder) == *table));
    stored
}

/// Entries with values of these lengths, and keys of 64 KiB.
fn unwieldy(lens: &[usize]) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let values = lens.iter().enumerate().map(|(number, len)| (format!("value {number:02}").into_bytes(), noise(number as u64, *len)));
    let keys = (0..400u64).map(|number| {
        let mut key = vec![b'x'; 60_000];
        key.extend(format!("{number:08}").bytes());
        key.resize(key.len() + 5000, b'y');
        (key, noise(number, 100))
    });
    values.chain(keys)
}

#[test]
fn values_from_nothing_to_40_mib_and_keys_of_64_kib_are_rebuilt() {
    let lens = [0, 1, 4095, 256 << 10, 1 << 20, 7 << 20, (8 << 20) - 100, 8 << 20, (8 << 20) + 1, 40 << 20];
    for compression in [DBCompressionType::None, DBCompressionType::Lz4, DBCompressionType::Zstd] {
        let table = table(&options(compression), unwieldy(&lens));
        let mut vault = Vault::default();
        let outcome = store(&mut vault, std::slice::from_ref(&table), &[]);
        let stored = exact(&vault, &[table], outcome);
        let large: usize = lens.iter().filter(|len| **len >= 8 << 20).sum();
        assert!(stored[0].kept_bytes < large as u64 + (1 << 20), "only blocks over 8 MiB are kept: {}", stored[0].kept_bytes);
    }
}

#[test]
fn a_table_with_a_value_of_64_mib_is_refused_because_nobody_would_hold_it() {
    let table = table(&options(DBCompressionType::None), unwieldy(&[100, 64 << 20]));
    let outcome = store(&mut Vault::default(), &[table], &[]);
    assert_eq!(outcome.fates.into_iter().map(Result::err).collect::<Vec<_>>(), [Some(Refusal::Large)]);
}

/// Three generations of an engine, of which the third rewrites all of the first two.
fn generations() -> [Vec<Vec<u8>>; 3] {
    let folder = folder();
    let database = DB::open(&options(DBCompressionType::Lz4), folder.path()).unwrap();
    let write = |round: u64| {
        for entry in 0..160_000u64 {
            if entry % 2 == round || entry % 7 == 0 {
                database.put(format!("key {entry:08}"), noise(entry * 3 + round, 60)).unwrap();
            }
        }
        database.flush().unwrap();
    };
    write(0);
    let first = tables(&database);
    write(1);
    let second = tables(&database).into_iter().filter(|table| !first.contains(table)).collect();
    compact(&database);
    [first, second, tables(&database)]
}

/// Stores the first two generations as they should be and the third with this budget; gives the literal bytes of that, and
/// how many runs were left closed.
fn with_budget(generations: &[Vec<Vec<u8>>; 3], budget: Budget) -> (u64, u64) {
    let mut vault = Vault::default();
    let mut base = Vec::new();
    for tables in &generations[..2] {
        let outcome = store(&mut vault, tables, &[]);
        base.extend(exact(&vault, tables, outcome));
    }
    vault.budget = budget;
    let outcome = store(&mut vault, &generations[2], &base.iter().collect::<Vec<_>>());
    let counts = (outcome.literal_bytes, outcome.closed_runs);
    exact(&vault, &generations[2], outcome);
    counts
}

#[test]
fn a_base_that_does_not_fit_the_budget_is_stored_again_and_the_result_is_exact() {
    let generations = generations();
    let roomy = Budget::shared_by(2);
    assert_eq!(with_budget(&generations, roomy), (0, 0));
    assert_eq!(with_budget(&generations, Budget { held_bytes: 0, ..roomy }), (0, 0), "what is not held is read again");
    let tight = [
        Budget { open_runs: 1, ..roomy },
        Budget { open_bytes: 1, ..roomy },
        Budget { open_runs: 0, ..roomy },
        Budget { open_runs: 0, range_bytes: 1 << 20, ..roomy },
    ];
    for budget in tight {
        let (literal_bytes, closed_runs) = with_budget(&generations, budget);
        assert!(literal_bytes > 2_000_000 && closed_runs > 0, "{budget:?}: {literal_bytes} bytes again, {closed_runs} runs left closed");
    }
}

#[test]
fn a_base_that_is_lost_is_stored_again() {
    let generations = generations();
    let mut vault = Vault::default();
    let outcome = store(&mut vault, &generations[0], &[]);
    let base = exact(&vault, &generations[0], outcome);
    for piece in base.iter().flat_map(|stored| &stored.recipe) {
        if let Piece::Blocks(piece) = vault.piece(piece) {
            vault.lost.extend(piece.runs.iter().step_by(2).map(|run| run.id));
        }
    }
    let outcome = store(&mut vault, &generations[2], &base.iter().collect::<Vec<_>>());
    let Outcome { lost_runs, literal_bytes, entry_bytes, .. } = outcome;
    assert!(lost_runs > 0 && literal_bytes < entry_bytes, "{lost_runs} runs lost, {literal_bytes} of {entry_bytes} bytes stored");
    exact(&vault, &generations[2], outcome);
}

#[test]
fn blocks_of_an_encoder_that_the_first_look_did_not_tell_are_rebuilt_all_the_same() {
    // Regular blocks come out the same from both LZ4 encoders; the others, which the first look does not see, do not.
    let mut table_options = BlockBasedOptions::default();
    table_options.set_block_size(1000);
    let mut options = options(DBCompressionType::Lz4);
    options.set_block_based_table_factory(&table_options);
    let entries = (0..4000u64).map(|entry| {
        let words = ["vertex ", "follows ", "since 2026 ", "name ", "weight "];
        let random = &mut SplitMix64::new(entry);
        let irregular = (0..12).map(|_| words[random.below(5) as usize]).collect::<String>();
        let value = if (500..1500).contains(&entry) { irregular } else { "a".repeat(70) };
        (format!("{entry:08}").into_bytes(), value.into_bytes())
    });
    let table = table(&options, entries);
    let mut vault = Vault::default();
    let outcome = store(&mut vault, std::slice::from_ref(&table), &[]);
    let stored = exact(&vault, &[table], outcome);
    assert_eq!(stored[0].kept_bytes, 0);
    let Piece::Blocks(piece) = vault.piece(&stored[0].recipe[0]) else { panic!("blocks come first") };
    assert!(piece.forms.iter().map(|form| form.encoder).collect::<std::collections::BTreeSet<_>>().len() > 1, "{:?}", piece.forms);
}

#[test]
fn keys_in_an_order_of_their_own_are_refused_before_anything_is_stored() {
    for len in [2000, 200_000] {
        let mut options = options(DBCompressionType::None);
        let number = |key: &[u8]| std::str::from_utf8(key).unwrap().parse::<u64>().unwrap();
        options.set_comparator("by number", Box::new(move |left, right| number(left).cmp(&number(right))));
        let table = table(&options, (1..len).map(|entry: u64| (entry.to_string().into_bytes(), noise(entry, 100))));
        let mut vault = Vault::default();
        let outcome = store(&mut vault, &[table], &[]);
        assert_eq!(outcome.fates.into_iter().map(Result::err).collect::<Vec<_>>(), [Some(Refusal::Order)]);
        assert_eq!(vault.bytes, 0);
    }
}

#[test]
fn a_compression_that_nobody_here_writes_is_refused_by_name() {
    // The blocks claim to be of zlib, whose encoder is unknown; their checksums agree with that.
    let table = table(&options(DBCompressionType::Lz4), (0..20_000u64).map(|entry| (format!("{entry:08}").into_bytes(), vec![b'v'; 50])));
    let mut bytes = table.clone();
    let map = crate::vault::map(&table).unwrap();
    for number in 0..map.len() {
        let handle = map.handle(number).unwrap();
        let (start, end) = (handle.offset as usize, (handle.offset + handle.size) as usize);
        let mut block = bytes[start..end].to_vec();
        map.tail.footer.block_checksum().seal(0, handle.offset, 2, &mut block);
        bytes[start..end + 5].copy_from_slice(&block);
    }
    let outcome = store(&mut Vault::default(), &[bytes], &[]);
    assert!(matches!(outcome.fates[0], Err(Refusal::Damaged | Refusal::Encoder)));
}
