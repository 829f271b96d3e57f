//! The text form of vectors: blocks of `field = value` lines, described in format-spec/README.md.

use std::fmt::{Display, Write};
use std::path::PathBuf;

/// One vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block(pub Vec<(String, String)>);

impl Block {
    pub fn named(name: &str) -> Self {
        Self(Vec::new()).text("name", name)
    }

    pub fn number(self, field: impl Display, value: impl Display) -> Self {
        self.line(field, value.to_string())
    }

    /// A format, left out where it is the first.
    pub fn format(self, format: u16) -> Self {
        if format == 1 { self } else { self.number("format", format) }
    }

    pub fn hex(self, field: impl Display, value: impl AsRef<[u8]>) -> Self {
        self.line(field, hex(value.as_ref()))
    }

    pub fn text(self, field: impl Display, value: &str) -> Self {
        self.line(field, format!("\"{value}\""))
    }

    pub fn none(self, field: impl Display) -> Self {
        self.line(field, "none".into())
    }

    pub fn empty(self, field: impl Display) -> Self {
        self.line(field, "empty".into())
    }

    /// A list as `field.0`, `field.1`, or `empty`.
    pub fn list<T>(self, field: impl Display, items: &[T], put: impl Fn(Self, String, &T) -> Self) -> Self {
        if items.is_empty() {
            return self.empty(field);
        }
        items.iter().enumerate().fold(self, |block, (number, item)| put(block, format!("{field}.{number}"), item))
    }

    pub fn option<T>(self, field: impl Display, value: Option<T>, put: impl Fn(Self, String, T) -> Self) -> Self {
        match value {
            Some(value) => put(self, field.to_string(), value),
            None => self.none(field),
        }
    }

    pub fn and(self, put: impl FnOnce(Self) -> Self) -> Self {
        put(self)
    }

    /// The bytes that a field holds.
    pub fn get(&self, field: &str) -> Vec<u8> {
        let (_, value) = self.0.iter().find(|(name, _)| name == field).unwrap();
        value.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    fn line(mut self, field: impl Display, value: String) -> Self {
        self.0.push((field.to_string(), value));
        self
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Compares blocks with the committed file of that name, or writes it if `ESKER_WRITE_VECTORS` is set. Gives the
/// committed blocks; of those with `zstd = 1` the fields that `encoded` picks may differ.
pub fn compare(file: &str, blocks: &[Block], encoded: fn(&str) -> bool) -> Vec<Block> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../format-spec/vectors").join(file);
    if std::env::var_os("ESKER_WRITE_VECTORS").is_some() {
        std::fs::write(&path, render(blocks)).unwrap();
    }
    let committed = parse(&std::fs::read_to_string(&path).unwrap());
    assert_eq!(committed.len(), blocks.len(), "{file}: number of vectors");
    for (found, expected) in committed.iter().zip(blocks) {
        let free = |field: &str| expected.0.contains(&("zstd".into(), "1".into())) && encoded(field);
        let kept = |block: &Block| block.0.iter().filter(|(field, _)| !free(field)).cloned().collect::<Vec<_>>();
        assert_eq!(kept(found), kept(expected), "{file}");
    }
    committed
}

fn render(blocks: &[Block]) -> String {
    let mut text = String::from("# Written by crates/esker-format/tests/golden_vectors.rs. The form is described in ../README.md.\n");
    for block in blocks {
        text.push('\n');
        block.0.iter().for_each(|(field, value)| writeln!(text, "{field} = {value}").unwrap());
    }
    text
}

fn parse(text: &str) -> Vec<Block> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let pair = |line: &&str| line.split_once(" = ").map(|(field, value)| (field.to_owned(), value.to_owned())).unwrap();
    lines.split(|line| line.is_empty()).filter(|block| !block.is_empty()).map(|block| Block(block.iter().map(pair).collect())).collect()
}
