use std::path::PathBuf;

use bd_model::VgName;
use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::interrupt::Interrupt;
use crate::storage::ProgramError;
use crate::volume::{Brick, Bricks, Layout, Standing, gluster, parse};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct VolumeCreate {
    /// The new volume
    name: String,
    /// Bricks as HOST:/VG, or HOST:/DIR?VG for a directory, whose last part is made if it is missing, or HOST:/DIR for one that
    /// is a brick already or holds no images; any words of gluster volume create before them,
    /// such as replica 3. Bricks of this host are made; for those of others the command says what makes them
    /// there, and is then given again. The old words device vg and device lv are taken, too
    #[arg(required = true, value_name = "WORD|BRICK")]
    words: Vec<String>,
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
        let words = parse(&self.words)?;
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
        let mut bricks = Bricks::plan(context, &words, &layout, None)?;
        let named: Vec<String> = bricks.all.iter().map(Brick::name).collect();
        // A command that was killed between its last steps.
        let is_half =
            |volume: &Standing| volume.is_new && !volume.is_ours && volume.bricks == named;
        if present.as_ref().is_some_and(|volume| !is_half(volume)) {
            return Err(exists());
        }
        let settings = bricks.make(context, &interrupt)?;
        // From here on a signal changes nothing: a volume without its option would serve no images.
        if present.is_none() {
            bricks.give("create", name, &words)?;
        }
        // glusterd writes volfiles before it stores an option: the second time they follow the first. When
        // that is done, no hook has a reason to set anything while the next command comes.
        for _ in 0..2 {
            gluster(&["volume", "set", name, "user.bd", "on"])?;
        }
        if let Some(missing) = bricks.missing(name) {
            gluster(&["volume", "delete", name])?;
            bricks.unmark()?;
            return Err(bricks.refused(CliError::Refused(format!(
                "gluster-bdd has made no brick of {missing}"
            ))));
        }
        let done =
            format!("volume create: {name}: success: please start it: gluster volume start {name}");
        Made::print(context, name, bricks, settings, &done)
    }
}
