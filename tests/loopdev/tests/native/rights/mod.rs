//! Who may do what with attributes and copies: strangers on a mount, through libgfapi, and through a
//! client that has nothing but the brick's address.

mod copies;
mod marks;
mod table;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use loopdev::{Backing, Bed, Output, Volume, cmd};

use crate::images::{SIZE, run_steps};

/// Whose most files are.
const OWNER: u32 = 1000;
/// Somebody else.
const OTHER: u32 = 1001;

#[test]
fn of_strangers() {
    let steps = steps![
        copies::are_for_who_may_read,
        copies::go_by_access_lists,
        copies::have_no_back_door,
        marks::are_text,
        marks::are_no_notes_to_copy,
        marks::are_their_owners_to_change,
        marks::are_set_by_whom_the_volume_says,
        table::is_walked,
    ];
    run_steps("rights::of_strangers", Backing::File, SIZE, &[steps]);
}

/// What the client's way to the brick is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// libgfapi with all translators of a client.
    Client,
    /// The brick alone: a program of a stranger's own.
    Bare,
}

/// The volfile of a way.
fn volfile(bed: &Bed<'_>, way: Way) -> Result<PathBuf> {
    let volume = bed.volume.name();
    match way {
        Way::Client => Ok(PathBuf::from(format!(
            "/var/lib/glusterd/vols/{volume}/{volume}.tcp-fuse.vol"
        ))),
        Way::Bare => {
            let at = bed.rig.dir().join("bare-brick.vol");
            let text = format!(
                "volume one\n type protocol/client\n option remote-host {}\n option remote-subvolume \
                 {}\n option transport-type socket\nend-volume\n",
                bed.rig.host()?,
                bed.brick().display()
            );
            fs::write(&at, text)?;
            Ok(at)
        }
    }
}

/// What each line of `gfapi-as` came to, in the name of a user of its own group, and of others that may
/// stand behind it.
fn through(
    bed: &Bed<'_>,
    way: Way,
    user: impl ToString,
    lines: &[String],
) -> Result<Vec<(i32, String)>> {
    use std::io::Write;
    let mut child = Command::new(env!("CARGO_BIN_EXE_gfapi-as"))
        .arg(volfile(bed, way)?)
        .arg(user.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().context("no standard input")?;
    input.write_all((lines.join("\n") + "\n").as_bytes())?;
    drop(input);
    let output = child.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    let told: Vec<(i32, String)> = text
        .lines()
        .map(|line| {
            let (code, rest) = line.split_once(' ').unwrap_or((line, ""));
            Ok((code.parse()?, rest.to_owned()))
        })
        .collect::<Result<_>>()?;
    ensure!(told.len() == lines.len(), "{lines:?}: {text}");
    Ok(told)
}

/// A line for [`through`].
fn line(words: &[&str]) -> String {
    words.join("\t")
}

/// Runs a command in the name of a user of its own group.
fn by(user: u32, program: &str, args: &[&str]) -> Result<Output> {
    let user = user.to_string();
    let who = [
        "--reuid",
        &user,
        "--regid",
        &user,
        "--clear-groups",
        program,
    ];
    cmd("setpriv", &[&who[..], args].concat())
}

/// As [`by`], in a shell.
fn by_sh(user: u32, line: &str) -> Result<Output> {
    by(user, "sh", &["-c", line])
}

/// Lets users come as far as the mount, which lies in folders of root's.
fn let_users_in(bed: &Bed<'_>) -> Result<()> {
    for folder in bed.rig.dir().ancestors() {
        let mode = fs::metadata(folder)?.permissions().mode();
        if mode & 0o001 == 0 {
            fs::set_permissions(folder, fs::Permissions::from_mode(mode | 0o001))?;
        }
    }
    Ok(())
}

/// Gives a file or directory an owner and a mode.
fn give(path: &Path, owner: u32, mode: u32) -> Result<()> {
    chown(path, Some(owner), Some(owner))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// Makes a file of an owner and a mode.
fn make(path: &Path, bytes: &[u8], owner: u32, mode: u32) -> Result<()> {
    fs::write(path, bytes).with_context(|| path.display().to_string())?;
    give(path, owner, mode)
}

fn gfid(path: &Path) -> Result<String> {
    let words = ["--only-values", "-n", "glusterfs.gfid.string"];
    let told = cmd("getfattr", &[&words[..], &[text(path)?]].concat())?;
    Ok(told.ok()?.stdout.trim().to_owned())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}

/// Lets root be somebody else on the bricks, or not; clients hear of it when they connect anew.
fn squash(bed: &mut Bed<'_>, on: bool) -> Result<()> {
    let volume: &Volume = &bed.volume;
    volume.set("server.root-squash", if on { "on" } else { "off" })
}

/// Fails unless an operation was refused with one of these error numbers.
fn refused(what: &str, code: i32, expected: &[i32]) -> Result<()> {
    if expected.contains(&code) {
        return Ok(());
    }
    bail!("{what}: errno {code}, not one of {expected:?}")
}
