//! The commands, one file each.

mod brick_init;
mod brick_show;
mod check;
mod volfile_filter;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::{CliError, Exit};

/// Serve logical volumes as files of a Gluster volume
///
/// Exit status: 0 done, 1 failed (or a check found something), 2 usage, 3 not found, 4 gluster-bdd
/// does not answer, 5 refused because the object is in use, exists already or belongs to another.
#[derive(Debug, Parser)]
#[command(name = "gluster-bd", version, max_term_width = 100)]
pub struct Arguments {
    /// Socket of gluster-bdd [default: the variable GLUSTER_BDD_SOCKET, or
    /// /run/gluster-bd/gluster-bdd.sock]
    #[arg(long, global = true, value_name = "PATH", hide_default_value = true,
          default_value_os_t = bd_proto::socket_path())]
    socket: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make and show bricks
    #[command(subcommand)]
    Brick(Brick),
    /// Compare a brick's files with its volumes; exits 1 if something is wrong
    Check(check::Check),
    /// Put the translators into a volfile; glusterd runs this
    VolfileFilter(volfile_filter::VolfileFilter),
}

#[derive(Debug, Subcommand)]
enum Brick {
    /// Make a directory a brick whose images live in a volume group
    Init(brick_init::Init),
    /// Show what a brick is made of
    Show(brick_show::Show),
}

impl Arguments {
    /// Runs the command.
    pub fn run(self) -> Result<Exit, CliError> {
        match self.command {
            Command::Brick(Brick::Init(command)) => command.run(&self.socket),
            Command::Brick(Brick::Show(command)) => command.run(&self.socket),
            Command::Check(command) => command.run(&self.socket),
            Command::VolfileFilter(command) => command.run(),
        }
    }
}

#[cfg(test)]
mod tests;
