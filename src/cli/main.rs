//! The command line of gluster-bd.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use bd_cli::commands::Arguments;
use clap::Parser;

#[expect(clippy::print_stderr, reason = "errors of a command go to the user")]
fn main() -> ExitCode {
    match Arguments::parse().run() {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("gluster-bd: {error}");
            error.exit().into()
        }
    }
}
