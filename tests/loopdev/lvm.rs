//! Volume groups on loop devices, driven with the stock LVM programs.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::rig::Rig;
use crate::sh::{Output, cmd};

/// A volume group of the rig. LVM sees only its PVs in each command.
#[derive(Clone, Debug)]
pub struct Vg {
    name: String,
    pvs: Vec<PathBuf>,
}

/// What LVM reports of an LV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lv {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// The thin pool it is in.
    pub pool: Option<String>,
    /// The LV it is a snapshot of.
    pub origin: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
}

impl Rig {
    /// A volume group named `<prefix>_<part>` on one new loop device for each size in MiB.
    pub fn vg(&mut self, part: &str, sizes: &[u64]) -> Result<Vg> {
        let mut pvs = Vec::new();
        for (number, mib) in sizes.iter().enumerate() {
            pvs.push(self.loop_device(&format!("{part}-pv{number}"), *mib)?);
        }
        self.vg_on(part, pvs)
    }

    /// A volume group on devices which the caller has prepared: an old pattern, a dm-flakey.
    pub fn vg_on(&mut self, part: &str, pvs: Vec<PathBuf>) -> Result<Vg> {
        let vg = Vg {
            name: self.name(part),
            pvs,
        };
        let devices = vg.pvs.iter().map(|pv| pv.to_string_lossy().into_owned());
        let args: Vec<String> = std::iter::once(vg.name.clone()).chain(devices).collect();
        vg.lvm("vgcreate", &args)?.ok()?;
        let owned = vg.clone();
        self.on_teardown(format!("volume group {}", vg.name), move || owned.remove());
        Ok(vg)
    }
}

impl Vg {
    /// The name, with the rig's prefix.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its physical volumes.
    pub fn pvs(&self) -> &[PathBuf] {
        &self.pvs
    }

    /// The node of an LV of this group.
    pub fn device(&self, lv: &str) -> PathBuf {
        PathBuf::from(format!("/dev/{}/{lv}", self.name))
    }

    /// Runs an LVM program which sees only this group's PVs. Gives its output whatever its code.
    pub fn lvm<S: AsRef<str>>(&self, program: &str, args: &[S]) -> Result<Output> {
        let accept: String = self
            .pvs
            .iter()
            .map(|pv| format!("\"a|^{}$|\",", pv.display()))
            .collect();
        let filter =
            format!("devices {{ filter=[{accept}\"r|.*|\"] }} backup {{ backup=0 archive=0 }}");
        let mut all = vec!["--config", &filter];
        all.extend(args.iter().map(AsRef::as_ref));
        cmd(program, &all)
    }

    /// A thin pool of `mib` MiB.
    pub fn thin_pool(&self, pool: &str, mib: u64) -> Result<()> {
        let size = format!("{mib}m");
        let name = format!("{}/{pool}", self.name);
        let args = [
            "-y",
            "-L",
            &size,
            "-T",
            &name,
            "-Zy",
            "--errorwhenfull",
            "y",
        ];
        self.lvm("lvcreate", &args)?.ok()?;
        Ok(())
    }

    /// A thin LV of `mib` MiB in a pool. Gives its node.
    pub fn thin_lv(&self, pool: &str, lv: &str, mib: u64) -> Result<PathBuf> {
        let size = format!("{mib}m");
        let name = format!("{}/{pool}", self.name);
        self.lvm("lvcreate", &["-V", &size, "-T", &name, "-n", lv])?
            .ok()?;
        Ok(self.device(lv))
    }

    /// Names of the LVs, without internal ones.
    pub fn lvs(&self) -> Result<Vec<String>> {
        let output = self
            .lvm("lvs", &["--noheadings", "-o", "lv_name", &self.name])?
            .ok()?;
        Ok(output.lines().into_iter().map(str::to_owned).collect())
    }

    /// One field of an LV's report, such as `pool_lv`, `origin`, `lv_tags` or `lv_size`.
    pub fn field(&self, lv: &str, field: &str) -> Result<String> {
        self.report("lvs", field, &format!("{}/{lv}", self.name))
    }

    /// What `lvs`, `vgs` or `pvs` reports of `what`: some fields, with `;` between them. Sizes are
    /// bytes.
    pub fn report(&self, program: &str, fields: &str, what: &str) -> Result<String> {
        let words = "--noheadings --units b --nosuffix --separator ; -o";
        let mut args: Vec<&str> = words.split(' ').collect();
        args.extend([fields, what]);
        Ok(self.lvm(program, &args)?.ok()?.stdout.trim().to_owned())
    }

    /// One LV.
    pub fn lv(&self, lv: &str) -> Result<Lv> {
        let report = self.field(lv, "lv_name,lv_size,pool_lv,origin,lv_tags")?;
        let [name, size, pool, origin, tags] = report.split(';').collect::<Vec<_>>()[..] else {
            bail!("cannot read the report: {report}");
        };
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Ok(Lv {
            name: name.to_owned(),
            size: size.parse()?,
            pool: some(pool),
            origin: some(origin),
            tags: tags
                .split(',')
                .filter(|tag| !tag.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    }

    /// True when the group is there.
    pub fn exists(&self) -> Result<bool> {
        let output = self.lvm("vgs", &["--noheadings", "-o", "vg_name"])?.ok()?;
        Ok(output.lines().contains(&self.name.as_str()))
    }

    /// Removes the group with all its LVs; no error where it is gone.
    fn remove(&self) -> Result<()> {
        if !self.name.starts_with("gbt_") {
            bail!("will not remove {}: not a name of the rig", self.name);
        }
        let removed = self.lvm("vgremove", &["-ff", "-y", &self.name])?;
        if removed.code != 0 && self.exists()? {
            removed.ok()?;
        }
        Ok(())
    }
}
