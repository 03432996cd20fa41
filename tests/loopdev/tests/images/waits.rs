//! A server or a disk that does not answer: what it holds up, and what it must not.

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use loopdev::{Bed, Hold, SlowDisk, Store, cmd, wait_for};
use nix::libc;
use nix::sys::signal::Signal;

use super::tools::{open, pattern, sh_in};

/// Folders in each of which a file is made; more than a brick once had threads for that.
const MAKERS: usize = 40;

/// Bytes of the image that must go on.
const SIZE: u64 = 1 << 20;

/// A block, where direct I/O wants it.
#[repr(align(4096))]
struct Block([u8; 4096]);

/// What must go on: an open image where its disk answers, and plain files, for a client of its own.
struct Bystander {
    root: PathBuf,
    image: Option<(File, File)>,
    round: u64,
}

impl Bystander {
    /// On the test's own mount, with an image.
    fn new(bed: &Bed<'_>) -> Result<Bystander> {
        let image = bed.at("other");
        Bystander::at(bed, bed.root().to_owned(), Some(&image))
    }

    /// On the mount `root`, with an image there if its disk will answer.
    fn at(bed: &Bed<'_>, root: PathBuf, image: Option<&Path>) -> Result<Bystander> {
        let image = match image {
            Some(path) => {
                fs::write(path, pattern(1, usize::try_from(SIZE)?))?;
                let mut options = File::options();
                options.read(true).custom_flags(libc::O_DIRECT);
                Some((open(path)?, options.open(path)?))
            }
            None => None,
        };
        let mut one = Bystander {
            root,
            image,
            round: 0,
        };
        // Only now does open-behind open it on the brick.
        one.goes_on(bed)?;
        Ok(one)
    }

    /// Writes, appends, syncs and reads the image past all caches, makes, reads and renames a plain file, and
    /// asks the brick's process whom it serves.
    fn goes_on(&mut self, bed: &Bed<'_>) -> Result<()> {
        for _ in 0..5 {
            self.round += 1;
            let bytes = pattern(self.round, 4096);
            if let Some((image, direct)) = &self.image {
                let at = self.round % 200 * 4096;
                image.write_all_at(&bytes, at)?;
                // The file grows within what its LV got the first time.
                let end = SIZE + self.round * 4096;
                image.write_all_at(&bytes, end)?;
                image.sync_data()?;
                let mut block = Block([0; 4096]);
                direct.read_exact_at(&mut block.0, at)?;
                ensure!(block.0 == bytes[..], "round {}", self.round);
            }
            let plain = self.root.join(format!("plain{}", self.round));
            fs::write(&plain, &bytes)?;
            File::open(&plain)?.sync_all()?;
            let renamed = plain.with_extension("renamed");
            fs::rename(&plain, &renamed)?;
            ensure!(fs::read(&renamed)? == bytes);
            fs::remove_file(&renamed)?;
        }
        let clients = ["volume", "status", bed.volume.name(), "clients"];
        cmd("gluster", &clients)?
            .ok()
            .context("asking the brick's process")?;
        Ok(())
    }
}

/// A program that runs beside the test, and is killed if the test ends before it.
struct Beside(Child);

impl Beside {
    fn start(program: &str, args: &[String]) -> Result<Beside> {
        Beside::on(Stdio::null(), program, args)
    }

    fn on(input: impl Into<Stdio>, program: &str, args: &[String]) -> Result<Beside> {
        let mut command = Command::new(program);
        command.args(args).stdin(input);
        Ok(Beside(command.stdout(Stdio::null()).spawn()?))
    }

    fn is_running(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_none())
    }

    fn ends_well(mut self) -> Result<()> {
        ensure!(self.0.wait()?.success(), "it failed");
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Both fail when it has ended.
        let _killed = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// gluster-bdd answers nobody: what wants it waits, and nothing else does.
pub(crate) fn for_the_server_hold_nobody_up(bed: &mut Bed<'_>) -> Result<()> {
    let mut other = Bystander::new(bed)?;
    let folders: Vec<String> = (0..MAKERS).map(|n| format!("folder{n}")).collect();
    sh_in(&bed.images(), &format!("mkdir {}", folders.join(" ")))?;
    fs::write(bed.at("seen"), pattern(3, 4096))?;
    let seen = open(&bed.at("seen"))?;
    // Only now does open-behind open it on the brick.
    seen.sync_all()?;
    let there = bed.another_mount(&[])?.join(bed.top());
    bed.server().signal(Signal::SIGSTOP)?;
    // How much it takes is not known any more.
    seen.write_all_at(&pattern(4, 4096), 0)?;
    seen.sync_all()?;
    let mut makers = Vec::new();
    for folder in &folders {
        let file = bed.at(folder).join("new").to_string_lossy().into_owned();
        makers.push(Beside::start("touch", &[file])?);
    }
    let held = wait_for("all to wait for gluster-bdd", || {
        Ok(threads(bed, "bd-control")? >= MAKERS)
    })
    .and_then(|()| other.goes_on(bed))
    .and_then(|()| {
        for line in [
            "ls -l",
            "stat seen",
            "df .",
            "test $(stat -c %b seen) -gt 0",
        ] {
            let line = format!("timeout -s KILL 20 bash -c '{line}'");
            sh_in(&there, &line)?;
        }
        Ok(())
    });
    bed.server().signal(Signal::SIGCONT)?;
    held?;
    for mut maker in makers {
        ensure!(bed.server().running()?);
        wait_for("a file to be made", || Ok(!maker.is_running()?))?;
        maker.ends_well()?;
    }
    for folder in &folders {
        ensure!(fs::metadata(bed.at(folder).join("new"))?.len() == 0);
    }
    Ok(())
}

/// The disk of images answers nobody: what wants it waits, and nothing else does. With device-mapper
/// it is that of one image, else that of all.
pub(crate) fn for_a_disk_hold_nobody_up(bed: &mut Bed<'_>) -> Result<()> {
    let stuck = bed.at("stuck");
    fs::write(&stuck, pattern(2, STUCK))?;
    let results = bed.rig.folder("waits")?;
    for n in 0..WRITES {
        fs::write(results.join(format!("write{n}")), written(n))?;
    }
    let root = bed.another_mount(&[])?;
    let there = root.join(bed.top());
    let held = Held::of(bed, "stuck")?;
    let image = matches!(held, Held::Image(_)).then(|| there.join("other"));
    let mut other = Bystander::at(bed, root, image.as_deref())?;
    // By default fops are handed from the threads that receive them to others that may wait; with the
    // option group they are not.
    let ways: &[&str] = match held {
        Held::Image(_) => &["on"],
        Held::All(_) => &["off", "on"],
    };
    for way in ways {
        bed.volume.set("performance.iot-pass-through", way)?;
        // Keeps it open on the brick.
        let line = "head -c 1 >/dev/null; exec sleep 1000d";
        let opener = Beside::on(File::open(&stuck)?, "sh", &["-c".into(), line.into()])?;
        let holding = held.hold()?;
        let mut seen = (0, 0);
        let mut begun = Vec::new();
        let waited = begin(&stuck, &results, &mut begun)
            .and_then(|()| {
                wait_for("all to wait for the disk", || {
                    seen = (threads(bed, "bd-data")?, calls(bed)?);
                    // The first ones may get through before the kernel holds the rest.
                    Ok(seen.0 > LARGE / 2 && seen.1 > SMALL + LARGE / 2)
                })
            })
            .with_context(|| format!("{} threads wait, and {} calls", seen.0, seen.1))
            .and_then(|()| other.goes_on(bed))
            .and_then(|()| is_there(&there));

        holding.let_go()?;
        waited?;
        println!("measured: {} threads waited, and {} calls", seen.0, seen.1);
        for one in begun {
            one.ends_well().context("dd on the image that waited")?;
        }
        drop(opener);
        all_is_right(&stuck, &results)?;
    }
    bed.volume.set("performance.iot-pass-through", "off")?;
    other.goes_on(bed)
}

/// Everything about the image that is no I/O on its disk.
fn is_there(images: &Path) -> Result<()> {
    let stuck = images.join("stuck");
    let mut names = fs::read_dir(images)?.flatten();
    ensure!(names.any(|name| name.file_name() == "stuck"));
    let before = fs::metadata(&stuck)?;
    ensure!(before.len() == STUCK as u64);
    fs::set_permissions(&stuck, Permissions::from_mode(before.mode() ^ 0o100))?;
    ensure!(fs::metadata(&stuck)?.mode() == before.mode() ^ 0o100);
    // Opened on the brick.
    open(&stuck)?.set_times(FileTimes::new().set_modified(before.modified()?))?;
    Ok(())
}

/// A disk of images that can be held.
enum Held {
    /// That of one image: its device.
    Image(String),
    /// That of all.
    All(SlowDisk),
}

impl Held {
    fn of(bed: &mut Bed<'_>, image: &str) -> Result<Held> {
        let folder = match &bed.store {
            Store::Pool(vg) | Store::Group(vg) => {
                return Ok(Held::Image(vg.device(image).to_string_lossy().into_owned()));
            }
            Store::Folder(folder) => folder.clone(),
        };
        let pids = bed.volume.brick_pids()?;
        Ok(Held::All(bed.rig.slow_disk(&folder, &pids)?))
    }

    fn hold(&self) -> Result<Holding<'_>> {
        Ok(match self {
            Held::Image(device) => {
                cmd("dmsetup", &["suspend", "--nolockfs", "--noflush", device])?.ok()?;
                Holding::Image(device)
            }
            Held::All(disk) => Holding::All(disk.hold()?),
        })
    }
}

/// One that is held just now.
enum Holding<'a> {
    Image(&'a str),
    All(Hold),
}

impl Holding<'_> {
    fn let_go(self) -> Result<()> {
        match self {
            Holding::Image(device) => cmd("dmsetup", &["resume", device])?.ok().map(drop),
            Holding::All(hold) => hold.let_go(),
        }
    }
}

/// Bytes of the image whose disk is held.
const STUCK: usize = 8 << 20;
/// Reads of a block, which the ring does; more of them and the following than a brick has threads.
const SMALL: usize = 36;
/// Reads of 64 KiB, which threads do. All together they are fewer than the requests that a brick takes
/// from one client (64).
const LARGE: usize = 20;
/// Writes of a block. All but the last are answered by the client and done by the ring; the last is to
/// be on the disk when it is answered. (The kernel lets one write to a file at a time.)
const WRITES: usize = 3;
/// The block where they go, every other one: neighbours are joined by the client.
const WRITES_AT: usize = 1024;

/// Begins all of them, each by a process of its own: in this one the start of a program would wait for
/// them, too, as it closes copies of all descriptors.
fn begin(stuck: &Path, results: &Path, begun: &mut Vec<Beside>) -> Result<()> {
    let mut dd = |from: PathBuf, to: PathBuf, words: String| -> Result<()> {
        let mut args = vec![
            format!("if={}", from.display()),
            format!("of={}", to.display()),
        ];
        args.extend(words.split(' ').map(str::to_owned));
        begun.push(Beside::start("dd", &args)?);
        Ok(())
    };
    for (name, size, at) in reads() {
        let words = format!("status=none iflag=direct bs={size} count=1 skip={at}");
        dd(stuck.to_owned(), results.join(name), words)?;
    }
    for n in 0..WRITES {
        let dsync = if n == WRITES - 1 { ",dsync" } else { "" };
        let at = WRITES_AT + 2 * n;
        let words = format!("status=none oflag=direct{dsync} conv=notrunc bs=4096 seek={at}");
        dd(results.join(format!("write{n}")), stuck.to_owned(), words)?;
    }
    Ok(())
}

/// Names of the reads, their sizes, and where they are, in units of their size.
fn reads() -> impl Iterator<Item = (String, usize, usize)> {
    let small = (0..SMALL).map(|n| (format!("small{n}"), 4096, 2 * n));
    small.chain((0..LARGE).map(|n| (format!("large{n}"), 64 << 10, 16 + 2 * n)))
}

/// What a write brings.
fn written(n: usize) -> Vec<u8> {
    pattern(3 + n as u64, 4096)
}

/// All reads found what was there, and all writes came to where they should.
fn all_is_right(stuck: &Path, results: &Path) -> Result<()> {
    let mut expected = pattern(2, STUCK);
    for (name, size, at) in reads() {
        let found = fs::read(results.join(&name))?;
        ensure!(found == expected[at * size..(at + 1) * size], "{name}");
    }
    for n in 0..WRITES {
        let at = (WRITES_AT + 2 * n) * 4096;
        expected[at..at + 4096].copy_from_slice(&written(n));
    }
    ensure!(fs::read(stuck)? == expected, "the image that waited");
    Ok(())
}

/// How many fops the brick has not answered yet.
fn calls(bed: &Bed<'_>) -> Result<usize> {
    let name = bed.volume.name();
    let report = cmd("gluster", &["volume", "status", name, "callpool"])?.ok()?;
    let mut calls = 0;
    for line in report.lines() {
        if let Some(count) = line.trim().strip_prefix("Pending calls:") {
            calls += count.trim().parse::<usize>()?;
        }
    }
    Ok(calls)
}

/// How many threads of the brick have a name that begins so.
fn threads(bed: &Bed<'_>, name: &str) -> Result<usize> {
    let mut count = 0;
    for pid in bed.volume.brick_pids()? {
        for task in fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task"))? {
            // One that has just ended is none.
            let comm = fs::read_to_string(task?.path().join("comm")).unwrap_or_default();
            count += usize::from(comm.starts_with(name));
        }
    }
    Ok(count)
}
