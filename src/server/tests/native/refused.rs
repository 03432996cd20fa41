use std::ffi::OsStr;

use super::support::Bed;

/// Another server with these arguments does not start, and says this.
pub(crate) fn refused<A: AsRef<OsStr>>(bed: &Bed, arguments: &[A], said: &str) {
    let mut command = bed.command("sock2", "state2");
    let output = command.args(arguments).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && stderr.contains(said),
        "{said}: {stderr}"
    );
}
