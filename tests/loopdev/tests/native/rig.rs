//! The rig's own promises.

use std::panic::catch_unwind;
use std::process::Command;

use loopdev::{Place, run, sh};

/// What a failing body leaves is taken down, and the failure is still a failure.
#[test]
fn a_panic_leaves_nothing() {
    let outcome = catch_unwind(|| {
        run("native::rig::expected_panic", Place::Native, |rig| {
            rig.filesystem("disk", 320)?;
            rig.daemon("sleeper", "sleep", &["1000"], "")?;
            panic!("on purpose");
        });
    });
    assert!(outcome.is_err());
    let attached = sh("losetup -nlO BACK-FILE | grep -c \"^$GBT_SCRATCH\" || true").unwrap();
    assert_eq!(attached.stdout, "0");
    let out = std::env::var("GBT_OUT").unwrap();
    let evidence = format!("{out}/native__rig__expected_panic");
    assert!(std::fs::metadata(format!("{evidence}/mounts.txt")).is_ok());
    std::fs::remove_dir_all(evidence).unwrap();
}

/// A leftover fails a test which was right otherwise.
#[test]
fn a_leftover_fails_the_test() {
    let outcome = catch_unwind(|| {
        run("native::rig::expected_leftover", Place::Native, |rig| {
            let folder = rig.folder("left")?;
            sh(&format!("mount -t tmpfs left '{}'", folder.display()))?;
            Ok(())
        });
    });
    let message = outcome.unwrap_err();
    let text = message.downcast_ref::<String>().unwrap();
    assert!(text.contains("still mounted"), "{text}");
    let scratch = std::env::var("GBT_SCRATCH").unwrap();
    sh(&format!(
        "umount {scratch}/gbt_*/left; rm -rf {scratch}/gbt_*"
    ))
    .unwrap();
    std::fs::remove_dir_all(std::env::var("GBT_OUT").unwrap() + "/native__rig__expected_leftover")
        .unwrap();
}

/// On a machine that is not the rig's own, a test refuses to start: it is not skipped.
#[test]
fn a_foreign_machine_is_refused() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "plain::plain_volume"])
        .env_remove("GBT_PLACE")
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("scripts/test native"));
}
