use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use devicemapper::DM;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use crate::DmError;

/// Waits for device-mapper to tell that something happened to any of its devices.
///
/// A pool raises an event when it crosses the mark of free blocks in its table, when it is full,
/// and when its mode changes (Linux, Documentation/admin-guide/device-mapper/
/// thin-provisioning.rst). Between two marks it raises none.
pub struct Events {
    dm: Option<DM>,
    wake: Arc<OwnedFd>,
}

/// Ends the wait of [`Events`] from another thread.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let control = self.dm.as_ref().map(DM::file);
        f.debug_struct("Events").field("control", &control).finish()
    }
}

impl Waker {
    /// Ends the present wait, or the next one.
    pub fn wake(&self) -> std::io::Result<()> {
        Ok(rustix::io::write(&self.0, &1_u64.to_ne_bytes()).map(drop)?)
    }
}

impl Events {
    /// A wait that only a [`Waker`] ends: device-mapper is not used before [`Events::listen`].
    pub fn new() -> std::io::Result<Events> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Events {
            dm: None,
            wake: Arc::new(eventfd(0, flags)?),
        })
    }

    /// What ends a wait.
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.wake))
    }

    /// Counts events from now on: the next wait ends at one that comes after this call.
    ///
    /// Must come before the state is read, so that nothing is missed between the two.
    pub fn listen(&mut self) -> Result<(), DmError> {
        let dm = match self.dm.take() {
            Some(dm) => dm,
            None => DM::new().map_err(DmError::Control)?,
        };
        dm.arm_poll().map_err(DmError::Control)?;
        self.dm = Some(dm);
        Ok(())
    }

    /// Waits for an event, a [`Waker`] or the end of `limit`; true unless it was the limit.
    pub fn wait(&self, limit: Duration) -> std::io::Result<bool> {
        let limit = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        };
        let mut fds = vec![PollFd::new(&self.wake, PollFlags::IN)];
        if let Some(dm) = &self.dm {
            fds.push(PollFd::from_borrowed_fd(dm.file().as_fd(), PollFlags::IN));
        }
        let ready = match poll(&mut fds, Some(&limit)) {
            Err(rustix::io::Errno::INTR) => return Ok(true),
            other => other?,
        };
        let mut count = [0; 8];
        match rustix::io::read(&self.wake, &mut count) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(ready > 0),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waker_ends_the_wait_once() {
        let events = Events::new().unwrap();
        events.waker().wake().unwrap();
        assert!(events.wait(Duration::from_secs(600)).unwrap());
        assert!(!events.wait(Duration::from_millis(1)).unwrap());
    }
}
