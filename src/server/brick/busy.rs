use std::collections::HashSet;
use std::sync::{Condvar, Mutex, PoisonError};

use bd_model::Gfid;

/// The images that a request works on: requests of one image come one after another, those of
/// different images at the same time.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    images: Mutex<HashSet<Gfid>>,
    freed: Condvar,
}

/// The right to work on some images, until it is dropped.
#[derive(Debug)]
pub(crate) struct Hold<'a> {
    busy: &'a Busy,
    images: Vec<Gfid>,
}

impl Busy {
    /// Waits until nobody works on any of the images, and takes them all at once.
    pub(crate) fn hold(&self, images: &[Gfid]) -> Hold<'_> {
        let mut images = images.to_vec();
        images.sort_unstable();
        images.dedup();
        let mut taken = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        while images.iter().any(|image| taken.contains(image)) {
            taken = self
                .freed
                .wait(taken)
                .unwrap_or_else(PoisonError::into_inner);
        }
        taken.extend(&images);
        Hold { busy: self, images }
    }

    /// Takes an image, unless somebody works on it.
    pub(crate) fn try_hold(&self, image: Gfid) -> Option<Hold<'_>> {
        let mut taken = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        taken.insert(image).then(|| Hold {
            busy: self,
            images: vec![image],
        })
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut taken = self
            .busy
            .images
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for image in &self.images {
            taken.remove(image);
        }
        self.busy.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn one_image_has_one_worker() {
        let busy = Busy::default();
        let images: Vec<Gfid> = (0..4).map(|_| Gfid::random()).collect();
        let workers: Vec<AtomicU32> = images.iter().map(|_| AtomicU32::new(0)).collect();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (busy, images, workers) = (&busy, &images, &workers);
                scope.spawn(move || {
                    for round in 0..200 {
                        let (a, b) = ((thread + round) % 4, (thread * round) % 4);
                        let _hold = busy.hold(&[images[a], images[b]]);
                        for image in [a, b] {
                            assert!(workers[image].fetch_add(1, Ordering::SeqCst) < 2);
                        }
                        for image in [a, b] {
                            workers[image].fetch_sub(1, Ordering::SeqCst);
                        }
                        assert_eq!(workers[a].load(Ordering::SeqCst), 0);
                    }
                });
            }
        });
    }
}
