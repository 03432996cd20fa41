//! Storms: volumes of several bricks under load while something breaks, again and again.
//!
//! Writers write blocks of shared images through two mounts; keepers make, change, copy, snapshot, merge,
//! rename and remove images of their own. When what broke is mended and all has healed, nothing that
//! was acknowledged may be missing, and the bricks must hold just what there is.
//!
//! `GBT_SEED` chooses the random numbers, `GBT_STORM_ROUNDS` or `GBT_STORM_SECONDS` how long a storm
//! lasts, `GBT_FAULTS` what breaks (brick,server,host,replace,rebalance,grow,shrink), and `GBT_END_NAMES=1` lets
//! keepers rename and remove while bricks come and go. With `GBT_SERVERS=one` all
//! bricks have one gluster-bdd, as on one host, and with `GBT_STOCK=1` the volume has no images.

pub(crate) mod faults;
mod growth;
mod judge;
mod keeper;
pub(crate) mod layout;
mod register;
mod tally;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use loopdev::{KEEPS_NO_LOCKS, Place, Rig, cmd, gluster_bd, run, wait_for};

use self::faults::Fault;
use self::growth::Growth;
use self::keeper::Keeper;
use self::layout::Layout;
use self::register::{Register, WRITERS};
use self::tally::Tally;
use self::work::Copies;
use crate::PLACE;
use crate::bricks::{Bricks, Servers, TOP, emptied, make, make_on_groups};
use crate::images::model::Random;
use crate::images::tools::sh_in;

/// Images that all writers write to.
const REGISTERS: u64 = 2;
/// The directory which they are in now and then.
const REGISTERS_DIR: &str = "rd";

/// Otherwise write-behind acknowledges a direct write before it is anywhere else, and DHT does not find a
/// file again whose link it has removed in a rename that failed.
const OPTIONS: [(&str, &str); 2] = [
    ("performance.strict-o-direct", "on"),
    ("cluster.lookup-optimize", "off"),
];
/// Options of the mounts.
const MOUNTS: [&[&str]; 2] = [&[], &["--entry-timeout=0"]];
/// How long a removal may take when nothing is in its way.
const SETTLED: Duration = Duration::from_secs(match PLACE {
    Place::Guest => 120,
    Place::Native => 20,
});

/// A volume in a storm.
struct Storm {
    layout: Layout,
    stock: bool,
    bricks: Bricks,
    growth: Growth,
    mounts: [PathBuf; 2],
    registers: Vec<Register>,
    keepers: Vec<Keeper>,
    tally: Tally,
    random: Random,
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn seed() -> u64 {
    number("GBT_SEED").unwrap_or(1)
}

impl Storm {
    fn make(rig: &mut Rig, layout: Layout, faults: &[&str]) -> Result<Storm> {
        let stock = std::env::var_os("GBT_STOCK").is_some();
        let bricks = if stock {
            make_stock(rig, &layout)?
        } else if PLACE == Place::Guest {
            make_on_groups(rig, layout.words, layout.bricks, &OPTIONS)?
        } else {
            let one = std::env::var("GBT_SERVERS").is_ok_and(|servers| servers == "one");
            let servers = if one { Servers::One } else { Servers::Each };
            let disks = |rig: &mut Rig, number| {
                let disk = rig.filesystem(&format!("disk{number}"), 512)?;
                Ok((disk.clone(), disk))
            };
            make(rig, layout.words, layout.bricks, servers, &OPTIONS, disks)?
        };
        let mut mount =
            |options| Ok::<_, anyhow::Error>(rig.mount(&bricks.volume, options)?.join(TOP));
        let mounts = [mount(MOUNTS[0])?, mount(MOUNTS[1])?];
        fs::create_dir(mounts[0].join(REGISTERS_DIR))?;
        let registers = (0..REGISTERS).map(|number| Register::make(&mounts[0], number));
        let copies = if stock { Copies::Bytes } else { Copies::Links };
        let keepers: Vec<Keeper> = ['a', 'b']
            .into_iter()
            .zip(seed() * 1000..)
            .map(|(letter, seed)| Keeper::new(letter, seed, copies, &layout, faults))
            .collect();
        for keeper in &keepers {
            fs::create_dir(mounts[0].join(keeper.home()))?;
        }
        Ok(Storm {
            stock,
            registers: registers.collect::<Result<_>>()?,
            keepers,
            tally: Tally::new(&rig.dir().join("storm.log"))?,
            random: Random::new(seed()),
            layout,
            bricks,
            growth: Growth::default(),
            mounts,
        })
    }

    /// All paths that there should be, of images and of directories.
    fn paths(&self) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
        let mut images = BTreeSet::new();
        let mut dirs = BTreeSet::from([REGISTERS_DIR.to_owned()]);
        for keeper in &self.keepers {
            dirs.insert(keeper.home());
            let (more, inner) = keeper.paths();
            images.extend(more);
            dirs.extend(inner);
        }
        for register in &self.registers {
            images.insert(register.settle(&self.mounts[0])?);
        }
        Ok((images, dirs))
    }

    /// Breaks something under load and mends it.
    fn load(&mut self, rig: &mut Rig, fault: Fault) -> Result<()> {
        let random = &mut self.random;
        let mut pause =
            |least: usize, most| Duration::from_millis((least + random.below(most - least)) as u64);
        let pauses = [pause(100, 700), pause(300, 2000), pause(100, 3000)];
        let (registers, tally, layout) = (&self.registers, &self.tally, &self.layout);
        let (bricks, growth) = (&mut self.bricks, &mut self.growth);
        let (mounts, seed) = (&self.mounts, self.random.below(1 << 30) as u64);
        tally.begin();
        let outcome = thread::scope(|scope| -> Result<()> {
            let mut threads = Vec::new();
            for (number, keeper) in self.keepers.iter_mut().enumerate() {
                let top = &mounts[number];
                threads.push(scope.spawn(move || keeper.work(registers, top, tally)));
            }
            for (writer, seed) in (0..WRITERS).zip(seed..) {
                let top = &mounts[writer / 2];
                let write = move || register::write(registers, top, writer, seed, tally);
                threads.push(scope.spawn(write));
            }
            let broken = (|| {
                thread::sleep(pauses[0]);
                tally.disturb();
                tally.note(&format!("{fault:?}"));
                fault.strike(rig, bricks, layout, growth)?;
                thread::sleep(pauses[1]);
                fault.mend(rig, bricks, layout)?;
                tally.note("mended");
                thread::sleep(pauses[2]);
                Ok(())
            })();
            tally.stop();
            let ended = wait_for("the threads of the storm", || {
                Ok(threads.iter().all(thread::ScopedJoinHandle::is_finished))
            });
            if ended.is_err() {
                // What they wait for, and then their end.
                let _asked = cmd("bash", &["-c", RELEASE])?;
            }
            for one in threads {
                one.join().map_err(|_| anyhow!("a thread panicked"))?;
            }
            broken.and(ended)
        });
        let outcome = outcome.and_then(|()| fault.settle(rig, bricks, layout, growth));
        self.layout.bricks = self.bricks.stores.len();
        outcome.and_then(|()| self.tally.nothing_is_wrong())
    }

    /// Mounts anew: on any volume a client may keep a descriptor on the brick that a file has moved to,
    /// until the client ends (its log speaks of a duplicate remote fd). It also goes on to show the bytes
    /// of a write that write-behind took and fsync answered with an error, which no brick has.
    fn remount(&mut self, rig: &mut Rig) -> Result<()> {
        for (number, option) in MOUNTS.into_iter().enumerate() {
            rig.unmount(self.mounts[number].parent().context("a root")?)?;
            self.mounts[number] = rig.mount(&self.bricks.volume, option)?.join(TOP);
        }
        Ok(())
    }

    /// Waits until the mounts reach all bricks: they try again every three seconds.
    fn connected(&self) -> Result<()> {
        wait_for("the mounts to reach all bricks", || {
            for mount in &self.mounts {
                let graph = mount
                    .parent()
                    .context("a root")?
                    .join(".meta/graphs/active");
                let client = format!("{}-client-", self.bricks.volume.name());
                let mut connected = 0;
                for entry in fs::read_dir(&graph)? {
                    let entry = entry?;
                    if !entry.file_name().to_string_lossy().starts_with(&client) {
                        continue;
                    }
                    let told = entry.path().join("private");
                    let told = fs::read_to_string(&told)
                        .with_context(|| format!("cannot read {}", told.display()))?;
                    let is_so = |line: &str| line.replace(' ', "") == "connected=1";
                    connected += usize::from(told.lines().any(is_so));
                }
                if connected != self.layout.bricks {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    /// Compares all with what was acknowledged, and the bricks with each other. Answers how many blocks
    /// and images were looked at.
    fn verify(&mut self, rig: &mut Rig) -> Result<u64> {
        self.connected()?;
        if self.layout.replicas > 1 {
            self.bricks.healed(rig)?;
        }
        if self.keepers.iter().any(Keeper::doubts_bytes) {
            self.remount(rig)?;
        }
        for (keeper, top) in self.keepers.iter_mut().zip(&self.mounts) {
            keeper.settle(top)?;
        }
        let fresh = rig.mount(&self.bricks.volume, KEEPS_NO_LOCKS)?;
        // DHT makes a directory on a brick that was away when somebody looks for it.
        sh_in(&fresh.join(TOP), "ls -R")?;
        let mut checked = self.compare(&fresh.join(TOP))?;
        rig.unmount(&fresh)?;
        settled("the bricks do not hold what they should", || self.judge())?;
        if !self.stock {
            settled("the checks of the bricks find something", || {
                self.bricks.check()
            })?;
        }
        if self.layout.is_dispersed() {
            for brick in 0..self.layout.bricks {
                checked += self.without(rig, brick)?;
            }
        }
        Ok(checked)
    }

    /// Compares what the others give without one brick.
    fn without(&mut self, rig: &mut Rig, brick: usize) -> Result<u64> {
        let mount = rig.mount_without(&self.bricks.volume, brick)?;
        let compared = self.compare(&mount.join(TOP));
        rig.unmount(&mount)?;
        compared.with_context(|| format!("without brick {brick}"))
    }

    fn compare(&mut self, top: &Path) -> Result<u64> {
        let mut checked = 0;
        for register in &self.registers {
            checked += register.verify(top)?;
        }
        for keeper in &mut self.keepers {
            checked += keeper.verify(top)?;
        }
        Ok(checked)
    }

    /// What the checks above are for is seen by them.
    fn faults_are_seen(&mut self, rig: &mut Rig) -> Result<()> {
        let top = self.mounts[0].clone();
        let register = &self.registers[0];
        register.expect_another(true);
        let error = register
            .verify(&top)
            .err()
            .context("a lost write is not seen")?;
        ensure!(
            format!("{error:#}").contains("1 blocks are wrong"),
            "{error:#}"
        );
        register.expect_another(false);
        let path = register.settle(&top)?;
        let mut bricks = 0..self.layout.bricks;
        let file = bricks.find_map(|brick| Some((brick, self.bytes_of(brick, &path).ok()?)));
        let (brick, file) = file.context("no brick has the register")?;
        if self.layout.replicas > 1 {
            let whole = fs::read(&file)?;
            let mut other = whole.clone();
            other[5000] ^= 1;
            fs::write(&file, other)?;
            let seen = match self.layout.is_dispersed() {
                true => self.without(rig, 1).map(drop),
                false => self.judge(),
            };
            fs::write(&file, whole)?;
            let error = seen
                .err()
                .context("another byte of one brick is not seen")?;
            let text = format!("{error:#}");
            ensure!(
                text.contains("different") || text.contains("wrong"),
                "{text}"
            );
        }
        if !self.stock {
            let extra = self.bricks.make_extra(brick)?;
            let seen = self.judge();
            self.bricks.remove_extra(brick, &extra)?;
            let error = seen.err().context("a volume without a name is not seen")?;
            ensure!(format!("{error:#}").contains("without a name"), "{error:#}");
        }
        self.judge()
    }
}

/// Looks until it is as it should be: what is removed goes soon after its name.
fn settled(what: &str, mut look: impl FnMut() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    loop {
        match look() {
            Ok(()) => return Ok(()),
            Err(error) if start.elapsed() > SETTLED => return Err(error.context(what.to_owned())),
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Has all that might hang write its state down, and ends the clients: all processes here are this test's.
const RELEASE: &str = "cd /proc; for one in [0-9]*; do
    [[ $(<$one/comm) = glusterfs* ]] 2>/dev/null && kill -USR1 $one; done; sleep 3
    cp /run/gluster/*.dump.* /var/log/glusterfs/
    for one in [0-9]*; do
    grep -qs process-name=fuse $one/cmdline && [[ $(<$one/comm) = glusterfs* ]] && kill -9 $one; done; true";

/// The same volume without images.
fn make_stock(rig: &mut Rig, layout: &Layout) -> Result<Bricks> {
    let mut dirs = Vec::new();
    for number in 0..layout.bricks {
        dirs.push(rig.filesystem(&format!("disk{number}"), 512)?.join("b"));
    }
    let _glusterd = rig.glusterd()?;
    let volume = rig.volume_with("vol", layout.words, &dirs)?;
    for (key, value) in OPTIONS {
        volume.set(key, value)?;
    }
    volume.start()?;
    let mount = rig.mount(&volume, &[])?;
    fs::create_dir(mount.join(TOP))?;
    Ok(Bricks {
        volume,
        mount,
        stores: dirs,
        hosts: Vec::new(),
        servers: Vec::new(),
        groups: Vec::new(),
    })
}

/// A storm on a volume of that kind, as a test of this place.
pub(crate) fn storm(name: &str, layout: Layout) {
    run(name, PLACE, |rig| {
        let stock = std::env::var_os("GBT_STOCK").is_some();
        let kinds = Fault::kinds(&layout, stock)?;
        let mut storm = Storm::make(rig, layout, &kinds)?;
        let (start, seconds) = (Instant::now(), number("GBT_STORM_SECONDS"));
        let rounds = number("GBT_STORM_ROUNDS").unwrap_or(kinds.len() as u64);
        let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
        let (mut round, mut checked) = (0, 0);
        loop {
            let goes_on = match seconds {
                Some(seconds) => start.elapsed().as_secs() < seconds,
                None => round < rounds,
            };
            if !goes_on {
                break;
            }
            let kind = kinds[usize::try_from((seed() + round) % kinds.len() as u64)?];
            let fault = Fault::choose(kind, &layout, &mut storm.random);
            let what = || format!("round {round}, {fault:?}, seed {}", seed());
            let begun = Instant::now();
            storm.load(rig, fault).with_context(what)?;
            let loaded = begun.elapsed();
            if fault.moves_files() {
                storm.remount(rig)?;
            }
            checked += storm.verify(rig).with_context(what)?;
            if matches!(fault, Fault::Replace(_)) {
                storm.keepers.iter_mut().for_each(Keeper::forget_origins);
            }
            println!(
                "{}, load {:.1} s, and checks {:.1} s",
                what(),
                loaded.as_secs_f32(),
                (begun.elapsed() - loaded).as_secs_f32()
            );
            *faults.entry(kind).or_default() += 1;
            round += 1;
        }
        storm.faults_are_seen(rig)?;
        println!(
            "measured: {}{}: seed {}, {round} rounds in {:.0} s, faults {faults:?}, {}, \
             {checked} blocks and images checked",
            if storm.stock { "stock, " } else { "" },
            layout.name,
            seed(),
            start.elapsed().as_secs_f32(),
            storm.tally.figures()
        );
        if storm.stock {
            return Ok(());
        }
        gluster_bd(&["check", storm.bricks.volume.name()])?.ok()?;
        // A client of before the last fault may not list all directories of a distributed volume.
        storm.remount(rig)?;
        for keeper in &storm.keepers {
            keeper.remove_all(&storm.mounts[0])?;
        }
        sh_in(&storm.mounts[0], "rm -rf ./*")?;
        emptied(rig, &storm.bricks)
    });
}
