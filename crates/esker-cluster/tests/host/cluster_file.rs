//! Cluster files, right and wrong.

use std::path::Path;

use esker_cluster::{ClusterFile, PartitionScheme};

use crate::samples::{small_checkpoint, surveyed};

fn parse(text: &str) -> Result<ClusterFile, String> {
    ClusterFile::parse(Path::new("c.toml"), text).map_err(|error| error.to_string())
}

/// The example in the module's documentation.
fn documented() -> String {
    let source = include_str!("../../src/config.rs");
    let example = source.split("```").nth(1).unwrap();
    example.lines().skip(1).map(|line| format!("{}\n", line.trim_start_matches("//!").trim_start())).collect()
}

#[test]
fn the_documented_example_is_read() {
    let file = parse(&documented()).unwrap();
    assert_eq!((file.cluster.as_str(), file.scheme), ("social", PartitionScheme::Nebula));
    assert_eq!(file.hosts().next().unwrap().folder, Path::new("/mnt/checkpoints/storaged0"));
    assert_eq!(file.cut_for("people", 3), Some(81_723));
    assert_eq!(file.cut_for("people", 4), None);
    assert_eq!(parse("cluster = \"x\"").unwrap().scheme, PartitionScheme::None);
}

#[test]
fn engines_get_their_names_from_the_file() {
    let host = tempfile::tempdir().unwrap();
    for path in ["data0/nebula/12/checkpoints/N/data", "data0/nebula/13/data", "sessions/a/db", "fast/day07"] {
        small_checkpoint(&host.path().join(path));
    }
    let (_, mut survey) = surveyed(host.path());
    parse(&documented()).unwrap().identify("storaged0", &mut survey);
    let names = survey.engines.iter();
    let names: Vec<_> = names.map(|engine| (engine.identity.space.as_deref().unwrap(), engine.identity.data_path.as_str())).collect();
    assert_eq!(names, [("people", "data0"), ("13", "data0"), ("people", "fast"), ("sessions", "sessions/a/db")]);
}

#[test]
fn a_cut_for_one_partition_comes_before_one_for_all() {
    let text = "cluster='c'\nscheme='nebula'\n[[cut]]\nspace='s'\nlog_id=5\n[[cut]]\nspace='s'\npartition=2\nlog_id=9\n";
    let file = parse(text).unwrap();
    assert_eq!((file.cut_for("s", 1), file.cut_for("s", 2), file.cut_for("t", 1)), (Some(5), Some(9), None));
}

#[test]
fn mistakes_are_named_with_their_line() {
    let wrong = [
        ("cluster = \"c\"\nsheme = \"nebula\"", "line 2", "unknown field `sheme`"),
        ("cluster = \"c\"\n\n[[host]]\nname = \"a\"", "line 3", "missing field `folder`"),
        ("cluster = \"c\"\n[[host]]\nname='a'\nfolder='/x'\n[[host]]\nname='a'\nfolder='/y'", "line 5", "given twice"),
        ("cluster = \"c\"\n[[host]]\nname='../a'\nfolder='/x'", "line 2", "cannot be the name of a folder"),
        ("cluster = \"c\"\n[[space]]\nname='s'", "line 2", "neither `id` nor `path`"),
        ("cluster = \"c\"\n[[space]]\nname='s'\npath='a['", "line 2", "is no pattern"),
        ("cluster = \"c\"\n[[cut]]\nspace='s'\nlog_id=1", "line 2", "needs `scheme"),
        ("cluster = \"c\"\n[[engine]]\npath='x'\nhost='nobody'", "line 2", "not described"),
        ("cluster = ", "line 1", ""),
        ("cluster = \"\"", "line 1", "cluster is empty"),
        ("cluster = \"c\"\nscheme = \"raft\"", "line 2", "unknown variant `raft`"),
    ];
    for (text, line, words) in wrong {
        let error = parse(text).unwrap_err();
        assert!(error.starts_with("cluster file c.toml: "), "{error}");
        assert!(error.contains(line) && error.contains(words), "{error}");
    }
}
