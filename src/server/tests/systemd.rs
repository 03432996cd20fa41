//! What systemd says of the unit that is shipped.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const UNIT: &str = include_str!("../../../packaging/gluster-bdd.service");
/// systemd's measure of what a service could do to its host, in tenths from 0 to 100: 43 with what
/// the unit keeps and says why, 96 without any confinement.
const EXPOSURE: &str = "--threshold=46";

/// Lets systemd-analyze(1) look at a unit with this text, installed with the program.
#[cfg(test)]
fn analyze(text: &str, words: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_gluster-bdd"));
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("gluster-bdd.service");
    let text = text.replace(
        "@SBINDIR@",
        &program.parent().unwrap().display().to_string(),
    );
    fs::write(&unit, text).unwrap();
    Command::new("systemd-analyze")
        .args(words)
        .arg(unit)
        .output()
        .expect("systemd-analyze must be installed: apt-get install systemd")
}

fn verify(text: &str) -> Output {
    // The manual may not be installed where this runs.
    analyze(text, &["verify", "--man=no"])
}

fn security(text: &str) -> Output {
    analyze(
        text,
        &["security", "--offline=true", "--no-pager", EXPOSURE],
    )
}

/// The unit without the lines that begin like this.
fn without(start: &str) -> String {
    let lines = UNIT.lines().filter(|line| !line.starts_with(start));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_unit_has_no_mistakes() {
    let output = verify(UNIT);
    let said = String::from_utf8_lossy(&output.stderr);
    // Of other units of this machine it may tell as well.
    assert!(
        output.status.success() && !said.contains("gluster-bdd.service"),
        "{said}"
    );
    let misspelt = UNIT.replace("NoNewPrivileges=", "NoMorePrivileges=");
    let said = verify(&misspelt).stderr;
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("NoMorePrivileges"), "{said}");
}

#[test]
fn the_unit_is_confined() {
    let output = security(UNIT);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    for start in ["CapabilityBoundingSet=", "SystemCallFilter="] {
        assert!(!security(&without(start)).status.success(), "{start}");
    }
}
