//! Printing within a hundred columns.

/// The widest line.
const WIDTH: usize = 100;
/// Hexadecimal digits in a row from which on a name is shortened.
const LONG_HEX: usize = 24;
/// Digits that are left of it.
const SHORT_HEX: usize = 8;

/// A heading with a line of space around it.
pub fn chapter(title: &str) {
    println!("\n== {title}\n");
}

/// Words of the demo itself, as a shell comment.
pub fn remark(text: &str) {
    for line in wrapped(text, WIDTH - 2, "", " ") {
        println!("# {line}");
    }
}

/// A line of output, long names shortened, broken where it is too wide.
pub fn output(line: &str) {
    for line in wrapped(&shortened(line), WIDTH, "      ", " ") {
        println!("{}", line.trim_end());
    }
}

/// A command as typed, over several lines where it is too wide; an option stays with its value.
pub fn command(words: &str) {
    let lines = wrapped(words, WIDTH - 4, "      ", " --");
    let last = lines.len().saturating_sub(1);
    for (number, line) in lines.iter().enumerate() {
        let (prompt, more) = (if number == 0 { "$ " } else { "" }, if number < last { " \\" } else { "" });
        println!("{prompt}{line}{more}");
    }
}

/// Breaks before `joint`, of which the blank goes; further lines begin with `indent`.
fn wrapped(text: &str, width: usize, indent: &str, joint: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = text;
    let mut lead = "";
    while lead.len() + line.chars().count() > width {
        let room = line.char_indices().nth(width - lead.len()).map_or(line.len(), |(at, _)| at);
        // The leading blanks of a line are no place to break it.
        let indented = line.len() - line.trim_start().len();
        let Some(at) = line.rmatch_indices(joint).map(|(at, _)| at).find(|at| (indented + 1..=room).contains(at)) else { break };
        lines.push(format!("{lead}{}", &line[..at]));
        (line, lead) = (line[at..].trim_start(), indent);
    }
    lines.push(format!("{lead}{line}"));
    lines
}

/// Replaces the tail of long hexadecimal names by two dots.
fn shortened(line: &str) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    for character in line.chars().chain([' ']) {
        if character.is_ascii_hexdigit() {
            digits.push(character);
            continue;
        }
        match digits.len() {
            0..LONG_HEX => out.push_str(&digits),
            _ => {
                out.push_str(&digits[..SHORT_HEX]);
                out.push_str("..");
            }
        }
        digits.clear();
        out.push(character);
    }
    out.truncate(out.len() - 1);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_shortened_and_words_are_not() {
        let pack = format!("DAMAGE packs/data/{}/{}: added", "0a".repeat(16), "f".repeat(64));
        assert_eq!(shortened(&pack), "DAMAGE packs/data/0a0a0a0a../ffffffff..: added");
    }

    #[test]
    fn lines_break_at_spaces() {
        assert_eq!(wrapped("one two three", 8, "  ", " "), ["one two", "  three"]);
        assert_eq!(wrapped("  unbreakable-word", 8, "", " "), ["  unbreakable-word"]);
        assert_eq!(wrapped("verb --one 1 --two 2", 14, " ", " --"), ["verb --one 1", " --two 2"]);
    }
}
