//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Backups of RocksDB-based clusters: content-addressed, deduplicated, proven.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 damage found, 4 done with named warnings, 130 cancelled.
#[derive(Debug, Parser)]
#[command(name = "esker", version, arg_required_else_help = true, max_term_width = 100)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Args)]
pub struct Global {
    /// The repository: a folder, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, or a name (esker repo)
    #[arg(long, global = true, env = "ESKER_REPO", value_name = "LOCATION")]
    pub repo: Option<String>,
    /// An option of an object store, such as endpoint=URL, region=NAME, profile=NAME, ca_file=FILE; may be given several times
    /// (docs/operations.md). Credentials come from the environment or a profile
    #[arg(long = "store-option", global = true, value_name = "KEY=VALUE")]
    pub store_options: Vec<String>,
    /// File with the passphrase or recovery key (otherwise ESKER_PASSPHRASE, or a prompt)
    #[arg(long, global = true, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Folder for the local cache; it may be deleted at any time
    #[arg(long, global = true, env = "ESKER_CACHE_DIR", value_name = "FOLDER")]
    pub cache_dir: Option<PathBuf>,
    /// Bytes of earlier backups that a backup may keep in the cache so that it need not read them from the repository again;
    /// 0 keeps none (default: 2 GiB, and none for a repository in a folder)
    #[arg(long, global = true, env = "ESKER_CACHE_SIZE", value_name = "BYTES")]
    pub cache_size: Option<u64>,
    /// Bytes that the local indexes of all repositories may take in the cache; the one in use stays (default: 8 GiB)
    #[arg(long, global = true, env = "ESKER_INDEX_CACHE_SIZE", value_name = "BYTES")]
    pub index_cache_size: Option<u64>,
    /// Threads that compute at once (default: one a core)
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub threads: Option<u32>,
    /// Print results as JSON (docs/json.md)
    #[arg(long, global = true)]
    pub json: bool,
    /// Print results and errors only
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a repository
    Init(Init),
    /// Back up hosts
    Backup(Backup),
    /// List the backups
    List,
    /// Show one backup: hosts, engines, partitions
    Show(Named),
    /// List the files of a backup
    Ls(Ls),
    /// Write one file of a backup to standard output
    Dump(Dump),
    /// Restore a backup, or a part of it
    Restore(Restore),
    /// Prove that what is stored can be restored
    Fsck(Fsck),
    /// Forget backups by policy or by name; hold, release and tag them
    Forget(Forget),
    /// Delete what no backup needs, while backups may run
    Prune(Prune),
    /// Show what backups take, and what forgetting one would free
    Stats(Stats),
    /// Show in what two backups differ
    Diff(Diff),
    /// Copy backups into another repository, whatever the keys of the two
    Copy(Copy),
    /// Show what was done to the repository, and prove it
    Audit(Audit),
    /// Passphrases and recovery keys
    #[command(subcommand)]
    Key(Key),
    /// Names for repositories, in $XDG_CONFIG_HOME/esker/config.toml
    #[command(subcommand)]
    Repo(RepoVerb),
    /// Show the version
    Version,
    /// Print shell completions
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, Args)]
pub struct Init {
    /// Make a repository that anyone who can read the store can read
    #[arg(long)]
    pub no_encryption: bool,
    /// Take master key and chunk sizes of this repository: chunks are called the same in both, so that copies rewrite nothing, and a
    /// backup into one finds what was copied from the other. Who learns one repository's master key has both
    #[arg(long, value_name = "LOCATION", conflicts_with_all = ["chunk_min", "chunk_avg", "chunk_max"])]
    pub same_keys_as: Option<String>,
    /// File with the passphrase or recovery key of that repository (otherwise ESKER_FROM_PASSPHRASE, or what will open the new one)
    #[arg(long, value_name = "FILE", requires = "same_keys_as")]
    pub from_passphrase_file: Option<PathBuf>,
    /// Whose key it is, for `key list`
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub key_label: String,
    /// zstd's level for backups that do not say
    #[arg(long, value_name = "LEVEL", default_value_t = 3, value_parser = clap::value_parser!(i8).range(1..=19), allow_negative_numbers = true)]
    pub zstd_level: i8,
    /// Shortest chunk in bytes; smaller chunks find more in common and cost more memory and time
    #[arg(long, value_name = "BYTES", default_value_t = 256 << 10)]
    pub chunk_min: u32,
    /// Average chunk in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20)]
    pub chunk_avg: u32,
    /// Longest chunk in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20)]
    pub chunk_max: u32,
    /// Bytes at which a pack is closed
    #[arg(long, value_name = "BYTES", default_value_t = 32 << 20, value_parser = clap::value_parser!(u32).range(64 << 10..=64 << 20))]
    pub pack_size: u32,
}

#[derive(Debug, Args)]
pub struct Backup {
    /// A host and the folder of it that is backed up
    #[arg(long = "host", value_name = "NAME=FOLDER")]
    pub hosts: Vec<String>,
    /// Describes hosts, spaces, engines and the partition scheme (docs/operations.md)
    #[arg(long, value_name = "FILE.toml")]
    pub cluster: Option<PathBuf>,
    /// Space of the engines whose path does not tell it
    #[arg(long, value_name = "NAME")]
    pub space: Option<String>,
    /// The backup's name (default: BACKUP_ and the time in UTC)
    #[arg(long, value_name = "NAME")]
    pub label: Option<String>,
    /// A tag; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// Only say what would be read
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Read every file, and every stored chunk that is relied upon; store again what is damaged
    #[arg(long)]
    pub reread: bool,
    /// Read one in N of the known files all the same, others each time; 0 reads none
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub reread_share: u32,
    /// Take tables as bytes: their restore then needs none of RocksDB's compressors, but what compaction rewrote is stored again
    #[arg(long)]
    pub no_reencode: bool,
    /// Compress less, for speed
    #[arg(long, conflicts_with = "zstd_level")]
    pub fast: bool,
    /// S3's storage class for the data of this backup, such as STANDARD_IA or DEEP_ARCHIVE (docs/operations.md)
    #[arg(long, value_name = "CLASS")]
    pub storage_class: Option<String>,
    /// zstd's level (default: the repository's)
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(i32).range(1..=19))]
    pub zstd_level: Option<i32>,
}

#[derive(Debug, Args)]
pub struct Named {
    /// The backup: `latest`, its label, or eight or more digits of its id
    pub backup: String,
}

#[derive(Debug, Args)]
pub struct Select {
    /// Only this host; may be given several times
    #[arg(long = "host", value_name = "NAME")]
    pub hosts: Vec<String>,
    /// Only engines of this space; may be given several times
    #[arg(long = "space", value_name = "NAME")]
    pub spaces: Vec<String>,
    /// Only paths below the host's folder that match; `*` stays within a component, `**` does not
    #[arg(long = "path", value_name = "GLOB")]
    pub paths: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Ls {
    #[command(flatten)]
    pub named: Named,
    #[command(flatten)]
    pub select: Select,
}

#[derive(Debug, Args)]
pub struct Dump {
    #[command(flatten)]
    pub named: Named,
    /// The file's path below its host's folder
    pub path: std::ffi::OsString,
    /// The host, if several have the file
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
}

#[derive(Debug, Args)]
pub struct Restore {
    #[command(flatten)]
    pub named: Named,
    /// An empty or new folder; each host gets a folder in it
    #[arg(long, value_name = "FOLDER")]
    pub target: PathBuf,
    #[command(flatten)]
    pub select: Select,
    /// If packs are in cold storage, wait until they can be read
    #[arg(long)]
    pub wait_for_thaw: bool,
    /// Days for which thawed packs stay readable
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=365))]
    pub thaw_days: u32,
    /// How fast cold packs are asked for; faster is dearer
    #[arg(long, value_enum, default_value_t = Tier::Standard)]
    pub thaw_tier: Tier,
    /// Only say what would be written, and which packs would have to thaw
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Of a damaged backup, restore every file that is whole, and list the others in .esker-missing
    #[arg(long, conflicts_with = "dry_run")]
    pub partial: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Tier {
    /// Minutes, where the store offers it
    Expedited,
    /// Hours
    Standard,
    /// Half a day or more
    Bulk,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Level {
    /// Every object that must be there is listed
    Existence,
    /// Every table, segment and pack footer decodes and agrees
    Structure,
    /// Every chunk decrypts, decompresses and hashes
    Data,
    /// Every file rebuilt in memory has its hash
    Files,
    /// Every engine opens from a scratch restore, and stands where the backup says
    Engine,
}

#[derive(Debug, Args)]
pub struct Fsck {
    /// One backup (default: the whole repository)
    pub backup: Option<String>,
    /// How deep; each level includes those before it
    #[arg(long, value_enum, default_value_t = Level::Data)]
    pub level: Level,
    /// Read only so many percent: packs verified longest ago, and other files each time
    #[arg(long, value_name = "PERCENT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub sample: u32,
    /// Begin no further file or pack after so many minutes; packs verified longest ago come first
    #[arg(long, value_name = "N")]
    pub max_minutes: Option<u64>,
    /// Folder for the scratch restores of level engine (default: the system's temporary folder)
    #[arg(long, value_name = "FOLDER")]
    pub scratch: Option<PathBuf>,
    /// Write nothing to the repository, not even that it was checked
    #[arg(long, conflicts_with = "repair")]
    pub no_remember: bool,
    /// Look at something else: replicas of a partition at the same Raft commit id must hold the same entries (of the newest backup,
    /// unless one is named)
    #[arg(long, conflicts_with_all = ["level", "sample", "max_minutes", "scratch", "repair"])]
    pub replicas: bool,
    /// Mend what is found: index segments from packs, lost chunks from what is left of packs, from --from and from --host.
    /// Nothing that can still be read is deleted; says what is still lost
    #[arg(long, conflicts_with = "backup")]
    pub repair: bool,
    /// A host and a folder that may still have its files: the checkpoint that was backed up, a later one, or the data itself
    #[arg(long = "host", value_name = "NAME=FOLDER", requires = "repair")]
    pub hosts: Vec<String>,
    /// The cluster file that the backups were made with; its hosts, unless --host names others
    #[arg(long, value_name = "FILE.toml", requires = "repair")]
    pub cluster: Option<PathBuf>,
    /// A second repository that may have what is lost; nothing is written there
    #[arg(long, value_name = "LOCATION", requires = "repair")]
    pub from: Option<String>,
    /// File with the passphrase of --from (otherwise ESKER_FROM_PASSPHRASE, or what opens the repository)
    #[arg(long, value_name = "FILE", requires = "from")]
    pub from_passphrase_file: Option<PathBuf>,
    /// As --store-option, for --from
    #[arg(long = "from-store-option", value_name = "KEY=VALUE", requires = "from")]
    pub from_store_options: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Forget {
    /// Backups to forget by name; without any, the policy decides
    pub backups: Vec<String>,
    /// Keep the newest N backups of each cluster
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub keep_last: u32,
    /// Keep the newest backup of each of the newest N hours that have one (UTC)
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub keep_hourly: u32,
    /// The same for days
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub keep_daily: u32,
    /// The same for ISO weeks
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub keep_weekly: u32,
    /// The same for months
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub keep_monthly: u32,
    /// The same for years
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub keep_yearly: u32,
    /// Keep what is at most so much older than the cluster's newest backup: 36h, 14d, 8w, 1y
    #[arg(long, value_name = "DURATION", value_parser = duration_ms)]
    pub keep_within: Option<u64>,
    /// Keep backups with this tag; may be given several times
    #[arg(long = "keep-tag", value_name = "TAG")]
    pub keep_tags: Vec<String>,
    /// Only backups of this cluster
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Hold the named backups: nothing forgets them
    #[arg(long, conflicts_with = "unhold")]
    pub hold: bool,
    /// Release the named backups
    #[arg(long)]
    pub unhold: bool,
    /// Add a tag to the named backups
    #[arg(long = "add-tag", value_name = "TAG")]
    pub add_tags: Vec<String>,
    /// Remove a tag from the named backups
    #[arg(long = "remove-tag", value_name = "TAG")]
    pub remove_tags: Vec<String>,
    /// Only say what would go
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Forget by name also the last backup of a cluster that was verified at level files or deeper
    #[arg(long, requires = "backups")]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct Audit {
    /// Only the log, not whether it accounts for what the repository holds: config, keys/ and audit/ suffice for that
    #[arg(long)]
    pub log_only: bool,
    /// A head of the log noted down earlier, or a file with heads: they must still be there; may be given several times
    #[arg(long = "head", value_name = "HASH|FILE")]
    pub heads: Vec<String>,
    /// Note the heads of the log down in this file, if nothing is amiss
    #[arg(long, value_name = "FILE")]
    pub save_head: Option<PathBuf>,
    /// Record that the finding about this object is known and meant (64 digits); may be given several times
    #[arg(long = "acknowledge", value_name = "ID")]
    pub acknowledge: Vec<String>,
    /// Print only the newest N records; 0 prints none
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub last: usize,
}

#[derive(Debug, Args)]
pub struct Prune {
    /// Only say what would go, why, and what that frees
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Say why this pack stays or goes: its path, or eight or more digits of its id
    #[arg(long, value_name = "PACK", conflicts_with = "dry_run")]
    pub explain: Option<String>,
    /// Take a session for dead that gave no sign of life for so long while this prune waited (a running one gives one each
    /// minute); a backup taken for dead by mistake fails and must be run again
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = wait)]
    pub fence_after: Duration,
    /// Give up, with nothing deleted, if sessions are still at work after so long (default: wait for their end)
    #[arg(long, value_name = "DURATION", value_parser = wait)]
    pub max_wait: Option<Duration>,
    /// Write at most so many bytes again to free packs that are needed in part (2G, 500M); 0 leaves them
    #[arg(long, value_name = "BYTES", default_value = "4G", value_parser = bytes)]
    pub max_repack: u64,
    /// Packs are written again of which at least so many percent are not needed
    #[arg(long, value_name = "PERCENT", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub repack_percent: u32,
}

#[derive(Debug, Args)]
pub struct Stats {
    /// One backup (default: all)
    pub backup: Option<String>,
}

#[derive(Debug, Args)]
pub struct Diff {
    /// The first backup
    pub from: String,
    /// The second
    pub to: String,
    /// Compare keys instead of files, without a restore: entries added, changed and deleted, by space and partition
    #[arg(long)]
    pub keys: bool,
    /// Only this host; may be given several times
    #[arg(long = "host", value_name = "NAME", requires = "keys")]
    pub hosts: Vec<String>,
    /// Only engines of this space; may be given several times
    #[arg(long = "space", value_name = "NAME", requires = "keys")]
    pub spaces: Vec<String>,
    /// Only keys of this partition; may be given several times
    #[arg(long = "partition", value_name = "N", requires = "keys", value_parser = clap::value_parser!(u32).range(0..1 << 24))]
    pub partitions: Vec<u32>,
    /// Print every key that differs, in hexadecimal digits, with the sizes of its values
    #[arg(long, requires = "keys")]
    pub list: bool,
    /// Print no more than N of them
    #[arg(long, value_name = "N", requires = "keys")]
    pub limit: Option<u64>,
}

#[derive(Debug, Args)]
pub struct Copy {
    /// Backups to copy: `latest`, labels, or eight or more digits of ids (default: all)
    pub backups: Vec<String>,
    /// The repository that is read (default: --repo or ESKER_REPO)
    #[arg(long, value_name = "LOCATION")]
    pub from: Option<String>,
    /// The repository that is written (default: --repo or ESKER_REPO); it must be there: see esker init
    #[arg(long, value_name = "LOCATION")]
    pub to: Option<String>,
    /// File with the passphrase or recovery key of the repository that is read (otherwise ESKER_FROM_PASSPHRASE, or what opens
    /// the one that is written)
    #[arg(long, value_name = "FILE")]
    pub from_passphrase_file: Option<PathBuf>,
    /// An option of the store that is read, as --store-option is one of the store that is written; may be given several times
    #[arg(long = "from-store-option", value_name = "KEY=VALUE")]
    pub from_store_options: Vec<String>,
    /// Copy from an encrypted repository into one that is not
    #[arg(long)]
    pub decrypt: bool,
    /// Only say what would be copied
    #[arg(long, short = 'n')]
    pub dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub enum Key {
    /// List the keys
    List,
    /// Add a passphrase, or make a recovery key and print it
    Add(KeyAdd),
    /// Remove a key by its id; this does not revoke what its holder may have kept
    Remove {
        /// The key's id, or eight or more digits of it
        id: String,
    },
    /// Change the passphrase that opens the repository now
    Passphrase(KeyPassphrase),
}

#[derive(Debug, Subcommand)]
pub enum RepoVerb {
    /// Give a repository a name: --repo NAME then stands for it, with its passphrase file; it need not be there yet
    Add(RepoAdd),
    /// List the names
    List,
    /// Forget a name; the repository stays as it is
    Remove {
        /// The name
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct RepoAdd {
    /// Letters, digits, `-`, `_` and `.`
    pub name: String,
    /// The repository
    pub location: String,
    /// Whatever writes refuses it; it is read without a session
    #[arg(long)]
    pub read_only: bool,
}

#[derive(Debug, Args)]
pub struct KeyAdd {
    /// Make a recovery key and print it on standard output, to be kept on paper
    #[arg(long)]
    pub recovery: bool,
    /// File with the passphrase to be added (otherwise ESKER_NEW_PASSPHRASE, or a prompt)
    #[arg(long, value_name = "FILE", conflicts_with = "recovery")]
    pub new_passphrase_file: Option<PathBuf>,
    /// Whose key it is
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub label: String,
}

#[derive(Debug, Args)]
pub struct KeyPassphrase {
    /// File with the new passphrase (otherwise ESKER_NEW_PASSPHRASE, or a prompt)
    #[arg(long, value_name = "FILE")]
    pub new_passphrase_file: Option<PathBuf>,
}

/// Bytes, or thousands, millions and so on of 1024: `500M`, `2G`.
fn bytes(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is not a number of bytes such as 1048576, 500M or 2G");
    let unit = "KMGT".find(|unit| text.ends_with(unit)).map_or(0, |at| at + 1);
    let number = text.get(..text.len() - usize::from(unit > 0)).unwrap_or_default();
    let number: u64 = number.parse().map_err(|_| bad())?;
    number.checked_mul(1 << (10 * unit)).ok_or_else(bad)
}

/// A time to wait such as `90s`, `10m`, `2h`.
fn wait(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is not a time to wait such as 90s, 10m or 2h");
    let (number, unit_s) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3600),
        _ => return Err(bad()),
    };
    let seconds = number.parse::<u64>().ok().filter(|number| *number > 0).and_then(|number| number.checked_mul(unit_s));
    seconds.map(Duration::from_secs).ok_or_else(bad)
}

/// A duration such as `36h`, `14d`, `8w`, `1y`, or several of them in a row.
fn duration_ms(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is not a duration such as 36h, 14d, 8w or 1y");
    let (mut total, mut digits) = (0u64, String::new());
    for character in text.chars() {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        let unit_s: u64 = match character {
            'h' => 3600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            'y' => 365 * 86_400,
            _ => return Err(bad()),
        };
        let number: u64 = digits.parse().map_err(|_| bad())?;
        digits.clear();
        total = number.checked_mul(unit_s * 1000).and_then(|ms| total.checked_add(ms)).ok_or_else(bad)?;
    }
    if digits.is_empty() && !text.is_empty() { Ok(total) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn bytes_have_units() {
        assert_eq!(bytes("0"), Ok(0));
        assert_eq!(bytes("3K"), Ok(3072));
        assert_eq!(bytes("2G"), Ok(2 << 30));
        for bad in ["", "G", "-1", "1.5G", "2g", "99999999999999999T"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_to_wait_are_told_from_nonsense() {
        assert_eq!(wait("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(wait("10m"), Ok(Duration::from_secs(600)));
        for bad in ["", "s", "0s", "10", "-1m", "1d", "99999999999999999999h"] {
            assert!(wait(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_add_up() {
        assert_eq!(duration_ms("1d12h"), Ok(36 * 3_600_000));
        for bad in ["", "12", "1m", "h", "99999999999999999999d"] {
            assert!(duration_ms(bad).is_err(), "{bad}");
        }
    }
}
