//! Rows of files, folders and symbolic links (format-spec chapter 7).

use crate::error::{FormatError, Result};
use crate::ids::ChunkId;
use crate::limits;
use crate::table::{Row, TableType};
use crate::wire::{Reader, Record, Writer};

/// One file, folder or link, by its path below the folder its table belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    /// Relative path as raw bytes, components joined by `/`; empty for the folder itself.
    pub path: Vec<u8>,
    /// Permission bits, set-id and sticky bits included.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time: whole seconds since 1970.
    pub mtime_s: i64,
    /// Modification time: nanoseconds within the second.
    pub mtime_ns: u32,
    /// What it is.
    pub node: Node,
}

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A regular file.
    File(FileContent),
    /// A folder.
    Folder,
    /// A symbolic link and its target.
    Link(Vec<u8>),
}

/// A regular file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileContent {
    /// Bytes.
    pub size: u64,
    /// BLAKE3 of all of them.
    pub hash: [u8; 32],
    /// What the file is to its engine.
    pub role: FileRole,
    /// The source's inode number, to know an unchanged file that has no identity of its own.
    pub inode: u64,
    /// How to know an unchanged table file without reading it.
    pub identity: Option<TableIdentity>,
    /// Chunks of bytes that the recipe names.
    pub chunks: u64,
    /// Recipe pieces, in order.
    pub recipe: Vec<ChunkId>,
}

/// What a file is to its engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum FileRole {
    /// Not RocksDB's.
    Other = 0,
    /// A table (`.sst`).
    Table = 1,
    /// A blob file.
    Blob = 2,
    /// A write-ahead log.
    Wal = 3,
    /// `MANIFEST-n`.
    Manifest = 4,
    /// `OPTIONS-n`.
    Options = 5,
    /// `CURRENT`; written last at restore.
    Current = 6,
}

impl FileRole {
    fn from_u8(value: u8) -> Result<Self> {
        Ok(match value {
            0 => Self::Other,
            1 => Self::Table,
            2 => Self::Blob,
            3 => Self::Wal,
            4 => Self::Manifest,
            5 => Self::Options,
            6 => Self::Current,
            other => return Err(FormatError::BadValue { field: "file role", found: other.to_string() }),
        })
    }
}

/// RocksDB's 192-bit unique id, and the BLAKE3 of the file from its properties block to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TableIdentity {
    /// The extended unique id (`include/rocksdb/unique_id.h`), 24 bytes.
    pub unique_id: [u8; 24],
    /// Where the properties block starts.
    pub tail_offset: u64,
    /// BLAKE3 of the bytes from there to the end.
    pub tail_hash: [u8; 32],
}

impl Record for FileRow {
    const NAME: &'static str = "file row";

    fn write(&self, out: &mut Writer) {
        out.bytes(&self.path);
        out.varint(u64::from(self.mode));
        out.varint(u64::from(self.uid));
        out.varint(u64::from(self.gid));
        out.signed(self.mtime_s);
        out.u32(self.mtime_ns);
        match &self.node {
            Node::File(content) => {
                out.u8(1);
                content.write(out);
            }
            Node::Folder => out.u8(2),
            Node::Link(target) => {
                out.u8(3);
                out.bytes(target);
            }
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let path = input.bytes("path", limits::PATH_MAX)?.to_vec();
        check_path(&path)?;
        let mode = number(input, "mode", 0o7777)?;
        let uid = number(input, "uid", u32::MAX)?;
        let gid = number(input, "gid", u32::MAX)?;
        let mtime_s = input.signed("mtime")?;
        let mtime_ns = input.u32("mtime nanoseconds")?;
        if mtime_ns > 999_999_999 {
            return Err(FormatError::OverLimit { field: "mtime nanoseconds", found: u64::from(mtime_ns), limit: 999_999_999 });
        }
        let node = match input.u8("node type")? {
            1 => Node::File(FileContent::read(input)?),
            2 => Node::Folder,
            3 => Node::Link(input.bytes("link target", limits::LINK_TARGET_MAX)?.to_vec()),
            other => return Err(FormatError::BadValue { field: "node type", found: other.to_string() }),
        };
        Ok(Self { path, mode, uid, gid, mtime_s, mtime_ns, node })
    }
}

impl Row for FileRow {
    const TYPE: TableType = TableType::Files;
    const LEN_MIN: usize = 10;

    fn key(&self) -> Vec<u8> {
        self.path.clone()
    }
}

impl Record for FileContent {
    const NAME: &'static str = "file content";

    fn write(&self, out: &mut Writer) {
        out.varint(self.size);
        out.raw(&self.hash);
        out.u8(self.role as u8);
        out.varint(self.inode);
        out.option(self.identity, |out, identity| {
            out.raw(&identity.unique_id);
            out.varint(identity.tail_offset);
            out.raw(&identity.tail_hash);
        });
        out.varint(self.chunks);
        out.list(&self.recipe, |out, id| out.raw(&id.0));
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let size = input.varint_max("file size", limits::FILE_MAX)?;
        let hash = input.array("file hash")?;
        let role = FileRole::from_u8(input.u8("file role")?)?;
        let inode = input.varint("inode")?;
        let identity = input.option("identity", |input| {
            Ok(TableIdentity {
                unique_id: input.array("unique id")?,
                tail_offset: input.varint_max("tail offset", size)?,
                tail_hash: input.array("tail hash")?,
            })
        })?;
        let chunks = input.varint("chunks")?;
        let limit = limits::RECIPE_PIECES_MAX as u64;
        let recipe = input.list_max("recipe", limit, ChunkId::LEN, |input| input.array("recipe piece").map(ChunkId))?;
        Ok(Self { size, hash, role, inode, identity, chunks, recipe })
    }
}

fn number(input: &mut Reader<'_>, field: &'static str, limit: u32) -> Result<u32> {
    input.varint_max(field, u64::from(limit)).map(|value| u32::try_from(value).unwrap_or(limit))
}

/// A path that stays below the folder it is joined to: no empty, `.` or `..` component, no leading `/`, no NUL.
///
/// # Errors
/// `BadValue` with the path.
pub fn check_path(path: &[u8]) -> Result<()> {
    let bad_component = |part: &[u8]| part.is_empty() || part == b"." || part == b".." || part.len() > 255;
    let bad = path.contains(&0) || (!path.is_empty() && path.split(|byte| *byte == b'/').any(bad_component));
    if bad { Err(FormatError::BadValue { field: "path", found: format!("{:?}", String::from_utf8_lossy(path)) }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leaves_its_folder_is_refused() {
        for bad in ["/etc/passwd", "..", "a/../b", "a//b", "a/", ".", "a\0b"] {
            assert!(check_path(bad.as_bytes()).is_err(), "{bad:?}");
        }
        for good in ["", "a", "a/b", "..a", "new\nline", "\u{fffd}"] {
            check_path(good.as_bytes()).unwrap();
        }
    }
}
