use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bd_model::BrickId;

use crate::service::Service;

/// How often it looks for work, besides when there is a new job.
const IDLE: Duration = Duration::from_secs(2);

/// The threads that zero new blocks: one for each brick that has some, so that a slow disk holds up
/// nobody else. They end when this is dropped, after the pieces they are at.
#[derive(Debug)]
pub(crate) struct Zeroer {
    service: Arc<Service>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Zeroer {
    pub(crate) fn start(service: Arc<Service>) -> io::Result<Zeroer> {
        let stop = Arc::new(AtomicBool::new(false));
        let (run_service, run_stop) = (Arc::clone(&service), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("zeroer".to_owned())
            .spawn(move || run(&run_service, &run_stop))?;
        Ok(Zeroer {
            service,
            stop,
            thread: Some(thread),
        })
    }
}

fn run(service: &Arc<Service>, stop: &Arc<AtomicBool>) {
    let is_over = || stop.load(Ordering::SeqCst);
    let mut workers: HashMap<BrickId, JoinHandle<()>> = HashMap::new();
    while !is_over() {
        workers.retain(|_, worker| !worker.is_finished());
        for brick in service.bricks_to_zero() {
            if workers.contains_key(&brick) {
                continue;
            }
            match work(service, stop, brick) {
                Ok(worker) => drop(workers.insert(brick, worker)),
                Err(error) => tracing::error!("cannot start to zero: {error}"),
            }
        }
        service.wait_for_zeroing(IDLE, is_over);
    }
    for worker in workers.into_values() {
        if worker.join().is_err() {
            tracing::error!("a thread that zeroes has failed");
        }
    }
}

fn work(
    service: &Arc<Service>,
    stop: &Arc<AtomicBool>,
    brick: BrickId,
) -> io::Result<JoinHandle<()>> {
    let (service, stop) = (Arc::clone(service), Arc::clone(stop));
    std::thread::Builder::new()
        .name("zero".to_owned())
        .spawn(move || {
            while !stop.load(Ordering::SeqCst)
                && let Some(rest) = service.zero_piece(brick)
            {
                std::thread::sleep(rest);
            }
            if stop.load(Ordering::SeqCst) {
                service.keep_zeroed(brick);
            }
        })
}

impl Drop for Zeroer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.service.wake_jobs();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that has blocks zeroed has failed");
        }
    }
}
