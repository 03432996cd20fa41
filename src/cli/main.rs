//! The command line of gluster-bd.
#![forbid(unsafe_code)]

use bd_cli::commands::Arguments;
use clap::Parser;

#[expect(clippy::print_stderr, reason = "errors of a command go to the user")]
fn main() {
    let exit = Arguments::parse().run().unwrap_or_else(|error| {
        eprintln!("gluster-bd: {error}");
        if let Some(signal) = error.signal() {
            // Returns only for signals that end nothing.
            let _ended = signal_hook::low_level::emulate_default_handler(signal);
        }
        error.exit()
    });
    // Commands have flushed what they printed.
    gfapi::end_process(exit as u8);
}
