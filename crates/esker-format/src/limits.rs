//! A limit on everything (format-spec chapter 0). Encoders and decoders check the same constants.

/// Plain bytes of one chunk, at most.
pub const CHUNK_PLAIN_MAX: usize = 16 << 20;
/// Bytes that sealing and a failed compression may add to one chunk.
pub const FRAME_OVERHEAD_MAX: usize = 64;
/// Bytes of one pack, at most; writers aim at the config's target, which is far below.
pub const PACK_MAX: u64 = 256 << 20;
/// Frames of one pack, at most.
pub const PACK_FRAMES_MAX: usize = 1 << 20;
/// Plain bytes of one table piece or recipe piece, at most; writers aim at a quarter of it.
pub const TABLE_PIECE_MAX: usize = 4 << 20;
/// Plain bytes of one control object (manifest, index segment, and the like), at most.
pub const CONTROL_PLAIN_MAX: usize = 128 << 20;
/// Bytes of `config` and of a key object, at most.
pub const SMALL_OBJECT_MAX: usize = 4096;
/// Bytes of a label, a cluster, host or space name, a tag, the reason of a fallback.
pub const NAME_MAX: usize = 1024;
/// Bytes of a relative path (Linux allows 4,096; every component at most 255).
pub const PATH_MAX: usize = 4096;
/// Bytes of a symlink's target.
pub const LINK_TARGET_MAX: usize = 4096;
/// Bytes of a free text: a warning, a RocksDB name, a note.
pub const TEXT_MAX: usize = 65_536;
/// Bytes of a literal stored inside a recipe.
pub const INLINE_MAX: usize = 4096;
/// Operations of one recipe piece, at most.
pub const RECIPE_OPS_MAX: usize = 16_384;
/// Recipe pieces of one file, at most.
pub const RECIPE_PIECES_MAX: usize = 1 << 16;
/// Bytes of one file, at most (1 EiB).
pub const FILE_MAX: u64 = 1 << 60;
/// Entries of one run, at most.
pub const RUN_ENTRIES_MAX: usize = 1 << 20;
/// Bytes of all keys of one run, written out, and of the first keys that a recipe piece names, at most.
pub const RUN_KEYS_MAX: usize = 64 << 20;
/// Bytes of a user-defined timestamp, at most.
pub const TIMESTAMP_MAX: usize = 64;
/// Forms of the blocks of one recipe piece, at most.
pub const PIECE_FORMS_MAX: u64 = 1 << 12;
/// Bytes of keys and values of one block that a recipe rebuilds, at most.
pub const BLOCK_ENTRY_BYTES_MAX: usize = 64 << 20;
/// Bytes of a compression dictionary that a recipe names, at most.
pub const DICTIONARY_MAX: u64 = 4 << 20;
/// Bytes of a table behind its data blocks that a recipe rebuilds, at most.
pub const TABLE_REST_MAX: u64 = 256 << 20;
/// Numbers that describe a built block, at most.
pub const BUILT_NUMBERS_MAX: u64 = 1 << 16;
/// Entries of any list that has no limit of its own; each entry also needs its bytes to be there.
pub const LIST_MAX: u64 = 1 << 26;
/// Hosts of one backup, at most.
pub const HOSTS_MAX: u64 = 1 << 16;
/// Tags, warnings, fallbacks and column families of one backup, engine or note, at most.
pub const TEXTS_MAX: u64 = 1 << 14;
/// Heads of one audit record, at most.
pub const AUDIT_HEADS_MAX: u64 = 1 << 10;
/// Pieces of one table, at most.
pub const TABLE_PIECES_MAX: usize = 1 << 20;
/// Bytes at which a writer closes a pack, at least.
pub const PACK_TARGET_MIN: u32 = 64 << 10;
/// Bytes at which a writer closes a pack, at most.
pub const PACK_TARGET_MAX: u32 = 64 << 20;
/// Number of a session's beat, at most: eight digits.
pub const BEAT_MAX: u32 = 99_999_999;
/// argon2 memory of a key object, KiB, at most (256 MiB).
pub const ARGON2_MEMORY_KIB_MAX: u32 = 256 << 10;
/// argon2 passes of a key object, at most.
pub const ARGON2_PASSES_MAX: u32 = 16;
/// argon2 lanes of a key object, at most.
pub const ARGON2_LANES_MAX: u32 = 16;
/// Bytes of a passphrase, at most.
pub const PASSPHRASE_MAX: usize = 4096;

const _: () = assert!(CHUNK_PLAIN_MAX + FRAME_OVERHEAD_MAX < PACK_MAX as usize);
