//! The table at the end.

/// One backup's row: what `esker` said, in its own units.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// The label.
    pub label: String,
    /// Regular files.
    pub files: String,
    /// Their bytes.
    pub size: String,
    /// Bytes read from the hosts.
    pub read: String,
    /// Bytes added to the repository.
    pub stored: String,
    /// Share of the bytes that did not have to be stored.
    pub reuse: String,
    /// Seconds of the backup command.
    pub seconds: f64,
    /// Speed of the restore.
    pub restore: String,
    /// What fsck found.
    pub fsck: String,
}

/// Prints the rows as a Markdown table that also reads as plain text.
pub fn print(rows: &[Row]) {
    let head = ["backup", "files", "size", "read", "stored", "reuse", "time", "restore", "fsck"].map(str::to_owned);
    let mut lines = vec![head];
    lines.extend(rows.iter().cloned().map(|row| {
        [row.label, row.files, row.size, row.read, row.stored, row.reuse, format!("{:.1} s", row.seconds), row.restore, row.fsck]
    }));
    let widths: Vec<usize> = (0..9).map(|column| lines.iter().map(|line| line[column].len()).max().unwrap_or(0)).collect();
    for (number, line) in lines.iter().enumerate() {
        let cells: Vec<String> = line.iter().zip(&widths).enumerate().map(|(column, cell)| padded(column, cell.0, *cell.1)).collect();
        println!("| {} |", cells.join(" | "));
        if number == 0 {
            let rules: Vec<String> = widths.iter().enumerate().map(|(column, width)| rule(column, *width)).collect();
            println!("|{}|", rules.join("|"));
        }
    }
}

fn is_text(column: usize) -> bool {
    matches!(column, 0 | 8)
}

fn padded(column: usize, cell: &str, width: usize) -> String {
    if is_text(column) { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
}

fn rule(column: usize, width: usize) -> String {
    if is_text(column) { "-".repeat(width + 2) } else { format!("{}:", "-".repeat(width + 1)) }
}
