//! Data blocks made by hand: every form of a block, and bytes that are none.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use esker_sst::{BlockFault, BlockForm, ENTRIES_BYTES_MAX, Entries, data_block};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof, proptest};

const TRAILER: [u8; 8] = [1, 2, 0, 0, 0, 0, 0, 0];

fn decoded(content: &[u8]) -> Result<(BlockForm, Entries), BlockFault> {
    let mut entries = Entries::new();
    data_block::decode(content, &mut entries).map(|form| (form, entries))
}

fn encoded(form: &BlockForm, entries: &Entries) -> Vec<u8> {
    let mut content = Vec::new();
    data_block::encode(form, entries, 0..entries.len(), &mut content).unwrap();
    content
}

/// A block of these bytes of entries, with these restarts and this footer word.
fn block(entries: &[u8], restarts: &[u32], word: u32) -> Vec<u8> {
    let restarts: Vec<u8> = restarts.iter().flat_map(|restart| restart.to_le_bytes()).collect();
    [entries, &restarts, &word.to_le_bytes()].concat()
}

/// An entry without shared bytes; the key is `name` and a trailer, and the value is empty.
fn entry(name: &[u8]) -> Vec<u8> {
    [&[0, name.len() as u8 + 8, 0], name, &TRAILER].concat()
}

fn keys_and_values() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    // Few different bytes, so that keys share prefixes; some keys and values take lengths of two bytes.
    let byte = || prop_oneof![9 => 0u8..2, 1 => any::<u8>()];
    let key = prop_oneof![vec(byte(), 8..20), vec(byte(), 120..200)];
    let value = prop_oneof![vec(any::<u8>(), 0..4), vec(any::<u8>(), 100..300)];
    vec((key, value), 0..40)
}

fn entries_of(pairs: &[(Vec<u8>, Vec<u8>)]) -> Entries {
    let mut entries = Entries::new();
    pairs.iter().for_each(|(key, value)| entries.push(key, value));
    entries
}

proptest! {
    #[test]
    fn entries_of_any_form_come_back_with_a_form_that_means_the_same(
        pairs in keys_and_values(),
        restart_interval in 0u32..20,
        shares_prefixes: bool,
        hash_buckets in prop_oneof![0u16..1, 1u16..70],
        separate_values: bool,
        uniform_keys: bool,
    ) {
        let entries = entries_of(&pairs);
        let form = BlockForm { restart_interval, shares_prefixes, hash_buckets, separate_values, uniform_keys };
        let content = encoded(&form, &entries);
        let (found, again) = decoded(&content).unwrap();
        assert_eq!(again, entries);
        assert_eq!(encoded(&found, &again), content);
        assert_eq!((found.hash_buckets, found.separate_values, found.uniform_keys), (hash_buckets, separate_values, uniform_keys));
        let several = restart_interval > 0 && entries.len() > restart_interval as usize;
        assert_eq!(found.restart_interval, if several { restart_interval } else { 0 });
    }

    #[test]
    fn a_block_of_part_of_a_batch_is_the_block_of_that_part(pairs in keys_and_values(), start in 0usize..40, len in 0usize..40) {
        let entries = entries_of(&pairs);
        let range = start.min(pairs.len())..(start + len).min(pairs.len());
        let form = BlockForm { restart_interval: 4, shares_prefixes: true, hash_buckets: 7, ..BlockForm::default() };
        let mut content = Vec::new();
        data_block::encode(&form, &entries, range.clone(), &mut content).unwrap();
        assert_eq!(content, encoded(&form, &entries_of(&pairs[range])));
    }

    #[test]
    fn random_bytes_never_panic_and_what_decodes_encodes(
        body in vec(prop_oneof![any::<u8>(), 0u8..12], 0..300),
        word in prop_oneof![0u32..4, any::<u32>()],
        flags in 0u32..16,
    ) {
        for word in [word, word & 3 | flags << 28] {
            if let Ok((form, entries)) = decoded(&[&body[..], &word.to_le_bytes()].concat()) {
                let _ = data_block::encode(&form, &entries, 0..entries.len(), &mut Vec::new());
            }
        }
    }

    #[test]
    fn damaged_blocks_never_panic(
        pairs in keys_and_values(),
        hash_buckets in 0u16..9,
        separate_values: bool,
        damage in vec((any::<usize>(), any::<u8>()), 1..4),
        cut in 0usize..40,
    ) {
        let form = BlockForm { restart_interval: 3, shares_prefixes: true, hash_buckets, separate_values, ..BlockForm::default() };
        let mut content = encoded(&form, &entries_of(&pairs));
        for (at, byte) in damage {
            let place = at % content.len();
            content[place] = byte;
        }
        let _ = decoded(&content);
        content.truncate(content.len() - cut.min(content.len()));
        let _ = decoded(&content);
    }
}

#[test]
fn a_block_without_entries_has_one_restart() {
    let form = BlockForm { shares_prefixes: true, ..BlockForm::default() };
    let content = block(b"", &[0], 1);
    assert_eq!(encoded(&form, &Entries::new()), content);
    assert_eq!(decoded(&content).unwrap(), (form, Entries::new()));
}

#[test]
fn one_huge_entry_is_a_block_and_a_larger_one_is_refused() {
    let mut entries = Entries::new();
    entries.push_parts(b"key", &TRAILER, &vec![7; ENTRIES_BYTES_MAX - 100]);
    let form = BlockForm { shares_prefixes: true, ..BlockForm::default() };
    let content = encoded(&form, &entries);
    assert_eq!(decoded(&content).unwrap().1, entries);
    entries.clear();
    entries.push_parts(b"key", &TRAILER, &vec![7; ENTRIES_BYTES_MAX]);
    assert!(matches!(decoded(&encoded(&form, &entries)), Err(BlockFault::TooLarge { .. })));
}

#[test]
fn keys_that_grow_by_sharing_are_refused_at_the_limit() {
    // One key of 64 KiB; then entries of five bytes, each sharing all of it.
    let mut body = vec![0, 0x80, 0x80, 0x04, 0];
    body.extend(vec![7; 1 << 16]);
    for _ in 0..2000 {
        body.extend([0x80, 0x80, 0x04, 0, 0]);
    }
    assert!(matches!(decoded(&block(&body, &[0], 1)), Err(BlockFault::TooLarge { .. })));
}

#[test]
fn restarts_at_unequal_distances_have_no_form() {
    let body = [entry(b"a"), entry(b"b"), entry(b"c"), entry(b"d")].concat();
    assert_eq!(decoded(&block(&body, &[0, 12, 24, 36], 4)).unwrap().0.restart_interval, 1);
    assert_eq!(decoded(&block(&body, &[0, 36], 2)).unwrap().0.restart_interval, 3);
    for restarts in [&[0, 12][..], &[0, 12, 36], &[0, 24, 36, 48], &[0, 48]] {
        let found = decoded(&block(&body, restarts, restarts.len() as u32));
        assert!(matches!(found, Err(BlockFault::NotExpressible { .. })), "{restarts:?}: {found:?}");
    }
    for restarts in [&[][..], &[12], &[0, 24, 12], &[0, 0], &[0, 60], &[0, 13]] {
        let found = decoded(&block(&body, restarts, restarts.len() as u32));
        assert!(matches!(found, Err(BlockFault::Corrupt { .. })), "{restarts:?}: {found:?}");
    }
}

#[test]
fn keys_that_could_share_and_do_not_show_in_the_form() {
    let body = [entry(b"aa"), entry(b"ab")].concat();
    assert!(!decoded(&block(&body, &[0], 1)).unwrap().0.shares_prefixes);
    // Both at restarts, or nothing to share: no telling, so the usual form.
    assert!(decoded(&block(&body, &[0, 13], 2)).unwrap().0.shares_prefixes);
    assert!(decoded(&block(&[entry(b"a"), entry(b"b")].concat(), &[0], 1)).unwrap().0.shares_prefixes);
}

#[test]
fn a_flag_of_a_later_version_is_named() {
    let word = 1 | 1 << 30;
    assert!(matches!(decoded(&block(&entry(b"a"), &[0], word)), Err(BlockFault::UnknownFlag { found }) if found == word));
}

#[test]
fn impossible_entries_are_damage() {
    let short_key = [&[0, 7, 0][..], &[1; 7]].concat();
    let shares_too_much = [entry(b"a"), vec![10, 1, 0, 9]].concat();
    let shares_at_start = [&[1, 8, 0][..], &[1; 8]].concat();
    let value_too_long = [&[0, 8, 1][..], &TRAILER].concat();
    for body in [short_key, shares_too_much, shares_at_start, value_too_long, vec![0, 8], vec![0, 0xff, 0xff, 0xff, 0xff, 0x7f, 0]] {
        assert!(matches!(decoded(&block(&body, &[0], 1)), Err(BlockFault::Corrupt { .. })), "{body:?}");
    }
    // The second restart shares.
    let body = [entry(b"a"), vec![1, 8, 0], vec![1; 8]].concat();
    assert!(matches!(decoded(&block(&body, &[0, 12], 2)), Err(BlockFault::Corrupt { .. })));
}

#[test]
fn separate_values_must_stand_where_the_restarts_say_and_be_used_up() {
    let flag = 1u32 << 28;
    let keys = [&[0, 8, 2, 0][..], &TRAILER].concat();
    let of = |keys: &[u8], values: &[u8], offset: u32| {
        let end = [0u32.to_le_bytes(), offset.to_le_bytes(), (1 | flag).to_le_bytes()].concat();
        decoded(&[keys, values, &end].concat())
    };
    let (form, entries) = of(&keys, b"ab", 12).unwrap();
    assert!(form.separate_values);
    assert_eq!((entries.key(0), entries.value(0)), (&TRAILER[..], &b"ab"[..]));
    assert!(of(&keys, b"abc", 12).is_err(), "a value nobody has");
    assert!(of(&keys, b"a", 12).is_err(), "half a value");
    assert!(of(&keys, b"ab", 15).is_err(), "values behind the block");
    let displaced = [&[0, 8, 2, 1][..], &TRAILER].concat();
    assert!(of(&displaced, b"ab", 12).is_err(), "a wrong offset");
}

#[test]
fn entries_that_do_not_exist_make_no_block() {
    let entries = entries_of(&[(TRAILER.to_vec(), vec![])]);
    #[allow(clippy::reversed_empty_ranges)]
    for range in [0..2, 2..2, 1..0] {
        assert!(data_block::encode(&BlockForm::default(), &entries, range, &mut Vec::new()).is_err());
    }
}

#[test]
fn a_hash_index_ends_at_254_restarts() {
    let pairs: Vec<_> = (0..255u8).map(|byte| ([&[byte][..], &TRAILER].concat(), vec![])).collect();
    let form = BlockForm { restart_interval: 1, hash_buckets: 255, ..BlockForm::default() };
    let mut content = Vec::new();
    assert!(data_block::encode(&form, &entries_of(&pairs[..254]), 0..254, &mut content).is_ok());
    let fault = data_block::encode(&form, &entries_of(&pairs), 0..255, &mut content);
    assert!(matches!(fault, Err(BlockFault::NotExpressible { .. })));
}
