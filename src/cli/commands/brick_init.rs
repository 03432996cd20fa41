use std::path::PathBuf;

use bd_model::{LvName, VgName};
use bd_proto::{BrickSpec, EngineSpec, Request};
use clap::{Args, ValueEnum};

use crate::context::Context;
use crate::health::settle_pool;
use crate::server::{BrickReport, absolute, ask_brick};
use crate::storage::Wanted;
use crate::volume::forget_failed;
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct Init {
    /// The brick directory; must exist, on a file system with extended attributes
    dir: PathBuf,
    /// Where images live
    #[arg(long, value_enum, default_value_t = EngineName::Lvm)]
    engine: EngineName,
    /// The volume group that holds the images
    #[arg(
        long,
        required_unless_present = "engine",
        required_if_eq("engine", "lvm")
    )]
    vg: Option<VgName>,
    /// The thin pool in it [default: the only one; without any, images are thick]
    #[arg(long, requires = "vg")]
    pool: Option<LvName>,
    /// Take no pool: images are thick
    #[arg(long, requires = "vg", conflicts_with = "pool")]
    thick: bool,
    /// The folder that holds the images, for --engine file
    #[arg(
        long,
        value_name = "DIR",
        required_if_eq("engine", "file"),
        conflicts_with = "vg"
    )]
    store: Option<PathBuf>,
    /// Name of the top image directory; the volume group's or store's name if not given
    #[arg(long, value_name = "NAME")]
    top: Option<String>,
    /// Do not show volumes that exist already as files
    #[arg(long)]
    no_adopt: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EngineName {
    /// Logical volumes
    Lvm,
    /// Sparse files of a folder, for hosts without device-mapper
    File,
}

impl Init {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let dir = absolute(&self.dir)?;
        let spec = BrickSpec {
            engine: self.engine()?,
            dir: dir.clone(),
            top: self.top,
            adopt: !self.no_adopt,
        };
        let info = ask_brick(&context.socket, &Request::InitBrick(spec))?;
        let mut set = settle_pool(&info.engine);
        set.extend(forget_failed(&dir, &info)?);
        let report = BrickReport::new(&dir, info).with_settings(set);
        context.print(&report, BrickReport::describe)?;
        Ok(Exit::Done)
    }

    fn engine(&self) -> Result<EngineSpec, CliError> {
        Ok(match (self.engine, &self.vg, &self.store) {
            (EngineName::File, _, Some(store)) => EngineSpec::File {
                store: absolute(store)?,
            },
            (EngineName::Lvm, Some(vg), _) => EngineSpec::Lvm {
                vg: vg.clone(),
                pool: Wanted::of(self.pool.clone(), self.thick).find(vg.as_str())?,
            },
            // The parser lets neither through.
            (EngineName::File, _, None) | (EngineName::Lvm, None, _) => {
                return Err(CliError::Usage("name a volume group or a store"));
            }
        })
    }
}
