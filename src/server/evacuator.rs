use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::service::Service;

/// How often it looks for work.
const IDLE: Duration = Duration::from_secs(2);

/// The thread that empties disks. It ends when this is dropped, after the piece it is at.
#[derive(Debug)]
pub(crate) struct Evacuator {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Evacuator {
    pub(crate) fn start(service: Arc<Service>) -> io::Result<Evacuator> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("evacuator".to_owned())
            .spawn(move || {
                while !stopped.load(Ordering::SeqCst) {
                    let rest = service.move_piece().unwrap_or(IDLE);
                    // Spurious wakes and those for another reason must not shorten it.
                    let until = Instant::now() + rest;
                    while !stopped.load(Ordering::SeqCst)
                        && let left = until.saturating_duration_since(Instant::now())
                        && !left.is_zero()
                    {
                        std::thread::park_timeout(left);
                    }
                }
            })?;
        Ok(Evacuator {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Evacuator {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the thread that empties disks has failed");
            }
        }
    }
}
