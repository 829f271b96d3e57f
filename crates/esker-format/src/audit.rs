//! What was done to a repository, by whom and with which key (format-spec chapter 18).

use crate::error::{FormatError, Result};
use crate::ids::{ObjectId, RepositoryId, SessionId};
use crate::limits::{AUDIT_HEADS_MAX, NAME_MAX, TEXT_MAX};
use crate::signing::{PublicKey, SIGNATURE_LEN, SigningKey};
use crate::wire::{Reader, Record, Writer};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Event {
    /// The repository was made.
    Init = 1,
    /// The log began in a repository that is older than it.
    Begin = 2,
    /// A backup was committed.
    Backup = 3,
    /// A backup was copied into it.
    Copy = 4,
    /// Backups are forgotten.
    Forget = 5,
    /// Packs are deleted.
    Prune = 6,
    /// A key was added.
    KeyAdd = 7,
    /// A key is removed.
    KeyRemove = 8,
    /// A backup was held, released or tagged.
    Note = 9,
    /// Damage was mended.
    Repair = 10,
    /// A check ended.
    Verification = 11,
    /// An operator knows of findings.
    Acknowledge = 12,
}

impl Event {
    /// All, by number.
    pub const ALL: [Self; 12] = [
        Self::Init,
        Self::Begin,
        Self::Backup,
        Self::Copy,
        Self::Forget,
        Self::Prune,
        Self::KeyAdd,
        Self::KeyRemove,
        Self::Note,
        Self::Repair,
        Self::Verification,
        Self::Acknowledge,
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Begin => "begin",
            Self::Backup => "backup",
            Self::Copy => "copy",
            Self::Forget => "forget",
            Self::Prune => "prune",
            Self::KeyAdd => "key added",
            Self::KeyRemove => "key removed",
            Self::Note => "note",
            Self::Repair => "repair",
            Self::Verification => "verification",
            Self::Acknowledge => "acknowledged",
        }
    }

    fn from_u8(value: u8) -> Result<Self> {
        let bad = || FormatError::BadValue { field: "event", found: value.to_string() };
        Self::ALL.into_iter().find(|event| *event as u8 == value).ok_or_else(bad)
    }
}

/// A key object, and what verifies the records of who opens the repository with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyFact {
    /// The key object.
    pub id: ObjectId,
    /// Its public key; an older key object has none.
    pub public: Option<PublicKey>,
}

/// What was done, apart from who did it and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// What.
    pub event: Event,
    /// Whether this was written before it was done.
    pub intended: bool,
    /// Keys that it introduces.
    pub keys: Vec<KeyFact>,
    /// What it was done to, each with its label.
    pub objects: Vec<(ObjectId, String)>,
    /// How much of what the event counts.
    pub count: u64,
    /// Its bytes.
    pub bytes: u64,
    /// For people.
    pub detail: String,
}

impl Deed {
    /// Something that was done, with nothing more to say of it yet.
    pub fn done(event: Event) -> Self {
        Self { event, intended: false, keys: Vec::new(), objects: Vec::new(), count: 0, bytes: 0, detail: String::new() }
    }

    /// Something that is about to be done.
    pub fn intended(event: Event) -> Self {
        Self { intended: true, ..Self::done(event) }
    }
}

/// `audit/<hash>`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// The repository it is about.
    pub repository: RepositoryId,
    /// The records that it follows, ascending.
    pub heads: Vec<ObjectId>,
    /// When, milliseconds since 1970 by the writer's clock.
    pub at_ms: u64,
    /// The user's name, as claimed.
    pub user: String,
    /// The host's name, as claimed.
    pub host: String,
    /// The program with its version.
    pub written_by: String,
    /// The job's session, if it had one.
    pub session: Option<SessionId>,
    /// The key object that opened the repository.
    pub key: Option<ObjectId>,
    /// What was done.
    pub deed: Deed,
    /// The signature of all that stands above.
    pub signature: Option<[u8; SIGNATURE_LEN]>,
}

impl AuditRecord {
    /// Signs it.
    ///
    /// # Errors
    /// As `SigningKey::sign`.
    pub fn sign(&mut self, key: &SigningKey) -> Result<()> {
        self.signature = Some(key.sign(&self.signed_bytes())?);
        Ok(())
    }

    /// Whether it bears a signature of this key.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.signature.is_some_and(|signature| key.verifies(&self.signed_bytes(), &signature))
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        self.write_unsigned(&mut out);
        out.into_bytes()
    }

    fn write_unsigned(&self, out: &mut Writer) {
        out.raw(&self.repository.0);
        out.list(&self.heads, |out, id| out.raw(&id.0));
        out.u64(self.at_ms);
        out.text(&self.user);
        out.text(&self.host);
        out.text(&self.written_by);
        out.option(self.session, |out, id| out.raw(&id.0));
        out.option(self.key, |out, id| out.raw(&id.0));
        self.deed.write(out);
    }
}

impl Record for Deed {
    const NAME: &'static str = "deed";

    fn write(&self, out: &mut Writer) {
        out.u8(self.event as u8);
        out.u8(u8::from(self.intended));
        out.list(&self.keys, |out, key| {
            out.raw(&key.id.0);
            out.option(key.public, |out, public| out.raw(&public.0));
        });
        out.list(&self.objects, |out, (id, label)| {
            out.raw(&id.0);
            out.text(label);
        });
        out.varint(self.count);
        out.varint(self.bytes);
        out.text(&self.detail);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            event: Event::from_u8(input.u8("event")?)?,
            intended: match input.u8("intended")? {
                0 => false,
                1 => true,
                other => return Err(FormatError::BadValue { field: "intended", found: other.to_string() }),
            },
            keys: input.list("keys", 33, |input| {
                let id = ObjectId(input.array("key")?);
                Ok(KeyFact { id, public: input.option("public key", |input| input.array("public key").map(PublicKey))? })
            })?,
            objects: input.list("objects", 33, |input| Ok((ObjectId(input.array("object")?), input.text("label", NAME_MAX)?)))?,
            count: input.varint("count")?,
            bytes: input.varint("bytes")?,
            detail: input.text("detail", TEXT_MAX)?,
        })
    }
}

impl Record for AuditRecord {
    const NAME: &'static str = "audit record";

    fn write(&self, out: &mut Writer) {
        self.write_unsigned(out);
        out.option(self.signature, |out, signature| out.raw(&signature));
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let repository = RepositoryId(input.array("repository")?);
        let heads = input.list_max("heads", AUDIT_HEADS_MAX, 32, |input| input.array("head").map(ObjectId))?;
        if !heads.is_sorted_by(|first, second| first < second) {
            return Err(FormatError::BadValue { field: "heads", found: "ids that do not ascend".into() });
        }
        Ok(Self {
            repository,
            heads,
            at_ms: input.u64("time")?,
            user: input.text("user", NAME_MAX)?,
            host: input.text("host", NAME_MAX)?,
            written_by: input.text("written by", NAME_MAX)?,
            session: input.option("session", |input| input.array("session").map(SessionId))?,
            key: input.option("key", |input| input.array("key").map(ObjectId))?,
            deed: Deed::read(input)?,
            signature: input.option("signature", |input| input.array("signature"))?,
        })
    }
}
