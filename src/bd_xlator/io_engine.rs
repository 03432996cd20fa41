use std::str::FromStr;

use bd_uring::Ring;
use glusterfs::{gf_error, gf_info, gf_warn};

/// How whole blocks of open images are read and written. (All else is done by threads.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum IoEngine {
    /// By io_uring, and by threads where the kernel does not allow it.
    #[default]
    Uring,
    /// By threads that wait.
    Threads,
}

impl FromStr for IoEngine {
    type Err = String;

    fn from_str(word: &str) -> Result<IoEngine, String> {
        match word {
            "uring" => Ok(IoEngine::Uring),
            "threads" => Ok(IoEngine::Threads),
            _ => Err(format!("io-engine is {word:?}; set it to uring or threads")),
        }
    }
}

impl IoEngine {
    /// The ring, if there shall and can be one.
    pub(crate) fn start(self) -> Option<Ring> {
        if self == IoEngine::Threads {
            gf_info!("images are read and written by threads, as io-engine says");
            return None;
        }
        let ended = |error| {
            gf_error!(
                "io_uring has failed, and images are read and written by threads from now on; \
                 restart the brick to use it again: {error}"
            );
        };
        match Ring::start("bd-ring", ended) {
            Ok(ring) => {
                gf_info!("images are read and written through io_uring");
                Some(ring)
            }
            Err(error) => {
                gf_warn!(
                    "images are read and written by threads, because io_uring cannot be used: \
                     {error}; see kernel.io_uring_disabled in sysctl, or choose io-engine threads"
                );
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_known() {
        assert_eq!("threads".parse(), Ok(IoEngine::Threads));
        assert_eq!("uring".parse(), Ok(IoEngine::default()));
        assert!("fast".parse::<IoEngine>().is_err());
    }
}
