//! What reaches the terminal: results on standard output, everything else on standard error.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use esker_repo::{RequestCounter, RequestCounts, Store};
use serde::Serialize;

use crate::exit::Exit;
use crate::human;

/// The widest table.
const WIDTH: u16 = 100;

/// Where a verb writes to.
pub struct Output {
    json: bool,
    quiet: bool,
    requests: Mutex<Vec<RequestCounter>>,
}

/// A result with what it took to get it.
#[derive(Serialize)]
struct Counted<'a, T> {
    #[serde(flatten)]
    result: &'a T,
    requests: RequestCounts,
}

impl Output {
    /// With or without JSON; quiet leaves out all but results and errors.
    pub fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet, requests: Mutex::default() }
    }

    /// Whether results are JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether progress is wanted.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Counts the requests of this store from now on: a result that is a JSON object says how many there were.
    pub fn count(&self, store: &Store) {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(store.request_counts());
    }

    /// Prints a result: the value as JSON, or what `text` says.
    pub fn result<T: Serialize>(&self, value: &T, text: impl FnOnce() -> String) {
        if self.json {
            let counters = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
            let requests = counters.iter().map(RequestCounter::now).reduce(RequestCounts::plus);
            let counted = requests.map(|requests| Counted { result: value, requests });
            // Only an object has room for the requests.
            match counted.and_then(|counted| serde_json::to_string(&counted).ok()) {
                Some(line) => self.print(&line),
                None => self.json_line(value),
            }
        } else {
            self.print(&text());
        }
    }

    /// Prints one line of JSON.
    pub fn json_line<T: Serialize>(&self, value: &T) {
        match serde_json::to_string(value) {
            Ok(line) => self.print(&line),
            Err(error) => self.warn(&format!("this result cannot be written as JSON: {error}")),
        }
    }

    /// Prints text to standard output; a reader that went away ends the program quietly.
    pub fn print(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        if writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush()).is_err() {
            std::process::exit(i32::from(Exit::Failed as u8));
        }
    }

    /// Says something on standard error unless quiet.
    pub fn say(&self, text: &str) {
        say(self.quiet, text);
    }

    /// Names a warning on standard error.
    pub fn warn(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "warning: {text}");
    }

    /// Names the error that ended the run.
    pub fn error(&self, text: &str, exit: Exit) {
        if self.json {
            self.json_line(&serde_json::json!({ "error": text, "exit": exit as u8 }));
        }
        let _ = writeln!(std::io::stderr(), "esker: {text}");
    }
}

/// Says something on standard error unless quiet.
pub fn say(quiet: bool, text: &str) {
    if !quiet {
        // Nobody is left to tell if standard error is gone.
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

/// A table at most a hundred columns wide; columns whose head begins with `>` are numbers.
pub fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    table.set_header(head.iter().map(|name| name.trim_start_matches('>')));
    for row in rows {
        table.add_row(row.into_iter().map(|cell| human::text(&cell)));
    }
    for (number, name) in head.iter().enumerate() {
        if let Some(column) = table.column_mut(number) {
            column.set_padding((0, 2));
            if name.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Lines of `name  value`.
pub fn facts(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}
