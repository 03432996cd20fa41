use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::volume::gluster;
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct SetVirt {
    /// The volume
    #[arg(value_name = "VOL")]
    name: String,
}

/// The options that a volume got.
#[derive(Debug, Serialize)]
pub(super) struct Set {
    pub(super) volume: String,
    pub(super) group: &'static str,
}

/// A file of that name is in glusterd's folder of groups.
pub(super) const GROUP: &str = "gluster-bd-virt";

impl SetVirt {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        gluster(&["volume", "set", &self.name, "group", GROUP])?;
        let set = Set {
            volume: self.name,
            group: GROUP,
        };
        context.print(&set, |set| {
            format!("volume {} has the options of {}\n", set.volume, set.group)
        })?;
        Ok(Exit::Done)
    }
}
