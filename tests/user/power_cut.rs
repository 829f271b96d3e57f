//! A power cut: what a command said is done stands on the disk, folders and all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::kit::{Esker, assert_restored, host, noise};

/// A file system in a file. What the kernel keeps of it in memory is not in that file yet.
struct Disk {
    mounted: PathBuf,
}

impl Disk {
    const BYTES: u64 = 64 << 20;

    /// A new one; `None` where there is no ext4 or mounting is not allowed.
    fn make(image: &Path, at: PathBuf) -> Option<Self> {
        fs::File::create(image).unwrap().set_len(Self::BYTES).unwrap();
        let made = Command::new("mkfs.ext4").arg("-q").arg(image).output();
        made.is_ok_and(|output| output.status.success()).then(|| Self::mount(image, at)).flatten()
    }

    /// Whatever nobody asks for is written after minutes only.
    fn mount(image: &Path, at: PathBuf) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        let mounted: std::io::Result<Output> = Command::new("mount").args(["-o", "loop,commit=300"]).arg(image).arg(&at).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self { mounted: at })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.mounted).status();
    }
}

#[test]
fn a_power_cut_right_after_a_backup_leaves_it_on_the_disk_whole() {
    let mut esker = Esker::without_repository(None);
    let (image, after) = (esker.path("disk"), esker.path("disk-after-the-cut"));
    let Some(disk) = Disk::make(&image, esker.path("mounted")) else { return };
    esker.move_to(&disk.mounted.join("repo"));
    esker.run(&["init", "--no-encryption"]).exits(0);
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    for label in ["one", "two"] {
        fs::write(source.join(label), noise(label.len() as u64, 300_000)).unwrap();
        esker.run(&["backup", "--host", &host("h", &source), "--label", label]).exits(4);
    }
    // What has come to the disk by now is all that is left of it.
    fs::copy(&image, &after).unwrap();
    drop(disk);
    let disk = Disk::mount(&after, esker.path("mounted-again")).unwrap();
    esker.move_to(&disk.mounted.join("repo"));
    assert_eq!(esker.labels(), ["one", "two"]);
    esker.run(&["fsck", "--level", "files"]).exits(0);
    let target = esker.path("t");
    esker.run(&["restore", "two", "--target", target.to_str().unwrap()]).exits(0);
    assert_restored(&source, &target.join("h"), &[]);
}
