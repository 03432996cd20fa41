//! A server that does not answer: what it holds up, and what it must not.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use loopdev::{Bed, cmd, wait_for};
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

/// What must go on: an open image, and plain files.
struct Bystander {
    image: File,
    direct: File,
    round: u64,
}

impl Bystander {
    fn new(bed: &Bed<'_>) -> Result<Bystander> {
        fs::write(bed.at("other"), pattern(1, usize::try_from(SIZE)?))?;
        let image = open(&bed.at("other"))?;
        let mut options = File::options();
        options.read(true).custom_flags(libc::O_DIRECT);
        let direct = options.open(bed.at("other"))?;
        let mut one = Bystander {
            image,
            direct,
            round: 0,
        };
        // Only now does open-behind open it on the brick.
        one.goes_on(bed)?;
        Ok(one)
    }

    /// Writes, appends, syncs and reads the image past all caches, makes and reads a plain file, and asks
    /// the brick's process whom it serves.
    fn goes_on(&mut self, bed: &Bed<'_>) -> Result<()> {
        for _ in 0..5 {
            self.round += 1;
            let at = self.round % 200 * 4096;
            let bytes = pattern(self.round, 4096);
            self.image.write_all_at(&bytes, at)?;
            // The file grows within what its LV got the first time.
            let end = SIZE + self.round * 4096;
            self.image.write_all_at(&bytes, end)?;
            self.image.sync_data()?;
            let mut block = Block([0; 4096]);
            self.direct.read_exact_at(&mut block.0, at)?;
            ensure!(block.0 == bytes[..], "round {}", self.round);
            let plain = bed.root().join(format!("plain{}", self.round));
            fs::write(&plain, &bytes)?;
            ensure!(fs::read(&plain)? == bytes);
            fs::remove_file(&plain)?;
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
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null());
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
    bed.server().signal(Signal::SIGSTOP)?;
    let mut makers = Vec::new();
    for folder in &folders {
        let file = bed.at(folder).join("new").to_string_lossy().into_owned();
        makers.push(Beside::start("touch", &[file])?);
    }
    let held = wait_for("all to wait for gluster-bdd", || {
        Ok(threads(bed, "bd-control")? >= MAKERS)
    })
    .and_then(|()| other.goes_on(bed));
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
