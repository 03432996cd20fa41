//! Ctrl-C between the steps of a command.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::CliError;

/// While it lives, a signal that would end the process waits for the next [`Interrupt::check`],
/// so that a command can undo what it has begun. The second signal ends the process.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    flag: Arc<AtomicBool>,
}

impl Interrupt {
    /// Begins to wait for signals.
    pub(crate) fn watch() -> Result<Interrupt, CliError> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // In this order: the first signal only sets the flag, the next one finds it set.
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag))?;
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
        }
        Ok(Interrupt { flag })
    }

    /// Fails if a signal came.
    pub(crate) fn check(&self) -> Result<(), CliError> {
        match self.flag.load(Ordering::SeqCst) {
            true => Err(CliError::Interrupted),
            false => Ok(()),
        }
    }
}
