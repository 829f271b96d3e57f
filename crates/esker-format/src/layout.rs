//! Where objects live and which kind they are of (format-spec chapter 1).

use crate::ids::{ObjectId, SessionId};
use crate::limits::BEAT_MAX;

/// The kind byte in every object's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ObjectKind {
    /// `config`, `config.copy`
    Config = 1,
    /// `keys/<hash>`
    Key = 2,
    /// `packs/data/<session>/<hash>`
    DataPack = 3,
    /// `packs/meta/<session>/<hash>`
    MetaPack = 4,
    /// `index/<hash>`
    IndexSegment = 5,
    /// `manifests/<hash>`
    Manifest = 6,
    /// `sessions/<session>/open`
    SessionOpen = 7,
    /// `sessions/<session>/beat-<number>`
    SessionBeat = 8,
    /// `sessions/<session>/end`
    SessionEnd = 9,
    /// `fences/<session>`
    Fence = 10,
    /// `doomed/<hash>`
    DoomedList = 11,
    /// `forgotten/<hash>`
    Forgotten = 12,
    /// `verified/<hash>`
    Verification = 13,
    /// `notes/<hash>`
    Note = 14,
    /// `audit/<hash>`
    Audit = 15,
}

impl ObjectKind {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Key => "key object",
            Self::DataPack => "data pack",
            Self::MetaPack => "metadata pack",
            Self::IndexSegment => "index segment",
            Self::Manifest => "manifest",
            Self::SessionOpen => "session record",
            Self::SessionBeat => "session beat",
            Self::SessionEnd => "session end",
            Self::Fence => "fence",
            Self::DoomedList => "doomed list",
            Self::Forgotten => "forgotten record",
            Self::Verification => "verification record",
            Self::Note => "note",
            Self::Audit => "audit record",
        }
    }

    /// The folder of the hash-named kinds; empty for the others.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Key => "keys",
            Self::IndexSegment => "index",
            Self::Manifest => "manifests",
            Self::DoomedList => "doomed",
            Self::Forgotten => "forgotten",
            Self::Verification => "verified",
            Self::Note => "notes",
            Self::Audit => "audit",
            _ => "",
        }
    }
}

/// The path of `config`.
pub const CONFIG: &str = "config";
/// The path of its second copy.
pub const CONFIG_COPY: &str = "config.copy";
/// The folder of packs.
pub const PACKS: &str = "packs";
/// The folder of sessions.
pub const SESSIONS: &str = "sessions";
/// The folder of fences.
pub const FENCES: &str = "fences";

/// Data and metadata packs are apart, so that data can move to a cold class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum PackKind {
    /// Chunks of files, and of their sorted runs.
    Data = 1,
    /// Pieces of tables and recipes.
    Meta = 2,
}

impl PackKind {
    /// The kind in the header of such a pack.
    pub fn object_kind(self) -> ObjectKind {
        match self {
            Self::Data => ObjectKind::DataPack,
            Self::Meta => ObjectKind::MetaPack,
        }
    }

    /// Its folder under `packs`.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Meta => "meta",
        }
    }

    /// From its stored number.
    ///
    /// # Errors
    /// `BadValue`.
    pub fn from_u8(value: u8) -> crate::Result<Self> {
        match value {
            1 => Ok(Self::Data),
            2 => Ok(Self::Meta),
            other => Err(crate::FormatError::BadValue { field: "pack kind", found: other.to_string() }),
        }
    }
}

/// A pack's name with all that its path says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackName {
    /// Data or metadata.
    pub kind: PackKind,
    /// Who wrote it.
    pub session: SessionId,
    /// The hash of its bytes.
    pub id: ObjectId,
}

impl PackName {
    /// Its path in the repository.
    pub fn path(&self) -> String {
        format!("{PACKS}/{}/{}/{}", self.kind.folder(), self.session, self.id)
    }

    /// The name that a path stands for, `None` if it is not a pack's.
    pub fn from_path(path: &str) -> Option<Self> {
        let mut parts = path.split('/');
        if parts.next()? != PACKS {
            return None;
        }
        let kind = match parts.next()? {
            "data" => PackKind::Data,
            "meta" => PackKind::Meta,
            _ => return None,
        };
        let session = SessionId::from_hex(parts.next()?).ok()?;
        let id = ObjectId::from_hex(parts.next()?).ok()?;
        parts.next().is_none().then_some(Self { kind, session, id })
    }
}

/// The path of a hash-named object.
pub fn object_path(kind: ObjectKind, id: &ObjectId) -> String {
    format!("{}/{id}", kind.folder())
}

/// What stands in a session's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SessionRecord {
    /// It began.
    Open,
    /// It was alive; numbered from 1.
    Beat(u32),
    /// It ended, and its fate is known.
    End,
}

/// The path of a session's record.
pub fn session_path(session: &SessionId, record: SessionRecord) -> String {
    match record {
        SessionRecord::Open => format!("{SESSIONS}/{session}/open"),
        SessionRecord::Beat(number) => format!("{SESSIONS}/{session}/beat-{number:08}"),
        SessionRecord::End => format!("{SESSIONS}/{session}/end"),
    }
}

/// The session and record that a path stands for.
pub fn session_from_path(path: &str) -> Option<(SessionId, SessionRecord)> {
    let (session, record) = path.strip_prefix("sessions/")?.split_once('/')?;
    let record = match record {
        "open" => SessionRecord::Open,
        "end" => SessionRecord::End,
        beat => {
            let digits = beat.strip_prefix("beat-")?;
            let plain = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
            let number = if plain { digits.parse().ok()? } else { return None };
            SessionRecord::Beat((1..=BEAT_MAX).contains(&number).then_some(number)?)
        }
    };
    Some((SessionId::from_hex(session).ok()?, record))
}

/// The path of a session's fence.
pub fn fence_path(session: &SessionId) -> String {
    format!("{FENCES}/{session}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_back_as_the_names_they_stand_for() {
        let session = SessionId([1; 16]);
        let pack = PackName { kind: PackKind::Meta, session, id: ObjectId([2; 32]) };
        assert_eq!(PackName::from_path(&pack.path()), Some(pack));
        for record in [SessionRecord::Open, SessionRecord::Beat(7), SessionRecord::End] {
            assert_eq!(session_from_path(&session_path(&session, record)), Some((session, record)));
        }
        assert_eq!(PackName::from_path("packs/data/x/y"), None);
        assert_eq!(session_from_path(&format!("sessions/{session}/beat-7")), None);
    }
}
