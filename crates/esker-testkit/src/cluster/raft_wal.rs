//! NebulaGraph's Raft WAL files: written for sample checkpoints, and read back for tests.
//!
//! A file is named by its first log id in 19 digits. A record is log id i64, term i64, length i32,
//! cluster id i64, message, length i32, all little-endian. The message of a put is timestamp i64,
//! operation u8 (1), key length u32, key, value length u32, value.

use std::path::Path;

use crate::workload::{Churn, Write};

const CLUSTER_ID: i64 = 0x1122_3344_5566_7788;
const OPERATION_PUT: u8 = 1;
/// 2025-01-01 in milliseconds since the Unix epoch; a log's timestamp is this plus its log id.
const TIMESTAMP_MS: i64 = 1_735_689_600_000;
const HEADER_BYTES: usize = 28;

/// Log id and term of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPosition {
    /// The log id.
    pub log_id: u64,
    /// The term.
    pub term: u64,
}

/// Writes the last logs of a partition into the new folder `dir`, in two files as after a roll (in
/// one if there is one log only; in none if there is no log).
pub fn write_tail(dir: &Path, churn: &Churn, partition: u32) {
    std::fs::create_dir_all(dir).expect("wal folder");
    let logs: Vec<&Write> = churn.tail(partition).collect();
    let per_file = logs.len().div_ceil(2).max(1);
    for file_logs in logs.chunks(per_file) {
        let mut bytes = Vec::new();
        for log in file_logs {
            append_record(&mut bytes, churn, log);
        }
        let name = format!("{:019}.wal", file_logs[0].log_id);
        std::fs::write(dir.join(name), bytes).expect("wal file");
    }
}

/// The records of a WAL file; panics if its last record is torn.
#[must_use]
pub fn read_positions(path: &Path) -> Vec<LogPosition> {
    let bytes = std::fs::read(path).expect("wal file");
    let mut positions = Vec::new();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let field = |at: usize| u64::from_le_bytes(rest[at..at + 8].try_into().unwrap());
        let length = u32::from_le_bytes(rest[16..20].try_into().unwrap()) as usize;
        let end = HEADER_BYTES + length + 4;
        assert_eq!(rest[16..20], rest[end - 4..end], "lengths agree");
        positions.push(LogPosition { log_id: field(0), term: field(8) });
        rest = &rest[end..];
    }
    positions
}

fn append_record(bytes: &mut Vec<u8>, churn: &Churn, log: &Write) {
    let message = put_message(churn, log);
    let length = (message.len() as u32).to_le_bytes();
    bytes.extend_from_slice(&log.log_id.to_le_bytes());
    bytes.extend_from_slice(&log.term.to_le_bytes());
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&CLUSTER_ID.to_le_bytes());
    bytes.extend_from_slice(&message);
    bytes.extend_from_slice(&length);
}

fn put_message(churn: &Churn, log: &Write) -> Vec<u8> {
    let (_, key) = churn.rules().key(log.entry);
    let mut value = Vec::new();
    churn.rules().value_into(log.entry, log.number, &mut value);
    let mut message = Vec::new();
    message.extend_from_slice(&(TIMESTAMP_MS + log.log_id as i64).to_le_bytes());
    message.push(OPERATION_PUT);
    for field in [key.as_bytes(), &value] {
        message.extend_from_slice(&(field.len() as u32).to_le_bytes());
        message.extend_from_slice(field);
    }
    message
}
