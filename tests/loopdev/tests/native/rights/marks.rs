//! The attributes that say what a file or directory is: who sees them, sets them and takes them away.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use loopdev::{Bed, Output, cmd, gluster_bd, wait_for};
use nix::libc::{EINVAL, EIO, EPERM};
use rustix::fs::XattrFlags;
use rustix::io::Errno;

use super::{OTHER, OWNER, Way, by, give, let_users_in, line, make, squash, text, through};

const MARK: &str = "user.glusterfs.bd";
const POLICY: &str = "user.glusterfs.bd.dir";

fn get(path: &Path, name: &str) -> Result<Output> {
    cmd(
        "getfattr",
        &["--absolute-names", "--only-values", "-n", name, text(path)?],
    )
}

fn set(user: u32, path: &Path, name: &str, value: &str) -> Result<Output> {
    by(user, "setfattr", &["-n", name, "-v", value, text(path)?])
}

/// A mark that nobody can read is refused; one that came by other means is an error, and never a plain
/// file or directory, until `check --repair` has written it anew.
pub(super) fn are_text(bed: &mut Bed<'_>) -> Result<()> {
    let_users_in(bed)?;
    let (image, dir, plain) = (bed.at("image"), bed.at("dir"), bed.root().join("plain"));
    make(&image, b"bytes on an LV", OWNER, 0o600)?;
    make(&plain, b"", OWNER, 0o600)?;
    fs::create_dir(&dir)?;
    give(&dir, OWNER, 0o755)?;
    let (to_image, to_dir) = (
        format!("/{}/image", bed.top()),
        format!("/{}/dir", bed.top()),
    );
    for value in ["0xc328", "on", "", "thin:x"] {
        for (path, name) in [(&image, MARK), (&plain, MARK), (&dir, POLICY)] {
            let output = set(OWNER, path, name, value)?.fails()?;
            ensure!(
                output.stderr.contains("Invalid argument"),
                "{name} {value}: {output}"
            );
        }
    }
    // As of any attribute, setxattr(2) may want that there is none yet, or that there is one.
    for (path, flags, wanted) in [
        (&image, XattrFlags::CREATE, Errno::EXIST),
        (&plain, XattrFlags::REPLACE, Errno::NODATA),
    ] {
        let refused = rustix::fs::setxattr(path, MARK, b"thin", flags);
        ensure!(refused == Err(wanted), "{flags:?}: {refused:?}");
    }
    let wrong = "\\xc3\\x28";
    for op in ["set", "fset", "hset"] {
        let lines = [
            line(&[op, &to_image, MARK, wrong]),
            line(&[op, "/plain", MARK, wrong]),
            line(&["hset", &to_dir, POLICY, wrong]),
        ];
        for way in [Way::Client, Way::Bare] {
            for (line, (code, _)) in lines.iter().zip(through(bed, way, OWNER, &lines)?) {
                ensure!(code == EINVAL, "{line}: errno {code}");
            }
        }
    }
    ensure!(fs::read(&plain)?.is_empty() && bed.store.names()? == ["image"]);
    // As a release before this one would have left them.
    bed.volume.stop()?;
    let on_brick = bed.brick().join(bed.top());
    for (name, key) in [("image", MARK), ("dir", POLICY)] {
        cmd(
            "setfattr",
            &["-n", key, "-v", "0xc328", text(&on_brick.join(name))?],
        )?
        .ok()?;
    }
    bed.volume.start()?;
    bed.remount()?;
    let (image, dir) = (bed.at("image"), bed.at("dir"));
    let eio = |result: std::io::Result<()>| result.err().and_then(|error| error.raw_os_error());
    wait_for("the volume to answer", || {
        Ok(fs::metadata(bed.images()).is_ok())
    })?;
    ensure!(eio(fs::read(&image).map(drop)) == Some(EIO));
    ensure!(eio(fs::write(&image, "lost on the stub")) == Some(EIO));
    ensure!(eio(fs::write(dir.join("new"), "plain")) == Some(EIO));
    ensure!(eio(fs::create_dir(dir.join("sub"))) == Some(EIO));
    let brick = bed.brick().display().to_string();
    let found = gluster_bd(&["check", &brick])?;
    ensure!(found.code == 1, "{found}");
    let expected = [
        on_brick.join("dir").display().to_string(),
        "volume image".to_owned(),
    ];
    for part in &expected {
        ensure!(found.stdout.contains(part), "{part}: {found}");
    }
    gluster_bd(&["check", &brick, "--repair"])?;
    gluster_bd(&["check", &brick])?.ok()?;
    ensure!(fs::read(&image)? == b"bytes on an LV");
    fs::write(dir.join("new"), "on an LV")?;
    ensure!(bed.store.names()?.len() == 2, "{:?}", bed.store.names()?);
    Ok(())
}

/// Makes the attributes of `to` those of `from`, as rsync -X does: what is listed and not there goes.
fn mirror(from: &Path, to: &Path) -> Result<()> {
    let listed = |path: &Path| -> Result<BTreeSet<String>> {
        let mut names = vec![0_u8; 4096];
        let len = rustix::fs::llistxattr(path, names.as_mut_slice())?;
        let names = names[..len].split(|byte| *byte == 0);
        let names = names.map(|name| String::from_utf8_lossy(name).into_owned());
        Ok(names.filter(|name| name.starts_with("user.")).collect())
    };
    for name in listed(to)?.difference(&listed(from)?) {
        rustix::fs::lremovexattr(to, name.as_str())?;
    }
    for name in listed(from)? {
        let mut value = vec![0_u8; 4096];
        let len = rustix::fs::lgetxattr(from, name.as_str(), value.as_mut_slice())?;
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::lsetxattr(to, name.as_str(), &value[..len], flags)?;
    }
    Ok(())
}

/// Programs that copy attributes neither see marks nor take them away; by name they are there.
pub(super) fn are_no_notes_to_copy(bed: &mut Bed<'_>) -> Result<()> {
    let_users_in(bed)?;
    let source = bed.root().join("source");
    fs::create_dir(&source)?;
    for name in ["a", "b"] {
        fs::write(source.join(name), name)?;
        fs::copy(source.join(name), bed.at(name))?;
    }
    let note = |path: &Path| cmd("setfattr", &["-n", "user.note", "-v", "x", text(path)?])?.ok();
    for path in [&source, &source.join("a"), &bed.at("b")] {
        note(path)?;
    }
    mirror(&source, &bed.images())?;
    for name in ["a", "b"] {
        mirror(&source.join(name), &bed.at(name))?;
        // And from an image to an image, and back.
        mirror(&bed.at(name), &bed.at("a"))?;
        mirror(&bed.at("a"), &source.join(name))?;
    }
    ensure!(get(&source.join("a"), MARK)?.code != 0, "a mark was copied");
    ensure!(get(&bed.at("b"), "user.note")?.code != 0, "a note stayed");
    let kind = get(&bed.at("b"), MARK)?.ok()?.stdout;
    let policy = get(&bed.images(), POLICY)?.ok()?.stdout;
    ensure!(policy == kind, "{policy} {kind}");
    fs::hard_link(bed.at("a"), bed.at("clone"))?;
    ensure!(fs::metadata(bed.at("clone")).is_ok() && bed.store.names()? == ["a", "b", "clone"]);
    let dump = |path: &Path| {
        cmd(
            "getfattr",
            &["--absolute-names", "-d", "-m", "-", text(path)?],
        )
    };
    for path in [bed.images(), bed.at("a")] {
        let listed = dump(&path)?.ok()?;
        ensure!(!listed.stdout.contains("glusterfs.bd"), "{listed}");
    }
    let path = format!("/{}/b", bed.top());
    let mut lines: Vec<String> = ["get", "fget", "hget"]
        .map(|op| line(&[op, &path, MARK]))
        .into();
    lines.extend(["list", "flist", "hlist"].map(|op| line(&[op, &path])));
    for (number, (code, told)) in through(bed, Way::Client, 0, &lines)?.iter().enumerate() {
        let right = match number {
            0..3 => *told == kind,
            _ => !told.contains("glusterfs.bd"),
        };
        ensure!(*code == 0 && right, "{}: {code} {told}", lines[number]);
    }
    Ok(())
}

/// The policy is its directory's owner's, also where anybody may change the directory.
pub(super) fn are_their_owners_to_change(bed: &mut Bed<'_>) -> Result<()> {
    let_users_in(bed)?;
    let dir = bed.at("shared");
    fs::create_dir(&dir)?;
    give(&dir, OWNER, 0o777)?;
    let before = get(&dir, POLICY)?.ok()?.stdout;
    let path = format!("/{}/shared", bed.top());
    let strangers = |bed: &mut Bed<'_>, users: &[u32]| -> Result<()> {
        let mut lines = Vec::new();
        for how in ["", "h"] {
            lines.push(line(&[
                &format!("{how}set"),
                &path,
                POLICY,
                "lv,link=hardlink",
            ]));
            lines.push(line(&[&format!("{how}remove"), &path, POLICY]));
        }
        for user in users {
            for way in [Way::Client, Way::Bare] {
                for (line, (code, _)) in lines.iter().zip(through(bed, way, *user, &lines)?) {
                    ensure!(code == EPERM, "{user} {way:?} {line}: errno {code}");
                }
            }
        }
        Ok(())
    };
    strangers(bed, &[OTHER])?;
    set(OTHER, &dir, POLICY, "lv")?.fails()?;
    by(OTHER, "setfattr", &["-x", POLICY, text(&dir)?])?.fails()?;
    squash(bed, true)?;
    let squashed = strangers(bed, &[0]);
    squash(bed, false)?;
    squashed?;
    ensure!(get(&dir, POLICY)?.ok()?.stdout == before);
    for user in [OWNER, 0] {
        set(user, &dir, POLICY, "lv,link=hardlink")?.ok()?;
        by(user, "setfattr", &["-x", POLICY, text(&dir)?])?.ok()?;
    }
    fs::write(dir.join("plain"), "plain")?;
    ensure!(bed.store.names()?.is_empty());
    Ok(())
}

/// Who makes a plain file an image is its owner, or root alone where the volume says so.
pub(super) fn are_set_by_whom_the_volume_says(bed: &mut Bed<'_>) -> Result<()> {
    let_users_in(bed)?;
    let path = |name: &str| bed.root().join(name);
    for name in ["first", "second", "third"] {
        make(&path(name), b"bytes", OWNER, 0o666)?;
    }
    let convert = |word: &str| -> Result<()> {
        bed.volume.set("user.bd.convert", word)?;
        // The volfiles follow with the next option.
        bed.volume.set("user.bd", "on")?;
        let log = bed.brick().display().to_string();
        let log = log.trim_start_matches('/').replace('/', "-");
        let said = format!("a plain file is made an image by its {word} from now on");
        wait_for("the brick to hear of it", || {
            let log = fs::read_to_string(format!("/var/log/glusterfs/bricks/{log}.log"))?;
            Ok(log.contains(&said))
        })
    };
    set(OTHER, &path("first"), MARK, "lv:1M")?.fails()?;
    set(OWNER, &path("first"), MARK, "lv:1M")?.ok()?;
    // To change the size of an image is to write it.
    set(OTHER, &path("first"), MARK, "lv:2M")?.ok()?;
    convert("root")?;
    let output = set(OWNER, &path("second"), MARK, "lv:800M")?.fails()?;
    ensure!(output.stderr.contains("not permitted"), "{output}");
    for op in ["set", "fset", "hset"] {
        let lines = [line(&[op, "/second", MARK, "lv:800M"])];
        let code = through(bed, Way::Bare, OWNER, &lines)?[0].0;
        ensure!(code == EPERM, "{op}: errno {code}");
    }
    ensure!(fs::read(path("second"))? == b"bytes" && bed.store.names()?.len() == 1);
    set(0, &path("second"), MARK, "lv")?.ok()?;
    convert("owner")?;
    set(OWNER, &path("third"), MARK, "thin")?.ok()?;
    ensure!(fs::read(path("third"))? == b"bytes" && bed.store.names()?.len() == 3);
    Ok(())
}
