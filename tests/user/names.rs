//! Repositories by name, and those that may only be read.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::kit::{Esker, Run, assert_restored, host, names, noise};

/// A user with a config folder.
struct User {
    esker: Esker,
}

impl User {
    fn new() -> Self {
        Self { esker: Esker::encrypted() }
    }

    /// The command with no repository and no passphrase in its environment.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.esker.command(args);
        command.env_remove("ESKER_REPO").env_remove("ESKER_PASSPHRASE").env("XDG_CONFIG_HOME", self.esker.path("config"));
        command
    }

    fn run(&self, args: &[&str]) -> Run {
        self.esker.run_command(&mut self.command(args))
    }

    fn repo(&self) -> String {
        self.esker.repo().to_str().unwrap().to_owned()
    }

    fn passphrase_file(&self) -> String {
        let file = self.esker.path("secret");
        fs::write(&file, Esker::PASSPHRASE).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        file.to_str().unwrap().to_owned()
    }

    fn config_file(&self) -> std::path::PathBuf {
        self.esker.path("config/esker/config.toml")
    }

    fn source(&self) -> std::path::PathBuf {
        let source = self.esker.path("source");
        if !source.exists() {
            fs::create_dir(&source).unwrap();
            fs::write(source.join("file"), noise(1, 10_000)).unwrap();
        }
        source
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_name_stands_for_a_repository_and_its_passphrase_file() {
    let user = User::new();
    let file = user.passphrase_file();
    assert!(user.run(&["repo", "list"]).exits(0).text().contains("no repository has a name"));
    user.run(&["repo", "add", "prod", &user.repo(), "--passphrase-file", &file]).exits(0);
    assert_eq!((mode(&user.config_file()), mode(user.config_file().parent().unwrap())), (0o600, 0o700));
    user.run(&["--repo", "prod", "backup", "--host", &host("h", &user.source()), "--label", "one"]).exits(4);
    let mut by_environment = user.command(&["list", "--json"]);
    let listed = user.esker.run_command(by_environment.env("ESKER_REPO", "prod")).exits(0).json();
    assert_eq!(names(&listed["backups"], "label"), ["one"]);
    // Its own file goes before a passphrase in the environment, which is for whatever has none.
    let mut other = user.command(&["--repo", "prod", "list"]);
    user.esker.run_command(other.env("ESKER_PASSPHRASE", "of another repository")).exits(0);
    let values = user.run(&["repo", "list", "--json"]).exits(0).json();
    assert_eq!((names(&values, "name"), names(&values, "location")), (vec!["prod".to_owned()], vec![user.repo()]));
    user.run(&["repo", "add", "prod", "/elsewhere"]).exits(2).says("already");
    user.run(&["repo", "add", "a/b", "/elsewhere"]).exits(2).says("cannot be a repository's name");
    assert!(user.run(&["repo", "remove", "prod"]).exits(0).text().contains("stays as it is"));
    user.run(&["repo", "remove", "prod"]).exits(2).says("no repository is called prod");
    user.run(&["--repo", &user.repo(), "--passphrase-file", &file, "show", "one"]).exits(0);
}

#[test]
fn a_name_that_is_a_folder_too_is_refused_and_a_path_never_is_a_name() {
    let user = User::new();
    let file = user.passphrase_file();
    user.run(&["repo", "add", "repo", &user.repo(), "--passphrase-file", &file]).exits(0);
    let here = |args: &[&str]| {
        let mut command = user.command(args);
        user.esker.run_command(command.current_dir(user.esker.folder()))
    };
    here(&["--repo", "repo", "list"]).exits(2).says("write ./repo");
    here(&["--repo", "./repo", "--passphrase-file", &file, "list"]).exits(0);
    user.run(&["--repo", "repo", "list"]).exits(0);
    // A relative place means the folder where the name was given.
    here(&["repo", "add", "relative", "repo"]).exits(0);
    user.run(&["--repo", "relative", "--passphrase-file", &file, "list"]).exits(0);
}

#[test]
fn what_is_marked_read_only_is_read_without_a_session_and_never_written() {
    let user = User::new();
    let (file, source) = (user.passphrase_file(), user.source());
    let here = host("h", &source);
    user.run(&["repo", "add", "mine", &user.repo(), "--passphrase-file", &file]).exits(0);
    user.run(&["repo", "add", "prod", &user.repo(), "--read-only", "--passphrase-file", &file]).exits(0);
    user.run(&["--repo", "mine", "backup", "--host", &here, "--label", "one"]).exits(4);
    user.run(&["--repo", "mine", "backup", "--host", &here, "--label", "two"]).exits(4);
    let before = esker_testkit::tree::inventory(&user.esker.repo());
    let second = user.esker.path("second");
    let second = second.to_str().unwrap();
    user.run(&["--repo", second, "init", "--no-encryption"]).exits(0);
    for args in [
        &["backup", "--host", &here][..],
        &["init"],
        &["forget", "one"],
        &["forget", "one", "--hold"],
        &["key", "add", "--recovery"],
        &["key", "remove", "12345678"],
        &["key", "passphrase"],
        &["fsck", "--repair"],
        &["copy", "--from", second],
    ] {
        user.run(&[&["--repo", "prod"], args].concat()).exits(2).says("is marked read-only");
    }
    for args in
        [&["list"][..], &["show", "one"], &["ls", "one"], &["dump", "one", "file"], &["stats"], &["diff", "one", "two"], &["key", "list"]]
    {
        user.run(&[&["--repo", "prod"], args].concat()).exits(0);
    }
    let target = user.esker.path("t");
    let restored = user.run(&["--repo", "prod", "restore", "one", "--target", target.to_str().unwrap(), "--json"]).exits(0);
    assert_eq!(restored.json()["protected"], false);
    assert!(restored.stderr.contains("without protection from a prune"), "{}", restored.stderr);
    assert_restored(&source, &target.join("h"), &[]);
    let checked = user.run(&["--repo", "prod", "fsck", "--level", "files", "--json"]).exits(0).json();
    assert_eq!(checked["protected"], false);
    assert!(checked["findings"].to_string().contains("read-only"), "it says that it could not remember: {checked}");
    assert_eq!(esker_testkit::tree::inventory(&user.esker.repo()), before, "nothing was written");
    // It may be copied from.
    let copied = user.run(&["copy", "--from", "prod", "--to", second, "--decrypt", "--json"]).exits(0).json();
    assert_eq!((&copied["protected"], &copied["copied"]), (&false.into(), &2.into()));
    assert_eq!(esker_testkit::tree::inventory(&user.esker.repo()), before, "nothing was written");
}

#[test]
fn a_config_file_that_others_may_have_written_is_not_believed() {
    let user = User::new();
    let file = user.passphrase_file();
    user.run(&["repo", "add", "prod", &user.repo(), "--passphrase-file", &file]).exits(0);
    let config = user.config_file();
    let set = |mode| fs::set_permissions(&config, fs::Permissions::from_mode(mode)).unwrap();
    set(0o644);
    user.run(&["--repo", "prod", "list"]).exits(2).says("can be read by others");
    set(0o620);
    user.run(&["--repo", "prod", "list"]).exits(2).says("can be written by others");
    // Who gives a place needs no config file.
    user.run(&["--repo", &user.repo(), "--passphrase-file", &file, "list"]).exits(0);
    set(0o600);
    user.run(&["--repo", "prod", "list"]).exits(0);
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("# mine\n{text}readonly = true\n")).unwrap();
    user.run(&["--repo", "prod", "list"]).exits(2).says("readonly");
    fs::write(&config, format!("# mine\n{text}")).unwrap();
    user.run(&["repo", "add", "other", "/x"]).exits(0);
    user.run(&["repo", "remove", "prod"]).exits(0);
    let left = fs::read_to_string(&config).unwrap();
    assert!(left.starts_with("# mine\n") && left.contains("[repository.other]") && !left.contains("prod"), "{left}");
}
