//! A volume in a storm gets a group of bricks more, and loses one.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use loopdev::{Daemon, Host, Rig, wait_for};

use super::faults::init;
use super::layout::Layout;
use crate::bricks::{Bricks, TOP, is_moving};

/// How often files may be left on bricks that are taken away, until somebody looks why.
const TURNS: usize = 5;

/// What glusterd says where files may be left.
const SOME_FAILED: &str = "use 'force' option";

/// A brick that the volume does not have now, empty.
struct Spare {
    dir: PathBuf,
    store: PathBuf,
    /// None on a stock volume, and where all bricks have one server.
    host: Option<(Host, RefCell<Daemon>)>,
}

/// Bricks for which there are disks, beside those of the volume.
#[derive(Default)]
pub(super) struct Growth {
    spare: Vec<Spare>,
    /// How many were made.
    made: usize,
}

impl Growth {
    /// Gives the volume one group of bricks more, and lets files move there.
    pub(super) fn grow(
        &mut self,
        rig: &mut Rig,
        bricks: &mut Bricks,
        layout: &Layout,
    ) -> Result<()> {
        let first = bricks.stores.len();
        let mut dirs = bricks.volume.bricks().to_vec();
        let mut places = Vec::new();
        for number in first..first + layout.replicas {
            let spare = match self.spare.pop() {
                Some(spare) => spare,
                None => self.disk(rig, bricks)?,
            };
            for folder in [&spare.dir, &spare.store] {
                fs::create_dir_all(folder)?;
            }
            places.push(format!("{}:{}", rig.host()?, spare.dir.display()));
            dirs.push(spare.dir.clone());
            bricks.stores.push(spare.store);
            if let Some((host, server)) = spare.host {
                bricks.hosts.push(host);
                bricks.servers.push(server);
            }
            if !bricks.hosts.is_empty() && !layout.is_arbiter(number) {
                init(bricks, number, &spare.dir)?;
            }
        }
        let volume = bricks.volume.name().to_owned();
        let add = ["volume", "add-brick", &volume];
        let places: Vec<&str> = places.iter().map(String::as_str).collect();
        rig.gluster(&[&add[..], &places, &["force"]].concat())?
            .ok()?;
        bricks.volume = rig.adopt_volume(&volume, &dirs);
        bricks.volume.start()?;
        let rebalance = ["volume", "rebalance", &volume, "start", "force"];
        rig.gluster(&rebalance)?.ok().map(drop)
    }

    fn disk(&mut self, rig: &mut Rig, bricks: &Bricks) -> Result<Spare> {
        let disk = rig.filesystem(&format!("spare{}", self.made), 512)?;
        let dir = disk.join("b");
        let is_stock = bricks.hosts.is_empty();
        let host = if bricks.hosts.len() > 1 {
            // Numbers that no brick of the beginning has.
            let host = rig.host_of(100 + self.made, &dir)?;
            let server = RefCell::new(host.start(rig)?);
            Some((host, server))
        } else {
            None
        };
        self.made += 1;
        Ok(Spare {
            store: if is_stock {
                dir.clone()
            } else {
                disk.join(TOP)
            },
            dir,
            host,
        })
    }

    /// Takes the bricks of a group away, after their files have moved to the others.
    pub(super) fn shrink(
        &mut self,
        rig: &mut Rig,
        bricks: &mut Bricks,
        layout: &Layout,
        group: usize,
    ) -> Result<()> {
        let numbers = group * layout.replicas..(group + 1) * layout.replicas;
        let gone: Vec<PathBuf> = bricks.volume.bricks()[numbers.clone()].to_vec();
        for turn in 1.. {
            // A file that was written to all the time, or renamed, may have stayed: what the manual of
            // GlusterFS has an administrator look for.
            let mut left = Vec::new();
            for dir in &gone {
                files_of(dir, &mut left)?;
            }
            let commit = match left.is_empty() {
                true => ask(rig, bricks, &gone, "commit")?,
                false => String::new(),
            };
            if left.is_empty() && !commit.contains(SOME_FAILED) {
                ensure!(commit.contains("success"), "{commit}");
                break;
            }
            ensure!(turn < TURNS, "after {turn} turns: {left:?} {commit}");
            remove(rig, bricks, &gone, "stop")?;
            remove(rig, bricks, &gone, "start")?;
            has_left(rig, bricks, layout, group)?;
        }
        let mut dirs = bricks.volume.bricks().to_vec();
        dirs.drain(numbers.clone());
        let name = bricks.volume.name().to_owned();
        let hosts: Vec<Option<(Host, RefCell<Daemon>)>> = match bricks.hosts.len() > 1 {
            true => {
                let hosts = bricks.hosts.drain(numbers.clone());
                let servers = bricks.servers.drain(numbers.clone());
                hosts.zip(servers).map(Some).collect()
            }
            false => gone.iter().map(|_| None).collect(),
        };
        let stores: Vec<PathBuf> = bricks.stores.drain(numbers).collect();
        bricks.volume = rig.adopt_volume(&name, &dirs);
        for ((dir, store), host) in gone.into_iter().zip(stores).zip(hosts) {
            let server = host.as_ref().map(|(host, _)| host).or(bricks.hosts.first());
            if let Some(server) = server.filter(|_| dir.join(".glusterfs/gluster-bd").exists()) {
                release(server, &dir)?;
            }
            for folder in [&dir, &store] {
                match fs::remove_dir_all(folder) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    result => result.with_context(|| folder.display().to_string())?,
                }
            }
            self.spare.push(Spare { dir, store, host });
        }
        Ok(())
    }
}

/// Lets files leave the bricks of a group.
pub(super) fn leave(rig: &Rig, bricks: &Bricks, layout: &Layout, group: usize) -> Result<()> {
    let numbers = group * layout.replicas..(group + 1) * layout.replicas;
    let gone = bricks.volume.bricks()[numbers].to_vec();
    remove(rig, bricks, &gone, "start").map(drop)
}

/// Waits until that has ended.
pub(super) fn has_left(rig: &Rig, bricks: &Bricks, layout: &Layout, group: usize) -> Result<()> {
    let numbers = group * layout.replicas..(group + 1) * layout.replicas;
    let gone = bricks.volume.bricks()[numbers].to_vec();
    wait_for("the files to leave the bricks", || {
        if is_moving(&bricks.volume)? {
            return Ok(false);
        }
        // It fails when the process ends meanwhile.
        let told = ask(rig, bricks, &gone, "status")?;
        Ok(told.contains("completed"))
    })
}

fn remove(rig: &Rig, bricks: &Bricks, gone: &[PathBuf], verb: &str) -> Result<String> {
    let told = ask(rig, bricks, gone, verb)?;
    ensure!(!told.contains("failed:"), "remove-brick {verb}: {told}");
    Ok(told)
}

/// What is said of it, also where it failed.
fn ask(rig: &Rig, bricks: &Bricks, gone: &[PathBuf], verb: &str) -> Result<String> {
    let host = rig.host()?;
    let places: Vec<String> = gone
        .iter()
        .map(|dir| format!("{host}:{}", dir.display()))
        .collect();
    let places: Vec<&str> = places.iter().map(String::as_str).collect();
    let remove = ["volume", "remove-brick", bricks.volume.name()];
    let told = rig.gluster(&[&remove[..], &places, &[verb]].concat())?;
    Ok(format!("{}{}", told.stdout, told.stderr))
}

/// A brick has nothing left that would keep it from being released.
fn release(host: &Host, dir: &Path) -> Result<()> {
    let said = RefCell::new(String::new());
    wait_for("the brick to be free of images", || {
        let told = host.gluster_bd(&["brick", "remove", &dir.display().to_string()])?;
        said.replace(told.stderr);
        Ok(told.code == 0)
    })
    .with_context(|| said.take())
}

/// The files below a directory of a brick, but for DHT's link files.
fn files_of(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let (path, kind) = match entry.and_then(|entry| Ok((entry.path(), entry.file_type()?))) {
            Ok(entry) => entry,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => bail!("{}: {error}", dir.display()),
        };
        if path.ends_with(".glusterfs") {
            continue;
        }
        if kind.is_dir() {
            files_of(&path, found)?;
        } else if kind.is_file() {
            let linkto = "trusted.glusterfs.dht.linkto";
            if rustix::fs::lgetxattr(&path, linkto, &mut [0_u8; 256][..]).is_err() && path.exists()
            {
                found.push(path);
            }
        }
    }
    Ok(())
}
