//! `ls` and `dump`

use std::os::unix::ffi::OsStrExt;

use esker_ops::catalog;
use esker_ops::time::iso;

use super::{Outcome, job, selection};
use crate::args::{Dump, Global, Ls};
use crate::exit::Exit;
use crate::human;
use crate::open;
use crate::output::Output;

pub fn list(global: &Global, args: &Ls, output: &Output) -> Outcome {
    let repository = open::open(global, output)?;
    let selection = selection(&args.select)?;
    catalog::ls(&repository, &args.named.backup, &selection, |line| {
        if output.is_json() {
            output.json_line(&line);
        } else {
            let mtime = u64::try_from(line.mtime_ms).map_or_else(|_| "before 1970".to_owned(), iso);
            let target = line.target.as_ref().map_or_else(String::new, |target| format!(" -> {target}"));
            let kind = match line.kind {
                "folder" => 'd',
                "link" => 'l',
                _ => '-',
            };
            let path = &line.path;
            let size = human::bytes(line.bytes);
            output.print(&format!(
                "{kind} {:04o} {:>5} {:>5} {size:>9} {mtime:>20} {}/{path}{target}",
                line.mode, line.uid, line.gid, line.host
            ));
        }
        Ok(())
    })?;
    Ok(Exit::warned(!repository.warnings().is_empty()))
}

pub fn dump(global: &Global, args: &Dump, output: &Output) -> Outcome {
    let repository = open::open(global, output)?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let path = args.path.as_os_str().as_bytes();
    esker_ops::dump::dump(&repository, &args.named.backup, args.host.as_deref(), path, &mut out, &job(global, output))?;
    std::io::Write::flush(&mut out).map_err(|source| esker_ops::OpsError::Local {
        action: "write",
        path: "standard output".into(),
        source,
    })?;
    Ok(Exit::warned(!repository.warnings().is_empty()))
}
