//! What happens, in order.

use std::collections::BTreeMap;
use std::path::Path;

use crate::place::Place;
use crate::sample::{HOSTS, PARTITIONS, SPACES, Sample, Spread, host_arguments};
use crate::shell::{REPO, Said, Shell};
use crate::table::{self, Row};
use crate::{Outcome, console};

/// Days of writes between two backups.
const DAYS_BETWEEN: u32 = 4;
/// The copy that is damaged.
const DAMAGED: &str = "damaged";
/// Exit codes of `esker`.
const DONE: i32 = 0;
const USAGE: i32 = 2;
const DAMAGE: i32 = 3;

/// The demo so far.
pub struct Story {
    place: Place,
    shell: Shell,
    sample: Sample,
    rows: Vec<Row>,
    /// The largest data pack of the first backup, and its bytes: all of it is needed for as long as that backup stands.
    first_pack: (String, u64),
}

impl Story {
    /// Loads the cluster and makes the repository.
    pub fn begin(esker: &Path, folder: &Path, place: Place, entries: u64) -> Outcome<Self> {
        console::chapter("A cluster and a repository");
        console::remark(&format!(
            "Loading {HOSTS} hosts with {SPACES} spaces of {PARTITIONS} partitions, {HOSTS} replicas of each, in NebulaGraph's \
             folders: {entries} entries for each space and host. The last host lags behind a little."
        ));
        let sample = Sample::load(folder, entries);
        let shell = Shell::open(esker, folder, &place);
        shell.run("init", DONE)?.print();
        Ok(Self { place, shell, sample, rows: Vec::new(), first_pack: Default::default() })
    }

    /// One first backup and two incrementals, with days of writes between them.
    pub fn back_up_three_times(&mut self) -> Outcome<()> {
        for number in 0..3 {
            match number {
                0 => console::chapter("First backup"),
                _ => {
                    console::chapter(&format!("{DAYS_BETWEEN} days of writes and compactions later: an incremental"));
                    self.sample.churn(DAYS_BETWEEN);
                }
            }
            let label = self.sample.checkpoint();
            let said = self.shell.run(&format!("backup --label {label} {}", host_arguments(&label)), DONE)?;
            said.print();
            self.rows.push(self.row(&label, &said)?);
            if number == 0 {
                self.first_pack = largest_data_pack(&self.place)?;
            }
        }
        println!();
        console::remark(
            "What was read is more than what is new: one known file in thirty is read again at every backup, to find files that \
             changed without a sign (--reread-share).",
        );
        Ok(())
    }

    fn row(&self, label: &str, said: &Said) -> Outcome<Row> {
        let word = |text: &str, number| text.split(' ').nth(number).unwrap_or_default().to_owned();
        let pair = |text: &str| format!("{} {}", word(text, 0), word(text, 1));
        let (files, bytes) = self.sample.size_of(label);
        let (engines, found) = (HOSTS * SPACES, said.fact("files")?);
        said.must_say(&format!("{files} in {engines} engines, "))?;
        if bytes == 0 {
            return Err(format!("{label} holds no bytes"));
        }
        let size = found.rsplit_once(", ").map_or(found, |(_, size)| size).to_owned();
        let (read, stored, reuse) = (pair(said.fact("read")?), pair(said.fact("stored")?), said.fact("reuse")?.to_owned());
        Ok(Row { label: label.to_owned(), files: files.to_string(), size, read, stored, reuse, seconds: said.seconds, ..Row::default() })
    }

    /// `list` and `show`; what `show` says of the replicas is compared with the engines.
    pub fn look(&self) -> Outcome<()> {
        console::chapter("What is there");
        let list = self.shell.run("list", DONE)?;
        list.print();
        self.rows.iter().try_for_each(|row| list.must_say(&row.label))?;
        println!();
        let show = self.shell.run("show latest", DONE)?;
        let (mut engines, mut spread) = (0, 0);
        show.print_excerpt(|line| {
            engines += u32::from(line.starts_with("  engine "));
            spread += u32::from(line.starts_with("PARTITION") || spread > 0);
            // The facts, one engine with its cut, and the head of the spread.
            (engines < 2 && !line.starts_with("  engine") || engines == 1 && !line.is_empty()) || (1..=5).contains(&spread)
        });
        let (shown, known) = (spread_of(&show.text)?, self.sample.spread());
        if shown != known {
            return Err(format!("show says of the replicas {shown:?}, the engines say {known:?}"));
        }
        println!();
        console::remark("Asked of the live engines, the commit ids of every partition are the same.");
        Ok(())
    }

    /// Everything that fsck can do.
    pub fn verify(&mut self) -> Outcome<()> {
        console::chapter("Can it be restored? Every engine of every backup is rebuilt, opened and read");
        let said = self.shell.run("fsck --level engine", DONE)?;
        said.print();
        said.must_say("whole, level engine")?;
        said.must_say(&format!("{} opened", 3 * HOSTS * SPACES))?;
        self.rows.iter_mut().for_each(|row| row.fsck = "whole".to_owned());
        Ok(())
    }

    /// Restores every backup and compares.
    pub fn restore_all(&mut self) -> Outcome<()> {
        console::chapter("Restore each backup and compare");
        for number in 0..self.rows.len() {
            let label = self.rows[number].label.clone();
            let said = self.restore(&label, "out")?;
            let duration = said.fact("duration")?;
            let speed = duration.split_once('(').map_or("", |(_, speed)| speed.trim_end_matches(')'));
            self.rows[number].restore = speed.to_owned();
            if number == 0 {
                said.print();
            } else {
                said.print_lines(|line| line.starts_with("files") || line.starts_with("duration"));
            }
            console::remark("Compared with what was backed up: no difference in names, bytes, modes, owners, times.");
        }
        Ok(())
    }

    fn restore(&self, label: &str, target: &str) -> Outcome<Said> {
        let target = format!("{target}/{label}");
        let said = self.shell.run(&format!("restore {label} --target {target}"), DONE)?;
        self.sample.must_be_same(label, &target)?;
        Ok(said)
    }

    /// Forgets the backup in the middle; the others do not mind.
    pub fn forget_one(&mut self) -> Outcome<()> {
        console::chapter("Forget the backup in the middle: no backup is the base of another");
        let middle = self.rows[1].label.clone();
        self.shell.run(&format!("forget {middle}"), DONE)?.print();
        self.shell.run("prune", DONE)?.print();
        self.shell.run(&format!("restore {middle} --target again/{middle}"), USAGE)?.print();
        for label in [0, 2].map(|number| self.rows[number].label.clone()) {
            self.restore(&label, "again")?.print_lines(|line| line.starts_with("files"));
        }
        console::remark("Both are still what was backed up, byte for byte.");
        self.rows[1].fsck.push_str(", forgotten");
        Ok(())
    }

    /// Flips one byte in a copy of the repository: found, named, refused; and healed by the pack of the original.
    pub fn damage(&self) -> Outcome<()> {
        console::chapter("Damage on purpose: one byte of one pack, in a copy of the repository");
        console::command(&self.place.copy_command(REPO, DAMAGED, false));
        self.place.copy_all(REPO, DAMAGED)?;
        let (pack, offset) = (&self.first_pack.0, self.first_pack.1 / 2);
        self.place.invert_byte(&format!("{DAMAGED}/{pack}"), offset)?;
        console::output(&format!("# byte {offset} of {DAMAGED}/{pack} is now another one"));
        let damaged = self.place.name_of(DAMAGED);
        let fsck = format!("fsck --level files --repo {damaged}");
        let said = self.shell.run(&fsck, DAMAGE)?;
        said.print();
        println!("(exit code {DAMAGE})");
        said.must_say(&format!("DAMAGE {pack}"))?;
        let first = &self.rows[0].label;
        for named in ["  backups: ", "  partitions: ", "  help: ", &format!("  file: {first} host"), "DAMAGED, level files"] {
            said.must_say(named)?;
        }
        println!();
        let target = "refused";
        let refused = self.shell.run(&format!("restore {first} --repo {damaged} --target {target}"), DAMAGE)?;
        refused.print_lines(|line| line.starts_with("esker: "));
        println!("(exit code {DAMAGE})\n");
        console::remark("The help says: bring the pack back from a copy of the store.");
        console::command(&self.place.copy_command(&format!("{REPO}/packs/..."), &format!("{DAMAGED}/packs/..."), true));
        self.place.copy(&format!("{REPO}/{pack}"), &format!("{DAMAGED}/{pack}"))?;
        let said = self.shell.run(&fsck, DONE)?;
        said.print_lines(|line| line.starts_with("outcome") || line.starts_with("backups"));
        said.must_say("whole, level files")?;
        println!();
        self.restore(first, "healed")?.print_lines(|line| line.starts_with("files"));
        console::remark("And the original repository was never touched.");
        Ok(())
    }

    /// The table.
    pub fn sum_up(&self) -> Outcome<()> {
        console::chapter("Summary");
        table::print(&self.rows);
        let logical: u64 = self.rows.iter().map(|row| self.sample.size_of(&row.label).1).sum();
        let held = self.place.list(REPO)?.iter().map(|(_, bytes)| bytes).sum();
        println!("\n{HOSTS} hosts, {SPACES} spaces, {HOSTS} replicas of each partition; fsck at level engine. Time is that of the");
        println!("backup command, its passphrase's derivation included. {:.1} MiB were backed up; the repository", mib(logical));
        println!("takes {:.1} MiB, without what only the forgotten backup needed.", mib(held));
        Ok(())
    }
}

#[allow(clippy::cast_precision_loss, reason = "three digits for people")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The last table of `show`: partition, replicas, least and greatest commit id, spread.
fn spread_of(show: &str) -> Outcome<BTreeMap<String, Spread>> {
    let rows = show.lines().skip_while(|line| !line.starts_with("PARTITION")).skip(1);
    rows.map(|row| {
        let cells: Vec<&str> = row.split_whitespace().collect();
        let number = |column: usize| cells.get(column).and_then(|cell| cell.parse::<u64>().ok());
        let spread = number(1).zip(number(2)).zip(number(3)).map(|((replicas, min), max)| (replicas, min, max));
        cells.first().copied().zip(spread).map(|(name, spread)| (name.to_owned(), spread)).ok_or_else(|| format!("no spread in {row:?}"))
    })
    .collect()
}

/// The largest data pack, by its path in the repository, and its bytes.
fn largest_data_pack(place: &Place) -> Outcome<(String, u64)> {
    let packs = place.list(&format!("{REPO}/packs/data"))?;
    let largest = packs.into_iter().max_by_key(|(_, bytes)| *bytes).ok_or_else(|| "there is no data pack".to_owned())?;
    let (path, bytes) = largest;
    Ok((path.trim_start_matches(REPO).trim_start_matches('/').to_owned(), bytes))
}
