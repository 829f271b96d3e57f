//! Pieces of tables' recipes as bytes.

use super::{Block, BlockForm, Checksums, ChunkUse, Copy, RestPart, RunUse, TableBlocks, TableRest, TrailerSource, over};
use crate::error::{FormatError, Result};
use crate::ids::ChunkId;
use crate::limits::{
    BUILT_NUMBERS_MAX, CHUNK_PLAIN_MAX, FILE_MAX, INLINE_MAX, LIST_MAX, PIECE_FORMS_MAX, RECIPE_OPS_MAX, RUN_KEYS_MAX, TABLE_REST_MAX,
    TIMESTAMP_MAX,
};
use crate::run::{KeyOrder, shared_len};
use crate::trailers::{read_sequences, write_sequences};
use crate::wire::{Reader, Record, Writer};

impl Record for TableBlocks {
    const NAME: &'static str = "recipe of table blocks";

    fn write(&self, out: &mut Writer) {
        out.varint(self.len);
        out.raw(&self.hash);
        out.varint(self.offset);
        self.order.write(out);
        out.u8(self.timestamp_size);
        self.checksums.write(out);
        out.list(&self.dictionary, |out, chunk| chunk.write(out));
        out.list(&self.forms, |out, form| {
            out.u8(form.compression);
            out.u32(form.encoder);
            out.varint(u64::from(form.restart_interval));
            out.varint(u64::from(form.hash_buckets));
            let flags = [form.shares_prefixes, form.separate_values, form.uniform_keys];
            out.u8(flags.into_iter().enumerate().map(|(bit, flag)| u8::from(flag) << bit).sum());
        });
        out.varint(self.runs.len() as u64);
        let mut before: &[u8] = &[];
        for run in &self.runs {
            let shared = shared_len(before, &run.first_key);
            out.raw(&run.id.0);
            out.varint(shared as u64);
            out.bytes(run.first_key.get(shared..).unwrap_or_default());
            before = &run.first_key;
        }
        out.list(&self.kept, |out, chunk| chunk.write(out));
        write_columns(
            out,
            self.blocks.iter().map(|block| match *block {
                Block::Kept(len) => [0, u64::from(len)],
                Block::Zeros(len) => [1, u64::from(len)],
                Block::Built { form, entries } => [u64::from(form) + 2, u64::from(entries)],
            }),
        );
        let mut ends = vec![0; self.runs.len()];
        write_columns(
            out,
            self.copies.iter().map(|copy| {
                let mut unknown = 0;
                let end = ends.get_mut(copy.run as usize).unwrap_or(&mut unknown);
                let skip = i64::from(copy.start) - *end;
                *end = i64::from(copy.start) + i64::from(copy.count);
                [u64::from(copy.run), zigzag(skip), u64::from(copy.count)]
            }),
        );
        write_columns(out, self.trailers.iter().map(|(source, count)| [*source as u64, u64::from(*count)]));
        out.varint(self.own_trailers.len() as u64);
        write_sequences(out, &self.own_trailers);
        out.raw(&self.own_timestamps);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let mut piece = Self {
            len: input.varint_max("bytes of a piece", FILE_MAX)?,
            hash: input.array("hash of a piece")?,
            offset: input.varint_max("offset of a piece", FILE_MAX)?,
            order: KeyOrder::read(input)?,
            timestamp_size: input.u8("timestamp size")?,
            checksums: Checksums::read(input)?,
            dictionary: input.list("dictionary", 33, ChunkUse::read)?,
            forms: input.list_max("forms", PIECE_FORMS_MAX, 8, read_form)?,
            ..Self::default()
        };
        if usize::from(piece.timestamp_size) > TIMESTAMP_MAX {
            return Err(over("timestamp size", piece.timestamp_size.into(), TIMESTAMP_MAX as u64));
        }
        let (mut before, mut key_bytes) = (Vec::new(), 0);
        piece.runs = input.list("runs", 34, |input| {
            let id = ChunkId(input.array("run")?);
            let shared = input.varint_max("shared length", before.len() as u64)?;
            let mut first_key = before.get(..usize::try_from(shared).unwrap_or(usize::MAX)).unwrap_or_default().to_vec();
            let suffix = input.bytes("first key", RUN_KEYS_MAX)?;
            if shared_len(before.get(first_key.len()..).unwrap_or_default(), suffix) > 0 {
                return Err(FormatError::BadValue { field: "first key", found: "a prefix that is stored though shared".into() });
            }
            first_key.extend_from_slice(suffix);
            key_bytes += first_key.len();
            if key_bytes > RUN_KEYS_MAX {
                return Err(over("first keys", key_bytes as u64, RUN_KEYS_MAX as u64));
            }
            before.clone_from(&first_key);
            Ok(RunUse { id, first_key })
        })?;
        piece.kept = input.list("kept chunks", 33, ChunkUse::read)?;
        piece.blocks = read_columns(input, "blocks", |[form, count]| {
            let count = narrow("bytes or entries of a block", count)?;
            Ok(match form {
                0 => Block::Kept(some("kept bytes", count)?),
                1 => Block::Zeros(some("zeros", count)?),
                form => Block::Built { form: narrow("form of a block", form - 2)?, entries: count },
            })
        })?;
        let mut ends = vec![0i64; piece.runs.len()];
        piece.copies = read_columns(input, "copies", |[run, skip, count]| {
            let (run, count): (u32, u32) = (narrow("run of a copy", run)?, narrow("entries of a copy", count)?);
            some("entries of a copy", count)?;
            let end = ends.get_mut(run as usize).ok_or(FormatError::BadValue { field: "run of a copy", found: run.to_string() })?;
            let start = end.checked_add(unzigzag(skip)).and_then(|start| u32::try_from(start).ok());
            let start = start.ok_or(FormatError::BadValue { field: "start of a copy", found: "outside of any run".into() })?;
            *end = i64::from(start) + i64::from(count);
            Ok(Copy { run, start, count })
        })?;
        piece.trailers = read_columns(input, "trailers", |[source, count]| {
            let source = match source {
                0 => TrailerSource::Home,
                1 => TrailerSource::Cleared,
                2 => TrailerSource::Own,
                other => return Err(FormatError::BadValue { field: "source of trailers", found: other.to_string() }),
            };
            Ok((source, some("trailers", narrow("trailers", count)?)?))
        })?;
        let own = usize::try_from(input.varint_max("own trailers", LIST_MAX)?).unwrap_or(usize::MAX);
        piece.own_trailers = read_sequences(input, own)?;
        piece.own_timestamps = input.raw(own.saturating_mul(usize::from(piece.timestamp_size)), "own timestamps")?.to_vec();
        piece.check()?;
        Ok(piece)
    }
}

impl Record for TableRest {
    const NAME: &'static str = "recipe of a table's rest";

    fn write(&self, out: &mut Writer) {
        out.varint(self.len);
        out.raw(&self.hash);
        out.varint(self.offset);
        self.checksums.write(out);
        out.option(self.filter_keys, |out, number| out.varint(number));
        out.list(&self.parts, |out, part| match part {
            RestPart::Chunk(chunk) => {
                out.u8(1);
                chunk.write(out);
            }
            RestPart::Literal(bytes) => {
                out.u8(3);
                out.bytes(bytes);
            }
            RestPart::Built { kind, numbers } => {
                out.u8(4);
                out.u8(*kind);
                out.list(numbers, |out, number| out.varint(*number));
            }
        });
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let rest = Self {
            len: input.varint_max("bytes of a piece", TABLE_REST_MAX)?,
            hash: input.array("hash of a piece")?,
            offset: input.varint_max("offset of a piece", FILE_MAX)?,
            checksums: Checksums::read(input)?,
            filter_keys: input.option("filter keys", |input| input.varint("filter keys"))?,
            parts: input.list_max("parts", RECIPE_OPS_MAX as u64, 3, |input| match input.u8("part")? {
                1 => Ok(RestPart::Chunk(ChunkUse::read(input)?)),
                3 => match input.bytes("literal", INLINE_MAX)? {
                    [] => Err(FormatError::BadValue { field: "literal", found: "no bytes".into() }),
                    bytes => Ok(RestPart::Literal(bytes.to_vec())),
                },
                4 => {
                    let kind = input.u8("kind of a built block")?;
                    let numbers = input.list_max("numbers of a built block", BUILT_NUMBERS_MAX, 1, |input| input.varint("number"))?;
                    Ok(RestPart::Built { kind, numbers })
                }
                other => Err(FormatError::BadValue { field: "part", found: other.to_string() }),
            })?,
        };
        rest.check()?;
        Ok(rest)
    }
}

impl ChunkUse {
    fn write(&self, out: &mut Writer) {
        out.raw(&self.id.0);
        out.varint(u64::from(self.len));
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let id = ChunkId(input.array("chunk id")?);
        match input.varint_max("chunk length", CHUNK_PLAIN_MAX as u64)? {
            0 => Err(FormatError::BadValue { field: "chunk length", found: "0".into() }),
            len => Ok(Self { id, len: narrow("chunk length", len)? }),
        }
    }
}

impl Checksums {
    fn write(&self, out: &mut Writer) {
        out.u8(self.kind);
        out.u32(self.base_context);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let kind = input.u8("checksum type")?;
        let base_context = input.u32("base context")?;
        if kind > 4 {
            return Err(FormatError::BadValue { field: "checksum type", found: kind.to_string() });
        }
        Ok(Self { kind, base_context })
    }
}

fn read_form(input: &mut Reader<'_>) -> Result<BlockForm> {
    let compression = input.u8("compression type")?;
    let encoder = input.u32("encoder")?;
    let restart_interval = narrow("restart interval", input.varint("restart interval")?)?;
    let hash_buckets = u16::try_from(input.varint_max("hash buckets", u16::MAX.into())?).unwrap_or(u16::MAX);
    let flags = input.u8("layout flags")?;
    if flags > 7 {
        return Err(FormatError::BadValue { field: "layout flags", found: flags.to_string() });
    }
    let [shares_prefixes, separate_values, uniform_keys] = [0, 1, 2].map(|bit| flags >> bit & 1 == 1);
    let form = BlockForm { compression, encoder, restart_interval, hash_buckets, shares_prefixes, separate_values, uniform_keys };
    if (form.compression == 0) == (form.encoder == 0) {
        return Ok(form);
    }
    Err(FormatError::BadValue { field: "encoder", found: format!("{} for compression type {}", form.encoder, form.compression) })
}

/// Rows of N numbers, stored as N columns of varints, each behind its length.
fn write_columns<const N: usize>(out: &mut Writer, rows: impl Iterator<Item = [u64; N]>) {
    let mut columns: [Writer; N] = std::array::from_fn(|_| Writer::default());
    let mut count = 0u64;
    for row in rows {
        count += 1;
        columns.iter_mut().zip(row).for_each(|(column, number)| column.varint(number));
    }
    out.varint(count);
    columns.into_iter().for_each(|column| out.bytes(&column.into_bytes()));
}

fn read_columns<T, const N: usize>(
    input: &mut Reader<'_>,
    field: &'static str,
    mut row: impl FnMut([u64; N]) -> Result<T>,
) -> Result<Vec<T>> {
    let count = usize::try_from(input.varint_max(field, LIST_MAX)?).unwrap_or(usize::MAX);
    let mut columns = Vec::with_capacity(N);
    for _ in 0..N {
        columns.push(Reader::new(input.bytes(field, crate::limits::TABLE_PIECE_MAX)?));
    }
    // Each row takes a byte of each column, so the columns bound the room that is made.
    let mut rows = Vec::with_capacity(count.min(columns.iter().map(Reader::left).min().unwrap_or(0)));
    for _ in 0..count {
        let mut numbers = [0; N];
        for (number, column) in numbers.iter_mut().zip(&mut columns) {
            *number = column.varint(field)?;
        }
        rows.push(row(numbers)?);
    }
    columns.iter().try_for_each(|column| column.finish(field))?;
    Ok(rows)
}

fn narrow(field: &'static str, found: u64) -> Result<u32> {
    u32::try_from(found).map_err(|_| over(field, found, u32::MAX.into()))
}

/// A count of what is there: never 0.
fn some(field: &'static str, count: u32) -> Result<u32> {
    if count == 0 { Err(FormatError::BadValue { field, found: "0".into() }) } else { Ok(count) }
}

fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}
