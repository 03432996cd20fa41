use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bd_dm_thin::{Events, Waker};
use bd_engine::thin_pool::Attention;

use crate::service::Service;

/// How often pools are looked at without any event: the kernel tells only of marks that are set
/// in its tables, and LVM sets them by its own policy.
const CALM: Duration = Duration::from_secs(10);
/// How often, near a threshold.
const NEAR: Duration = Duration::from_secs(1);
/// After an event, so that many of them do not make a busy loop.
const REST: Duration = Duration::from_millis(100);

/// The thread that looks after pools. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct PoolMonitor {
    waker: Waker,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PoolMonitor {
    /// Looks after the pools of all bricks that `service` serves.
    pub(crate) fn start(service: Arc<Service>) -> io::Result<PoolMonitor> {
        let events = Events::new()?;
        let waker = events.waker();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("pools".to_owned())
            .spawn(move || watch(events, &service, &stopped))?;
        Ok(PoolMonitor {
            waker,
            stop,
            thread: Some(thread),
        })
    }

    /// Looks at the pools now.
    pub(crate) fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::warn!("cannot wake the thread that looks after pools: {error}");
        }
    }
}

impl Drop for PoolMonitor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that looks after pools has failed");
        }
    }
}

fn watch(mut events: Events, service: &Service, stop: &AtomicBool) {
    let mut attention = Attention::None;
    let mut deaf = false;
    while !stop.load(Ordering::SeqCst) {
        // A host without pools may have no device-mapper, and opening it would load it.
        if attention > Attention::None
            && let Err(error) = events.listen()
            && !deaf
        {
            deaf = true;
            tracing::warn!("pools are looked at from time to time only: {error}");
        }
        attention = service.tend();
        let limit = match attention {
            Attention::None | Attention::Calm => CALM,
            Attention::Near => NEAR,
        };
        match events.wait(limit) {
            Ok(true) if !stop.load(Ordering::SeqCst) => std::thread::sleep(REST),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!("cannot wait for events of device-mapper: {error}");
                std::thread::sleep(CALM);
            }
        }
    }
}
