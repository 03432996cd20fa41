//! Volumes whose files are images, with the storage server that serves them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::daemon::{Daemon, alive};
use crate::gluster::Volume;
use crate::hosts::Host;
use crate::lvm::{Lv, Vg};
use crate::rig::Rig;
use crate::sh::{Output, cmd};
use crate::wait::wait_for;

/// Name of the thin pool in the rig's volume groups.
pub const POOL: &str = "pool";

/// What images are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Sparse files in a folder: the file engine.
    File,
    /// Thin LVs of a pool.
    Thin,
    /// Thick LVs.
    Thick,
}

/// Where the images of one brick live.
#[derive(Clone, Debug)]
pub enum Store {
    /// A folder of the file engine.
    Folder(PathBuf),
    /// A volume group with the thin pool [`POOL`].
    Pool(Vg),
    /// A volume group without a thin pool.
    Group(Vg),
}

/// A mounted volume of one brick whose files are images, with its servers.
#[derive(Debug)]
pub struct Bed<'r> {
    /// The rig below, for what else a test needs.
    pub rig: &'r mut Rig,
    /// The volume.
    pub volume: Volume,
    /// Where its images live.
    pub store: Store,
    brick: PathBuf,
    top: String,
    server: Daemon,
    glusterd: Daemon,
    mount: PathBuf,
}

impl Rig {
    /// Starts gluster-bdd, and waits until it is ready.
    pub fn bdd(&mut self) -> Result<Daemon> {
        Host::shared().start(self)
    }

    /// Makes a place for images, of `mib` MiB.
    pub fn store(&mut self, part: &str, backing: Backing, mib: u64) -> Result<Store> {
        Ok(match backing {
            Backing::File => {
                let disk = self.filesystem(&format!("{part}-disk"), mib)?;
                let folder = disk.join(part);
                fs::create_dir(&folder)?;
                Store::Folder(folder)
            }
            Backing::Thin => {
                let vg = self.vg(part, &[mib])?;
                // The rest is for the pool's metadata and its spare.
                vg.thin_pool(POOL, mib - 64)?;
                Store::Pool(vg)
            }
            Backing::Thick => Store::Group(self.vg(part, &[mib])?),
        })
    }

    /// All that a test of images needs: a store of `mib` MiB, gluster-bdd, glusterd, a started
    /// volume with one brick, and a mount with default options.
    pub fn bed(&mut self, backing: Backing, mib: u64) -> Result<Bed<'_>> {
        let store = self.store("images", backing, mib)?;
        self.bed_on(store)
    }

    /// As [`Rig::bed`], on a store that the caller has prepared.
    pub fn bed_on(&mut self, store: Store) -> Result<Bed<'_>> {
        // Before the servers, so that it goes after them: they have files of it open.
        let names = self.filesystem("brick", 320)?;
        self.bed_at(store, &names)
    }

    /// As [`Rig::bed_on`], with the names in a file system that the caller has prepared.
    pub fn bed_at(&mut self, store: Store, names: &Path) -> Result<Bed<'_>> {
        let brick = names.join("b");
        fs::create_dir(&brick)?;
        let server = self.bdd()?;
        let glusterd = self.glusterd()?;
        gluster_bd(&store.init(&brick))?.ok()?;
        let volume = self.volume("vol", std::slice::from_ref(&brick))?;
        volume.serve_images()?;
        volume.start()?;
        let mount = self.mount(&volume, &[])?;
        Ok(Bed {
            rig: self,
            volume,
            top: store.top()?,
            store,
            brick,
            server,
            glusterd,
            mount,
        })
    }
}

/// Runs the stock build of `gluster-bd`. Gives its output whatever its code.
pub fn gluster_bd<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Result<Output> {
    cmd("gluster-bd", args)
}

impl Store {
    /// The words of `gluster-bd` that make `brick` a brick on this store.
    pub fn init(&self, brick: &Path) -> Vec<String> {
        let mut words: Vec<String> = ["brick", "init"].map(str::to_owned).into();
        words.push(brick.to_string_lossy().into_owned());
        words.extend(match self {
            Store::Folder(folder) => {
                let folder = folder.to_string_lossy().into_owned();
                vec![
                    "--engine".to_owned(),
                    "file".to_owned(),
                    "--store".to_owned(),
                    folder,
                ]
            }
            Store::Pool(vg) => {
                let vg = vg.name().to_owned();
                vec!["--vg".to_owned(), vg, "--pool".to_owned(), POOL.to_owned()]
            }
            Store::Group(vg) => vec!["--vg".to_owned(), vg.name().to_owned()],
        });
        words
    }

    /// Name of the image directory that stands for it.
    fn top(&self) -> Result<String> {
        Ok(match self {
            Store::Folder(folder) => folder
                .file_name()
                .context("a store has a name")?
                .to_string_lossy()
                .into_owned(),
            Store::Pool(vg) | Store::Group(vg) => vg.name().to_owned(),
        })
    }

    /// Its volume group; fails on a folder.
    pub fn vg(&self) -> Result<&Vg> {
        match self {
            Store::Pool(vg) | Store::Group(vg) => Ok(vg),
            Store::Folder(folder) => bail!("{} is no volume group", folder.display()),
        }
    }

    /// What images are made of here.
    pub fn backing(&self) -> Backing {
        match self {
            Store::Folder(_) => Backing::File,
            Store::Pool(_) => Backing::Thin,
            Store::Group(_) => Backing::Thick,
        }
    }

    /// Names of the images' LVs, or of the files in the folder, sorted: not of the pool.
    pub fn names(&self) -> Result<Vec<String>> {
        let mut names = match self {
            Store::Folder(folder) => fs::read_dir(folder)?
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .filter(|name| {
                    !name
                        .as_ref()
                        .is_ok_and(|name| name.starts_with(".gluster-bd"))
                })
                .collect::<Result<Vec<String>>>()?,
            Store::Pool(vg) | Store::Group(vg) => vg.lvs()?,
        };
        if let Store::Pool(_) = self {
            names.retain(|name| name != POOL);
        }
        names.sort();
        Ok(names)
    }
}

impl Volume {
    /// Marks the volume, and waits until its volfiles hold the translators.
    pub fn serve_images(&self) -> Result<()> {
        self.set("user.bd", "on")?;
        let folder = PathBuf::from(format!("/var/lib/glusterd/vols/{}", self.name()));
        wait_for(
            &format!("the translators in the volfiles of {}", self.name()),
            || {
                let mut brick = false;
                let mut client = false;
                for entry in fs::read_dir(&folder)? {
                    let path = entry?.path();
                    if path.extension().is_some_and(|end| end == "vol") {
                        let text = fs::read_to_string(&path).unwrap_or_default();
                        brick |= text.contains("type storage/bd");
                        client |= path.to_string_lossy().ends_with(".tcp-fuse.vol")
                            && text.contains("type features/bd-client");
                    }
                }
                Ok(brick && client)
            },
        )
    }
}

impl Bed<'_> {
    /// The mount point: the volume's root, a plain directory.
    pub fn root(&self) -> &Path {
        &self.mount
    }

    /// The top image directory.
    pub fn images(&self) -> PathBuf {
        self.mount.join(&self.top)
    }

    /// Its name.
    pub fn top(&self) -> &str {
        &self.top
    }

    /// An image or directory in the top image directory.
    pub fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.images().join(name)
    }

    /// The brick directory.
    pub fn brick(&self) -> &Path {
        &self.brick
    }

    /// Where programs with libgfapi find a file of the top image directory.
    pub fn url(&self, name: &str) -> Result<String> {
        Ok(format!(
            "gluster://{}/{}/{}/{name}",
            self.rig.host()?,
            self.volume.name(),
            self.top
        ))
    }

    /// Another mount, with its own caches.
    pub fn another_mount(&mut self, options: &[&str]) -> Result<PathBuf> {
        self.rig.mount(&self.volume, options)
    }

    /// Mounts anew: nothing of the old client's memory is left.
    pub fn remount(&mut self) -> Result<()> {
        self.rig.unmount(&self.mount)?;
        self.mount = self.rig.mount(&self.volume, &[])?;
        Ok(())
    }

    /// The storage server.
    pub fn server(&self) -> &Daemon {
        &self.server
    }

    /// Starts the storage server after its end.
    pub fn start_server(&mut self) -> Result<()> {
        self.server = self.rig.bdd()?;
        Ok(())
    }

    /// Ends the storage server and starts it again.
    pub fn restart_server(&mut self) -> Result<()> {
        self.server.stop()?;
        self.start_server()
    }

    /// Ends glusterd and starts it again.
    pub fn restart_glusterd(&mut self) -> Result<()> {
        self.glusterd.stop()?;
        self.glusterd = self.rig.glusterd()?;
        Ok(())
    }

    /// Kills the brick's process.
    pub fn kill_brick(&self) -> Result<()> {
        for pid in self.volume.brick_pids()? {
            self.rig.kill9(pid)?;
        }
        Ok(())
    }

    /// Starts the brick's process after its end. glusterd may take a while to see that it ended.
    pub fn start_brick(&self) -> Result<()> {
        let before = self.volume.brick_pids()?;
        wait_for("the brick's process", || {
            self.rig
                .gluster(&["volume", "start", self.volume.name(), "force"])?;
            let pids = self.volume.brick_pids()?;
            Ok(pids.iter().any(|pid| alive(*pid)) || pids.iter().any(|pid| !before.contains(pid)))
        })?;
        self.volume.start()
    }

    /// Waits until the mount reaches the brick.
    pub fn wait_online(&self) -> Result<()> {
        wait_for("the volume to answer", || {
            Ok(fs::read_dir(self.images()).is_ok())
        })
    }

    /// Fails with the findings unless the project's own check finds nothing wrong.
    pub fn check(&self) -> Result<()> {
        gluster_bd(&["check", &self.brick.to_string_lossy()])?.ok()?;
        Ok(())
    }

    /// One LV, by the image's name. Fails on the file engine.
    pub fn lv(&self, name: &str) -> Result<Lv> {
        self.store.vg()?.lv(name)
    }

    /// Waits until the store holds exactly these images: removal goes on after `rm` has ended.
    pub fn expect_names(&self, names: &[&str]) -> Result<()> {
        let mut seen = Vec::new();
        let waited = wait_for("the store", || {
            seen = self.store.names()?;
            Ok(seen == names)
        });
        waited.with_context(|| format!("expected {names:?}, the store holds {seen:?}"))
    }

    /// After a failure: starts what does not run, mounts anew and empties the volume.
    pub fn revive(&mut self) -> Result<()> {
        if !self.server.running()? {
            self.start_server()?;
        }
        if !self.glusterd.running()? {
            self.glusterd = self.rig.glusterd()?;
        }
        self.start_brick()?;
        self.remount()?;
        self.clear()
    }

    /// Removes every file, and waits until the store is empty.
    pub fn clear(&self) -> Result<()> {
        for folder in [self.images(), self.mount.clone()] {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                if entry.path() == self.images() {
                    continue;
                }
                if entry.file_type()?.is_dir() {
                    fs::remove_dir_all(entry.path())?;
                } else {
                    fs::remove_file(entry.path())?;
                }
            }
        }
        self.expect_names(&[])
    }
}
