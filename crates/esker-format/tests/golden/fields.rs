//! The fields of each record, as the vectors list them.

use esker_format::audit::AuditRecord;
use esker_format::config::Config;
use esker_format::doomed::{DoomedList, Forgotten};
use esker_format::engine::{EngineRecord, ReplicaRow};
use esker_format::file_table::{FileContent, FileRow, Node};
use esker_format::index_segment::{IndexSegment, IndexedPack};
use esker_format::manifest::{HostRecord, Manifest, Origin};
use esker_format::note::Note;
use esker_format::recipe::{Operation, Piece};
use esker_format::run::{KeyOrder, Run};
use esker_format::session::{Fence, SessionBeat, SessionEnd, SessionOpen};
use esker_format::sorted_totals::SortedTotals;
use esker_format::table::TableRef;
use esker_format::table_recipe::{Block as TableBlock, BlockForm, Checksums, ChunkUse, RestPart, TableBlocks, TableRest};
use esker_format::verification::Verification;

use super::block::Block;

/// Lists the fields of a record.
pub trait Fields {
    fn list_in(&self, block: Block) -> Block;
}

fn text<T: AsRef<str>>(block: Block, field: String, value: &T) -> Block {
    block.text(field, value.as_ref())
}

fn option_text(block: Block, field: &str, value: Option<&String>) -> Block {
    block.option(field, value, text)
}

fn table(block: Block, field: &str, table: &TableRef) -> Block {
    block
        .number(format!("{field}.rows"), table.rows)
        .list(format!("{field}.pieces"), &table.pieces, |block, field, id| block.hex(field, id.0))
}

impl Fields for Config {
    fn list_in(&self, block: Block) -> Block {
        block
            .hex("repository", self.repository.0)
            .number("encrypted", u8::from(self.encrypted))
            .number("chunker.min", self.chunker.min)
            .number("chunker.avg", self.chunker.avg)
            .number("chunker.max", self.chunker.max)
            .number("pack_target", self.pack_target)
            .number("zstd_level", self.zstd_level)
            .number("created_ms", self.created_ms)
    }
}

fn indexed_pack(block: Block, field: String, pack: &IndexedPack) -> Block {
    block
        .number(format!("{field}.kind"), pack.name.kind as u8)
        .hex(format!("{field}.session"), pack.name.session.0)
        .hex(format!("{field}.id"), pack.name.id.0)
        .number(format!("{field}.format"), pack.table.format)
        .hex(format!("{field}.salt"), pack.table.salt)
        .list(format!("{field}.frames"), &pack.table.frames, |block, field, frame| {
            block
                .number(format!("{field}.kind"), frame.kind as u8)
                .number(format!("{field}.codec"), frame.codec as u8)
                .hex(format!("{field}.chunk"), frame.chunk.0)
                .number(format!("{field}.stored_len"), frame.stored_len)
                .number(format!("{field}.plain_len"), frame.plain_len)
                .and(|block| match frame.form {
                    Some(form) => block.hex(format!("{field}.run"), form.run.0).number(format!("{field}.kept"), form.entries),
                    None => block,
                })
        })
}

impl Fields for IndexSegment {
    fn list_in(&self, block: Block) -> Block {
        block.list("replaces", &self.replaces, |block, field, id| block.hex(field, id.0)).list("packs", &self.packs, indexed_pack)
    }
}

fn file_content(block: Block, field: &str, content: &FileContent) -> Block {
    block
        .number(format!("{field}.size"), content.size)
        .hex(format!("{field}.hash"), content.hash)
        .number(format!("{field}.role"), content.role as u8)
        .number(format!("{field}.inode"), content.inode)
        .option(format!("{field}.identity"), content.identity, |block, field, identity| {
            block
                .hex(format!("{field}.unique_id"), identity.unique_id)
                .number(format!("{field}.tail_offset"), identity.tail_offset)
                .hex(format!("{field}.tail_hash"), identity.tail_hash)
        })
        .number(format!("{field}.chunks"), content.chunks)
        .list(format!("{field}.recipe"), &content.recipe, |block, field, id| block.hex(field, id.0))
}

pub fn file_row(block: Block, field: String, row: &FileRow) -> Block {
    let number = match row.node {
        Node::File(_) => 1,
        Node::Folder => 2,
        Node::Link(_) => 3,
    };
    let block = block
        .hex(format!("{field}.path"), &row.path)
        .number(format!("{field}.mode"), row.mode)
        .number(format!("{field}.uid"), row.uid)
        .number(format!("{field}.gid"), row.gid)
        .number(format!("{field}.mtime_s"), row.mtime_s)
        .number(format!("{field}.mtime_ns"), row.mtime_ns)
        .number(format!("{field}.node"), number);
    let (content, target) = (format!("{field}.content"), format!("{field}.target"));
    match &row.node {
        Node::File(file) => file_content(block, &content, file).none(target),
        Node::Folder => block.none(content).none(target),
        Node::Link(link) => block.none(content).hex(target, link),
    }
}

pub fn replica_row(block: Block, field: String, row: &ReplicaRow) -> Block {
    block
        .number(format!("{field}.partition"), row.partition)
        .number(format!("{field}.commit_id"), row.commit_id)
        .number(format!("{field}.commit_term"), row.commit_term)
        .option(format!("{field}.cut"), row.cut, |block, field, number| block.number(field, number))
        .option(format!("{field}.wal_last_id"), row.wal_last_id, |block, field, number| block.number(field, number))
}

fn operation(block: Block, field: String, operation: &Operation) -> Block {
    let (kind, length) = (format!("{field}.kind"), format!("{field}.length"));
    let (chunk, literal) = (format!("{field}.chunk"), format!("{field}.literal"));
    match operation {
        Operation::Chunk { id, len } => block.number(kind, 1).number(length, len).hex(chunk, id.0).none(literal),
        Operation::Hole { len } => block.number(kind, 2).number(length, len).none(chunk).none(literal),
        Operation::Literal(bytes) => block.number(kind, 3).number(length, bytes.len()).none(chunk).hex(literal, bytes),
    }
}

fn key_order(block: Block, order: KeyOrder) -> Block {
    block.number("order", u8::from(order == KeyOrder::Descending))
}

fn checksums(block: Block, checksums: Checksums) -> Block {
    block.number("checksums.kind", checksums.kind).number("checksums.base_context", checksums.base_context)
}

fn chunk_use(block: Block, field: String, chunk: &ChunkUse) -> Block {
    block.hex(format!("{field}.chunk"), chunk.id.0).number(format!("{field}.length"), chunk.len)
}

fn block_form(block: Block, field: String, form: &BlockForm) -> Block {
    block
        .number(format!("{field}.compression"), form.compression)
        .number(format!("{field}.encoder"), form.encoder)
        .number(format!("{field}.restart_interval"), form.restart_interval)
        .number(format!("{field}.hash_buckets"), form.hash_buckets)
        .number(format!("{field}.shares_prefixes"), u8::from(form.shares_prefixes))
        .number(format!("{field}.separate_values"), u8::from(form.separate_values))
        .number(format!("{field}.uniform_keys"), u8::from(form.uniform_keys))
}

fn table_block(block: Block, field: String, of: &TableBlock) -> Block {
    let (form, count) = match *of {
        TableBlock::Kept(len) => (0, len),
        TableBlock::Zeros(len) => (1, len),
        TableBlock::Built { form, entries } => (form + 2, entries),
    };
    block.number(format!("{field}.form"), form).number(format!("{field}.count"), count)
}

fn rest_part(block: Block, field: String, part: &RestPart) -> Block {
    let name = |member: &str| format!("{field}.{member}");
    let block = match part {
        RestPart::Chunk(chunk) => block.number(name("part"), 1).hex(name("chunk"), chunk.id.0).number(name("length"), chunk.len),
        RestPart::Literal(_) => block.number(name("part"), 3).none(name("chunk")).none(name("length")),
        RestPart::Built { .. } => block.number(name("part"), 4).none(name("chunk")).none(name("length")),
    };
    match part {
        RestPart::Chunk(_) => block.none(name("literal")).none(name("kind")).none(name("numbers")),
        RestPart::Literal(bytes) => block.hex(name("literal"), bytes).none(name("kind")).none(name("numbers")),
        RestPart::Built { kind, numbers } => {
            block
                .none(name("literal"))
                .number(name("kind"), kind)
                .list(name("numbers"), numbers, |block, field, number| block.number(field, number))
        }
    }
}

impl Fields for Piece {
    fn list_in(&self, block: Block) -> Block {
        match self {
            Self::Bytes(piece) => block.list("operations", &piece.operations, operation),
            Self::Blocks(piece) => piece.list_in(block.number("recipe_kind", 2)),
            Self::Rest(piece) => piece.list_in(block.number("recipe_kind", 3)),
        }
    }
}

impl Fields for TableBlocks {
    fn list_in(&self, block: Block) -> Block {
        block
            .number("length", self.len)
            .hex("hash", self.hash)
            .number("offset", self.offset)
            .and(|block| key_order(block, self.order))
            .number("timestamp_size", self.timestamp_size)
            .and(|block| checksums(block, self.checksums))
            .list("dictionary", &self.dictionary, chunk_use)
            .list("forms", &self.forms, block_form)
            .list("runs", &self.runs, |block, field, run| {
                block.hex(format!("{field}.chunk"), run.id.0).hex(format!("{field}.first_key"), &run.first_key)
            })
            .list("kept", &self.kept, chunk_use)
            .list("blocks", &self.blocks, table_block)
            .list("copies", &self.copies, |block, field, copy| {
                let block = block.number(format!("{field}.run"), copy.run).number(format!("{field}.start"), copy.start);
                block.number(format!("{field}.count"), copy.count)
            })
            .list("trailers", &self.trailers, |block, field, (source, count)| {
                block.number(format!("{field}.source"), *source as u8).number(format!("{field}.count"), count)
            })
            .list("own_trailers", &self.own_trailers, |block, field, number| block.number(field, number))
            .hex("own_timestamps", &self.own_timestamps)
    }
}

impl Fields for TableRest {
    fn list_in(&self, block: Block) -> Block {
        block
            .number("length", self.len)
            .hex("hash", self.hash)
            .number("offset", self.offset)
            .and(|block| checksums(block, self.checksums))
            .option("filter_keys", self.filter_keys, |block, field, number| block.number(field, number))
            .list("parts", &self.parts, rest_part)
    }
}

impl Fields for Run {
    fn list_in(&self, block: Block) -> Block {
        let places: Vec<usize> = (0..self.len()).collect();
        key_order(block, self.order())
            .number("timestamp_size", self.timestamp_size())
            .list("keys", &places, |block, field, at| block.hex(field, self.key(*at)))
            .list("values", &places, |block, field, at| block.hex(field, self.value(*at)))
            .list("trailers", &places, |block, field, at| block.number(field, self.trailer(*at)))
            .list("timestamps", &places, |block, field, at| block.hex(field, self.timestamp(*at)))
    }
}

impl Fields for EngineRecord {
    fn list_in(&self, block: Block) -> Block {
        block
            .and(|block| option_text(block, "space", self.space.as_ref()))
            .text("data_path", &self.data_path)
            .hex("folder", &self.folder)
            .and(|block| table(block, "files", &self.files))
            .and(|block| table(block, "replicas", &self.replicas))
            .number("scheme", self.scheme as u8)
            .and(|block| option_text(block, "comparator", self.comparator.as_ref()))
            .and(|block| option_text(block, "merge_operator", self.merge_operator.as_ref()))
            .list("column_families", &self.column_families, text)
            .number("format_version_max", self.format_version_max)
            .and(|block| option_text(block, "database_id", self.database_id.as_ref()))
            .number("file_count", self.file_count)
            .number("bytes", self.bytes)
    }
}

fn host(block: Block, field: String, host: &HostRecord) -> Block {
    block
        .text(format!("{field}.name"), &host.name)
        .and(|block| table(block, &format!("{field}.tree"), &host.tree))
        .list(format!("{field}.engines"), &host.engines, |block, field, id| block.hex(field, id.0))
        .number(format!("{field}.files"), host.files)
        .number(format!("{field}.bytes"), host.bytes)
}

fn sorted_totals(block: Block, sorted: &SortedTotals) -> Block {
    block
        .number("sorted.files", sorted.files)
        .number("sorted.bytes", sorted.bytes)
        .number("sorted.copied_bytes", sorted.copied_bytes)
        .number("sorted.literal_bytes", sorted.literal_bytes)
        .number("sorted.kept_bytes", sorted.kept_bytes)
        .list("sorted.fallbacks", &sorted.fallbacks, |block, field, fallback| {
            let block = block.text(format!("{field}.reason"), &fallback.reason);
            block.number(format!("{field}.files"), fallback.files).number(format!("{field}.bytes"), fallback.bytes)
        })
}

fn origin(block: Block, origin: &Origin) -> Block {
    block.hex("origin.repository", origin.repository.0).hex("origin.manifest", origin.manifest.0)
}

impl Fields for Manifest {
    fn list_in(&self, block: Block) -> Block {
        let t = &self.totals;
        block
            .text("label", &self.label)
            .text("cluster", &self.cluster)
            .hex("session", self.session.0)
            .number("started_ms", self.started_ms)
            .number("finished_ms", self.finished_ms)
            .text("written_by", &self.written_by)
            .list("tags", &self.tags, text)
            .list("warnings", &self.warnings, text)
            .list("hosts", &self.hosts, host)
            .and(|block| table(block, "seen", &self.seen))
            .list("keys", &self.keys, |block, field, id| block.hex(field, id.0))
            .list("segments", &self.segments, |block, field, id| block.hex(field, id.0))
            .list("packs", &self.packs, |block, field, id| block.hex(field, id.0))
            .list("encoders", &self.encoders, |block, field, id| block.number(field, id))
            .number("totals.files", t.files)
            .number("totals.bytes", t.bytes)
            .number("totals.chunks", t.chunks)
            .number("totals.reused_files", t.reused_files)
            .number("totals.reused_bytes", t.reused_bytes)
            .number("totals.read_bytes", t.read_bytes)
            .number("totals.new_chunks", t.new_chunks)
            .number("totals.new_bytes", t.new_bytes)
            .number("totals.stored_data", t.stored_data)
            .number("totals.stored_meta", t.stored_meta)
            .number("totals.left_out_files", t.left_out_files)
            .number("totals.left_out_bytes", t.left_out_bytes)
            .and(|block| self.sorted.iter().fold(block, sorted_totals))
            .and(|block| self.origin.iter().fold(block, origin))
    }
}

impl Fields for SessionOpen {
    fn list_in(&self, block: Block) -> Block {
        let block = block.text("job", &self.job).text("host", &self.host).number("process", self.process);
        block.text("written_by", &self.written_by).number("started_ms", self.started_ms)
    }
}

impl Fields for SessionBeat {
    fn list_in(&self, block: Block) -> Block {
        block.number("at_ms", self.at_ms)
    }
}

impl Fields for SessionEnd {
    fn list_in(&self, block: Block) -> Block {
        let block = block.number("at_ms", self.at_ms).number("beats", self.beats);
        block.option("manifest", self.manifest, |block, field, id| block.hex(field, id.0))
    }
}

impl Fields for Fence {
    fn list_in(&self, block: Block) -> Block {
        block.hex("by", self.by.0).number("at_ms", self.at_ms)
    }
}

impl Fields for DoomedList {
    fn list_in(&self, block: Block) -> Block {
        let block = block.hex("session", self.session.0).number("at_ms", self.at_ms);
        block.list("packs", &self.packs, |block, field, id| block.hex(field, id.0))
    }
}

impl Fields for Forgotten {
    fn list_in(&self, block: Block) -> Block {
        let block = block.hex("session", self.session.0).number("at_ms", self.at_ms).number("kind", self.kind as u8);
        let object = |block: Block, field: String, (id, label): &(esker_format::ObjectId, String)| {
            block.hex(format!("{field}.id"), id.0).text(format!("{field}.label"), label)
        };
        block.list("objects", &self.objects, object).text("reason", &self.reason)
    }
}

impl Fields for Verification {
    fn list_in(&self, block: Block) -> Block {
        block
            .number("at_ms", self.at_ms)
            .text("written_by", &self.written_by)
            .list("backups", &self.backups, |block, field, verdict| {
                block
                    .hex(format!("{field}.manifest"), verdict.manifest.0)
                    .number(format!("{field}.level"), verdict.level as u8)
                    .number(format!("{field}.complete"), u8::from(verdict.complete))
                    .number(format!("{field}.findings"), verdict.findings)
            })
            .list("packs", &self.packs, |block, field, id| block.hex(field, id.0))
            .list("losses", &self.losses, |block, field, loss| {
                block
                    .hex(format!("{field}.manifest"), loss.manifest.0)
                    .number(format!("{field}.files"), loss.files)
                    .number(format!("{field}.bytes"), loss.bytes)
            })
    }
}

impl Fields for AuditRecord {
    fn list_in(&self, block: Block) -> Block {
        let deed = &self.deed;
        block
            .hex("repository", self.repository.0)
            .list("heads", &self.heads, |block, field, id| block.hex(field, id.0))
            .number("at_ms", self.at_ms)
            .text("user", &self.user)
            .text("host", &self.host)
            .text("written_by", &self.written_by)
            .option("session", self.session, |block, field, id| block.hex(field, id.0))
            .option("key", self.key, |block, field, id| block.hex(field, id.0))
            .number("event", deed.event as u8)
            .number("intended", u8::from(deed.intended))
            .list("keys", &deed.keys, |block, field, key| {
                let block = block.hex(format!("{field}.id"), key.id.0);
                block.option(format!("{field}.public"), key.public, |block, field, public| block.hex(field, public.0))
            })
            .list("objects", &deed.objects, |block, field, (id, label)| {
                block.hex(format!("{field}.id"), id.0).text(format!("{field}.label"), label)
            })
            .number("count", deed.count)
            .number("bytes", deed.bytes)
            .text("detail", &deed.detail)
            .option("signature", self.signature, |block, field, signature| block.hex(field, signature))
    }
}

impl Fields for Note {
    fn list_in(&self, block: Block) -> Block {
        let block = block.hex("manifest", self.manifest.0).number("at_ms", self.at_ms).number("hold", u8::from(self.hold));
        block.list("tags", &self.tags, text).list("supersedes", &self.supersedes, |block, field, id| block.hex(field, id.0))
    }
}
