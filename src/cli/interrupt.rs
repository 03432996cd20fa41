//! Ctrl-C between the steps of a command.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::CliError;

/// The three signals that end a command from outside.
const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// While it lives, a signal that would end the process waits for the next [`Interrupt::check`],
/// so that a command can undo what it has begun. The second signal ends the process.
///
/// Commands of one step do not use it: they end at once, and the step is done or not.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    came: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Begins to wait for signals.
    pub(crate) fn watch() -> Result<Interrupt, CliError> {
        let came = Arc::new(AtomicBool::new(false));
        let signal = Arc::new(AtomicUsize::new(0));
        for (number, value) in SIGNALS.into_iter().zip([2, 15, 1]) {
            // In this order: the first signal only sets the flag, the next one finds it set.
            signal_hook::flag::register_conditional_default(number, Arc::clone(&came))?;
            signal_hook::flag::register_usize(number, Arc::clone(&signal), value)?;
            signal_hook::flag::register(number, Arc::clone(&came))?;
        }
        Ok(Interrupt { came, signal })
    }

    /// Fails if a signal came; what was begun is to be undone.
    pub(crate) fn check(&self) -> Result<(), CliError> {
        self.check_or("what was begun is undone")
    }

    /// Fails if a signal came, and says with `left` what there is now.
    pub(crate) fn check_or(&self, left: &'static str) -> Result<(), CliError> {
        match self.came.load(Ordering::SeqCst) {
            true => Err(CliError::Interrupted {
                left,
                signal: i32::try_from(self.signal.load(Ordering::SeqCst)).unwrap_or(SIGINT),
            }),
            false => Ok(()),
        }
    }
}
