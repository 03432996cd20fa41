use std::path::PathBuf;

use bd_model::VgName;
use clap::Args;
use serde::Serialize;

use super::volume_set_virt::GROUP;
use crate::context::Context;
use crate::interrupt::Interrupt;
use crate::storage::ProgramError;
use crate::volume::{Brick, Bricks, Layout, Mount, Standing, gluster, name_groups, parse};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct VolumeCreate {
    /// The new volume
    name: String,
    /// Bricks as HOST:/dev/DISK for an empty disk (or several, HOST:/dev/DISK,/dev/DISK), of which a volume
    /// group is made that is called as the volume, as HOST:/VG, or HOST:/DIR?VG for a directory, whose last part is made if it is missing, or HOST:/DIR for one that
    /// is a brick already or holds no images; any words of gluster volume create before them,
    /// such as replica 3. Bricks of this host are made; for those of others the command says what makes them
    /// there, and is then given again. The old words device vg and device lv are taken, too
    #[arg(required = true, value_name = "WORD|BRICK")]
    words: Vec<String>,
    /// Set the options for images of virtual machines, as volume set-virt does
    #[arg(long)]
    virt: bool,
    /// Start the volume
    #[arg(long)]
    start: bool,
    /// Start the volume and mount it there on this host, now and at each start
    #[arg(long, value_name = "DIR")]
    mount: Option<PathBuf>,
    /// Remove what the disks hold
    #[arg(long)]
    wipe: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// What would be done.
#[derive(Debug, Serialize)]
pub(super) struct Plan {
    pub(super) commands: Vec<String>,
}

/// A brick of the volume.
#[derive(Debug, Serialize)]
pub(super) struct MadeBrick {
    pub(super) host: String,
    pub(super) dir: PathBuf,
    pub(super) vg: Option<VgName>,
}

impl From<Brick> for MadeBrick {
    fn from(brick: Brick) -> MadeBrick {
        MadeBrick {
            host: brick.host,
            dir: brick.dir,
            vg: brick.vg,
        }
    }
}

/// The new volume.
#[derive(Debug, Serialize)]
pub(super) struct Made {
    pub(super) volume: String,
    pub(super) bricks: Vec<MadeBrick>,
    /// What was set of their pools.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) set: Vec<String>,
}

impl Made {
    /// Tells of a volume and its new bricks, with `done` as the last line.
    pub(super) fn print(
        context: &Context,
        volume: &str,
        bricks: Bricks,
        set: Vec<String>,
        done: &str,
    ) -> Result<Exit, CliError> {
        let made = Made {
            volume: volume.to_owned(),
            bricks: bricks.all.into_iter().map(MadeBrick::from).collect(),
            set,
        };
        context.print(&made, |made| {
            let set: String = made.set.iter().map(|line| format!("{line}\n")).collect();
            format!("{set}{done}\n")
        })?;
        Ok(Exit::Done)
    }
}

impl VolumeCreate {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let name = self.name.as_str();
        let mut words = parse(&self.words)?;
        name_groups(&mut words, name)?;
        let layout = Layout::of(&words)?;
        let present = match gluster(&["volume", "info", name]) {
            Ok(text) => Some(text),
            Err(ProgramError::Failed { said, .. }) if !said.contains("Connection failed") => None,
            Err(error) => return Err(error.into()),
        };
        let interrupt = Interrupt::watch()?;
        let exists =
            || CliError::Refused(format!("volume {name} exists already; choose another name"));
        let present = present.map(|text| Standing::read(&text).ok_or_else(exists));
        let present = present.transpose()?;
        // All that can be refused, before anything is made.
        let mut bricks = Bricks::plan(context, &words, &layout, None, self.wipe)?;
        let hosts: Vec<&str> = bricks.all.iter().map(|brick| brick.host.as_str()).collect();
        let mount = self.mount.as_deref();
        let mount = mount.map(|at| Mount::plan(name, &hosts, at)).transpose()?;
        if present
            .as_ref()
            .is_some_and(|volume| !self.ends(volume, &bricks))
        {
            return Err(exists());
        }
        if self.dry_run {
            let commands = self.commands(&bricks, &bricks.stock_words(&words), mount.as_ref());
            context.print(&Plan { commands }, |plan| plan.commands.join("\n") + "\n")?;
            return Ok(Exit::Done);
        }
        let settings = bricks.make(context, &interrupt)?;
        // From here on a signal changes nothing: a volume without its option would serve no images.
        if present.is_none() {
            bricks.give("create", name, &words)?;
        }
        if !present.as_ref().is_some_and(|volume| volume.is_ours) {
            // glusterd writes volfiles before it stores an option: the second time they follow the first. When
            // that is done, no hook has a reason to set anything while the next command comes.
            for _ in 0..2 {
                gluster(&["volume", "set", name, "user.bd", "on"])?;
            }
        }
        if let Some(missing) = bricks.missing(name) {
            gluster(&["volume", "delete", name])?;
            bricks.unmark()?;
            return Err(bricks.refused(CliError::Refused(format!(
                "gluster-bdd has made no brick of {missing}"
            ))));
        }
        if self.virt {
            gluster(&["volume", "set", name, "group", GROUP])?;
        }
        if self.starts() && !present.is_some_and(|volume| volume.is_started) {
            gluster(&["volume", "start", name])?;
        }
        let mut done = format!("volume create: {name}: success");
        match &mount {
            Some(mount) => {
                mount.make()?;
                done.push_str(&format!(": it is started and mounted on {}", mount.at()));
            }
            None if self.starts() => done.push_str(": it is started"),
            None => done.push_str(&format!(": please start it: gluster volume start {name}")),
        }
        Made::print(context, name, bricks, settings, &done)
    }

    fn starts(&self) -> bool {
        self.start || self.mount.is_some()
    }

    /// Whether the command can go on with a volume that is there: one that it has made and not finished.
    fn ends(&self, volume: &Standing, bricks: &Bricks) -> bool {
        let named = bricks.all.iter().map(Brick::name);
        let wants_more = self.virt || self.starts();
        volume.bricks.iter().cloned().eq(named)
            && match volume.is_ours {
                true => wants_more,
                false => volume.is_new,
            }
    }

    /// What is done, as command lines.
    fn commands(&self, bricks: &Bricks, words: &[String], mount: Option<&Mount>) -> Vec<String> {
        let name = &self.name;
        let mut commands = bricks.commands();
        commands.push(format!("gluster volume create {name} {}", words.join(" ")));
        commands.push(format!("gluster volume set {name} user.bd on"));
        if self.virt {
            commands.push(format!("gluster-bd volume set-virt {name}"));
        }
        if self.starts() {
            commands.push(format!("gluster volume start {name}"));
        }
        commands.extend(mount.map(Mount::command));
        commands
    }
}
