//! Copies from store to store and between stores and folders, over a line that drops every tenth connection, killed and run
//! again.

use std::process::Command;

use esker_testkit::server::troubled::Trouble;
use esker_testkit::tree::assert_same_tree;

use crate::kit::{Esker, SMALL_PACKS, Service, backup_of, noisy_days, number};

const OTHER: &str = "moraine of Other stones #8";

/// `copy` by who may write to `to`, and read `from`.
fn copy(from: &Esker, to: &Esker) -> Command {
    let mut command = to.command(&["copy", "--json", "--from", &from.location()]);
    command.args(from.options.iter().map(|option| format!("--from-store-option={option}")));
    command.envs(from.variables.iter().map(|(name, value)| (name, value)));
    command.env("ESKER_FROM_PASSPHRASE", from.passphrase.as_ref().unwrap());
    command
}

#[test]
fn copies_between_stores_and_folders_are_killed_run_again_and_whole() {
    let service = Service::new();
    let home = Esker::without_repository(Some(Esker::PASSPHRASE));
    let days = noisy_days(&home);
    home.run(&SMALL_PACKS).exits(0);
    for (label, day) in [("day0", &days[0]), ("day1", &days[1])] {
        home.run(&backup_of(label, day)).exits(4);
    }
    let (mut far, farther, mut back) =
        (service.user("copy-far"), service.user("copy-farther"), Esker::without_repository(Some(Esker::PASSPHRASE)));
    far.passphrase = Some(OTHER.to_owned());
    far.keep_secret(OTHER);
    back.keep_secret(OTHER);
    for (from, to, packs) in [(&home, &far, 8), (&far, &farther, 8), (&farther, &back, 20)] {
        to.run(&SMALL_PACKS).exits(0);
        let mut seen = 0;
        let dropping = move |number: u64| (number % 10 == 9).then_some(Trouble::Refuse);
        service.line.choose(move |number, _| dropping(number));
        let mut child = copy(from, to).spawn().unwrap();
        while seen < packs {
            seen = service.line.requests();
            std::thread::sleep(std::time::Duration::from_millis(1));
            assert!(child.try_wait().unwrap().is_none(), "the copy was faster than its killer, after {seen} requests");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!to.labels().contains(&"day1".to_owned()));
        let report = to.run_command(&mut copy(from, to)).exits(0).json();
        assert!(number(&report["requests"], "failed") > 0, "{report}");
        service.line.heal();
        assert_eq!(to.labels(), ["day0", "day1"]);
        to.run(&["fsck", "--level", "files"]).exits(0);
        let again = to.run_command(&mut copy(from, to)).exits(0).json();
        assert_eq!((number(&again, "copied"), number(&again, "known")), (0, 2), "{again}");
    }
    for (label, day) in [("day0", &days[0]), ("day1", &days[1])] {
        let target = back.path(label);
        back.run(&["restore", label, "--target", target.to_str().unwrap()]).exits(0);
        assert_same_tree(day, &target.join("h"), &[]);
    }
}
