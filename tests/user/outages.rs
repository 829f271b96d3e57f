//! A store that goes away in the middle, and comes back: for a while, for minutes, too late; and one that is killed.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use esker_testkit::server::garage::Garage;
use esker_testkit::tree::assert_same_tree;
use serde_json::Value;

use crate::kit::{Esker, Run, SMALL_PACKS, Service, backup_of, noise, noisy_days};

/// A verb in whose middle something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Backup,
    Restore,
    Fsck,
    Prune,
    Copy,
}

const VERBS: [Verb; 5] = [Verb::Backup, Verb::Restore, Verb::Fsck, Verb::Prune, Verb::Copy];

/// A repository in which every verb has something to do.
struct Stage {
    service: Service,
    esker: Esker,
    /// The repository that a copy goes to, behind the same line.
    second: Esker,
    days: [PathBuf; 2],
    /// A folder of which nothing is stored yet.
    new: PathBuf,
}

impl Stage {
    fn set(service: Service, name: &str) -> Self {
        let (esker, second) = (service.user(name), service.user(&format!("{name}-second")));
        let days = noisy_days(&esker);
        for user in [&esker, &second] {
            user.run(&SMALL_PACKS).exits(0);
        }
        esker.run(&backup_of("first", &days[0])).exits(4);
        esker.run(&backup_of("old", &days[1])).exits(4);
        esker.run(&["forget", "old"]).exits(0);
        let new = esker.path("new");
        fs::create_dir(&new).unwrap();
        fs::write(new.join("file"), noise(99, 1_500_000)).unwrap();
        Self { service, esker, second, days, new }
    }

    /// The command, who runs it, and the exit code of one that comes to its end.
    fn command(&self, verb: Verb) -> (Command, &Esker, i32) {
        let esker = &self.esker;
        match verb {
            Verb::Backup => (esker.command(&backup_of("new", &self.new)), esker, 4),
            Verb::Restore => {
                // As on a machine that never saw the repository.
                let _ = fs::remove_dir_all(esker.cache());
                (esker.command(&["restore", "first", "--target", esker.path("restored").to_str().unwrap()]), esker, 0)
            }
            Verb::Fsck => (esker.command(&["fsck", "--level", "files"]), esker, 0),
            Verb::Prune => (esker.command(&["prune", "--fence-after", "2s"]), esker, 0),
            Verb::Copy => {
                let mut command = self.second.command(&["copy", "--from", &esker.location()]);
                command.args(esker.options.iter().map(|option| format!("--from-store-option={option}")));
                command.env("ESKER_FROM_PASSPHRASE", Esker::PASSPHRASE);
                (command, &self.second, 0)
            }
        }
    }

    /// How many requests the verb makes before it is in its middle.
    const fn middle(verb: Verb) -> u64 {
        match verb {
            Verb::Copy => 24,
            Verb::Backup | Verb::Restore | Verb::Fsck | Verb::Prune => 16,
        }
    }

    #[track_caller]
    fn in_the_middle(&self, verb: Verb, act: impl FnOnce()) -> Run {
        let (command, user, _) = self.command(verb);
        self.service.in_the_middle(user, command, Self::middle(verb), act)
    }

    /// The verb once more without any trouble, and what it should have done.
    #[track_caller]
    fn again(&self, verb: Verb) {
        let (mut command, user, code) = self.command(verb);
        user.run_command(&mut command).exits(code);
        self.is_done(verb);
    }

    #[track_caller]
    fn is_done(&self, verb: Verb) {
        match verb {
            Verb::Restore => assert_same_tree(&self.days[0], &self.esker.path("restored/h"), &[]),
            Verb::Copy => {
                assert_eq!(self.second.labels(), self.esker.labels());
                self.second.run(&["fsck", "--level", "files"]).exits(0);
            }
            Verb::Backup => assert!(self.esker.labels().contains(&"new".to_owned())),
            Verb::Fsck | Verb::Prune => {}
        }
        let checked = self.esker.json(&["fsck", "--level", "files"], 0);
        let damage = checked["findings"].as_array().unwrap().iter().filter(|finding| finding["severity"] == "damage");
        assert_eq!(damage.count(), 0, "{verb:?}: {checked}");
    }
}

/// Each verb with a stage of its own, all at once.
fn with_each_verb(name: &str, play: impl Fn(Verb, Stage) + Sync) {
    std::thread::scope(|scope| {
        for verb in VERBS {
            let play = &play;
            scope.spawn(move || play(verb, Stage::set(Service::new(), &format!("{name}-{verb:?}"))));
        }
    });
}

fn outage_is_waited_for(name: &str, outage: Duration, retry_seconds: Option<u32>) {
    with_each_verb(name, |verb, mut stage| {
        for user in [&mut stage.esker, &mut stage.second] {
            user.options = retry_seconds.map(|seconds| format!("retry_seconds={seconds}")).into_iter().collect();
        }
        let run = stage.in_the_middle(verb, || {
            stage.service.line.down(true);
            std::thread::sleep(outage);
            stage.service.line.down(false);
        });
        let code = stage.command(verb).2;
        run.exits(code).says("the store has not answered for");
        stage.is_done(verb);
    });
}

#[test]
fn verbs_wait_aloud_for_a_store_that_goes_away_in_their_middle() {
    outage_is_waited_for("away", Duration::from_secs(9), Some(60));
}

/// With what is waited for by default; `make torture` runs it.
#[test]
#[ignore = "takes three minutes"]
fn verbs_wait_for_minutes() {
    outage_is_waited_for("minutes", Duration::from_secs(170), None);
}

#[test]
fn an_outage_that_lasts_too_long_ends_verbs_loudly_and_they_can_be_run_again() {
    with_each_verb("too-long", |verb, mut stage| {
        for user in [&mut stage.esker, &mut stage.second] {
            user.options = vec!["retry_seconds=1".into()];
        }
        let run = stage.in_the_middle(verb, || {
            stage.service.line.down(true);
            std::thread::sleep(Duration::from_secs(5));
        });
        run.exits(1).says("cannot ");
        stage.again(verb);
    });
}

#[test]
fn a_store_that_is_killed_in_the_middle_of_a_verb_loses_nothing_that_it_acknowledged() {
    let stage = Stage::set(Service::of(Arc::new(Garage::start())), "killed");
    for verb in VERBS {
        let garage = &stage.service.garage;
        let run = stage.in_the_middle(verb, || {
            garage.kill();
            std::thread::sleep(Duration::from_millis(1500));
            garage.restart();
        });
        run.exits(stage.command(verb).2);
        stage.is_done(verb);
    }
}

#[test]
fn a_verb_that_is_killed_in_its_middle_is_run_again() {
    with_each_verb("kill-9", |verb, stage| {
        let (mut command, _, _) = stage.command(verb);
        stage.service.line.delay(Duration::from_millis(30));
        stage.service.line.choose(|_, _| None);
        let mut child = command.spawn().unwrap();
        while stage.service.line.requests() < Stage::middle(verb) {
            std::thread::sleep(Duration::from_millis(2));
            assert!(child.try_wait().unwrap().is_none(), "{verb:?} was faster than its killer");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        stage.service.line.heal();
        assert_eq!(stage.esker.json(&["list"], 0)["damaged"].as_array().map_or(0, Vec::len), 0);
        stage.again(verb);
        let _: Value = stage.esker.json(&["list"], 0);
    });
}
