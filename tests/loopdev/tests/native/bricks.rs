//! Volumes of several bricks, and what all of them hold.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use loopdev::{
    Daemon, Host, Output, POOL, Place, Rig, Vg, Volume, cmd, gluster_bd, run, sh, wait_for,
};

use crate::images::tools::{sh_in, size_of};

/// The image directory, whose name is that of each brick's store.
pub(crate) const TOP: &str = "images";

/// A mounted volume of several bricks.
pub(crate) struct Bricks {
    pub(crate) volume: Volume,
    pub(crate) mount: PathBuf,
    pub(crate) stores: Vec<PathBuf>,
    /// One for all bricks, or one for each.
    pub(crate) hosts: Vec<Host>,
    pub(crate) servers: Vec<RefCell<Daemon>>,
    /// The volume groups of the bricks, where their images are LVs.
    pub(crate) groups: Vec<Vg>,
}

/// Who serves the bricks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Servers {
    /// One gluster-bdd, as on one host.
    One,
    /// Each brick its own, as on several hosts.
    Each,
}

impl Bricks {
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.mount.join(TOP).join(name)
    }

    /// What the bricks hold of an image, in the order of the bricks that have it.
    pub(crate) fn held(&self, name: &str) -> Result<Vec<Vec<u8>>> {
        let mut held = Vec::new();
        let asked = ["--only-values", "-n", "glusterfs.gfid.string"];
        let path = self.at(name).display().to_string();
        let told = cmd("getfattr", &[&asked[..], &[path.as_str()]].concat())?;
        for store in &self.stores {
            let file = match told.code {
                // After a crash an LV may bear another name than its file.
                0 => file_of(store, told.stdout.trim())?,
                _ => Some(store.join(name)).filter(|file| file.exists()),
            };
            if let Some(file) = file {
                held.push(fs::read(&file).with_context(|| format!("{}", file.display()))?);
            }
        }
        Ok(held)
    }

    /// How many images the bricks hold together.
    pub(crate) fn count(&self) -> Result<usize> {
        let mut count = 0;
        for vg in &self.groups {
            count += vg.lvs()?.iter().filter(|lv| *lv != POOL).count();
        }
        for store in self.stores.iter().filter(|_| self.groups.is_empty()) {
            for entry in fs::read_dir(store)? {
                let name = entry?.file_name();
                count += usize::from(!name.to_string_lossy().starts_with(".gluster-bd"));
            }
        }
        Ok(count)
    }

    /// Makes a volume on a brick behind the back of all servers.
    pub(crate) fn make_extra(&self, brick: usize) -> Result<PathBuf> {
        match self.groups.get(brick) {
            Some(vg) => vg.thin_lv(POOL, "extra", 4),
            None => {
                let extra = self.stores[brick].join("extra");
                fs::write(&extra, "extra")?;
                Ok(extra)
            }
        }
    }

    /// Removes it again.
    pub(crate) fn remove_extra(&self, brick: usize, extra: &Path) -> Result<()> {
        match self.groups.get(brick) {
            Some(vg) => {
                let lv = format!("{}/extra", vg.name());
                vg.lvm("lvremove", &["-y", &lv])?.ok().map(drop)
            }
            None => Ok(fs::remove_file(extra)?),
        }
    }

    /// Asks for a merge of a snapshot into its origin.
    pub(crate) fn merge(&self, name: &str) -> Result<Output> {
        let snapshot = self.at(name).display().to_string();
        cmd("setfattr", &["-n", "merge", "-v", "1", &snapshot])
    }

    pub(crate) fn check(&self) -> Result<()> {
        let ours = |brick: &PathBuf| brick.join(".glusterfs/gluster-bd").exists();
        let bricks = self.volume.bricks().iter().enumerate();
        for (number, brick) in bricks.filter(|(_, brick)| ours(brick)) {
            let dir = brick.display().to_string();
            self.host(number).gluster_bd(&["check", &dir])?.ok()?;
        }
        Ok(())
    }

    /// The host of a brick.
    pub(crate) fn host(&self, brick: usize) -> &Host {
        &self.hosts[brick.min(self.hosts.len() - 1)]
    }

    /// The server of a brick.
    pub(crate) fn server(&self, brick: usize) -> &RefCell<Daemon> {
        &self.servers[brick.min(self.servers.len() - 1)]
    }

    /// Waits until every brick has all that the others have.
    pub(crate) fn healed(&self, rig: &Rig) -> Result<()> {
        let info = RefCell::default();
        wait_for("the bricks to heal", || {
            // By itself it begins within ten minutes. It refuses where a brick is not back yet.
            rig.gluster(&["volume", "heal", self.volume.name()])?;
            let told = rig.gluster(&["volume", "heal", self.volume.name(), "info"])?;
            let mut counts = told
                .stdout
                .lines()
                .filter_map(|line| line.strip_prefix("Number of entries: "));
            let bricks = self.stores.len();
            let done = counts.clone().count() == bricks && counts.all(|count| count.trim() == "0");
            info.replace(told.stdout);
            Ok(done)
        })
        .with_context(|| info.take())
    }
}

/// The file of a store that belongs to an image.
fn file_of(store: &Path, gfid: &str) -> Result<Option<PathBuf>> {
    let line = "getfattr --absolute-names -n user.gluster_bd.gfid";
    let told = sh(&format!("{line} {}/* 2>/dev/null || true", store.display()))?.stdout;
    let mut file = None;
    for line in told.lines() {
        match line.strip_prefix("# file: ") {
            Some(path) => file = Some(PathBuf::from(path)),
            None if line.contains(gfid) => return Ok(file),
            None => {}
        }
    }
    Ok(None)
}

pub(crate) fn on(
    name: &str,
    words: &[&str],
    bricks: usize,
    body: impl FnOnce(&mut Rig, &Bricks) -> Result<()>,
) {
    let disks = |rig: &mut Rig, number| {
        let disk = rig.filesystem(&format!("disk{number}"), 512)?;
        Ok((disk.clone(), disk))
    };
    on_disks(name, words, bricks, disks, body);
}

/// As [`on`], with `disks` for the names and for the images of each brick.
pub(crate) fn on_disks(
    name: &str,
    words: &[&str],
    bricks: usize,
    disks: impl Fn(&mut Rig, usize) -> Result<(PathBuf, PathBuf)>,
    body: impl FnOnce(&mut Rig, &Bricks) -> Result<()>,
) {
    run(&format!("native::{name}"), Place::Native, |rig| {
        let bricks = make(rig, words, bricks, Servers::One, &[], disks)?;
        body(rig, &bricks)?;
        emptied(rig, &bricks)
    });
}

/// A mounted volume with these options, and with `disks` for the names and for the images of each brick.
pub(crate) fn make(
    rig: &mut Rig,
    words: &[&str],
    bricks: usize,
    servers: Servers,
    options: &[(&str, &str)],
    disks: impl Fn(&mut Rig, usize) -> Result<(PathBuf, PathBuf)>,
) -> Result<Bricks> {
    let mut dirs = Vec::new();
    let mut stores = Vec::new();
    for number in 0..bricks {
        let (names, images) = disks(rig, number)?;
        dirs.push(names.join("b"));
        stores.push(images.join(TOP));
    }
    let hosts = match servers {
        Servers::One => vec![Host::shared()],
        Servers::Each => (0..bricks)
            .map(|number| rig.host_of(number, &dirs[number]))
            .collect::<Result<_>>()?,
    };
    let mut daemons = Vec::new();
    for host in &hosts {
        daemons.push(RefCell::new(host.start(rig)?));
    }
    let _glusterd = rig.glusterd()?;
    for (number, (dir, store)) in dirs.iter().zip(&stores).enumerate() {
        fs::create_dir(dir)?;
        fs::create_dir(store)?;
        // An arbiter is a plain directory.
        if words.contains(&"arbiter") && number == 2 {
            continue;
        }
        let (dir, store) = (dir.display().to_string(), store.display().to_string());
        let args = ["brick", "init", &dir, "--engine", "file", "--store", &store];
        hosts[number.min(hosts.len() - 1)].gluster_bd(&args)?.ok()?;
    }
    let (volume, mount) = serve(rig, words, &dirs, options)?;
    Ok(Bricks {
        volume,
        mount,
        stores,
        hosts,
        servers: daemons,
        groups: Vec::new(),
    })
}

/// A volume of bricks that are there, which serves images, and its mount.
fn serve(
    rig: &mut Rig,
    words: &[&str],
    dirs: &[PathBuf],
    options: &[(&str, &str)],
) -> Result<(Volume, PathBuf)> {
    let volume = rig.volume_with("vol", words, dirs)?;
    volume.serve_images()?;
    for (key, value) in options {
        volume.set(key, value)?;
    }
    volume.start()?;
    let mount = rig.mount(&volume, &[])?;
    Ok((volume, mount))
}

/// As [`make`], with a volume group and its thin pool for each brick, and one gluster-bdd.
pub(crate) fn make_on_groups(
    rig: &mut Rig,
    words: &[&str],
    bricks: usize,
    options: &[(&str, &str)],
) -> Result<Bricks> {
    let disk = rig.filesystem("disk", 512)?;
    let mut groups = Vec::new();
    for number in 0..bricks {
        let vg = rig.vg(&format!("vg{number}"), &[512])?;
        vg.thin_pool(POOL, 384)?;
        groups.push(vg);
    }
    let host = Host::shared();
    let server = host.start(rig)?;
    let _glusterd = rig.glusterd()?;
    let mut dirs = Vec::new();
    for (number, vg) in groups.iter().enumerate() {
        let dir = disk.join(format!("b{number}"));
        fs::create_dir(&dir)?;
        let name = dir.display().to_string();
        gluster_bd(&["brick", "init", &name, "--vg", vg.name(), "--top", TOP])?.ok()?;
        dirs.push(dir);
    }
    let (volume, mount) = serve(rig, words, &dirs, options)?;
    Ok(Bricks {
        volume,
        mount,
        stores: groups.iter().map(|vg| vg.device("")).collect(),
        hosts: vec![host],
        servers: vec![RefCell::new(server)],
        groups,
    })
}

/// Whether a process moves files of a volume. glusterd that is asked for the status just when it ends may
/// say for ever that it has not ended.
pub(crate) fn is_moving(volume: &Volume) -> Result<bool> {
    let id = format!("rebalance/{}", volume.name());
    for entry in fs::read_dir("/proc")? {
        let line = fs::read(entry?.path().join("cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        if words.any(|word| word == id.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Waits until a rebalance has ended.
pub(crate) fn ended(rig: &Rig, volume: &Volume) -> Result<()> {
    wait_for("the rebalance", || {
        if is_moving(volume)? {
            return Ok(false);
        }
        let told = rig.gluster(&["volume", "rebalance", volume.name(), "status"])?;
        ensure!(!told.stdout.contains("failed"), "{told}");
        Ok(told.stdout.contains("completed"))
    })
}

/// Waits for a size that another client has made: caches have the old one for a moment.
pub(crate) fn wait_for_size(path: &Path, size: u64) -> Result<()> {
    wait_for(&format!("{size} bytes in {}", path.display()), || {
        Ok(size_of(path)? == size)
    })
}

/// At the end of a test: nothing was met that the tables do not know, and the images go.
pub(crate) fn emptied(rig: &Rig, bricks: &Bricks) -> Result<()> {
    xdata_is_known()?;
    sh_in(&bricks.mount.join(TOP), "rm -f ./*")?;
    wait_for("the stores to be empty", || {
        // The mount may not have found a brick again that was away.
        rig.gluster(&["volume", "heal", bricks.volume.name()])?;
        Ok(bricks.count()? == 0)
    })?;
    bricks.check()
}

/// Every key that came with a request which a brick answered itself is in the table of
/// docs/xdata.md. Says how many there were; builds without debug assertions do not look at them.
pub(crate) fn xdata_is_known() -> Result<usize> {
    let (mut known, mut unknown) = (0, Vec::new());
    for log in fs::read_dir("/var/log/glusterfs/bricks")? {
        // GlusterFS 11 logs the bytes of a gfid as they are.
        let log = fs::read(log?.path())?;
        let log = String::from_utf8_lossy(&log);
        for line in log.lines().filter(|line| line.contains("[xdata.rs:")) {
            if line.contains("is not in the table") {
                unknown.push(line.to_owned());
            } else {
                known += 1;
            }
        }
    }
    ensure!(unknown.is_empty(), "{}", unknown.join("\n"));
    Ok(known)
}

/// Every brick of a replicated volume holds the same bytes of each image.
pub(crate) fn replicas_agree(bricks: &Bricks, replicas: usize) -> Result<()> {
    for entry in fs::read_dir(bricks.mount.join(TOP))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let held = bricks.held(&name)?;
        ensure!(held.len() == replicas, "{} bricks hold {name}", held.len());
        let size = usize::try_from(size_of(&bricks.at(&name))?)?;
        ensure!(held.iter().all(|bytes| bytes.len() >= size));
        ensure!(
            held.iter().all(|bytes| bytes[..size] == held[0][..size]),
            "bricks hold different bytes of {name}"
        );
    }
    Ok(())
}

/// What `gluster-bd check VOL` finds: the kinds, and the text.
pub(crate) fn findings(bricks: &Bricks) -> Result<(Vec<String>, String)> {
    let volume = bricks.volume.name();
    let told = gluster_bd(&["check", volume, "--json"])?.stdout;
    let told: serde_json::Value = serde_json::from_str(&told)?;
    let list = told["findings"].as_array().context("no findings")?;
    let text = |finding: &serde_json::Value, key: &str| finding[key].to_string().replace('"', "");
    let kinds = list.iter().map(|finding| text(finding, "kind")).collect();
    let all: Vec<String> = list
        .iter()
        .map(|finding| text(finding, "message"))
        .collect();
    Ok((kinds, all.join("\n")))
}
