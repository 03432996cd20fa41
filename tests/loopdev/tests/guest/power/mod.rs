//! Power cuts: what was acknowledged is there after them, on thin and thick images.
//!
//! The names' file system and the volume group are two disks with volatile caches, whose writes are recorded
//! under a load. Then each cut makes of the record what the disks could hold at one moment, all servers are
//! started on that, and what they show is compared with what was acknowledged before that moment.

mod judge;
mod load;
mod moment;
mod work;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use loopdev::{Bed, Fate, POOL, Place, RecordedDisk, Replay, Rig, Store, Vg, cmd, gluster_bd, run};

use crate::damage;
use load::{Marks, Worker};
use moment::Moment;
use work::{Synced, Work};

/// MiB of the disk of names, and of that of the volume group: its pool, and what thick images get.
const NAMES: u64 = 320;
const GROUP: u64 = 1024;
const POOL_MIB: u64 = 512;

#[test]
fn cuts_lose_nothing_acknowledged() {
    run(
        "guest::power::cuts_lose_nothing_acknowledged",
        Place::Guest,
        lose_nothing,
    );
}

/// A number from the environment, or what fits a test run.
fn number(variable: &str, usual: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn lose_nothing(rig: &mut Rig) -> Result<()> {
    let (seed, cuts) = (number("GBT_SEED", 1), number("GBT_CUTS", 3));
    let length = Duration::from_secs(number("GBT_LOAD_SECONDS", 6));
    let disk = rig.recorded_disk(&[("names", NAMES), ("group", GROUP)])?;
    let names = rig.filesystem_on("brick", &disk.part(0))?;
    keep_state_on(rig, &names)?;
    let vg = rig.vg_on("images", vec![disk.part(1)])?;
    vg.thin_pool(POOL, POOL_MIB)?;
    let mut bed = rig.bed_at(Store::Pool(vg.clone()), &names)?;
    let start = Instant::now();
    let mut workers = begin(&bed, seed)?;
    run_load(&bed, &disk, &mut workers, length)?;
    let planted = last_write(&bed, &disk, &mut workers)?;
    let count: usize = workers.iter().map(Worker::count).sum();
    println!(
        "measured: {count} operations in {:.0} s, seed {seed}",
        start.elapsed().as_secs_f32()
    );
    let (names_on, brick) = (disk.part(0), brick_command(&bed)?);
    // glusterd would wait for a brick that it has not started.
    let volume = bed.volume.clone();
    bed.rig.on_teardown("the brick after a cut", move || {
        volume.brick_pids()?.into_iter().try_for_each(loopdev::end)
    });
    put_out(&mut bed, &vg, &names)?;
    let replay = disk.replay()?;
    let marks = Marks::of(replay.records());
    let (from, to) = (marks.place("load")?, marks.place("end")?);
    let moments = Moment::choose(replay.records(), from, to, usize::try_from(cuts)?, seed)?;
    let mut site = Site {
        bed: &mut bed,
        vg: &vg,
        names: &names,
        names_on: &names_on,
        brick: &brick,
        workers: &workers,
        marks: &marks,
        replay,
        tally: Tally::default(),
    };
    for (place, moment) in moments.iter().enumerate() {
        let start = Instant::now();
        site.cut(*moment)
            .with_context(|| format!("cut {place} of {cuts}, seed {seed}: {moment:?}"))?;
        println!(
            "cut {place} of {cuts}: {moment:?}: right after {:.0} s",
            start.elapsed().as_secs_f32()
        );
    }
    site.sees_lost_flushes(&planted)?;
    println!(
        "measured: {cuts} cuts, seed {seed}, nothing lost: {:?}",
        site.tally
    );
    Ok(())
}

/// What gluster-bdd remembers of its host goes with the power as well.
fn keep_state_on(rig: &mut Rig, names: &Path) -> Result<()> {
    let (state, at) = (names.join("state"), Path::new("/var/lib/gluster-bd"));
    fs::create_dir(&state)?;
    fs::create_dir_all(at)?;
    // The mount that is seen there is that of any time.
    let target = at.with_extension("usual");
    if at.exists() && !target.exists() {
        fs::rename(at, &target)?;
    }
    std::os::unix::fs::symlink(&state, at)?;
    rig.on_teardown("the server's own folder", move || {
        fs::remove_file(at)?;
        fs::rename(&target, at).context("cannot put it back")
    });
    Ok(())
}

/// Images of three kinds: thin ones that bear their files' names, and others, and thick ones.
fn begin(bed: &Bed<'_>, seed: u64) -> Result<Vec<Worker>> {
    for dir in ["thin", "thick"] {
        fs::create_dir(bed.at(dir))?;
    }
    let thick = bed.at("thick").display().to_string();
    let words = ["-n", "user.glusterfs.bd.dir", "-v", "lv", &thick];
    cmd("setfattr", &words)?.ok()?;
    cmd("sync", &["-f".as_ref(), bed.brick().as_os_str()])?.ok()?;
    let places = ["", "thin", "thick"].into_iter().enumerate();
    Ok(places
        .map(|(number, place)| Worker::new(number, place, seed))
        .collect())
}

fn run_load(
    bed: &Bed<'_>,
    disk: &RecordedDisk,
    workers: &mut [Worker],
    length: Duration,
) -> Result<()> {
    let top = bed.images();
    disk.mark("load")?;
    std::thread::scope(|scope| {
        let working: Vec<_> = workers
            .iter_mut()
            .map(|worker| scope.spawn(|| worker.work(&top, disk, length)))
            .collect();
        working
            .into_iter()
            .try_for_each(|it| it.join().unwrap_or_else(|_| bail!("a worker has panicked")))
    })?;
    disk.mark("end")
}

/// A write that was acknowledged last, by its marks: a disk that lies of its flushes would lose it.
fn last_write(
    bed: &Bed<'_>,
    disk: &RecordedDisk,
    workers: &mut [Worker],
) -> Result<(String, String)> {
    let worker = workers.first_mut().context("no worker")?;
    let name = "planted".to_owned();
    worker.act(Work::Create(name.clone()), &bed.images(), disk)?;
    let write = Work::Write {
        name,
        at: 0,
        seed: 1,
        synced: Synced::ByFsync,
    };
    worker.act(write, &bed.images(), disk)
}

/// How glusterd starts the brick: it takes ten times as long about it.
fn brick_command(bed: &Bed<'_>) -> Result<Vec<String>> {
    let pids = bed.volume.brick_pids()?;
    let pid = pids.first().context("the brick does not run")?;
    let words = fs::read_to_string(format!("/proc/{pid}/cmdline"))?;
    Ok(words
        .trim_end_matches('\0')
        .split('\0')
        .map(str::to_owned)
        .collect())
}

/// Ends all that uses the disks.
fn put_out(bed: &mut Bed<'_>, vg: &Vg, names: &Path) -> Result<()> {
    bed.rig.unmount(bed.root())?;
    for pid in bed.volume.brick_pids()? {
        loopdev::end(pid)?;
    }
    bed.server().stop()?;
    bed.rig.unmount(names)?;
    vg.lvm("vgchange", &["-an", vg.name()])?.ok()?;
    Ok(())
}

/// What was seen in all cuts.
#[derive(Debug, Default)]
struct Tally {
    /// Files that were compared.
    files: usize,
    /// Writes that were in caches.
    cached: usize,
    /// Groups that LVM found no more, and that their kept metadata brought back.
    brought_back: usize,
    /// Of these, those whose pool was a transaction ahead.
    ahead: usize,
    /// Operations of which nobody was told.
    doubts: usize,
}

/// Where cuts happen.
struct Site<'a, 'r> {
    bed: &'a mut Bed<'r>,
    vg: &'a Vg,
    names: &'a Path,
    names_on: &'a PathBuf,
    brick: &'a [String],
    workers: &'a [Worker],
    marks: &'a Marks,
    replay: Replay,
    tally: Tally,
}

impl Site<'_, '_> {
    /// Cuts the power, and looks at all that is left.
    fn cut(&mut self, moment: Moment) -> Result<()> {
        self.replay.advance(moment.before)?;
        let fates = moment.fates(&self.replay);
        self.tally.cached += fates.len();
        self.begin(moment.before, &fates)?;
        self.tally.files += self.judge(moment.before)?;
        self.bed.check()?;
        self.end()
    }

    /// A cut of disks that have told flushes done and not done them: who judges must see what is lost.
    fn sees_lost_flushes(&mut self, (begun, done): &(String, String)) -> Result<()> {
        self.begin(self.marks.place(begun)?, &[])?;
        let judged = self.judge(self.marks.place(done)? + 1);
        let said = judged.err().context("a lost write was not seen")?;
        let said = format!("{said:#}");
        ensure!(said.contains("planted: 0 bytes, expected 5000"), "{said}");
        self.end()
    }

    /// Starts all servers on what the disks hold before that record, after what docs/operations.md says about
    /// groups that are lost.
    fn begin(&mut self, before: usize, fates: &[(usize, Fate)]) -> Result<()> {
        self.replay.advance(before)?;
        self.replay.cut(fates)?;
        cmd("mount", &[self.names_on.as_path(), self.names])?.ok()?;
        let is_lost = self.vg.lvm("vgck", &[self.vg.name()])?.code != 0;
        if is_lost {
            damage::write_back(self.vg, &damage::newest(self.bed.brick())?)?;
            self.tally.brought_back += 1;
        }
        self.bed.start_server()?;
        if is_lost {
            self.follow_the_pool()?;
        }
        let (program, words) = self.brick.split_first().context("no brick")?;
        cmd(program, words)?.ok()?;
        self.bed.remount()?;
        Ok(())
    }

    /// Lets a group that was brought back count as its pool does, if that is ahead.
    fn follow_the_pool(&mut self) -> Result<()> {
        let brick = self.bed.brick().to_owned();
        let told = gluster_bd(&[Path::new("check"), &brick])?.to_string();
        if !told.contains("while expected") {
            return Ok(());
        }
        self.tally.ahead += 1;
        self.bed.server().stop()?;
        damage::catch_up(self.bed, self.vg, &told)?;
        self.bed.start_server()?;
        if damage::remove_strays(&brick)? {
            self.bed.restart_server()?;
        }
        Ok(())
    }

    /// Compares what the volume shows with what was acknowledged before that record; gives the number of files.
    fn judge(&mut self, before: usize) -> Result<usize> {
        let mut files = 0;
        for worker in self.workers {
            let known = worker.known(self.marks, before);
            self.tally.doubts += usize::from(known.doubt.is_some());
            files += judge::judge(&self.bed.images().join(&worker.place), &known)
                .with_context(|| format!("after {:?}", known.last))?;
        }
        Ok(files)
    }

    fn end(&mut self) -> Result<()> {
        put_out(self.bed, self.vg, self.names)?;
        self.metadata_is_sound()?;
        self.replay.forget()
    }

    /// With nothing in use any more.
    fn metadata_is_sound(&self) -> Result<()> {
        let part = format!("{}/{POOL}_tmeta", self.vg.name());
        self.vg.lvm("vgck", &[self.vg.name()])?.ok()?;
        self.vg.lvm("lvchange", &["-y", "-ay", &part])?.ok()?;
        cmd("thin_check", &[self.vg.device(&format!("{POOL}_tmeta"))])?.ok()?;
        self.vg.lvm("lvchange", &["-an", &part])?.ok()?;
        Ok(())
    }
}
